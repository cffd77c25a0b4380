//! The read chain: a log of reads and refusals in preallocated segment files.
//!
//! | module | what |
//! |---|---|
//! | `chain` | what is owed to those who put records in |
//! | `record` | one record as bytes |
//! | `segment` | records one after another in a segment, and what is wrong with them |
//! | `storage` | where segments lie |
//! | `recovery` | where the chain ended |
//! | `log` | appending, fsyncing and closing |
//! | `segment_writer` | the bytes of that, and the next segment |
//! | `flusher` | the thread that fsyncs, signs and keeps the reserve filled |
//! | `closed_segments` | closed segments: whether they are sound, and their removal |
//! | `segment_copy` | segments as bytes, for copies outside of the store |
//! | `reseal` | the chain under another root key |
//!
//! A record is written to the disk before `append` returns, so a killed process loses none. It is fsynced
//! within 50 ms with all others of that time, or before `append` returns where the caller asks for it. Room
//! for 64 MiB is reserved ahead: a full disk stops reads only when that is used up. After a failed write or
//! fsync nothing more is written, and nothing more may be read, until a restart.
//!
//! Must not decide which segments go, nor who may read.

mod append_error;
mod chain;
mod closed_segments;
mod flusher;
mod log;
pub(in crate::audit) mod record;
mod recovery;
mod reseal;
pub(in crate::audit) mod segment;
mod segment_copy;
mod segment_writer;
#[cfg(test)]
pub(in crate::audit) mod simulated;
pub(in crate::audit) mod storage;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use strongroom_model::id::StoreId;
use strongroom_model::time::Timestamp;

pub(in crate::audit) use chain::READ_CHAIN;
pub use chain::{AuditUnavailable, Durability, ReadChain, ReadHead};
pub use closed_segments::{ActiveSegment, ClosedSegment};
pub use log::SegmentLog;
pub(crate) use reseal::{SeenReads, reseal_reads};
pub use segment::Fault;
pub use segment_copy::{SegmentCopy, SegmentPlace, SegmentSpan};
pub use storage::{SegmentDirectory, SegmentStorage};

use super::Entry;
use crate::crypto::{CryptoError, Keyring};

/// The folder of the segments, in the store's directory.
pub const READS_DIRECTORY: &str = "reads";

/// Smallest segment: the largest record, and room for the marks around it.
const MIN_SEGMENT_BYTES: u64 = 4_096;

/// How a read chain is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadLogOptions {
    /// The writer's epoch.
    pub epoch: u32,
    /// The time of opening.
    pub now: Timestamp,
    /// The place that the mutation chain's last record saw; all of that was fsynced.
    pub seen: ReadHead,
    /// Goes on where the chain has lost records that the mutation chain saw, with a signed gap: for a store
    /// that came out of a backup, or an older copy that a person accepted.
    pub accept_loss: bool,
    /// Bytes of a new segment, at least 4 KiB.
    pub segment_bytes: u64,
    /// Segments that are there ahead of need, the one in use included.
    pub reserve_segments: u64,
    /// Between two signed checkpoints, while there are entries.
    pub checkpoint_each: Duration,
}

impl ReadLogOptions {
    /// Segments of 8 MiB, 64 MiB in reserve, a checkpoint each second.
    #[must_use]
    pub const fn new(epoch: u32, now: Timestamp, seen: ReadHead) -> Self {
        Self {
            epoch,
            now,
            seen,
            accept_loss: false,
            segment_bytes: 8 * 1_024 * 1_024,
            reserve_segments: 8,
            checkpoint_each: Duration::from_secs(1),
        }
    }
}

/// The read chain cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum ReadLogError {
    /// The operating system refused.
    #[error("the read log cannot be used: {0}")]
    Io(#[from] io::Error),
    /// A record is not what was written.
    #[error(
        "the read log is damaged at record {sequence}: {fault}; run `strongroom audit verify` on a copy, and put the right \
         segments back; to go on without them, move the folder `reads` away, keep it, and start with `--accept-rollback`"
    )]
    Damaged {
        /// Position in the read chain of the record at fault.
        sequence: u64,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Records are gone that were fsynced.
    #[error(
        "the read log ends at record {found}, and the store saw record {seen}: records were removed, or an older copy was \
         put back; put the newer one back, or start with `--accept-rollback`, which signs a gap record"
    )]
    Lost {
        /// The last record that is there.
        found: u64,
        /// The last record that the store knows.
        seen: u64,
    },
    /// The segments belong to another store.
    #[error("the read log belongs to store {0}; put the segments of this store back")]
    OtherStore(StoreId),
    /// A newer version wrote the segments.
    #[error("the read log has format {0}, which this version does not know; run a newer strongroom")]
    UnknownFormat(u8),
    /// A record could not be sealed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// The read chain of an open store. Dropped without [`ReadChain::close`] it ends as unclean as a killed
/// process.
pub struct ReadLog {
    log: Arc<SegmentLog>,
    flusher: Mutex<Option<JoinHandle<()>>>,
}

impl ReadLog {
    /// Opens the read chain of the store in `dir`, or begins it.
    ///
    /// # Errors
    /// [`ReadLogError`].
    pub fn open(dir: &Path, keyring: Arc<Keyring>, options: ReadLogOptions) -> Result<Self, ReadLogError> {
        let storage = SegmentDirectory::open(&dir.join(READS_DIRECTORY))?;
        Self::open_on(Arc::new(storage), keyring, options)
    }

    /// Opens the read chain on any storage.
    ///
    /// # Errors
    /// [`ReadLogError`].
    pub fn open_on(
        storage: Arc<dyn SegmentStorage>,
        keyring: Arc<Keyring>,
        options: ReadLogOptions,
    ) -> Result<Self, ReadLogError> {
        let log = Arc::new(SegmentLog::open(storage, keyring, options)?);
        let flusher = flusher::start(Arc::clone(&log))?;
        Ok(Self {
            log,
            flusher: Mutex::new(Some(flusher)),
        })
    }

    fn stop_flusher(&self) {
        self.log.stop();
        let handle = self.flusher.lock().take();
        if let Some(handle) = handle {
            // A panic of the flusher was reported when it happened; there is nothing left to do for it.
            let _ = handle.join();
        }
    }
}

impl ReadChain for ReadLog {
    fn append(&self, entry: &Entry, durability: Durability) -> Result<(), AuditUnavailable> {
        self.log.append(entry, durability)
    }

    fn fsynced(&self) -> ReadHead {
        self.log.shown()
    }

    fn close(&self) {
        self.log.close();
        self.stop_flusher();
    }

    fn bytes(&self) -> u64 {
        self.log.bytes()
    }

    fn segments(&self) -> Option<&SegmentLog> {
        Some(self.log.as_ref())
    }
}

impl Drop for ReadLog {
    fn drop(&mut self) {
        self.stop_flusher();
    }
}

impl fmt::Debug for ReadLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadLog").finish_non_exhaustive()
    }
}
