//! Who writes the objects: what the webhook sends to the process with the store, and how much of it may wait
//! there until the changed object is seen.
//!
//! | module | idea |
//! |---|---|
//! | [`message`] | what is handed over |
//! | [`pending`] | what waits, bounded by namespace and by age; no I/O |
//!
//! It is joined in the store, by the object and a digest of what it declares
//! (`strongroom_store::vault::AcceptDeclaration`).

mod message;
mod pending;

pub(crate) use self::message::{ATTESTATIONS_PATH, AdmissionOperation, AttestationMessage};
pub(crate) use self::pending::PendingAttestations;
