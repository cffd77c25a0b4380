//! What the read chain says, for holders of the key: sinks and people. Must not verify order or completeness; `verify` does.

use std::io;

use super::reads::medium::{Medium, first, whole};
use super::reads::record::Kind;
use super::reads::segment::{HEADER, Start, Step, Walk};
use super::{Entry, ReadLogError};
use crate::crypto::Keyring;

/// One record of the read chain, opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Logged {
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

/// Records of the read chain after `after`, in order, at most `limit`. Ends before a tail that is just being written. Where the chain was
/// cut beyond `after`, it begins behind the cut.
///
/// # Errors
/// [`ReadLogError::Damaged`] names a record that does not open or does not follow.
pub fn reads_after(
    medium: &dyn Medium,
    keyring: &Keyring,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, Logged)>, ReadLogError> {
    loop {
        let there = medium.segments()?;
        match look(medium, keyring, after, limit) {
            // Cut while it was looked at: what is left is looked at anew. Each time there is less of it.
            Err(ReadLogError::Io(error))
                if error.kind() == io::ErrorKind::NotFound && medium.segments()?.first() > there.first() => {}
            done => return done,
        }
    }
}

fn look(
    medium: &dyn Medium,
    keyring: &Keyring,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, Logged)>, ReadLogError> {
    let mut used = Vec::new();
    for number in medium.segments()? {
        if let Start::Used(header) = Start::of(&first(medium, number, HEADER as u64)?) {
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
        let bytes = whole(medium, header.number)?;
        let mut walk = Walk::new(&bytes, header);
        loop {
            let record = match walk.step() {
                Step::Record(record) => record,
                Step::End | Step::Torn => break,
                Step::Fault(fault) => {
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
                Kind::Entry => Logged::Entry(Box::new(record.open(keyring)?)),
                Kind::Checkpoint => Logged::Checkpoint,
                Kind::Open => Logged::Opened,
                Kind::Gap => Logged::Gap(record.mark().map_or(0, |mark| mark.missing_from)),
                Kind::Close => Logged::Closed,
            };
            out.push((record.place.sequence, logged));
        }
    }
    Ok(out)
}
