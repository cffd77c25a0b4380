//! What the read chain says, for holders of the key: sinks and people. Must not verify order or completeness;
//! `verify` does.

use std::io;

use super::reads::record::RecordKind;
use super::reads::segment::{HEADER_BYTES, SegmentStart, SegmentStep, SegmentWalk};
use super::reads::storage::{SegmentStorage, read_prefix, read_segment};
use super::{Entry, ReadLogError};
use crate::crypto::Keyring;

/// One record of the read chain, opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadChainRecord {
    /// A read or a refusal.
    Entry(Box<Entry>),
    /// A signed head.
    Checkpoint,
    /// The log was opened after a clean end.
    Opened,
    /// The log was opened after an unclean end; records from this one on may be missing.
    Gap(u64),
    /// A clean end.
    Closed,
}

/// Records of the read chain after `after`, in order, at most `limit`. Ends before a tail that is just being
/// written. Where the chain was cut beyond `after`, it begins behind the cut.
///
/// # Errors
/// [`ReadLogError::Damaged`] names a record that does not open or does not follow.
pub fn reads_after(
    storage: &dyn SegmentStorage,
    keyring: &Keyring,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, ReadChainRecord)>, ReadLogError> {
    loop {
        let there = storage.segments()?;
        match read_once(storage, keyring, after, limit) {
            // The log was cut while it was read: the rest is read again. Each time there is less of it.
            Err(ReadLogError::Io(error))
                if error.kind() == io::ErrorKind::NotFound && storage.segments()?.first() > there.first() => {
            }
            done => return done,
        }
    }
}

fn read_once(
    storage: &dyn SegmentStorage,
    keyring: &Keyring,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, ReadChainRecord)>, ReadLogError> {
    let mut used = Vec::new();
    for number in storage.segments()? {
        if let SegmentStart::Used(header) =
            SegmentStart::classify(&read_prefix(storage, number, HEADER_BYTES as u64)?)
        {
            used.push(header);
        }
    }
    let from = used
        .iter()
        .rposition(|header| header.before.sequence <= after)
        .unwrap_or(0);
    let mut out = Vec::new();
    for header in used.get(from..).unwrap_or_default() {
        if header.store != keyring.store() {
            return Err(ReadLogError::OtherStore(header.store));
        }
        let bytes = read_segment(storage, header.number)?;
        let mut walk = SegmentWalk::new(&bytes, header);
        loop {
            let record = match walk.step() {
                SegmentStep::Record(record) => record,
                SegmentStep::End | SegmentStep::Torn => break,
                SegmentStep::Fault(fault) => {
                    let sequence = walk.head().next();
                    return Err(ReadLogError::Damaged { sequence, fault });
                }
            };
            if record.place.sequence <= after {
                continue;
            }
            if out.len() >= limit {
                return Ok(out);
            }
            let logged = match record.kind {
                RecordKind::Entry => ReadChainRecord::Entry(Box::new(record.open(keyring)?)),
                RecordKind::Checkpoint => ReadChainRecord::Checkpoint,
                RecordKind::Open => ReadChainRecord::Opened,
                RecordKind::Gap => ReadChainRecord::Gap(record.mark().map_or(0, |mark| mark.missing_from)),
                RecordKind::Close => ReadChainRecord::Closed,
            };
            out.push((record.place.sequence, logged));
        }
    }
    Ok(out)
}
