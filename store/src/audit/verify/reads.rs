//! Walks the read chain.

use super::super::ReadHead;
use super::super::reads::medium::{Medium, first, whole};
use super::super::reads::record::{Kind, Record};
use super::super::reads::segment::{HEADER, Header, Start, Step, Walk, was_fsynced};
use super::super::reads::{Fault, ReadLogError};
use super::links::Links;
use super::{ChainReport, Gap};
use crate::crypto::PublicKey;
use crate::id::StoreId;

/// What was found.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) report: ChainReport,
    pub(super) gaps: Vec<Gap>,
    pub(super) clean_end: bool,
    pub(super) torn: Option<u64>,
    pub(super) bad: Option<(u64, Fault)>,
}

/// Walks the chain in `segments`, which was cut up to `cut`; `links` are the places that it must hold.
pub(super) fn walk(
    segments: &dyn Medium,
    store: &StoreId,
    key: &PublicKey,
    cut: ReadHead,
    links: &mut Links,
) -> Result<Walked, ReadLogError> {
    let mut walker = Walker {
        store,
        key,
        links,
        cut,
        head: cut,
        found: Walked {
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
        let start = Start::of(&first(segments, number, HEADER as u64)?);
        if let Start::Used(header) = start
            && last_number.is_none()
        {
            walker.begin(header.before);
        }
        let next = walker.head.next();
        let fault = match start {
            Start::Blank => {
                ended = true;
                continue;
            }
            Start::UnknownFormat(format) => Fault::Unknown(format),
            Start::Used(header) if !ended && walker.continues(&header, number, last_number) => {
                last_number = Some(number);
                match walker.segment(&header, &whole(segments, number)?) {
                    Ok(()) => continue,
                    Err(bad) => {
                        walker.found.bad = Some(bad);
                        break;
                    }
                }
            }
            // A torn tail is one only where no other segment follows.
            Start::Used(_) | Start::Broken if walker.found.torn.take().is_some() => Fault::Changed,
            Start::Used(header) if header.before.sequence > walker.head.sequence => {
                let next = header.before.next();
                if last_number.is_none() {
                    Fault::Beginning { first: next }
                } else {
                    Fault::Missing { next }
                }
            }
            Start::Broken if !ended && !was_fsynced(store, &whole(segments, number)?, next) => {
                ended = true;
                walker.found.torn = Some(next);
                continue;
            }
            Start::Used(_) | Start::Broken => Fault::Segment { segment: number },
        };
        walker.found.bad = Some((next, fault));
        break;
    }
    walker.end();
    Ok(walker.found)
}

struct Walker<'a> {
    store: &'a StoreId,
    key: &'a PublicKey,
    links: &'a mut Links,
    cut: ReadHead,
    head: ReadHead,
    found: Walked,
}

impl Walker<'_> {
    /// Takes the beginning of the first segment, where it is one: behind the place that was cut, before it where not all of that is gone
    /// yet, or with nothing before it.
    fn begin(&mut self, before: ReadHead) {
        let earlier = (1..self.cut.sequence).contains(&before.sequence);
        if before == ReadHead::default() || earlier || before == self.cut && self.links.agree(before) {
            self.head = before;
        }
    }

    /// Whether a segment comes next.
    fn continues(&self, header: &Header, number: u64, last_number: Option<u64>) -> bool {
        header.store == *self.store
            && header.number == number
            && header.before == self.head
            && last_number.is_none_or(|last: u64| last.checked_add(1) == Some(number))
            && self.found.torn.is_none()
    }

    fn segment(&mut self, header: &Header, bytes: &[u8]) -> Result<(), (u64, Fault)> {
        let mut walk = Walk::new(bytes, header);
        loop {
            let next = walk.head().next();
            match walk.step() {
                Step::Record(record) => self.record(&record, next)?,
                Step::End => return Ok(()),
                Step::Torn => {
                    self.found.torn = Some(next);
                    return Ok(());
                }
                Step::Fault(fault) => return Err((next, fault)),
            }
        }
    }

    fn record(&mut self, record: &Record, next: u64) -> Result<(), (u64, Fault)> {
        let sequence = record.place.sequence;
        if record.kind.is_signed() && !record.is_signed_by(self.key, self.store) {
            return Err((sequence, Fault::Signature));
        }
        if record.kind == Kind::Gap
            && let Some(mark) = record.mark()
        {
            self.links.lost_before(sequence);
            self.found.gaps.push(Gap {
                missing_from: next,
                sequence,
                time: mark.time,
            });
        }
        if !self.links.agree(record.head()) {
            return Err((sequence, Fault::NotAsSeen));
        }
        if record.kind.is_signed() {
            self.found.report.checkpoints += 1;
            self.found.report.signed = sequence;
        }
        self.found.clean_end = record.kind == Kind::Close;
        self.found.report.records += 1;
        self.found.report.last = sequence;
        self.head = record.head();
        Ok(())
    }

    fn end(&mut self) {
        if self.found.bad.is_some() {
            return;
        }
        if let Some(known) = self.links.left() {
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
