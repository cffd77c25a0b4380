//! The encrypted, embedded store.

pub mod codec;
pub mod engine;
pub mod id;
pub mod name;
pub mod secret;
pub mod time;
pub mod value;
