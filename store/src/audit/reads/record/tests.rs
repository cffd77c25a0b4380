//! One record as bytes: what is written is read, and nothing else.

use proptest::prelude::*;

use super::*;

const STORE: StoreId = StoreId::from_bytes([7; 16]);

fn record(kind: RecordKind, payload: Vec<u8>) -> ReadRecord {
    let place = RecordPosition {
        epoch: 3,
        sequence: 9,
        synced: 5,
        previous: [1; 32],
    };
    ReadRecord::new(&STORE, kind, place, payload)
}

#[test]
fn records_round_trip_and_leave_what_follows() {
    let record = record(RecordKind::Entry, vec![8; 100]);
    let mut bytes = record.encode();
    assert_eq!(bytes.len(), OVERHEAD_BYTES + 100);
    let written = ReadRecord::encoded(&STORE, record.kind, &record.place, &record.payload);
    assert_eq!(written, (bytes.clone(), record.head()));
    bytes.extend_from_slice(b"more");
    assert_eq!(
        ReadRecord::decode(&STORE, &bytes),
        Ok((record, OVERHEAD_BYTES + 100))
    );
}

#[test]
fn every_changed_bit_and_every_cut_is_seen() {
    let bytes = record(RecordKind::Entry, vec![8; 20]).encode();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert!(
                ReadRecord::decode(&STORE, &changed).is_err(),
                "bit {bit} of byte {at}"
            );
        }
        assert!(ReadRecord::decode(&STORE, &bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn another_store_has_other_hashes() {
    let bytes = record(RecordKind::Entry, vec![8; 20]).encode();
    let other = StoreId::from_bytes([8; 16]);
    assert_eq!(ReadRecord::decode(&other, &bytes), Err(RecordDecodeError::Broken));
}

#[test]
fn a_newer_kind_is_not_mistaken_for_damage() {
    let place = record(RecordKind::Entry, Vec::new()).place;
    let mut bytes = before_hash(6, &place, b"later");
    let hash = hash(&STORE, &bytes);
    bytes.extend_from_slice(&hash);
    assert_eq!(
        ReadRecord::decode(&STORE, &bytes),
        Err(RecordDecodeError::UnknownKind(6))
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
        marked: bool,
    ) {
        if marked {
            bytes.splice(..0, RECORD_MAGIC);
        }
        prop_assert!(ReadRecord::decode(&STORE, &bytes).is_err());
    }

    #[test]
    fn any_payload_round_trips(payload in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let record = record(RecordKind::Entry, payload);
        let bytes = record.encode();
        prop_assert_eq!(ReadRecord::decode(&STORE, &bytes), Ok((record, bytes.len())));
    }
}
