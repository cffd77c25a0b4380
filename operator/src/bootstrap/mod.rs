//! A start: which pieces of a store are there, and what follows from it. Must not make a new store beside anything that says
//! there was one.

mod carry_out;
mod decide;
#[cfg(test)]
mod tests;

pub(crate) use carry_out::{Bootstrap, StartError, Started};
pub(crate) use decide::Accept;
#[cfg(test)]
use decide::{BootstrapError, Facts, SlotFact, Start, decide};
