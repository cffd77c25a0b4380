//! The encrypted, embedded store.
//!
//! | module | idea |
//! |---|---|
//! | [`vault`] | secrets, versions, keys: commands and reads |
//! | [`audit`] | two hash chains of what happened |
//! | [`seal`] | how the root key comes back after a restart |
//! | [`crypto`] | keys, and sealing things in their place |
//! | [`engine`] | ordered tables with atomic, durable commits |
//! | [`admin`] | what the person who runs it asks of it, as bytes |
//!
//! No Kubernetes, no async, no serde on values. Async exists at the edges of the programs that use this.

pub mod admin;
pub mod audit;
pub mod codec;
pub mod crypto;
pub mod engine;
mod format;
#[cfg(any(test, feature = "test-util"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod lock;
pub mod seal;
pub mod value;
pub mod vault;
