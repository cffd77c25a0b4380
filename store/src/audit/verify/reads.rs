//! Walks the read chain.

use strongroom_model::id::StoreId;

use super::super::ReadHead;
use super::super::reads::record::{ReadRecord, RecordKind};
use super::super::reads::segment::{
    HEADER_BYTES, SegmentHeader, SegmentStart, SegmentStep, SegmentWalk, was_fsynced,
};
use super::super::reads::storage::{SegmentStorage, read_prefix, read_segment};
use super::super::reads::{Fault, ReadLogError};
use super::expected_heads::ExpectedHeads;
use super::{ChainReport, Gap};
use crate::crypto::PublicKey;

/// What was found.
#[derive(Debug)]
pub(super) struct ReadFindings {
    pub(super) report: ChainReport,
    pub(super) gaps: Vec<Gap>,
    pub(super) clean_end: bool,
    pub(super) torn: Option<u64>,
    pub(super) bad: Option<(u64, Fault)>,
}

/// Walks the chain in `segments`, which was cut up to `cut`; `links` are the places that it must hold.
pub(super) fn walk(
    segments: &dyn SegmentStorage,
    store: &StoreId,
    key: &PublicKey,
    cut: ReadHead,
    links: &mut ExpectedHeads,
) -> Result<ReadFindings, ReadLogError> {
    let mut walker = ReadWalk {
        store,
        key,
        links,
        cut,
        head: cut,
        found: ReadFindings {
            report: ChainReport::default(),
            gaps: Vec::new(),
            clean_end: true,
            torn: None,
            bad: None,
        },
    };
    let mut last_number = None;
    let mut ended = false;
    for number in segments.segments().map_err(ReadLogError::from)? {
        let start = SegmentStart::classify(&read_prefix(segments, number, HEADER_BYTES as u64)?);
        if let SegmentStart::Used(header) = start
            && last_number.is_none()
        {
            walker.begin(header.before);
        }
        let next = walker.head.next();
        let fault = match start {
            SegmentStart::Blank => {
                ended = true;
                continue;
            }
            SegmentStart::UnknownFormat(format) => Fault::Unknown(format),
            SegmentStart::Used(header) if !ended && walker.continues(&header, number, last_number) => {
                last_number = Some(number);
                match walker.segment(&header, &read_segment(segments, number)?) {
                    Ok(()) => continue,
                    Err(bad) => {
                        walker.found.bad = Some(bad);
                        break;
                    }
                }
            }
            // A torn tail is one only where no other segment follows.
            SegmentStart::Used(_) | SegmentStart::Broken if walker.found.torn.take().is_some() => {
                Fault::Changed
            }
            SegmentStart::Used(header) if header.before.sequence > walker.head.sequence => {
                let next = header.before.next();
                if last_number.is_none() {
                    Fault::Beginning { first: next }
                } else {
                    Fault::Missing { next }
                }
            }
            SegmentStart::Broken if !ended && !was_fsynced(store, &read_segment(segments, number)?, next) => {
                ended = true;
                walker.found.torn = Some(next);
                continue;
            }
            SegmentStart::Used(_) | SegmentStart::Broken => Fault::Segment { segment: number },
        };
        walker.found.bad = Some((next, fault));
        break;
    }
    walker.end();
    Ok(walker.found)
}

struct ReadWalk<'a> {
    store: &'a StoreId,
    key: &'a PublicKey,
    links: &'a mut ExpectedHeads,
    cut: ReadHead,
    head: ReadHead,
    found: ReadFindings,
}

impl ReadWalk<'_> {
    /// Takes the beginning of the first segment, where it is one: behind the place that was cut, before it
    /// where not all of that is gone yet, or with nothing before it.
    fn begin(&mut self, before: ReadHead) {
        let earlier = (1..self.cut.sequence).contains(&before.sequence);
        if before == ReadHead::default() || earlier || before == self.cut && self.links.matches(before) {
            self.head = before;
        }
    }

    /// Whether a segment comes next.
    fn continues(&self, header: &SegmentHeader, number: u64, last_number: Option<u64>) -> bool {
        header.store == *self.store
            && header.number == number
            && header.before == self.head
            && last_number.is_none_or(|last: u64| last.checked_add(1) == Some(number))
            && self.found.torn.is_none()
    }

    fn segment(&mut self, header: &SegmentHeader, bytes: &[u8]) -> Result<(), (u64, Fault)> {
        let mut walk = SegmentWalk::new(bytes, header);
        loop {
            let next = walk.head().next();
            match walk.step() {
                SegmentStep::Record(record) => self.record(&record, next)?,
                SegmentStep::End => return Ok(()),
                SegmentStep::Torn => {
                    self.found.torn = Some(next);
                    return Ok(());
                }
                SegmentStep::Fault(fault) => return Err((next, fault)),
            }
        }
    }

    fn record(&mut self, record: &ReadRecord, next: u64) -> Result<(), (u64, Fault)> {
        let sequence = record.place.sequence;
        if record.kind.is_signed() && !record.is_signed_by(self.key, self.store) {
            return Err((sequence, Fault::Signature));
        }
        if record.kind == RecordKind::Gap
            && let Some(mark) = record.mark()
        {
            self.links.lost_before(sequence);
            self.found.gaps.push(Gap {
                missing_from: next,
                sequence,
                time: mark.time,
            });
        }
        if !self.links.matches(record.head()) {
            return Err((sequence, Fault::NotAsSeen));
        }
        if record.kind.is_signed() {
            self.found.report.checkpoints += 1;
            self.found.report.signed = sequence;
        }
        self.found.clean_end = record.kind == RecordKind::Close;
        self.found.report.records += 1;
        self.found.report.last = sequence;
        self.head = record.head();
        Ok(())
    }

    fn end(&mut self) {
        if self.found.bad.is_some() {
            return;
        }
        if let Some(known) = self.links.outstanding() {
            let fault = if self.found.torn.is_some() {
                Fault::Changed
            } else {
                Fault::Truncated { known }
            };
            self.found.bad = Some((self.head.next(), fault));
        }
        if self.found.torn.is_some() {
            self.found.clean_end = false;
        }
    }
}
