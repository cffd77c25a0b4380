//! What the API and its clients share: what its operations take and answer (`v1`), how values travel, sealed
//! or on the stream to nodes, what a record of the audit looks like, and what policies of RAM say
//! (`ram_policy`).
//!
//! Must not know a store or a cluster, nor decide anything by a policy.

#[cfg(feature = "calls")]
pub mod audit;
#[cfg(feature = "calls")]
pub mod backup_status;
#[cfg(feature = "calls")]
mod hosting;
#[cfg(feature = "calls")]
pub mod installation_status;
#[cfg(feature = "calls")]
pub mod manifest;
#[cfg(feature = "calls")]
pub mod problem;
#[cfg(feature = "calls")]
pub mod process_report;
#[cfg(feature = "calls")]
pub mod ram_policy;
#[cfg(feature = "calls")]
pub mod sealed;
pub mod stream;
mod transport_error;
#[cfg(feature = "calls")]
#[expect(
    missing_docs,
    reason = "docs become descriptions of the OpenAPI document, and a name that says all needs none"
)]
pub mod v1;

pub use strongroom_model::{json_visible, visible, visible_lines};
pub use transport_error::transport_error_cause;
