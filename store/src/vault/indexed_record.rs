//! Opens records that are kept under a blind index. Must not know what refers to them.

use std::ops::ControlFlow;

use super::error::StoreError;
use crate::crypto::Keyring;
use crate::engine::Snapshot;
use crate::format::IndexedRecord;

/// Opens the record that is kept under this index.
///
/// # Errors
/// [`StoreError::Damaged`].
pub(super) fn open_indexed<R: IndexedRecord>(
    keyring: &Keyring,
    index: &[u8; 32],
    sealed: &[u8],
) -> Result<R, StoreError> {
    let bytes = keyring
        .open(&R::context(index), sealed)
        .map_err(|_| StoreError::damaged(R::NAME))?;
    R::decode(bytes.expose()).map_err(|_| StoreError::damaged(R::NAME))
}

/// Visits all of them with their indexes, or why one cannot be read.
///
/// # Errors
/// [`StoreError::Engine`].
pub(super) fn each_indexed<R: IndexedRecord>(
    keyring: &Keyring,
    snapshot: &dyn Snapshot,
    mut visit: impl FnMut(Result<([u8; 32], R), StoreError>),
) -> Result<(), StoreError> {
    snapshot.visit(R::TABLE, &mut |key, sealed| {
        let index = <[u8; 32]>::try_from(key).map_err(|_| StoreError::damaged(R::NAME));
        visit(index.and_then(|index| Ok((index, open_indexed(keyring, &index, sealed)?))));
        ControlFlow::Continue(())
    })?;
    Ok(())
}
