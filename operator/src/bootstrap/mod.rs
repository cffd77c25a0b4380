//! A start: which pieces of a store are there, and what follows from it. Must not make a new store beside
//! anything that says there was one. A backup comes into a cluster here too.

mod decide;
mod restore;
mod restore_decision;
mod start;
#[cfg(test)]
mod tests;

pub(crate) use decide::AcceptFlags;
#[cfg(test)]
use decide::{BootstrapError, BootstrapFacts, SealKeyPresence, StartDecision, decide};
pub(crate) use restore::{ClusterRestore, RestoreError, RestoreOutcome, open_backup};
pub(crate) use start::{Bootstrap, OpenedStore, StartError};
