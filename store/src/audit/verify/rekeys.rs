//! Which audit key followed which, as a snapshot shows it.

use strongroom_model::id::StoreId;

use super::super::{RekeyRecord, decode_rekeys, rekeys_hold};
use crate::engine::{EngineError, Snapshot, Table};

/// The row of the records.
const REKEYS: &[u8] = b"rekeys";

/// The records, whose signatures hold; none where they do not. A root key that was never replaced left no
/// record.
pub(super) fn read(
    snapshot: &dyn Snapshot,
    store: &StoreId,
) -> Result<Option<Vec<RekeyRecord>>, EngineError> {
    let Some(stored) = snapshot.value(Table::Meta, REKEYS)? else {
        return Ok(Some(Vec::new()));
    };
    let records = decode_rekeys(&stored).ok();
    Ok(records.filter(|records| rekeys_hold(records, store)))
}
