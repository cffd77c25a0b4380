//! What the API and its clients share: how values travel sealed.
//!
//! Must not know a store, a policy or a cluster.

pub mod sealed;
