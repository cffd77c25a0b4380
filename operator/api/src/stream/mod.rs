//! The stream between nodes and the gateway: the messages of `proto/stream.proto`, and the types that what is
//! secret in them is moved into before anything else looks at it.
//!
//! Must not connect, listen or wait: who serves or uses the stream brings the transport. The features
//! `stream-server` and `stream-client` add tonic's services to [`proto`].

mod secrecy;
mod token;
mod value;

pub use token::Token;
pub use value::{DeliveredValue, SecretId, ValueError};

/// The version of the protocol that [`proto`] is.
pub const PROTOCOL_VERSION: u32 = 1;

/// Most secrets of one subscription.
pub const SECRETS: usize = 64;

/// The messages, generated from `proto/stream.proto`, which says how each behaves.
pub mod proto {
    #![allow(
        missing_docs,
        missing_debug_implementations,
        unreachable_pub,
        clippy::allow_attributes_without_reason,
        clippy::doc_markdown,
        reason = "generated"
    )]
    include!("../generated/strongroom.stream.v1.rs");
}
