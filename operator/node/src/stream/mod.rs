//! The node's end of the stream to the gateway (`operator/api/proto/stream.proto`).
//!
//! [`SubscriptionState`] holds what is subscribed to, what came of it and which values are in memory; it does
//! no I/O. [`run()`] keeps one connection alive and carries messages between it and the state.
//! [`Subscriptions`] is what the rest of the plugin holds of both.

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
