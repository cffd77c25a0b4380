//! Deletions: which secrets have lost their object, and what follows. What counts as a deletion is decided in
//! `strongroom_rules::deletion`.
//!
//! An object that is missing in our cache alone does not count as deleted: a complete list, read after it
//! disappeared, has to lack it too.

mod apply;
mod confirmation;
mod kind;
mod memory;
mod observe;
mod pass;
mod signals;

#[cfg(test)]
mod tests;

pub(crate) use self::kind::OwnerKind;
#[cfg(test)]
pub(crate) use self::memory::DeletionMemory;
#[cfg(test)]
pub(crate) use self::pass::pass;
pub(crate) use self::pass::run;
pub(crate) use self::signals::DeletionSignals;
