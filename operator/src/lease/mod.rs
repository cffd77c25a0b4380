//! The Lease says who should hold the store; the lock on the store says who does. Must not decide anything by
//! a remote clock: a holder is gone when its Lease has not changed for its duration by our own clock.

mod decide;
mod holder;
#[cfg(test)]
mod tests;

pub(crate) use holder::{Lease, LeaseError};
