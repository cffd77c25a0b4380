//! The encrypted, embedded store.
