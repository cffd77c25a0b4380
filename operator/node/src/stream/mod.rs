//! The node's end of the stream to the gateway (`operator/api/proto/stream.proto`).
//!
//! [`SubscriptionState`] holds the subscriptions, their results and the values in memory; it does no I/O.
//! [`run()`] keeps one connection alive and carries messages between it and the state. [`Subscriptions`] is
//! the handle to both for the rest of the plugin.

mod backoff;
mod connection;
mod run;
mod subscription_state;
mod subscriptions;
mod value_cache;

pub use connection::Endpoint;
pub use run::{Stream, run};
pub use subscription_state::{
    GrantedSecret, SubscriptionDenial, SubscriptionSnapshot, SubscriptionSpec, SubscriptionState,
};
pub use subscriptions::{Commands, StreamClosed, Subscriptions, channel};
