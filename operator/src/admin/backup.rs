//! A backup as a stream of frames. The writer of the stream waits for its reader, so memory stays bounded; a
//! reader who stops reading is dropped, because the snapshot keeps old pages from being used again.

use std::io::{self, Write};
use std::time::Duration;

use strongroom_store::admin::AdminResponse;
use strongroom_store::seal::SealFile;
use strongroom_store::vault::{Meta, OpenError, RecordStoreEvent, Store};
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;

use super::AdminError;
use super::frame::send;

/// Most bytes of a backup in one frame.
const FRAME_BYTES: usize = 64 << 10;

/// Frames that wait for the reader.
const MAX_QUEUED_FRAMES: usize = 8;

/// How long a reader may take for one frame.
const FRAME_TIMEOUT: Duration = Duration::from_secs(60);

/// Takes a backup and sends it. It is on record before its first byte leaves.
pub(super) async fn stream(
    store: Store,
    meta: Meta,
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<(), AdminError> {
    let (sender, mut pieces) = mpsc::channel(MAX_QUEUED_FRAMES);
    let backup = tokio::task::spawn_blocking(move || {
        let record = RecordStoreEvent {
            action: strongroom_store::audit::Action::Backup,
            detail: opened_by(&store),
        };
        store.run(record, meta).map_err(OpenError::from)?;
        let mut frames = FrameWriter {
            piece: Vec::with_capacity(FRAME_BYTES),
            sender,
        };
        let records = store.backup(&mut frames)?;
        frames.flush()?;
        Ok::<_, OpenError>(records)
    });
    while let Some(piece) = pieces.recv().await {
        within(send(to, &AdminResponse::Data(piece).encode())).await?;
    }
    let last = match backup.await {
        Ok(Ok(records)) => AdminResponse::End { records },
        Ok(Err(error)) => AdminResponse::Refused(error.to_string()),
        Err(_) => AdminResponse::Refused("the backup was interrupted".to_owned()),
    };
    within(send(to, &last.encode())).await
}

/// What opens the backup: the slots that there are now.
fn opened_by(store: &Store) -> String {
    let file = store.directory().and_then(|dir| SealFile::load(dir).ok());
    let slots = file.iter().flat_map(SealFile::slots);
    let slots: Vec<String> = slots.map(|slot| format!("{} {}", slot.kind, slot.id)).collect();
    format!("all of the store; it opens with: {}", slots.join(", "))
}

async fn within(sending: impl Future<Output = Result<(), AdminError>>) -> Result<(), AdminError> {
    tokio::time::timeout(FRAME_TIMEOUT, sending)
        .await
        .map_err(|_| AdminError::Broken(io::ErrorKind::TimedOut.into()))?
}

/// Cuts what is written into frames.
struct FrameWriter {
    piece: Vec<u8>,
    sender: mpsc::Sender<Vec<u8>>,
}

impl Write for FrameWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = FRAME_BYTES.saturating_sub(self.piece.len()).min(bytes.len());
        self.piece
            .extend_from_slice(bytes.get(..room).unwrap_or_default());
        if self.piece.len() >= FRAME_BYTES {
            self.flush()?;
        }
        Ok(room)
    }

    /// Sends what there is. Fails once nobody reads any more.
    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(FRAME_BYTES));
        self.sender
            .blocking_send(piece)
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
