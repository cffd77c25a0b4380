//! `EncryptionKey`: observe, plan, apply, again until nothing is left to do, and then report (`reconcile`).
//!
//! `strongroom_rules::encryption_key` decides. Deleted objects are handled by `deletion`, and data keys that
//! have to follow their key by `rewrap`.

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
