//! What each object declares, recorded with its author. A change is audited when it is first seen
//! (`DeclareObject`), whether or not it takes effect; so is the end of an object (`WithdrawObject`); and what
//! is done in the store because of a declaration names the same author.
//!
//! Who it was, the webhook said before the object was there ([`crate::attestation`]); the store joins the
//! two. A change that came past the webhook says so, and is counted. What happens by itself, such as a
//! rotation that is due, is nobody's.

mod deleter;
mod events;
mod state;
mod take;
#[cfg(test)]
mod tests;

pub(crate) use self::deleter::{deleted_by, forget_deleters};
pub(crate) use self::events::{begin, run, saw_namespaces};
pub(crate) use self::state::{Authorship, Declarations};
pub(crate) use self::take::take;
