//! What a hostile tenant does to the API and by custom resources: the attacks that tests and measurements share.
//!
//! Only loopback is a target: every connection comes from 127.0.0.0/8 and goes to 127.0.0.1. Each attack stops by itself after a number of tries, and earlier where its
//! future is dropped. Being refused is what is hoped for, so that no attack reports a failure.

mod attacker;
mod callers;
mod objects;
mod strangers;
mod target;

pub use attacker::{Attack, Attacker, Objects, Traffic};
pub use strangers::{Stranger, strangers};
pub use target::{Target, TargetError};
