//! What the API and its clients share: how values travel, sealed or on the stream to nodes, and what a record
//! of the audit looks like.
//!
//! Must not know a store, a policy or a cluster.

#[cfg(feature = "calls")]
pub mod audit;
#[cfg(feature = "calls")]
pub mod manifest;
#[cfg(feature = "calls")]
pub mod problem;
#[cfg(feature = "calls")]
pub mod sealed;
pub mod stream;
mod transport_error;

pub use strongroom_value::{json_visible, visible, visible_lines};
pub use transport_error::transport_error_cause;
