//! Deletions: which secrets have lost their object, and what follows. What counts as a deletion is decided in
//! `strongroom_rules::deletion`.
//!
//! An absence in our cache is never acted on by itself: a complete list, read after the disappearance, has to
//! show it too.

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
