//! Decisions: pure functions of facts and time. No client, no async, no clock.
//!
//! `now` and randomness are arguments of whoever needs them.

pub mod backup;
pub mod ca_bundle;
pub mod cause;
pub mod config_map;
pub mod consumers;
pub mod declaration;
pub mod deletion;
pub mod encryption_key;
pub mod environment;
pub mod generate;
pub mod managed_secret;
pub mod native_secret;
pub mod object;
pub mod policy;
pub mod product;
pub mod ram_directory;
pub mod request;
pub mod retry;
pub mod rotation;
pub mod schedule;
pub mod uid;

pub use strongroom_model as value;
pub use strongroom_render::template;
