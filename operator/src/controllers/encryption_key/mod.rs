//! `EncryptionKey`: observe, plan, apply, again until nothing is left to do, and then report (`reconcile`).
//!
//! What is decided is decided in `strongroom_rules::encryption_key`. That an object is gone is the business
//! of `deletion`, and that the data keys follow their key is the business of `rewrap`.

mod apply;
mod observe;
mod prepare;
mod queue;
mod reconcile;
mod status;
pub(super) mod watch;

#[cfg(test)]
mod tests;

pub(crate) use self::queue::KeyQueue;
