//! What a hostile tenant does to the API and by custom resources: the attacks that tests and measurements
//! share.
//!
//! Only loopback is a target: connections go from 127.0.0.0/8 to 127.0.0.1. Each attack ends after a number
//! of tries, or when its future is dropped. A refusal is what is hoped for, so no attack reports one.

mod attacker;
mod callers;
mod objects;
mod strangers;
mod target;

pub use attacker::{Attack, Attacker, Objects, Traffic};
pub use strangers::{Stranger, strangers};
pub use target::{Target, TargetError};
