//! What a copy is called: `FIRST-LAST-HASH-TIME.reads`, and while its segment is open `….partial`. A record
//! of a new root key is called `LAST-HASH.rekey`.

use std::fmt;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use strongroom_store::audit::{RekeyRecord, SegmentCopy, SegmentPlace};

use crate::backup::name::{parse_time, time_text};
use crate::store_handle::timestamp;

const CLOSED: &str = ".reads";
const PARTIAL: &str = ".partial";
const REKEY: &str = ".rekey";
/// Digits of a number: as many as the largest has.
const DIGITS: usize = 20;

/// A copy of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentName {
    pub(super) place: SegmentPlace,
    /// When its youngest record was signed.
    pub(super) newest: Timestamp,
    /// Its segment gets no more records.
    pub(super) closed: bool,
}

impl SegmentName {
    pub(super) fn new(copy: &SegmentCopy, closed: bool) -> Self {
        Self {
            place: copy.span.place(),
            newest: timestamp(copy.newest),
            closed,
        }
    }

    /// What a file of this name is a copy of.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (stem, closed) = match name.strip_suffix(CLOSED) {
            Some(stem) => (stem, true),
            None => (name.strip_suffix(PARTIAL)?, false),
        };
        let mut parts = stem.splitn(4, '-');
        let (first, last) = (number(parts.next()?)?, number(parts.next()?)?);
        let hash = HEXLOWER.decode(parts.next()?.as_bytes()).ok()?;
        Some(Self {
            place: SegmentPlace {
                first,
                last,
                hash: hash.try_into().ok()?,
            },
            newest: parse_time(parts.next()?)?,
            closed,
        })
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SegmentPlace { first, last, hash } = self.place;
        write!(
            f,
            "{first:0DIGITS$}-{last:0DIGITS$}-{}-{}{}",
            HEXLOWER.encode(&hash),
            time_text(self.newest),
            if self.closed { CLOSED } else { PARTIAL }
        )
    }
}

fn number(digits: &str) -> Option<u64> {
    let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

/// What the copy of a record of a new root key is called.
pub(super) fn rekey_name(record: &RekeyRecord) -> String {
    let last = record.before.reads.sequence;
    let hash = record.after.reads.hash.iter().take(8).copied();
    let hash: Vec<u8> = hash.collect();
    format!("{last:0DIGITS$}-{}{REKEY}", HEXLOWER.encode(&hash))
}

/// Whether it is called like a record of a new root key.
pub(super) fn is_rekey(name: &str) -> bool {
    name.ends_with(REKEY)
}

/// Whether it is called like a copy of a segment, though perhaps by nobody of us.
pub(super) fn is_segment(name: &str) -> bool {
    name.ends_with(CLOSED) || name.ends_with(PARTIAL)
}

/// Whether a file of a folder is half a copy: the library writes beside the name, which it extends by `#` and
/// a number.
pub(super) fn is_leftover(name: &str) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(name, number)| (is_segment(name) || is_rekey(name)) && number.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written_and_sorts_by_its_records() {
        let name = SegmentName {
            place: SegmentPlace {
                first: 9,
                last: 10,
                hash: [0xab; 8],
            },
            newest: "2026-11-24T03:00:00.007Z".parse().unwrap(),
            closed: true,
        };
        let text = name.to_string();
        assert_eq!(
            text,
            "00000000000000000009-00000000000000000010-abababababababab-20261124T030000007Z.reads"
        );
        assert_eq!(SegmentName::parse(&text), Some(name));
        let open = SegmentName {
            closed: false,
            ..name
        };
        assert_eq!(SegmentName::parse(&open.to_string()), Some(open));
        let mut later = name;
        later.place.first = 10;
        later.place.last = u64::MAX;
        assert!(later.to_string() > text);
        assert_eq!(SegmentName::parse(&later.to_string()), Some(later));
        for other in [
            "",
            ".reads",
            &text.replace(".reads", ".backup"),
            &text.replacen('0', "", 1),
            &text.replace("ab-", "a-"),
            &text.replace("1124", "1324"),
            &text.replacen('0', "+", 1),
        ] {
            assert_eq!(SegmentName::parse(other), None, "{other}");
        }
        assert!(is_leftover(&format!("{text}#1")) && !is_leftover(&text));
    }
}
