//! The audit log's part of [`crate::fuzzing`].

use super::reads::record::{self, Record};
use super::reads::segment::{self, HEADER, Start};
use crate::codec::DecodeError;
use crate::id::StoreId;

const STORE: StoreId = StoreId::from_bytes([0; 16]);

/// A record of the read chain without its hash, which anybody can make.
pub(crate) fn read_record_again(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let whole = [bytes, &record::hash(&STORE, bytes)].concat();
    let (record, length) = Record::decode(&STORE, &whole).map_err(|_| DecodeError::Invalid("record"))?;
    if length != whole.len() {
        return Err(DecodeError::Trailing);
    }
    let mut again = record.encode();
    again.truncate(bytes.len());
    Ok(again)
}

/// A header of a segment without its check.
pub(crate) fn segment_header_again(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let whole = [bytes, &segment::check(bytes)].concat();
    let Start::Used(header) = Start::of(&whole) else {
        return Err(DecodeError::Invalid("header"));
    };
    if whole.len() != HEADER {
        return Err(DecodeError::Trailing);
    }
    let mut again = header.encode();
    again.truncate(bytes.len());
    Ok(again)
}

/// Makes the header's check and the hashes of a segment's records right, and each record follow the one before it, as far as anybody
/// can who has no key.
pub fn forge(store: &StoreId, bytes: &mut [u8]) {
    let Some((covered, rest)) = bytes.split_at_mut_checked(HEADER - segment::CHECK) else {
        return;
    };
    let Some((check, mut rest)) = rest.split_at_mut_checked(segment::CHECK) else {
        return;
    };
    check.copy_from_slice(&segment::check(covered));
    let Start::Used(header) = Start::of(&[&*covered, &*check].concat()) else {
        return;
    };
    let mut previous = header.before.hash;
    while let Some((bytes, behind)) = record::split(rest) {
        let Some((covered, stored)) = bytes.split_at_mut_checked(bytes.len() - previous.len()) else {
            return;
        };
        if let Some(place) = covered.get_mut(record::PREVIOUS) {
            place.copy_from_slice(&previous);
        }
        previous = record::hash(store, covered);
        stored.copy_from_slice(&previous);
        rest = behind;
    }
}

/// A record of the read chain without its hash, and a header without its check.
#[cfg(test)]
pub(crate) fn read_samples() -> (Vec<u8>, Vec<u8>) {
    use super::ReadHead;
    use super::reads::record::{Kind, Place};
    use super::reads::segment::Header;

    let place = Place {
        epoch: 3,
        sequence: 9,
        synced: 5,
        previous: [1; 32],
    };
    let mut record = Record::new(&STORE, Kind::Checkpoint, place, vec![8; 80]).encode();
    record.truncate(record.len() - 32);
    let before = ReadHead {
        sequence: 8,
        hash: [2; 32],
    };
    let mut header = Header {
        store: STORE,
        number: 2,
        before,
    }
    .encode();
    header.truncate(HEADER - segment::CHECK);
    (record, header)
}
