//! The rows of the mutation chain, as a snapshot shows them.

use std::ops::ControlFlow;

use super::{decode_key, encode_key};
use crate::engine::{EngineError, Snapshot, Table};

/// Bytes of the mutation chain's rows.
///
/// # Errors
/// [`EngineError`] where the table cannot be read.
pub(crate) fn mutation_bytes(snapshot: &dyn Snapshot) -> Result<u64, EngineError> {
    let mut bytes = 0;
    snapshot.visit(Table::Audit, &mut |key, value| {
        bytes += row_bytes(key, value);
        ControlFlow::Continue(())
    })?;
    Ok(bytes)
}

/// What the limits of the log count: a record with its key.
pub(crate) const fn row_bytes(key: &[u8], value: &[u8]) -> u64 {
    key.len() as u64 + value.len() as u64
}

/// The newest epoch that wrote mutation records; 0: none, or the one that made the store.
///
/// # Errors
/// [`EngineError`] where the table cannot be read.
pub(crate) fn newest_epoch(snapshot: &dyn Snapshot) -> Result<u32, EngineError> {
    let mut newest = 0;
    let mut place: Option<Vec<u8>> = None;
    while let Some((key, _)) = snapshot.scan(Table::Audit, &[], place.as_deref(), 1)?.first() {
        let (epoch, _) = decode_key(key).map_err(|error| EngineError::Damaged(error.to_string()))?;
        newest = epoch;
        place = Some(encode_key(epoch, u64::MAX));
    }
    Ok(newest)
}
