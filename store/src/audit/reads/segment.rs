//! One segment: a header, records one after another, zeros to its end.
//!
//! | bytes | field of the header |
//! |---|---|
//! | 8 | magic `SRREADS` and format 1 |
//! | 16 | store id |
//! | 8 | number of the segment |
//! | 8 + 32 | the chain's end before this segment: sequence, hash |
//! | 8 | first bytes of the SHA-256 of all before: tells a torn header from a whole one |
//!
//! A segment that was preallocated and not used yet is all zeros. Pure: bytes in, findings out.

use sha2::{Digest, Sha256};
use strongroom_model::id::StoreId;

use super::super::ReadHead;
use super::record::{RECORD_MAGIC, ReadRecord, RecordDecodeError, RecordKind};
use crate::codec::{Reader, Writer};

const MAGIC: [u8; 7] = *b"SRREADS";
const FORMAT: u8 = 1;
const CHECKED_HEADER_BYTES: usize = 8 + 16 + 8 + 8 + 32;
/// Bytes of the check at a header's end.
pub(in crate::audit) const CHECK_BYTES: usize = 8;
/// Bytes before the first record.
pub(in crate::audit) const HEADER_BYTES: usize = CHECKED_HEADER_BYTES + CHECK_BYTES;

/// The head of a segment in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::audit) struct SegmentHeader {
    pub(in crate::audit) store: StoreId,
    pub(in crate::audit) number: u64,
    /// The chain's end before this segment.
    pub(in crate::audit) before: ReadHead,
}

/// What the first bytes of a segment are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::audit) enum SegmentStart {
    /// In use.
    Used(SegmentHeader),
    /// Never used.
    Blank,
    /// Neither: torn or damaged.
    Broken,
    /// Written by a newer version.
    UnknownFormat(u8),
}

impl SegmentHeader {
    pub(in crate::audit) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(HEADER_BYTES);
        w.fixed(&MAGIC)
            .u8(FORMAT)
            .fixed(self.store.as_bytes())
            .u64(self.number);
        self.before.encode(&mut w);
        let mut bytes = w.finish().to_vec();
        let check = check(&bytes);
        bytes.extend_from_slice(&check);
        bytes
    }
}

impl SegmentStart {
    /// Classifies the first bytes of a segment.
    pub(in crate::audit) fn classify(bytes: &[u8]) -> Self {
        if bytes.iter().take(HEADER_BYTES).all(|byte| *byte == 0) {
            return Self::Blank;
        }
        let Some((covered, rest)) = bytes.split_at_checked(CHECKED_HEADER_BYTES) else {
            return Self::Broken;
        };
        if !rest.starts_with(&check(covered)) {
            return Self::Broken;
        }
        let mut r = Reader::new(covered);
        let mut header = || -> Result<Self, crate::codec::DecodeError> {
            if r.array()? != MAGIC {
                return Ok(Self::Broken);
            }
            match r.u8()? {
                FORMAT => {}
                newer => return Ok(Self::UnknownFormat(newer)),
            }
            Ok(Self::Used(SegmentHeader {
                store: StoreId::from_bytes(r.array()?),
                number: r.u64()?,
                before: ReadHead::decode(&mut r)?,
            }))
        };
        header().unwrap_or(Self::Broken)
    }
}

pub(in crate::audit) fn check(covered: &[u8]) -> [u8; CHECK_BYTES] {
    let hash: [u8; 32] = Sha256::digest(covered).into();
    let mut check = [0; CHECK_BYTES];
    check.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    check
}

/// What is wrong with a chain at one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// The record's bytes were changed, or cut off.
    #[error("the record was changed or cut off")]
    Changed,
    /// Another record stands where this one must be.
    #[error("the record is missing; the next one there is {next}")]
    Missing {
        /// The sequence that was found instead.
        next: u64,
    },
    /// The record is whole and does not continue the one before it.
    #[error(
        "the record does not follow the one before it: reordered, replaced, or the one before was changed"
    )]
    Displaced,
    /// The signature does not hold.
    #[error(
        "the signature does not hold: this record, or one since the last checkpoint, was made without the key"
    )]
    Signature,
    /// The record is of a kind or format that this version does not know.
    #[error("the record has kind or format {0}, which this version does not know; run a newer strongroom")]
    Unknown(u8),
    /// The mutation chain saw another record in this place.
    #[error("the record is not the one that the mutation chain saw in this place")]
    NotAsSeen,
    /// A mutation record saw less of the read chain than the one before it.
    #[error("the record saw less of the read chain than the one before it")]
    SawLess,
    /// The chain ends before a record that is known to have been there.
    #[error("the chain ends here, and it once went to {known} at least")]
    Truncated {
        /// The last sequence that is known.
        known: u64,
    },
    /// The header of the segment was changed or does not continue the segment before it.
    #[error("segment {segment} does not continue the one before it: changed, removed or replaced")]
    Segment {
        /// The number of the segment.
        segment: u64,
    },
    /// The chain begins later than anything signed says.
    #[error(
        "the record is missing: the chain begins with {first}, and no signed truncation says that what was before was cut"
    )]
    Beginning {
        /// The first sequence that is there.
        first: u64,
    },
    /// The signed cut is not what was signed.
    #[error("the signature of the truncation does not hold: it was changed, or made without the key")]
    Truncation,
    /// The signed record of a new root key is not what was signed.
    #[error(
        "a signature of the record of a new root key does not hold: it was changed, or made without one of the keys"
    )]
    Rekey,
    /// There is no signed checkpoint for records that are there.
    #[error("no signed checkpoint covers the record")]
    Unsigned,
}

/// What comes next in a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::audit) enum SegmentStep {
    /// The next record, in its place.
    Record(ReadRecord),
    /// Nothing but zeros from here on.
    End,
    /// No whole record, and nothing after it shows that there ever was one that had been fsynced: a torn
    /// tail.
    Torn,
    /// Something that no power cut leaves behind.
    Fault(Fault),
}

/// Goes through a segment's records in order.
#[derive(Debug)]
pub(in crate::audit) struct SegmentWalk<'a> {
    store: StoreId,
    bytes: &'a [u8],
    offset: usize,
    at: ReadHead,
}

impl<'a> SegmentWalk<'a> {
    /// The records of `bytes`, a segment with this header.
    pub(in crate::audit) const fn new(bytes: &'a [u8], header: &SegmentHeader) -> Self {
        Self {
            store: header.store,
            bytes,
            offset: HEADER_BYTES,
            at: header.before,
        }
    }

    /// Where the next record begins.
    pub(in crate::audit) const fn offset(&self) -> usize {
        self.offset
    }

    /// The chain's end so far.
    pub(in crate::audit) const fn head(&self) -> ReadHead {
        self.at
    }

    /// The next step. After anything but a record the same answer comes again.
    pub(in crate::audit) fn step(&mut self) -> SegmentStep {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let (record, length) = match ReadRecord::decode(&self.store, rest) {
            Ok(found) => found,
            Err(RecordDecodeError::UnknownKind(kind)) => return SegmentStep::Fault(Fault::Unknown(kind)),
            Err(RecordDecodeError::Absent) if is_zero(rest) => return SegmentStep::End,
            Err(RecordDecodeError::Absent | RecordDecodeError::Broken) => {
                return if was_fsynced(&self.store, rest, self.at.next()) {
                    SegmentStep::Fault(Fault::Changed)
                } else {
                    SegmentStep::Torn
                };
            }
        };
        let next = self.at.next();
        let sequence = record.place.sequence;
        // INVARIANT: only a signed gap skips numbers, and it says from which one on.
        let skips = record.kind == RecordKind::Gap
            && sequence >= next
            && record.mark().is_some_and(|mark| mark.missing_from == next);
        if sequence != next && !skips {
            return SegmentStep::Fault(if sequence > next {
                Fault::Missing { next: sequence }
            } else {
                Fault::Displaced
            });
        }
        if record.place.previous != self.at.hash {
            return SegmentStep::Fault(Fault::Displaced);
        }
        self.offset += length;
        self.at = record.head();
        SegmentStep::Record(record)
    }
}

/// Whether all bytes are zero; compares blocks, since the rest of a segment is megabytes.
fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 4_096] = [0; 4_096];
    bytes
        .chunks(ZEROS.len())
        .all(|block| ZEROS.get(..block.len()) == Some(block))
}

/// Whether any whole record in `bytes` says that `sequence` had been fsynced when it was written: then no
/// power cut can have taken it away.
pub(in crate::audit) fn was_fsynced(store: &StoreId, bytes: &[u8], sequence: u64) -> bool {
    let mut from = 0;
    while let Some(rest) = bytes.get(from..)
        && let Some(found) = rest
            .windows(RECORD_MAGIC.len())
            .position(|window| window == RECORD_MAGIC)
    {
        from += found;
        if let Some(candidate) = bytes.get(from..)
            && let Ok((record, _)) = ReadRecord::decode(store, candidate)
            && record.place.synced >= sequence
        {
            return true;
        }
        from += 1;
    }
    false
}
