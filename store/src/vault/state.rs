//! The store's own facts, as a snapshot shows them: identity, state, checkpoint, digest, seal, allowances,
//! and what a new root key left. Must not change one.

use std::ops::ControlFlow;

use subtle::ConstantTimeEq;

use super::open_error::OpenError;
use crate::audit::{Checkpoint, RekeyRecord, decode_rekeys};
use crate::crypto::{Context, Keyring, StateDigest};
use crate::engine::{Snapshot, Table};
use crate::format::{Allowances, SealDigest, StoreState, meta};
use crate::seal::SealFile;

/// The state row under the root key.
pub(super) fn read_state(keyring: &Keyring, snapshot: &dyn Snapshot) -> Result<StoreState, OpenError> {
    let identity = snapshot
        .value(Table::Meta, meta::IDENTITY)?
        .ok_or(OpenError::Tampered)?;
    if identity != keyring.store().as_bytes() {
        return Err(OpenError::OtherStore);
    }
    let sealed = snapshot
        .value(Table::Meta, meta::STATE)?
        .ok_or(OpenError::Tampered)?;
    decode_state(keyring, &sealed)
}

/// The state as its row holds it.
pub(super) fn decode_state(keyring: &Keyring, sealed: &[u8]) -> Result<StoreState, OpenError> {
    let bytes = keyring
        .open(&Context::Meta("state"), sealed)
        .map_err(|_| OpenError::Tampered)?;
    Ok(StoreState::decode(bytes.expose())?)
}

/// What namespaces may have beyond the quota; none where there never was one.
pub(super) fn read_allowances(
    keyring: &Keyring,
    snapshot: &dyn Snapshot,
) -> Result<Option<Allowances>, OpenError> {
    let Some(sealed) = snapshot.value(Table::Meta, meta::ALLOWANCES)? else {
        return Ok(None);
    };
    let bytes = keyring
        .open(&Context::Meta("allowances"), &sealed)
        .map_err(|_| OpenError::Tampered)?;
    Ok(Some(Allowances::decode(bytes.expose())?))
}

/// The last signed head of the mutation chain.
pub(super) fn read_checkpoint(snapshot: &dyn Snapshot) -> Result<Checkpoint, OpenError> {
    let bytes = snapshot
        .value(Table::Meta, meta::CHECKPOINT)?
        .ok_or(OpenError::Tampered)?;
    Ok(Checkpoint::decode(&bytes)?)
}

/// The records of new root keys, the oldest first.
pub(super) fn read_rekeys(snapshot: &dyn Snapshot) -> Result<Vec<RekeyRecord>, OpenError> {
    match snapshot.value(Table::Meta, meta::REKEYS)? {
        Some(bytes) => Ok(decode_rekeys(&bytes)?),
        None => Ok(Vec::new()),
    }
}

/// Lets the keyring make marks as those in the store were made, where the root key was replaced since.
pub(super) fn adopt_marks(keyring: &mut Keyring, snapshot: &dyn Snapshot) -> Result<(), OpenError> {
    match snapshot.value(Table::Meta, meta::MARKS)? {
        Some(sealed) => keyring.adopt_marks(&sealed).map_err(|_| OpenError::Tampered),
        None => Ok(()),
    }
}

/// The digest of all records but the state row.
pub(super) fn digest_of(keyring: &Keyring, snapshot: &dyn Snapshot) -> Result<StateDigest, OpenError> {
    let mut sum = StateDigest::default();
    for table in Table::ALL {
        snapshot.visit(table, &mut |key, value| {
            if !(table == Table::Meta && key == meta::STATE) {
                sum = sum.plus(keyring.record_term(table.code(), key, value));
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(sum)
}

/// Whether the store knows this seal file: the one in force, or the one that a change was about to put in
/// place.
pub(super) fn check_seal(
    keyring: &Keyring,
    snapshot: &dyn Snapshot,
    seal: &SealFile,
) -> Result<(), OpenError> {
    let bytes = snapshot
        .value(Table::Meta, meta::SEAL)?
        .ok_or(OpenError::Tampered)?;
    matches_seal(keyring, &bytes, seal)
}

/// [`check_seal`], with what the store's row holds.
pub(super) fn matches_seal(keyring: &Keyring, row: &[u8], seal: &SealFile) -> Result<(), OpenError> {
    let known = SealDigest::decode(row)?;
    let mac = keyring.seal_file_mac(&seal.encode());
    let is = |digest: [u8; 32]| bool::from(digest.ct_eq(&mac));
    if is(known.current) || known.next.is_some_and(is) {
        Ok(())
    } else {
        Err(OpenError::SealReplaced)
    }
}
