//! The encrypted, embedded store.

pub mod audit;
pub mod codec;
pub mod crypto;
pub mod engine;
pub mod id;
pub mod name;
pub mod seal;
pub mod secret;
pub mod time;
pub mod value;
