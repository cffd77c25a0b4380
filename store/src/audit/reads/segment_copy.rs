//! Segments as bytes, for copies outside of the store: what is signed and durable, and nothing behind it.
//!
//! Must not write, and must not know where copies go.

use strongroom_model::time::Timestamp;

use super::super::ReadHead;
use super::ReadLogError;
use super::closed_segments::damaged;
use super::log::SegmentLog;
use super::record::ReadRecord;
use super::segment::{Fault, SegmentHeader, SegmentStep, SegmentWalk};
use super::storage::{read_prefix, read_segment};

/// Bytes of a hash that tell one chain from another.
const HASH_PREFIX_BYTES: usize = 8;

/// What a copy is called by: its first and last record, and the beginning of the hash after the last. A chain
/// that was begun anew or sealed anew has other hashes, so that no copy of it has the place of another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SegmentPlace {
    /// The number after the segment before.
    pub first: u64,
    /// The number of the last record.
    pub last: u64,
    /// The beginning of the hash after it.
    pub hash: [u8; HASH_PREFIX_BYTES],
}

impl SegmentPlace {
    /// The place of a segment behind `before` that ends with `end`.
    pub(in crate::audit) fn between(before: ReadHead, end: ReadHead) -> Self {
        Self {
            first: before.next(),
            last: end.sequence,
            hash: hash_prefix(end),
        }
    }
}

fn hash_prefix(head: ReadHead) -> [u8; HASH_PREFIX_BYTES] {
    let mut prefix = [0; HASH_PREFIX_BYTES];
    prefix.iter_mut().zip(head.hash).for_each(|(to, from)| *to = from);
    prefix
}

/// Where a segment stands in the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentSpan {
    /// Its number among the segments.
    pub number: u64,
    /// The chain's end before it.
    pub before: ReadHead,
    /// The chain's end after it.
    pub end: ReadHead,
}

impl SegmentSpan {
    /// What a copy of it is called by.
    #[must_use]
    pub fn place(&self) -> SegmentPlace {
        SegmentPlace::between(self.before, self.end)
    }
}

/// The bytes of a segment, up to a record that is signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentCopy {
    /// Where it stands; it ends with that record.
    pub span: SegmentSpan,
    /// When that was written: no record of it is younger.
    pub newest: Timestamp,
    /// Header and records.
    pub bytes: Vec<u8>,
    /// The chain's end after each record.
    heads: Vec<ReadHead>,
}

impl SegmentCopy {
    /// Whether an earlier copy of the same segment, which was open then, holds nothing that this one lacks.
    #[must_use]
    pub fn replaces(&self, earlier: &SegmentPlace) -> bool {
        let holds_end = |head: &ReadHead| head.sequence == earlier.last && hash_prefix(*head) == earlier.hash;
        self.span.before.next() == earlier.first && self.heads.iter().any(holds_end)
    }
}

/// The segments as bytes.
impl SegmentLog {
    /// The closed segments, the oldest first.
    ///
    /// # Errors
    /// [`ReadLogError`] where one cannot be read or does not follow.
    pub(crate) fn closed_spans(&self) -> Result<Vec<SegmentSpan>, ReadLogError> {
        let span = |(header, end): (SegmentHeader, ReadHead)| SegmentSpan {
            number: header.number,
            before: header.before,
            end,
        };
        self.closed()?.map(|closed| closed.map(span)).collect()
    }

    /// A closed segment; none where it was removed since.
    ///
    /// # Errors
    /// [`ReadLogError::Damaged`] where it is not what was written.
    pub(crate) fn copy_closed(&self, span: &SegmentSpan) -> Result<Option<SegmentCopy>, ReadLogError> {
        if !self.storage.segments()?.contains(&span.number) {
            return Ok(None);
        }
        let header = self.header(span.number)?;
        let bytes = read_segment(self.storage.as_ref(), span.number)?;
        match self.signed_part(&header, bytes, u64::MAX)? {
            Some(copy) if copy.span == *span => Ok(Some(copy)),
            Some(_) | None => Err(damaged(span.end.sequence, Fault::Changed)),
        }
    }

    /// What is signed and durable of the segment in use; none where nothing is.
    ///
    /// # Errors
    /// [`ReadLogError`].
    pub(crate) fn copy_active(&self) -> Result<Option<SegmentCopy>, ReadLogError> {
        let (segment, written, fsynced) = {
            let state = self.lock();
            (state.segment, state.offset, state.fsynced.sequence)
        };
        if segment == 0 {
            return Ok(None);
        }
        let header = self.header(segment)?;
        let bytes = read_prefix(self.storage.as_ref(), segment, written)?;
        self.signed_part(&header, bytes, fsynced)
    }

    /// What of a segment is signed, up to a record of this number at most; none where nothing is.
    fn signed_part(
        &self,
        header: &SegmentHeader,
        mut bytes: Vec<u8>,
        most: u64,
    ) -> Result<Option<SegmentCopy>, ReadLogError> {
        let mut walk = SegmentWalk::new(&bytes, header);
        let mut heads = Vec::new();
        let mut last_signed: Option<(usize, usize, ReadRecord)> = None;
        loop {
            match walk.step() {
                SegmentStep::Record(record) if record.place.sequence <= most => {
                    heads.push(record.head());
                    if record.kind.is_signed() {
                        last_signed = Some((walk.offset(), heads.len(), record));
                    }
                }
                SegmentStep::Record(_) | SegmentStep::End => break,
                SegmentStep::Torn => return Err(damaged(walk.head().next(), Fault::Changed)),
                SegmentStep::Fault(fault) => return Err(damaged(walk.head().next(), fault)),
            }
        }
        let Some((length, count, record)) = last_signed else {
            return Ok(None);
        };
        let end = record.head();
        let mark = Some(record)
            .filter(|record| record.is_signed_by(&self.keyring.public_key(), &self.keyring.store()))
            .and_then(|record| record.mark())
            .ok_or_else(|| damaged(end.sequence, Fault::Signature))?;
        bytes.truncate(length);
        heads.truncate(count);
        Ok(Some(SegmentCopy {
            span: SegmentSpan {
                number: header.number,
                before: header.before,
                end,
            },
            newest: mark.time,
            bytes,
            heads,
        }))
    }
}
