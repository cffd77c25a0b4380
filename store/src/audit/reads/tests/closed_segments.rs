//! The old end: looked at, removed oldest first, and never before what stays is durable.

use super::*;

/// A log over several segments, and its storage.
fn long(entries: u64) -> (Arc<SimulatedStorage>, ReadLog) {
    let storage = Arc::new(SimulatedStorage::default());
    let log = open(&storage);
    for number in 0..entries {
        append(&log, number, Durability::Batched);
    }
    (storage, log)
}

fn pieces(log: &ReadLog, after: ReadHead) -> Vec<ClosedSegment> {
    let old = log.segments().unwrap();
    let mut found: Vec<ClosedSegment> = Vec::new();
    while let Some(piece) = old
        .next_closed_segment(found.last().map_or(after, |last| last.end))
        .unwrap()
    {
        found.push(piece);
    }
    found
}

#[test]
fn pieces_are_the_closed_segments_and_go_one_by_one() {
    let (storage, log) = long(100);
    let found = pieces(&log, NONE);
    let segments = storage.segments_written();
    assert_eq!(found.len() as u64, segments - 1);
    assert!(found.len() > 3);
    for piece in &found {
        let (_, logged) = all(&storage)
            .into_iter()
            .find(|(sequence, _)| *sequence == piece.end.sequence)
            .unwrap();
        assert_eq!(logged, ReadChainRecord::Checkpoint);
        assert_eq!(piece.newest, Timestamp::from_millis(2_000));
    }
    let old = log.segments().unwrap();
    assert_eq!(old.remove_through(found[0].end.sequence - 1).unwrap(), 0);
    let before = log.bytes();
    let removed = old.remove_through(found[1].end.sequence).unwrap();
    assert_eq!(removed, found[0].bytes + found[1].bytes);
    assert_eq!(log.bytes(), before - removed);
    assert_eq!(storage.segments().unwrap()[0], 3);
    assert_eq!(pieces(&log, found[1].end), found[2..]);
    let left = all(&storage);
    assert_eq!(left[0].0, found[1].end.sequence + 1);
    // Whoever asks for what is gone gets what comes next.
    assert_eq!(
        reads_after(storage.as_ref(), &keyring(), 1, 5).unwrap(),
        left[..5]
    );

    // All but the segment in use.
    old.remove_through(u64::MAX).unwrap();
    assert_eq!(storage.segments().unwrap()[0], segments);
    append(&log, 100, Durability::Durable);
    let (seen, bytes) = (log.fsynced(), log.bytes());
    log.close();
    let log = try_open(&storage, seen).unwrap();
    assert_eq!(gaps(&storage), []);
    assert!(log.bytes() > bytes && log.bytes() < bytes + 1_000);
    append(&log, 101, Durability::Durable);
    assert_eq!(numbers(&storage).last(), Some(&101));
}

#[test]
fn a_segment_that_is_closed_early_gives_its_room_back_and_can_go() {
    let (storage, log) = long(3);
    let old = log.segments().unwrap();
    let in_use = old.active_segment().unwrap();
    assert_eq!(
        in_use.began,
        Some(Timestamp::from_millis(1_000)),
        "when it was opened"
    );
    assert_eq!(in_use.bytes, log.bytes());
    assert_eq!(old.next_closed_segment(NONE).unwrap(), None);
    old.roll().unwrap();
    let piece = old.next_closed_segment(NONE).unwrap().unwrap();
    assert_eq!(piece.bytes, storage.size(1).unwrap());
    assert!(piece.bytes < 2_000, "{piece:?}");
    assert_eq!(log.bytes(), piece.bytes + HEADER_BYTES as u64);
    // There is nothing to close: it is not closed again.
    old.roll().unwrap();
    assert_eq!(storage.segments_written(), 2);
    assert_eq!(old.active_segment().unwrap().began, None);
    append(&log, 3, Durability::Durable);
    assert_eq!(
        old.active_segment().unwrap().began,
        Some(Timestamp::from_millis(2_000))
    );
    assert_eq!(numbers(&storage), [0, 1, 2, 3]);
    old.remove_through(piece.end.sequence).unwrap();
    log.close();
    open(&storage).close();
    assert_eq!(numbers(&storage), [3]);
    assert_eq!(gaps(&storage), []);
}

#[test]
fn what_is_not_sound_is_no_piece() {
    let (storage, log) = long(60);
    log.close();
    drop(log);
    let used = records_of_first_segment(&storage).last().unwrap().2;
    let last = last_number(&storage);
    let seen = ReadHead {
        sequence: last,
        hash: hash_at(&storage, last),
    };
    for at in (0..used).step_by(5) {
        let copy = storage.copy();
        let mut bytes = copy.bytes(1);
        bytes[at] ^= 0x10;
        copy.replace(1, bytes);
        // The start looks at the end of the chain alone, and at every header.
        let Ok(log) = try_open(&copy, seen) else { continue };
        let error = log.segments().unwrap().next_closed_segment(NONE).unwrap_err();
        assert!(
            matches!(error, ReadLogError::Damaged { .. }),
            "byte {at}: {error}"
        );
    }
    // The oldest segment is gone, and nobody signed that.
    let copy = storage.copy();
    copy.remove(1);
    let log = try_open(&copy, seen).unwrap();
    let error = log.segments().unwrap().next_closed_segment(NONE).unwrap_err();
    assert!(
        matches!(
            error,
            ReadLogError::Damaged {
                sequence: 1,
                fault: Fault::Beginning { .. }
            }
        ),
        "{error}"
    );
}

/// The last record of all.
fn last_number(storage: &SimulatedStorage) -> u64 {
    all(storage).last().unwrap().0
}

fn hash_at(storage: &SimulatedStorage, sequence: u64) -> [u8; 32] {
    for number in storage.segments().unwrap() {
        for record in walk_all(&storage.bytes(number)) {
            if record.place.sequence == sequence {
                return record.hash;
            }
        }
    }
    panic!("no record {sequence}")
}

#[test]
fn a_power_cut_right_after_a_removal_finds_where_the_chain_goes_on() {
    for early in [false, true] {
        let (storage, log) = long(30);
        let old = log.segments().unwrap();
        if early {
            old.roll().unwrap();
        }
        let cut = pieces(&log, NONE).last().unwrap().end;
        old.remove_through(cut.sequence).unwrap();
        for keep in [false, true] {
            let after = storage.after_power_cut(|_| keep);
            let log = try_open(&after, cut).unwrap_or_else(|error| panic!("{early} {keep}: {error}"));
            append(&log, 100, Durability::Durable);
            assert_eq!(numbers(&after).last(), Some(&100));
        }
    }
}

#[test]
fn a_failed_removal_leaves_the_rest_and_is_made_up_for() {
    let (storage, log) = long(60);
    let old = log.segments().unwrap();
    let found = pieces(&log, NONE);
    let bytes = log.bytes();
    storage.fail_remove(true);
    assert!(old.remove_through(found[1].end.sequence).is_err());
    assert_eq!(storage.segments().unwrap()[0], 1);
    assert_eq!(log.bytes(), bytes);
    append(&log, 60, Durability::Durable);
    storage.fail_remove(false);
    old.remove_through(found[1].end.sequence).unwrap();
    assert_eq!(pieces(&log, found[1].end), found[2..]);
}

#[test]
fn nothing_goes_after_a_failed_fsync() {
    let (storage, log) = long(60);
    let old = log.segments().unwrap();
    let found = pieces(&log, NONE);
    append(&log, 60, Durability::Batched);
    storage.fail_sync(true);
    assert!(old.remove_through(found[1].end.sequence).is_err());
    assert_eq!(storage.segments().unwrap()[0], 1);
}

/// A storage whose first segment is removed between the look at its header and the look at its records.
#[derive(Debug)]
struct Vanishing(Arc<SimulatedStorage>);

impl SegmentStorage for Vanishing {
    fn segments(&self) -> io::Result<Vec<u64>> {
        self.0.segments()
    }

    fn create(&self, segment: u64, bytes: u64) -> io::Result<()> {
        self.0.create(segment, bytes)
    }

    fn size(&self, segment: u64) -> io::Result<u64> {
        self.0.size(segment)
    }

    fn read(&self, segment: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if segment == 1 && out.len() > HEADER_BYTES {
            SegmentStorage::remove(self.0.as_ref(), segment)?;
            return Err(io::ErrorKind::NotFound.into());
        }
        self.0.read(segment, offset, out)
    }

    fn write(&self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write(segment, offset, bytes)
    }

    fn sync(&self, segment: u64) -> io::Result<()> {
        self.0.sync(segment)
    }

    fn shrink(&self, segment: u64, bytes: u64) -> io::Result<()> {
        self.0.shrink(segment, bytes)
    }

    fn remove(&self, segment: u64) -> io::Result<()> {
        SegmentStorage::remove(self.0.as_ref(), segment)
    }
}

#[test]
fn whoever_reads_while_the_oldest_go_gets_what_is_left() {
    let (storage, log) = long(60);
    log.close();
    let first = pieces(&log, NONE)[0].end.sequence;
    let expected: Vec<_> = all(&storage)
        .into_iter()
        .filter(|(sequence, _)| *sequence > first)
        .collect();
    let found = reads_after(&Vanishing(Arc::clone(&storage)), &keyring(), 0, usize::MAX).unwrap();
    assert_eq!(found, expected);
}
