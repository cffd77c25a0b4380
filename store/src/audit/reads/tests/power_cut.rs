//! Power cuts: what was fsynced stays, what was not may go byte by byte, and the log says so.

use proptest::prelude::*;

use super::*;

/// A log with three durable entries and five that are not, and the place up to which all was fsynced.
fn half_synced() -> (Arc<SimulatedStorage>, ReadHead) {
    let storage = Arc::new(SimulatedStorage::default());
    let log = open(&storage);
    for number in 0..3 {
        append(&log, number, Durability::Durable);
    }
    let fsynced = log.fsynced();
    storage.hold_syncs(true);
    for number in 3..8 {
        append(&log, number, Durability::Batched);
    }
    let copy = Arc::new(SimulatedStorage::default());
    let before = storage.after_power_cut(|_| false);
    for segment in before.segments().unwrap() {
        copy.replace(segment, before.bytes(segment));
    }
    // One pending write with all that was not fsynced.
    let (from, bytes) = difference(&before.bytes(1), &storage.bytes(1));
    copy.write(1, from, &bytes).unwrap();
    storage.hold_syncs(false);
    drop(log);
    (copy, fsynced)
}

/// Where `after` begins to differ, and its bytes from there to its last one that is not zero.
fn difference(before: &[u8], after: &[u8]) -> (u64, Vec<u8>) {
    let from = before.iter().zip(after).position(|(a, b)| a != b).unwrap();
    let to = after.iter().rposition(|byte| *byte != 0).unwrap();
    (from as u64, after[from..=to].to_vec())
}

/// Opens after a power cut; what is there must be what was, up to the first lost record, and a gap must say
/// so.
fn recovers(cut: &Arc<SimulatedStorage>, fsynced: ReadHead, what: &str) {
    let log = try_open(cut, fsynced).unwrap_or_else(|error| panic!("{what}: {error}"));
    append(&log, 100, Durability::Durable);
    log.close();
    let mut found = numbers(cut);
    assert_eq!(found.pop(), Some(100), "{what}");
    assert!(found.len() >= 3, "{what}: lost an fsynced record");
    assert_eq!(found, (0..found.len() as u64).collect::<Vec<_>>(), "{what}");
    let first_missing = 2 + found.len() as u64;
    let expected = [(first_missing, first_missing)];
    assert_eq!(gaps(cut), expected, "{what}");
    // Nothing torn is left behind: the clean end is found as one.
    open(cut).close();
    assert_eq!(gaps(cut), expected, "{what}: after a clean end");
}

#[test]
fn a_power_cut_at_every_byte_loses_only_what_was_not_fsynced() {
    let (storage, fsynced) = half_synced();
    let pending = storage.pending_bytes();
    assert!(pending > 750);
    for keep in 0..=pending {
        let cut = storage.after_power_cut(|byte| byte < keep);
        recovers(&cut, fsynced, &format!("{keep} bytes kept"));
    }
}

#[test]
fn a_cut_while_recovering_recovers_again() {
    let (storage, fsynced) = half_synced();
    // The first pending record is torn, those after it are whole: recovery zeroes them all.
    let torn = storage.after_power_cut(|byte| byte != 100);
    let pending = storage.pending_bytes();
    let whole = torn.bytes(1);
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let start = end - pending;
    for zeroed in (0..=pending).step_by(7) {
        for range in [start..start + zeroed, end - zeroed..end] {
            let mut bytes = whole.clone();
            bytes[range.clone()].fill(0);
            let cut = torn.copy();
            cut.replace(1, bytes);
            recovers(&cut, fsynced, &format!("{range:?} of {start}..{end} zeroed"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_power_cut_that_keeps_any_sectors_loses_only_what_was_not_fsynced(
        kept in proptest::collection::vec(any::<bool>(), 64),
        sector in 1_usize..64,
    ) {
        let (storage, fsynced) = half_synced();
        let cut = storage.after_power_cut(|byte| kept[byte / sector % kept.len()]);
        recovers(&cut, fsynced, &format!("{sector} {kept:?}"));
    }
}

#[test]
fn durable_records_outlive_a_power_cut() {
    let storage = Arc::new(SimulatedStorage::default());
    let log = open(&storage);
    for number in 0..30 {
        append(&log, number, Durability::Durable);
        let cut = storage.after_power_cut(|_| false);
        assert_eq!(numbers(&cut), (0..=number).collect::<Vec<_>>());
    }
}

#[test]
fn a_cut_around_a_change_of_segments_is_only_a_torn_tail() {
    let storage = Arc::new(SimulatedStorage::default());
    let log = open(&storage);
    let mut number = 0;
    while storage.segments_written() < 4 {
        append(&log, number, Durability::Batched);
        number += 1;
        let seen = log.fsynced();
        let last = storage.segments_written();
        let before: usize = (1..last).map(|segment| storage.pending_in(segment)).sum();
        for cut in [
            storage.after_power_cut(|_| false),
            storage.after_power_cut(|byte| byte >= before),
            storage.after_power_cut(|byte| byte >= before + HEADER_BYTES),
        ] {
            let log = try_open(&cut, seen).unwrap_or_else(|error| panic!("{number}: {error}"));
            append(&log, 1_000, Durability::Durable);
        }
    }
}

#[test]
fn what_was_lost_right_after_a_clean_start_is_said() {
    let storage = Arc::new(SimulatedStorage::default());
    open(&storage).close();
    let log = open(&storage);
    append(&log, 0, Durability::Batched);
    let cut = storage.after_power_cut(|_| false);
    open(&cut).close();
    assert_eq!(gaps(&cut).len(), 1);
}

#[test]
fn a_cut_while_a_start_makes_sure_of_what_a_killed_process_wrote_is_only_a_torn_tail() {
    let storage = Arc::new(SimulatedStorage::default());
    let log = open(&storage);
    storage.hold_syncs(true);
    append(&log, 0, Durability::Batched);
    let killed = Arc::new(SimulatedStorage::default());
    killed.replace(1, storage.after_power_cut(|_| false).bytes(1));
    let (from, bytes) = difference(&killed.bytes(1), &storage.bytes(1));
    killed.write(1, from, &bytes).unwrap();
    storage.hold_syncs(false);
    killed.hold_syncs(true);
    let start = thread::spawn({
        let killed = Arc::clone(&killed);
        move || drop(open(&killed))
    });
    wait_until("the first fsync of the start", || killed.syncs() > 0);
    let cut = killed.after_power_cut(|byte| byte > 0);
    open(&cut).close();
    assert!(numbers(&cut).is_empty());
    killed.hold_syncs(false);
    start.join().unwrap();
}
