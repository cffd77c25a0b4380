//! What the API and its clients share: how values travel sealed, and what a record of the audit looks like.
//!
//! Must not know a store, a policy or a cluster.

pub mod audit;
pub mod manifest;
pub mod sealed;
