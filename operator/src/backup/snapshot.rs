//! The store of now as a stream of pieces. The writer waits for the reader; one who stops reading is dropped,
//! because the snapshot keeps old pages from being used again.

use std::io::Write;

use strongroom_store::audit::Action;
use strongroom_store::seal::SealFile;
use strongroom_store::vault::{Meta, OpenError, RecordStoreEvent, Store};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::pieces::{MAX_QUEUED, PieceWriter};

/// Most bytes of a piece.
const PIECE_BYTES: usize = 64 << 10;

/// A backup of now: its pieces, and once they end the number of its records, or why it broke off. It is
/// audited before its first byte leaves; `what` says there where it goes.
pub(crate) fn snapshot(
    store: Store,
    meta: Meta,
    what: String,
) -> (mpsc::Receiver<Vec<u8>>, JoinHandle<Result<u64, OpenError>>) {
    let (sender, pieces) = mpsc::channel(MAX_QUEUED);
    let written = tokio::task::spawn_blocking(move || {
        let record = RecordStoreEvent {
            action: Action::Backup,
            detail: format!("{what}; it opens with: {}", opened_by(&store)),
        };
        store.run(record, meta).map_err(OpenError::from)?;
        let mut out = PieceWriter::new(PIECE_BYTES, sender);
        let records = store.backup(&mut out)?;
        out.flush()?;
        Ok::<_, OpenError>(records)
    });
    (pieces, written)
}

/// What opens the backup: the slots that there are now.
fn opened_by(store: &Store) -> String {
    let file = store.directory().and_then(|dir| SealFile::load(dir).ok());
    let slots = file.iter().flat_map(SealFile::slots);
    let slots: Vec<String> = slots.map(|slot| format!("{} {}", slot.kind, slot.id)).collect();
    slots.join(", ")
}
