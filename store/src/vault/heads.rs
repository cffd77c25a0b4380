//! Heads of secrets as they lie in the store.

use strongroom_model::id::SecretId;

use super::error::StoreError;
use super::quota::row_bytes;
use crate::crypto::{Context, Keyring};
use crate::engine::{Snapshot, Table, try_visit};
use crate::format::Head;

/// Opens a head: its revision stands in clear before the sealed bytes, and is part of what they are sealed
/// under.
pub(crate) fn open_head(keyring: &Keyring, id: &SecretId, bytes: &[u8]) -> Result<Head, StoreError> {
    let record = || StoreError::damaged(format!("the head of secret {id}"));
    let (revision, sealed) = bytes.split_first_chunk::<8>().ok_or_else(record)?;
    let revision = u64::from_be_bytes(*revision);
    let opened = keyring
        .open(&Context::Head { secret: id, revision }, sealed)
        .map_err(|_| record())?;
    Head::decode(*id, revision, opened.expose()).map_err(|_| record())
}

/// Shows every head, with the bytes of its row.
pub(super) fn each_head(
    keyring: &Keyring,
    snapshot: &dyn Snapshot,
    mut visit: impl FnMut(Head, u64),
) -> Result<(), StoreError> {
    try_visit(snapshot, Table::Head, |key, bytes| {
        let id = <[u8; 16]>::try_from(key).map_err(|_| StoreError::damaged("a head"))?;
        visit(
            open_head(keyring, &SecretId::from_bytes(id), bytes)?,
            row_bytes(key, bytes),
        );
        Ok(())
    })
}
