//! The audit log: two linked hash chains.
//!
//! The *mutation chain* lies in the store, each record in the commit of its change. The *read chain* lies in
//! segment files; a read's record is written before the value leaves. Every mutation record carries the last
//! fsynced place of the read chain, and signed checkpoints name the head, so that order and completeness
//! verify with a public key alone. Both may be cut at their old end: a signed truncation says up to where.
//!
//! Must not hold a value, a key, or a hash of either.

mod circumstances;
mod entry;
#[cfg(any(test, feature = "test-util"))]
mod fuzzing;
#[cfg(any(test, feature = "test-util"))]
mod memory;
mod mutation;
mod read_back;
mod reads;
mod recorder;
mod refusals;
mod requester;
mod retention;
mod truncation;
mod verify;

pub use circumstances::{Circumstances, MAX_STATEMENTS};
pub use entry::{Action, Actor, AuditOutcome, Entry};
#[cfg(any(test, feature = "test-util"))]
#[doc(hidden)]
pub use fuzzing::forge;
#[cfg(test)]
pub(crate) use fuzzing::read_samples;
#[cfg(any(test, feature = "test-util"))]
pub(crate) use fuzzing::{round_trip_read_record, round_trip_segment_header};
#[cfg(any(test, feature = "test-util"))]
pub use memory::MemoryReads;
pub use mutation::{ChainHead, Checkpoint, MutationRecord, decode_key, encode_key, record};
pub use read_back::{ReadChainRecord, reads_after};
pub use reads::{
    ActiveSegment, ClosedSegment, Fault, READS_DIRECTORY, ReadLog, ReadLogError, ReadLogOptions,
    SegmentDirectory, SegmentRetention, SegmentStorage,
};
pub(crate) use recorder::Recorder;
pub use requester::{Author, MAX_GROUPS, Requester};
pub use retention::{ExportProgress, RetentionLimits, RetentionLimitsError, WhenFull};
pub(crate) use retention::{
    Goal, OldestChange, OldestRecords, Plan, exported_by_all, full_reason, plan, roll_is_due,
};
pub use truncation::{Cut, Truncation};
pub use verify::{BadRecord, Chain, ChainReport, Gap, VerifyError, VerifyReport, verify, verify_on};

use std::ops::ControlFlow;

use crate::engine::{EngineError, Snapshot, Table};

/// A place in the read chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReadHead {
    /// Records before and at this place; 0: none.
    pub sequence: u64,
    /// The chain's hash at this place.
    pub hash: [u8; 32],
}

impl ReadHead {
    /// The sequence after this place. A forged place may be the last there is; then nothing comes after it.
    pub(crate) const fn next(&self) -> u64 {
        self.sequence.saturating_add(1)
    }
}

/// When a read's record must be on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Written now, fsynced with others within 50 ms.
    Batched,
    /// Fsynced before the value leaves.
    Durable,
}

/// The record could not be written, so the value must not leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit record cannot be written, so nothing is returned: {0}")]
pub struct AuditUnavailable(pub String);

/// Where records of reads and refusals go.
pub trait ReadChain: Send + Sync {
    /// Writes a record.
    ///
    /// # Errors
    /// [`AuditUnavailable`]: then the caller must not return what was read.
    fn append(&self, entry: &Entry, durability: Durability) -> Result<(), AuditUnavailable>;

    /// The last fsynced place.
    fn fsynced(&self) -> ReadHead;

    /// Fsyncs and marks a clean end.
    fn close(&self);

    /// Bytes that the records take.
    fn bytes(&self) -> u64 {
        0
    }

    /// What can be done about old records; none where nothing is ever cut.
    fn retention(&self) -> Option<&dyn SegmentRetention> {
        None
    }
}

/// What a chain's records are numbered under.
pub(crate) const MUTATION_CHAIN: u8 = 1;
pub(crate) const READ_CHAIN: u8 = 2;

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
