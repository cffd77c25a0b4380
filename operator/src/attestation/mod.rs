//! Who writes the objects: what the webhook hands to the process with the store, and how much of it may wait there until what came of it is seen.
//!
//! | module | idea |
//! |---|---|
//! | [`handed`] | what is handed over |
//! | [`waiting`] | what waits, bounded by namespace and by age; no I/O |
//!
//! It is joined in the store, by the object and a digest of what it declares (`strongroom_store::vault::TakeDeclaration`).

mod handed;
mod waiting;

pub(crate) use self::handed::{Handed, Operation, PATH};
pub(crate) use self::waiting::Waiting;
