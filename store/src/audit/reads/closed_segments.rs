//! The old end of the read chain: which closed segments there are, whether they are what was written, and
//! their removal.
//!
//! A damaged segment is never cut, because it is evidence. Must not decide what is cut, and must not touch
//! the segment in use but to close it.

use std::io;

use strongroom_model::time::Timestamp;

use super::super::{AuditUnavailable, ReadHead};
use super::ReadLogError;
use super::log::SegmentLog;
use super::record::{MAX_RECORD_BYTES, ReadRecord};
use super::segment::{Fault, HEADER_BYTES, SegmentHeader, SegmentStart, SegmentStep, SegmentWalk};
use super::storage::{read_prefix, read_segment};

/// A closed segment whose records were all looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClosedSegment {
    /// Its last record, which is signed.
    pub end: ReadHead,
    /// When that was written: no record of it is younger.
    pub newest: Timestamp,
    /// Bytes on disk.
    pub bytes: u64,
}

/// The segment in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActiveSegment {
    /// When its first record was written; none where it holds none.
    pub began: Option<Timestamp>,
    /// Bytes that are written.
    pub bytes: u64,
}

/// What can be done about the old end.
impl SegmentLog {
    /// The next closed piece after `after`, which is the end of the one before or where the chain was cut.
    /// None where only the segment in use follows.
    ///
    /// # Errors
    /// [`ReadLogError::Damaged`] where it is not what was written, or does not follow.
    pub(crate) fn next_closed_segment(&self, after: ReadHead) -> Result<Option<ClosedSegment>, ReadLogError> {
        let mut examined = self.examined.lock();
        if let Some((of, piece)) = *examined
            && of == after
        {
            return Ok(Some(piece));
        }
        for closed in self.closed()? {
            let (header, end) = closed?;
            if end.sequence <= after.sequence {
                continue;
            }
            // A chain that began anew begins with nothing before it, and a signed gap over what was lost.
            if header.before != after && header.before != ReadHead::default() {
                let first = header.before.next();
                return Err(damaged(after.next(), Fault::Beginning { first }));
            }
            let piece = self.examine(&header, end)?;
            *examined = Some((after, piece));
            return Ok(Some(piece));
        }
        Ok(None)
    }

    /// The segment in use.
    ///
    /// # Errors
    /// [`ReadLogError`] where it cannot be read.
    pub(crate) fn active_segment(&self) -> Result<ActiveSegment, ReadLogError> {
        let (segment, bytes) = self.segment_in_use();
        if segment == 0 {
            return Ok(ActiveSegment {
                began: None,
                bytes: 0,
            });
        }
        let start = read_prefix(
            self.storage.as_ref(),
            segment,
            (HEADER_BYTES + MAX_RECORD_BYTES) as u64,
        )?;
        let SegmentStart::Used(header) = SegmentStart::classify(&start) else {
            return Err(damaged(1, Fault::Segment { segment }));
        };
        let began = match SegmentWalk::new(&start, &header).step() {
            SegmentStep::Record(record) => Some(self.time_of(&record)?),
            // Bytes behind the records are those of records that are just being written.
            SegmentStep::End | SegmentStep::Torn | SegmentStep::Fault(_) => None,
        };
        Ok(ActiveSegment { began, bytes })
    }

    /// Closes the segment in use, and begins the next one.
    ///
    /// # Errors
    /// [`AuditUnavailable`] where there is no room for one.
    pub(crate) fn roll(&self) -> Result<(), AuditUnavailable> {
        Ok(self.close_segment()?)
    }

    /// Removes the closed segments whose records all have this number or a lower one, oldest first and each
    /// durably. Returns their bytes.
    ///
    /// # Errors
    /// [`ReadLogError`]; then the rest is still there.
    pub(crate) fn remove_through(&self, sequence: u64) -> Result<u64, ReadLogError> {
        let mut removed = 0;
        for closed in self.closed()? {
            let (header, end) = closed?;
            if end.sequence > sequence {
                break;
            }
            if removed == 0 {
                // INVARIANT: a segment goes only when the header of the one after it is durable: it says
                // where the chain goes on.
                self.make_durable().map_err(io::Error::other)?;
            }
            let bytes = self.storage.size(header.number)?;
            self.leave(header.number);
            self.storage.remove(header.number)?;
            self.removed(bytes);
            removed += bytes;
        }
        Ok(removed)
    }

    /// The closed segments in order: each header, and the end of its last record as the segment after it
    /// says.
    pub(super) fn closed(
        &self,
    ) -> io::Result<impl Iterator<Item = Result<(SegmentHeader, ReadHead), ReadLogError>>> {
        let (in_use, _) = self.segment_in_use();
        let mut numbers = self.storage.segments()?;
        numbers.retain(|number| *number <= in_use);
        let pairs: Vec<(u64, u64)> = numbers
            .iter()
            .copied()
            .zip(numbers.iter().copied().skip(1))
            .collect();
        Ok(pairs.into_iter().map(|(number, next)| {
            let (header, after) = (self.header(number)?, self.header(next)?);
            if number.checked_add(1) != Some(next) {
                return Err(damaged(after.before.next(), Fault::Segment { segment: next }));
            }
            Ok((header, after.before))
        }))
    }

    pub(super) fn header(&self, number: u64) -> Result<SegmentHeader, ReadLogError> {
        match SegmentStart::classify(&read_prefix(self.storage.as_ref(), number, HEADER_BYTES as u64)?) {
            SegmentStart::Used(header) if header.number == number && header.store == self.keyring.store() => {
                Ok(header)
            }
            _ => Err(damaged(1, Fault::Segment { segment: number })),
        }
    }

    /// Looks at each record of a closed segment: they follow one another to `end`, and that one is signed.
    fn examine(&self, header: &SegmentHeader, end: ReadHead) -> Result<ClosedSegment, ReadLogError> {
        let bytes = read_segment(self.storage.as_ref(), header.number)?;
        let mut walk = SegmentWalk::new(&bytes, header);
        let mut last = None;
        loop {
            match walk.step() {
                SegmentStep::Record(record) => last = Some(record),
                SegmentStep::End => break,
                SegmentStep::Torn => return Err(damaged(walk.head().next(), Fault::Changed)),
                SegmentStep::Fault(fault) => return Err(damaged(walk.head().next(), fault)),
            }
        }
        let segment = header.number.saturating_add(1);
        if walk.head() != end {
            return Err(damaged(end.next(), Fault::Segment { segment }));
        }
        // INVARIANT: only what a holder of the key signed is ever cut; the mark at the end signs all before
        // it.
        let mark = last
            .filter(|record| record.is_signed_by(&self.keyring.public_key(), &self.keyring.store()))
            .and_then(|record| record.mark())
            .ok_or_else(|| damaged(end.sequence, Fault::Signature))?;
        Ok(ClosedSegment {
            end,
            newest: mark.time,
            bytes: bytes.len() as u64,
        })
    }

    /// When a record was written.
    fn time_of(&self, record: &ReadRecord) -> Result<Timestamp, ReadLogError> {
        match record.mark() {
            Some(mark) => Ok(mark.time),
            None => Ok(record.open(&self.keyring)?.time),
        }
    }
}

pub(super) const fn damaged(sequence: u64, fault: Fault) -> ReadLogError {
    ReadLogError::Damaged { sequence, fault }
}
