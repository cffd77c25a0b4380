//! The read chain under another root key: each entry is sealed anew and each mark signed anew, in the same
//! place of the same segment. Must not judge the chain: it was verified before.

use std::collections::BTreeMap;

use super::record::ReadRecord;
use super::segment::{Fault, HEADER_BYTES, SegmentHeader, SegmentStart, SegmentStep, SegmentWalk};
use super::storage::{SegmentStorage, read_prefix, read_segment};
use super::{ReadHead, ReadLogError};
use crate::crypto::{CryptoError, Keyring};

/// Places of the read chain that mutation records saw: the hash there, and the one after the chain was sealed
/// anew.
#[derive(Debug, Default)]
pub(crate) struct SeenReads(BTreeMap<u64, (ReadHead, Option<ReadHead>)>);

impl SeenReads {
    /// A mutation record saw this place.
    pub(crate) fn note(&mut self, place: ReadHead) {
        self.0.entry(place.sequence).or_insert((place, None));
    }

    /// A record was sealed anew.
    fn resealed(&mut self, before: ReadHead, after: ReadHead) {
        if let Some((seen, resealed)) = self.0.get_mut(&before.sequence)
            && *seen == before
        {
            *resealed = Some(after);
        }
    }

    /// What stands now where a mutation record saw this. A place that was cut or lost stays as it is: nothing
    /// is left there that it could be held against.
    pub(crate) fn now(&self, place: ReadHead) -> ReadHead {
        match self.0.get(&place.sequence) {
            Some((seen, Some(resealed))) if *seen == place => *resealed,
            Some(_) | None => place,
        }
    }
}

/// Writes the chain in `from`, which was cut up to `cut`, to `to` under the second keyring. Segments that
/// only wait for their removal are left out. Returns the chain's end as it was, and as it is there.
///
/// # Errors
/// [`ReadLogError`].
pub(crate) fn reseal_reads(
    (from, to): (&dyn SegmentStorage, &dyn SegmentStorage),
    keyrings: (&Keyring, &Keyring),
    cut: ReadHead,
    seen: &mut SeenReads,
    told: &mut dyn FnMut(u64),
) -> Result<(ReadHead, ReadHead), ReadLogError> {
    let mut ends = (cut, cut);
    let mut begun = false;
    for number in from.segments()? {
        let header = match SegmentStart::classify(&read_prefix(from, number, HEADER_BYTES as u64)?) {
            SegmentStart::Used(header) => header,
            SegmentStart::UnknownFormat(format) => return Err(ReadLogError::UnknownFormat(format)),
            // What was never used, or did not reach the disk whole, is the end.
            SegmentStart::Blank | SegmentStart::Broken => break,
        };
        if header.store != keyrings.1.store() {
            return Err(ReadLogError::OtherStore(header.store));
        }
        let bytes = read_segment(from, number)?;
        if header.before.sequence < cut.sequence && last_sequence(&bytes, &header) <= cut.sequence {
            continue;
        }
        let before = if begun { ends.1 } else { header.before };
        begun = true;
        let (resealed, head, end) = reseal_segment(&bytes, &header, before, keyrings, seen)?;
        to.create(number, from.size(number)?)?;
        to.write(number, 0, &resealed)?;
        to.sync(number)?;
        ends = (head, end);
        told(number);
    }
    Ok(ends)
}

fn last_sequence(bytes: &[u8], header: &SegmentHeader) -> u64 {
    let mut walk = SegmentWalk::new(bytes, header);
    while let SegmentStep::Record(_) = walk.step() {}
    walk.head().sequence
}

/// The used bytes of a segment behind `before`, and the chain's end after it: as it was, and as it is now.
fn reseal_segment(
    bytes: &[u8],
    header: &SegmentHeader,
    before: ReadHead,
    (from, to): (&Keyring, &Keyring),
    seen: &mut SeenReads,
) -> Result<(Vec<u8>, ReadHead, ReadHead), ReadLogError> {
    let mut out = SegmentHeader { before, ..*header }.encode();
    let mut end = before;
    let mut walk = SegmentWalk::new(bytes, header);
    loop {
        let record: ReadRecord = match walk.step() {
            SegmentStep::Record(record) => record,
            SegmentStep::End | SegmentStep::Torn => return Ok((out, walk.head(), end)),
            SegmentStep::Fault(fault) => {
                let sequence = walk.head().next();
                return Err(ReadLogError::Damaged { sequence, fault });
            }
        };
        let resealed = record.resealed(from, to, end.hash).map_err(|error| match error {
            CryptoError::Forged => ReadLogError::Damaged {
                sequence: record.place.sequence,
                fault: Fault::Signature,
            },
            other => other.into(),
        })?;
        seen.resealed(record.head(), resealed.head());
        end = resealed.head();
        out.extend_from_slice(&resealed.encode());
    }
}
