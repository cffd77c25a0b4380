//! The log on a simulated storage.

mod closed_segments;
mod power_cut;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use strongroom_model::SecretBytes;

use super::record::{ReadRecord, RecordKind, RecordPosition};
use super::segment::{HEADER_BYTES, SegmentHeader, SegmentStart, SegmentStep, SegmentWalk};
use super::simulated::SimulatedStorage;
use super::*;
use crate::audit::{Action, Actor, ReadChainRecord, reads_after};
use crate::crypto::RootKey;

const NONE: ReadHead = ReadHead {
    sequence: 0,
    hash: [0; 32],
};

fn keyring_of(store: u8) -> Arc<Keyring> {
    let root = RootKey::from_secret(&SecretBytes::new(vec![5; 32])).unwrap();
    Arc::new(Keyring::derive(&root, StoreId::from_bytes([store; 16])))
}

fn keyring() -> Arc<Keyring> {
    keyring_of(1)
}

fn options(seen: ReadHead) -> ReadLogOptions {
    ReadLogOptions {
        segment_bytes: MIN_SEGMENT_BYTES,
        reserve_segments: 3,
        // Sequences in the tests count no checkpoint.
        checkpoint_each: Duration::from_secs(3_600),
        ..ReadLogOptions::new(2, Timestamp::from_millis(1_000), seen)
    }
}

fn try_open(storage: &Arc<SimulatedStorage>, seen: ReadHead) -> Result<ReadLog, ReadLogError> {
    ReadLog::open_on(
        Arc::clone(storage) as Arc<dyn SegmentStorage>,
        keyring(),
        options(seen),
    )
}

fn open(storage: &Arc<SimulatedStorage>) -> ReadLog {
    try_open(storage, NONE).unwrap()
}

fn entry(number: u64) -> Entry {
    let mut entry = Entry::new(
        Timestamp::from_millis(2_000),
        Actor::Principal("shop/checkout".into()),
        Action::GetSecretValue,
    );
    entry.detail = number.to_string();
    entry
}

fn append(log: &ReadLog, number: u64, durability: Durability) {
    log.append(&entry(number), durability).unwrap();
}

fn all(storage: &SimulatedStorage) -> Vec<(u64, ReadChainRecord)> {
    reads_after(storage, &keyring(), 0, usize::MAX).unwrap()
}

/// The numbers of the entries, in order.
fn numbers(storage: &SimulatedStorage) -> Vec<u64> {
    let entries = all(storage).into_iter().filter_map(|(_, logged)| match logged {
        ReadChainRecord::Entry(entry) => Some(entry.detail.parse().unwrap()),
        _ => None,
    });
    entries.collect()
}

fn gaps(storage: &SimulatedStorage) -> Vec<(u64, u64)> {
    let gaps = all(storage)
        .into_iter()
        .filter_map(|(sequence, logged)| match logged {
            ReadChainRecord::Gap(from) => Some((sequence, from)),
            _ => None,
        });
    gaps.collect()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        thread::yield_now();
    }
}

#[test]
fn what_is_appended_is_read_back_across_segments_and_restarts() {
    let storage = Arc::new(SimulatedStorage::default());
    for round in 0..3_u64 {
        let log = open(&storage);
        for number in 0..40 {
            append(&log, round * 40 + number, Durability::Batched);
        }
        log.close();
    }
    assert_eq!(numbers(&storage), (0..120).collect::<Vec<_>>());
    assert_eq!(gaps(&storage), []);
    let records = all(&storage);
    for (index, (sequence, _)) in records.iter().enumerate() {
        assert_eq!(*sequence, index as u64 + 1);
    }
    assert!(storage.segments().unwrap().len() > 4);
    let after = reads_after(storage.as_ref(), &keyring(), 50, 7).unwrap();
    assert_eq!(after, records[50..57]);
}

#[test]
fn a_killed_process_loses_nothing_and_the_next_one_signs_a_gap() {
    let storage = Arc::new(SimulatedStorage::default());
    let log = open(&storage);
    for number in 0..5 {
        append(&log, number, Durability::Batched);
    }
    drop(log);
    let last = all(&storage).last().unwrap().0;
    open(&storage).close();
    assert_eq!(numbers(&storage), [0, 1, 2, 3, 4]);
    assert_eq!(gaps(&storage), [(last + 1, last + 1)]);
}

#[test]
fn a_batch_is_fsynced_and_signed_without_being_asked() {
    let storage = Arc::new(SimulatedStorage::default());
    let each_second = ReadLogOptions {
        checkpoint_each: Duration::from_secs(1),
        ..options(NONE)
    };
    let log = ReadLog::open_on(
        Arc::clone(&storage) as Arc<dyn SegmentStorage>,
        keyring(),
        each_second,
    )
    .unwrap();
    append(&log, 1, Durability::Batched);
    wait_until("fsync", || log.fsynced().sequence >= 2);
    wait_until("checkpoint", || {
        all(&storage).last().unwrap().1 == ReadChainRecord::Checkpoint
    });
    assert_eq!(
        log.fsynced().sequence,
        2,
        "a checkpoint is nothing to take note of"
    );
}

/// Sequence and place in the segment of each record of segment 1.
fn records_of_first_segment(storage: &SimulatedStorage) -> Vec<(u64, usize, usize)> {
    let bytes = storage.bytes(1);
    let SegmentStart::Used(header) = SegmentStart::classify(&bytes) else {
        panic!("segment 1 is not in use")
    };
    let mut walk = SegmentWalk::new(&bytes, &header);
    let mut found = Vec::new();
    loop {
        let from = walk.offset();
        match walk.step() {
            SegmentStep::Record(record) => found.push((record.place.sequence, from, walk.offset())),
            _ => return found,
        }
    }
}

#[test]
fn damage_in_the_middle_refuses_and_names_the_record() {
    let storage = Arc::new(SimulatedStorage::default());
    let log = open(&storage);
    for number in 0..8 {
        append(&log, number, Durability::Durable);
    }
    log.close();
    let records = records_of_first_segment(&storage);
    // The last one is the clean end itself: damaged, it is a torn tail.
    for (sequence, from, to) in &records[..records.len() - 1] {
        for at in *from..*to {
            let copy = storage.copy();
            let mut bytes = copy.bytes(1);
            bytes[at] ^= 0x40;
            copy.replace(1, bytes);
            let error = try_open(&copy, NONE).unwrap_err();
            assert!(
                matches!(error, ReadLogError::Damaged { sequence: named, .. } if named == *sequence),
                "byte {at} of record {sequence}: {error}"
            );
        }
    }
    for at in 0..HEADER_BYTES {
        let copy = storage.copy();
        let mut bytes = copy.bytes(1);
        bytes[at] ^= 0x40;
        copy.replace(1, bytes);
        assert!(try_open(&copy, NONE).is_err(), "byte {at} of the header");
    }
}

#[test]
fn a_full_disk_is_served_from_the_reserve_and_goes_on_when_there_is_room() {
    let storage = Arc::new(SimulatedStorage::default());
    let log = open(&storage);
    storage.limit_segments(Some(3));
    let mut written = 0;
    let refused = loop {
        match log.append(&entry(written), Durability::Batched) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1_000, "never full");
    };
    assert!(
        written > 25,
        "the reserve of three segments was not used: {written}"
    );
    assert!(refused.0.contains("disk is full"), "{refused}");
    assert!(log.append(&entry(0), Durability::Durable).is_err());
    storage.limit_segments(None);
    append(&log, written, Durability::Durable);
    log.close();
    assert_eq!(numbers(&storage), (0..=written).collect::<Vec<_>>());
    assert_eq!(gaps(&storage), []);
}

#[test]
fn opens_on_a_full_disk_and_refuses_reads_until_there_is_room() {
    let storage = Arc::new(SimulatedStorage::default());
    let log = open(&storage);
    storage.limit_segments(Some(3));
    let mut written = 0;
    while log.append(&entry(written), Durability::Batched).is_ok() {
        written += 1;
    }
    log.close();
    let log = open(&storage);
    assert!(log.append(&entry(0), Durability::Batched).is_err());
    storage.limit_segments(None);
    append(&log, written, Durability::Durable);
    assert_eq!(numbers(&storage), (0..=written).collect::<Vec<_>>());
    assert_eq!(gaps(&storage), []);
}

#[test]
fn a_failed_fsync_stops_reads_until_a_restart() {
    let storage = Arc::new(SimulatedStorage::default());
    let log = open(&storage);
    append(&log, 0, Durability::Durable);
    storage.fail_sync(true);
    assert!(log.append(&entry(1), Durability::Durable).is_err());
    storage.fail_sync(false);
    let fsynced = log.fsynced();
    let refused = log.append(&entry(2), Durability::Batched).unwrap_err();
    assert!(refused.0.contains("restart"), "{refused}");
    log.close();
    assert_eq!(log.fsynced(), fsynced, "an fsync was tried again");
    drop(log);
    let log = open(&storage);
    append(&log, 3, Durability::Durable);
    assert_eq!(gaps(&storage).len(), 1);
}

#[test]
fn a_failed_write_is_refused_and_never_half_there() {
    for (kind, goes_on) in [(io::ErrorKind::StorageFull, true), (io::ErrorKind::Other, false)] {
        let storage = Arc::new(SimulatedStorage::default());
        let log = open(&storage);
        append(&log, 0, Durability::Batched);
        storage.fail_write(Some(kind));
        assert!(log.append(&entry(1), Durability::Batched).is_err());
        storage.fail_write(None);
        assert_eq!(
            log.append(&entry(2), Durability::Batched).is_ok(),
            goes_on,
            "{kind}"
        );
        log.close();
        let expected: &[u64] = if goes_on { &[0, 2] } else { &[0] };
        assert_eq!(numbers(&storage), expected);
        drop(log);
        open(&storage).close();
        assert_eq!(gaps(&storage).len(), usize::from(!goes_on));
    }
}

#[test]
fn waiters_share_one_fsync() {
    let storage = Arc::new(SimulatedStorage::default());
    let log = Arc::new(open(&storage));
    storage.hold_syncs(true);
    let (writes, syncs) = (storage.writes(), storage.syncs());
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let log = Arc::clone(&log);
            thread::spawn(move || append(&log, number, Durability::Durable))
        })
        .collect();
    wait_until("eight records", || storage.writes() >= writes + 8);
    storage.hold_syncs(false);
    for thread in threads {
        thread.join().unwrap();
    }
    // One for the first of them, one for all others.
    assert!(storage.syncs() <= syncs + 2, "{} fsyncs", storage.syncs() - syncs);
}

#[test]
fn many_threads_write_one_chain() {
    let storage = Arc::new(SimulatedStorage::default());
    let log = Arc::new(open(&storage));
    let threads: Vec<_> = (0..4_u64)
        .map(|thread| {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                for number in 0..50 {
                    let durability = if number % 5 == 0 {
                        Durability::Durable
                    } else {
                        Durability::Batched
                    };
                    append(&log, thread * 50 + number, durability);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    log.close();
    let found = numbers(&storage);
    assert_eq!(found.len(), 200);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>().len(), 200);
}

#[test]
fn a_truncated_chain_is_refused_unless_a_person_accepts_it() {
    let storage = Arc::new(SimulatedStorage::default());
    let log = open(&storage);
    append(&log, 0, Durability::Durable);
    let older = storage.copy();
    append(&log, 1, Durability::Durable);
    append(&log, 2, Durability::Durable);
    let seen = log.fsynced();
    let error = try_open(&older, seen).unwrap_err();
    assert!(
        matches!(error, ReadLogError::Lost { found: 2, seen: 4 }),
        "{error}"
    );
    let accepted = ReadLogOptions {
        accept_loss: true,
        ..options(seen)
    };
    let log = ReadLog::open_on(Arc::clone(&older) as Arc<dyn SegmentStorage>, keyring(), accepted).unwrap();
    append(&log, 3, Durability::Durable);
    log.close();
    assert_eq!(numbers(&older), [0, 3]);
    assert_eq!(
        gaps(&older),
        [(5, 3)],
        "numbers that were seen are never used again"
    );
    try_open(&older, log.fsynced()).unwrap();
}

#[test]
fn another_history_of_the_same_length_is_refused() {
    let storage = Arc::new(SimulatedStorage::default());
    let log = open(&storage);
    append(&log, 0, Durability::Durable);
    let mut seen = log.fsynced();
    seen.hash[0] ^= 1;
    log.close();
    let error = try_open(&storage, seen).unwrap_err();
    assert!(
        matches!(
            error,
            ReadLogError::Damaged {
                sequence: 2,
                fault: Fault::NotAsSeen
            }
        ),
        "{error}"
    );
}

#[test]
fn a_tail_forged_without_the_key_is_never_signed() {
    let storage = Arc::new(SimulatedStorage::default());
    let log = open(&storage);
    append(&log, 0, Durability::Durable);
    let head = log.fsynced();
    drop(log);
    let mut bytes = storage.bytes(1);
    let end = records_of_first_segment(&storage).last().unwrap().2;
    let place = RecordPosition {
        epoch: 2,
        sequence: head.sequence + 1,
        synced: head.sequence,
        previous: head.hash,
    };
    let store = StoreId::from_bytes([1; 16]);
    let forged = ReadRecord::new(&store, RecordKind::Entry, place, vec![9; 90]).encode();
    bytes[end..end + forged.len()].copy_from_slice(&forged);
    storage.replace(1, bytes);
    let error = try_open(&storage, head).unwrap_err();
    assert!(
        matches!(
            error,
            ReadLogError::Damaged {
                sequence: 3,
                fault: Fault::Signature
            }
        ),
        "{error}"
    );
}

#[test]
fn a_header_that_leaves_no_number_for_the_next_record_is_refused() {
    for (segment, sequence) in [(1, u64::MAX), (1, 1 << 63), (u64::MAX, 0)] {
        let storage = Arc::new(SimulatedStorage::default());
        let header = SegmentHeader {
            store: keyring().store(),
            number: segment,
            before: ReadHead {
                sequence,
                hash: [0; 32],
            },
        };
        let mut bytes = header.encode();
        bytes.resize(4_096, 0);
        storage.replace(segment, bytes);
        let error = try_open(&storage, NONE).unwrap_err();
        assert!(
            matches!(error, ReadLogError::Damaged { fault: Fault::Segment { segment: named }, .. } if named == segment),
            "{error}"
        );
    }
}

#[test]
fn segments_of_another_store_are_refused() {
    let storage = Arc::new(SimulatedStorage::default());
    open(&storage).close();
    let storage: Arc<dyn SegmentStorage> = storage;
    let error = ReadLog::open_on(storage, keyring_of(9), options(NONE)).unwrap_err();
    assert!(matches!(error, ReadLogError::OtherStore(_)), "{error}");
}

#[test]
fn headers_round_trip_and_every_changed_bit_is_seen() {
    let header = SegmentHeader {
        store: StoreId::from_bytes([3; 16]),
        number: 4,
        before: ReadHead {
            sequence: 77,
            hash: [6; 32],
        },
    };
    let bytes = header.encode();
    assert_eq!(SegmentStart::classify(&bytes), SegmentStart::Used(header));
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            SegmentStart::classify(&changed),
            SegmentStart::Broken,
            "bit {bit}"
        );
    }
    assert_eq!(SegmentStart::classify(&[0; HEADER_BYTES]), SegmentStart::Blank);
    assert_eq!(SegmentStart::classify(b"short"), SegmentStart::Broken);
}

#[test]
fn the_reserve_is_on_the_disk_before_it_is_needed() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let log = ReadLog::open(
        dir.path(),
        keyring(),
        ReadLogOptions::new(1, Timestamp::from_millis(1), NONE),
    )
    .unwrap();
    append(&log, 1, Durability::Durable);
    log.close();
    let mut reserved = 0;
    for file in std::fs::read_dir(dir.path().join(READS_DIRECTORY)).unwrap() {
        let metadata = file.unwrap().metadata().unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o600);
        reserved += metadata.blocks() * 512;
    }
    assert!(reserved >= 64 * 1_024 * 1_024, "{reserved} bytes");
    let storage = SegmentDirectory::read_only(&dir.path().join(READS_DIRECTORY));
    assert_eq!(reads_after(&storage, &keyring(), 0, 10).unwrap().len(), 3);
}

fn walk_all(bytes: &[u8]) -> Vec<ReadRecord> {
    let SegmentStart::Used(header) = SegmentStart::classify(bytes) else {
        return Vec::new();
    };
    let mut walk = SegmentWalk::new(bytes, &header);
    let mut found = Vec::new();
    while let SegmentStep::Record(record) = walk.step() {
        found.push(record);
    }
    found
}

proptest! {
    #[test]
    fn a_changed_segment_never_shows_another_record(
        changes in proptest::collection::vec((0_usize..1_200, any::<u8>()), 1..20),
        moved in proptest::option::of((0_usize..1_200, 0_usize..1_200, 1_usize..400)),
    ) {
        let storage = Arc::new(SimulatedStorage::default());
        let log = open(&storage);
        for number in 0..4 {
            append(&log, number, Durability::Batched);
        }
        drop(log);
        let mut bytes = storage.bytes(1);
        let original = walk_all(&bytes);
        prop_assert_eq!(original.len(), 5);
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if let Some((from, to, count)) = moved {
            bytes.copy_within(from..from + count, to);
        }
        let found = walk_all(&bytes);
        prop_assert!(found.len() <= original.len());
        prop_assert_eq!(&original[..found.len()], &found[..]);
    }

    #[test]
    fn arbitrary_segments_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(walk_all(&bytes).is_empty());
        let header = SegmentHeader {
            store: StoreId::from_bytes([1; 16]),
            number: 1,
            before: NONE,
        };
        let mut segment = header.encode();
        segment.extend_from_slice(&bytes);
        prop_assert!(walk_all(&segment).is_empty());
    }
}
