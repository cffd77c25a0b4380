//! The audit log's part of [`crate::fuzzing`].

use strongroom_model::id::StoreId;

use super::reads::record::{self, ReadRecord};
use super::reads::segment::{self, HEADER_BYTES, SegmentStart};
use crate::codec::DecodeError;

const STORE: StoreId = StoreId::from_bytes([0; 16]);

/// A record of the read chain without its hash, which anybody can make.
pub(crate) fn round_trip_read_record(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let whole = [bytes, &record::hash(&STORE, bytes)].concat();
    let (record, length) = ReadRecord::decode(&STORE, &whole).map_err(|_| DecodeError::Invalid("record"))?;
    if length != whole.len() {
        return Err(DecodeError::Trailing);
    }
    let mut again = record.encode();
    again.truncate(bytes.len());
    Ok(again)
}

/// A header of a segment without its check.
pub(crate) fn round_trip_segment_header(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let whole = [bytes, &segment::check(bytes)].concat();
    let SegmentStart::Used(header) = SegmentStart::classify(&whole) else {
        return Err(DecodeError::Invalid("header"));
    };
    if whole.len() != HEADER_BYTES {
        return Err(DecodeError::Trailing);
    }
    let mut again = header.encode();
    again.truncate(bytes.len());
    Ok(again)
}

/// Makes the header's check and the hashes of a segment's records right, and each record follow the one
/// before it, as far as anybody can who has no key.
pub fn forge(store: &StoreId, bytes: &mut [u8]) {
    let Some((covered, rest)) = bytes.split_at_mut_checked(HEADER_BYTES - segment::CHECK_BYTES) else {
        return;
    };
    let Some((check, mut rest)) = rest.split_at_mut_checked(segment::CHECK_BYTES) else {
        return;
    };
    check.copy_from_slice(&segment::check(covered));
    let SegmentStart::Used(header) = SegmentStart::classify(&[&*covered, &*check].concat()) else {
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
    use super::reads::record::{RecordKind, RecordPosition};
    use super::reads::segment::SegmentHeader;

    let place = RecordPosition {
        epoch: 3,
        sequence: 9,
        synced: 5,
        previous: [1; 32],
    };
    let mut record = ReadRecord::new(&STORE, RecordKind::Checkpoint, place, vec![8; 80]).encode();
    record.truncate(record.len() - 32);
    let before = ReadHead {
        sequence: 8,
        hash: [2; 32],
    };
    let mut header = SegmentHeader {
        store: STORE,
        number: 2,
        before,
    }
    .encode();
    header.truncate(HEADER_BYTES - segment::CHECK_BYTES);
    (record, header)
}
