//! The encrypted, embedded store.

pub mod id;
pub mod time;
