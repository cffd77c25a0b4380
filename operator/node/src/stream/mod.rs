//! The node's end of the stream to the gateway (`operator/api/proto/stream.proto`).
//!
//! [`Desk`] holds what is subscribed to, what came of it and which values are in memory; it does no I/O. [`run()`] keeps one connection
//! alive and carries messages between it and the desk. [`Subscriptions`] is what the rest of the plugin holds of both.

mod backoff;
mod desk;
mod held;
mod link;
mod run;
mod subscriptions;

pub use desk::{Desk, Refused, Secret, Snapshot, Wants};
pub use link::Endpoint;
pub use run::{Stream, run};
pub use subscriptions::{Commands, Gone, Subscriptions, channel};
