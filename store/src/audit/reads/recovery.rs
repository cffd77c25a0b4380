//! Finds where the read chain ended, and whether it ended cleanly. Reads the disk and changes nothing on it.
//!
//! A power cut leaves a torn tail: bytes that were never fsynced, in any mix of old and new. Everything else
//! is damage, and is reported with the record it stands in.

use std::io;

use strongroom_model::time::Timestamp;

use super::super::{ReadHead, ReadLogError};
use super::record::{ReadRecord, RecordKind};
use super::segment::{
    Fault, HEADER_BYTES, SegmentHeader, SegmentStart, SegmentStep, SegmentWalk, was_fsynced,
};
use super::storage::{SegmentStorage, read_prefix, read_segment};
use crate::crypto::Keyring;

/// No chain has so many records or segments: it takes centuries at a billion a second. What says so was
/// forged, and counting on from there would overflow.
const UNREACHABLE_SEQUENCE: u64 = 1 << 63;

/// Where the chain goes on.
#[derive(Clone, Debug)]
pub(super) struct RecoveredEnd {
    /// The chain's end.
    pub(super) head: ReadHead,
    /// The segment in use; `None`: there is none yet.
    pub(super) segment: Option<u64>,
    /// Where its next record goes.
    pub(super) offset: u64,
    /// The highest number of a segment, used or not.
    pub(super) last_segment: u64,
    /// Whether the last record is a clean end.
    pub(super) clean: bool,
    /// Torn bytes, to be zeroed before anything is written.
    pub(super) torn: Vec<TornBytes>,
    /// When the last signed record was written.
    pub(super) time: Option<Timestamp>,
}

/// Bytes that no record owns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TornBytes {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Segments in use, in order, and those that are not.
struct Segments {
    used: Vec<SegmentHeader>,
    /// A header that did not reach the disk whole.
    torn: Option<u64>,
    last: u64,
}

/// Finds the chain's end. `seen` is the place that the mutation chain knows to have been fsynced.
pub(super) fn find(
    storage: &dyn SegmentStorage,
    keyring: &Keyring,
    seen: ReadHead,
) -> Result<RecoveredEnd, ReadLogError> {
    let segments = segments(storage, keyring)?;
    let mut found = RecoveredEnd {
        head: ReadHead::default(),
        segment: None,
        offset: HEADER_BYTES as u64,
        last_segment: segments.last,
        clean: segments
            .used
            .first()
            .is_none_or(|first| first.before.sequence == 0),
        torn: Vec::new(),
        time: None,
    };
    // The scan starts where what the mutation chain saw must be found; all before is for `verify`.
    let from = segments
        .used
        .iter()
        .rposition(|header| header.before.sequence < seen.sequence.max(1))
        .unwrap_or(0);
    let scanned = segments.used.get(from..).unwrap_or_default();
    let mut unsigned: Vec<ReadRecord> = Vec::new();
    let mut last_mark: Option<ReadRecord> = None;
    let mut seen_hash = None;
    for (index, header) in scanned.iter().enumerate() {
        let is_last = index + 1 == scanned.len();
        if index > 0 && header.before != found.head {
            return Err(damaged(
                found.head.next(),
                Fault::Segment {
                    segment: header.number,
                },
            ));
        }
        if index == 0 && header.before.sequence == seen.sequence {
            seen_hash = Some(header.before.hash);
        }
        let bytes = read_segment(storage, header.number)?;
        let mut walk = SegmentWalk::new(&bytes, header);
        loop {
            match walk.step() {
                SegmentStep::Record(record) => {
                    if record.place.sequence == seen.sequence {
                        seen_hash = Some(record.hash);
                    }
                    found.clean = record.kind == RecordKind::Close;
                    if record.kind.is_signed() {
                        found.time = record.mark().map(|mark| mark.time).or(found.time);
                        unsigned.clear();
                        last_mark = Some(record);
                    } else {
                        unsigned.push(record);
                    }
                }
                SegmentStep::End => break,
                SegmentStep::Torn if is_last => {
                    found.clean = false;
                    found
                        .torn
                        .extend(torn_bytes(header.number, walk.offset(), &bytes));
                    break;
                }
                SegmentStep::Torn => return Err(damaged(walk.head().next(), Fault::Changed)),
                SegmentStep::Fault(fault) => return Err(damaged(walk.head().next(), fault)),
            }
        }
        found.head = walk.head();
        found.segment = Some(header.number);
        found.offset = walk.offset() as u64;
    }
    // INVARIANT: nothing is signed that a holder of the key did not write. The last mark signs all before it.
    if let Some(mark) = last_mark
        && !mark.is_signed_by(&keyring.public_key(), &keyring.store())
    {
        return Err(damaged(mark.place.sequence, Fault::Signature));
    }
    for record in &unsigned {
        record
            .open(keyring)
            .map_err(|_| damaged(record.place.sequence, Fault::Signature))?;
    }
    if let Some(number) = segments.torn {
        let bytes = read_segment(storage, number)?;
        if was_fsynced(&keyring.store(), &bytes, found.head.next()) {
            return Err(damaged(found.head.next(), Fault::Segment { segment: number }));
        }
        found.clean = false;
        found.torn.extend(torn_bytes(number, 0, &bytes));
    }
    if seen.sequence > 0 && seen_hash.is_some_and(|hash| hash != seen.hash) {
        return Err(damaged(seen.sequence, Fault::NotAsSeen));
    }
    Ok(found)
}

/// Reads the header of every segment.
fn segments(storage: &dyn SegmentStorage, keyring: &Keyring) -> Result<Segments, ReadLogError> {
    let numbers = storage.segments()?;
    let mut found = Segments {
        used: Vec::new(),
        torn: None,
        last: numbers.last().copied().unwrap_or(0),
    };
    let mut ended = None;
    for number in numbers {
        if number >= UNREACHABLE_SEQUENCE {
            return Err(damaged(1, Fault::Segment { segment: number }));
        }
        let start = SegmentStart::classify(&read_prefix(storage, number, HEADER_BYTES as u64)?);
        if let (Some(segment), SegmentStart::Used(_)) = (ended, start) {
            // An unused or broken segment stands before one in use.
            let sequence = found.used.last().map_or(1, |header| header.before.next());
            return Err(damaged(sequence, Fault::Segment { segment }));
        }
        match start {
            SegmentStart::Used(header) => {
                if header.store != keyring.store() {
                    return Err(ReadLogError::OtherStore(header.store));
                }
                let follows = found
                    .used
                    .last()
                    .is_none_or(|last| last.number.checked_add(1) == Some(number));
                if header.number != number || !follows || header.before.sequence >= UNREACHABLE_SEQUENCE {
                    return Err(damaged(header.before.next(), Fault::Segment { segment: number }));
                }
                found.used.push(header);
            }
            SegmentStart::Blank => ended = ended.or(Some(number)),
            SegmentStart::Broken => {
                // Only the segment that was about to be used can have a torn header.
                if ended.is_some() {
                    return Err(damaged(1, Fault::Segment { segment: number }));
                }
                ended = Some(number);
                found.torn = Some(number);
            }
            SegmentStart::UnknownFormat(format) => return Err(ReadLogError::UnknownFormat(format)),
        }
    }
    Ok(found)
}

const fn damaged(sequence: u64, fault: Fault) -> ReadLogError {
    ReadLogError::Damaged { sequence, fault }
}

/// From `offset` to the last byte that is not zero.
fn torn_bytes(segment: u64, offset: usize, bytes: &[u8]) -> Option<TornBytes> {
    let last = bytes.get(offset..)?.iter().rposition(|byte| *byte != 0)?;
    Some(TornBytes {
        segment,
        offset: offset as u64,
        length: last as u64 + 1,
    })
}

/// Zeroes torn bytes durably, so that nothing of them can ever look like a record.
pub(super) fn clear(storage: &dyn SegmentStorage, torn: &[TornBytes]) -> io::Result<()> {
    static BLOCK: [u8; 64 * 1_024] = [0; 64 * 1_024];
    for part in torn {
        let mut done = 0;
        while done < part.length {
            let count = (part.length - done).min(BLOCK.len() as u64);
            let zeros = BLOCK
                .get(..usize::try_from(count).unwrap_or(0))
                .unwrap_or_default();
            storage.write(part.segment, part.offset + done, zeros)?;
            done += count;
        }
        storage.sync(part.segment)?;
    }
    Ok(())
}
