//! The trait of a read chain: what it guarantees to those who append records.

use super::SegmentLog;
use crate::audit::Entry;
use crate::codec::{DecodeError, Reader, Writer};

/// What the records of the read chain are numbered under.
pub(in crate::audit) const READ_CHAIN: u8 = 2;

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

    pub(crate) fn encode(&self, w: &mut Writer) {
        w.u64(self.sequence).fixed(&self.hash);
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sequence: r.u64()?,
            hash: r.array()?,
        })
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

    /// Its segments, which are cut at their old end and copied; none where it has none.
    fn segments(&self) -> Option<&SegmentLog> {
        None
    }
}
