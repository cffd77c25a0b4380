//! The old end: looked at, removed oldest first, and never before what stays is durable.

use super::*;

/// A log over several segments, and its medium.
fn long(entries: u64) -> (Arc<Simulated>, ReadLog) {
    let medium = Arc::new(Simulated::default());
    let log = open(&medium);
    for number in 0..entries {
        append(&log, number, Durability::Batched);
    }
    (medium, log)
}

fn pieces(log: &ReadLog, after: ReadHead) -> Vec<Piece> {
    let old = log.old().unwrap();
    let mut found: Vec<Piece> = Vec::new();
    while let Some(piece) = old
        .next_piece(found.last().map_or(after, |last| last.end))
        .unwrap()
    {
        found.push(piece);
    }
    found
}

#[test]
fn pieces_are_the_closed_segments_and_go_one_by_one() {
    let (medium, log) = long(100);
    let found = pieces(&log, NONE);
    let segments = medium.segments_written();
    assert_eq!(found.len() as u64, segments - 1);
    assert!(found.len() > 3);
    for piece in &found {
        let (_, logged) = all(&medium)
            .into_iter()
            .find(|(sequence, _)| *sequence == piece.end.sequence)
            .unwrap();
        assert_eq!(logged, Logged::Checkpoint);
        assert_eq!(piece.newest, Timestamp::from_millis(2_000));
    }
    let old = log.old().unwrap();
    assert_eq!(old.remove_through(found[0].end.sequence - 1).unwrap(), 0);
    let before = log.bytes();
    let removed = old.remove_through(found[1].end.sequence).unwrap();
    assert_eq!(removed, found[0].bytes + found[1].bytes);
    assert_eq!(log.bytes(), before - removed);
    assert_eq!(medium.segments().unwrap()[0], 3);
    assert_eq!(pieces(&log, found[1].end), found[2..]);
    let left = all(&medium);
    assert_eq!(left[0].0, found[1].end.sequence + 1);
    // Whoever asks for what is gone gets what comes next.
    assert_eq!(reads_after(medium.as_ref(), &keyring(), 1, 5).unwrap(), left[..5]);

    // All but the segment in use.
    old.remove_through(u64::MAX).unwrap();
    assert_eq!(medium.segments().unwrap()[0], segments);
    append(&log, 100, Durability::Durable);
    let (seen, bytes) = (log.fsynced(), log.bytes());
    log.close();
    let log = try_open(&medium, seen).unwrap();
    assert_eq!(gaps(&medium), []);
    assert!(log.bytes() > bytes && log.bytes() < bytes + 1_000);
    append(&log, 101, Durability::Durable);
    assert_eq!(numbers(&medium).last(), Some(&101));
}

#[test]
fn a_segment_that_is_closed_early_gives_its_room_back_and_can_go() {
    let (medium, log) = long(3);
    let old = log.old().unwrap();
    let in_use = old.in_use().unwrap();
    assert_eq!(
        in_use.began,
        Some(Timestamp::from_millis(1_000)),
        "when it was opened"
    );
    assert_eq!(in_use.bytes, log.bytes());
    assert_eq!(old.next_piece(NONE).unwrap(), None);
    old.roll().unwrap();
    let piece = old.next_piece(NONE).unwrap().unwrap();
    assert_eq!(piece.bytes, medium.size(1).unwrap());
    assert!(piece.bytes < 2_000, "{piece:?}");
    assert_eq!(log.bytes(), piece.bytes + HEADER as u64);
    // There is nothing to close: it is not closed again.
    old.roll().unwrap();
    assert_eq!(medium.segments_written(), 2);
    assert_eq!(old.in_use().unwrap().began, None);
    append(&log, 3, Durability::Durable);
    assert_eq!(old.in_use().unwrap().began, Some(Timestamp::from_millis(2_000)));
    assert_eq!(numbers(&medium), [0, 1, 2, 3]);
    old.remove_through(piece.end.sequence).unwrap();
    log.close();
    open(&medium).close();
    assert_eq!(numbers(&medium), [3]);
    assert_eq!(gaps(&medium), []);
}

#[test]
fn what_is_not_sound_is_no_piece() {
    let (medium, log) = long(60);
    log.close();
    drop(log);
    let used = records_of_first_segment(&medium).last().unwrap().2;
    let last = last_number(&medium);
    let seen = ReadHead {
        sequence: last,
        hash: hash_at(&medium, last),
    };
    for at in (0..used).step_by(5) {
        let copy = medium.copy();
        let mut bytes = copy.bytes(1);
        bytes[at] ^= 0x10;
        copy.replace(1, bytes);
        // The start looks at the end of the chain alone, and at every header.
        let Ok(log) = try_open(&copy, seen) else { continue };
        let error = log.old().unwrap().next_piece(NONE).unwrap_err();
        assert!(
            matches!(error, ReadLogError::Damaged { .. }),
            "byte {at}: {error}"
        );
    }
    // The oldest segment is gone, and nobody signed that.
    let copy = medium.copy();
    copy.remove(1);
    let log = try_open(&copy, seen).unwrap();
    let error = log.old().unwrap().next_piece(NONE).unwrap_err();
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
fn last_number(medium: &Simulated) -> u64 {
    all(medium).last().unwrap().0
}

fn hash_at(medium: &Simulated, sequence: u64) -> [u8; 32] {
    for number in medium.segments().unwrap() {
        for record in walk_all(&medium.bytes(number)) {
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
        let (medium, log) = long(30);
        let old = log.old().unwrap();
        if early {
            old.roll().unwrap();
        }
        let cut = pieces(&log, NONE).last().unwrap().end;
        old.remove_through(cut.sequence).unwrap();
        for keep in [false, true] {
            let after = medium.after_power_cut(|_| keep);
            let log = try_open(&after, cut).unwrap_or_else(|error| panic!("{early} {keep}: {error}"));
            append(&log, 100, Durability::Durable);
            assert_eq!(numbers(&after).last(), Some(&100));
        }
    }
}

#[test]
fn a_failed_removal_leaves_the_rest_and_is_made_up_for() {
    let (medium, log) = long(60);
    let old = log.old().unwrap();
    let found = pieces(&log, NONE);
    let bytes = log.bytes();
    medium.fail_remove(true);
    assert!(old.remove_through(found[1].end.sequence).is_err());
    assert_eq!(medium.segments().unwrap()[0], 1);
    assert_eq!(log.bytes(), bytes);
    append(&log, 60, Durability::Durable);
    medium.fail_remove(false);
    old.remove_through(found[1].end.sequence).unwrap();
    assert_eq!(pieces(&log, found[1].end), found[2..]);
}

#[test]
fn nothing_goes_after_a_failed_fsync() {
    let (medium, log) = long(60);
    let old = log.old().unwrap();
    let found = pieces(&log, NONE);
    append(&log, 60, Durability::Batched);
    medium.fail_sync(true);
    assert!(old.remove_through(found[1].end.sequence).is_err());
    assert_eq!(medium.segments().unwrap()[0], 1);
}

/// A medium whose first segment is removed between the look at its header and the look at its records.
#[derive(Debug)]
struct Vanishing(Arc<Simulated>);

impl Medium for Vanishing {
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
        if segment == 1 && out.len() > HEADER {
            Medium::remove(self.0.as_ref(), segment)?;
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
        Medium::remove(self.0.as_ref(), segment)
    }
}

#[test]
fn whoever_reads_while_the_oldest_go_gets_what_is_left() {
    let (medium, log) = long(60);
    log.close();
    let first = pieces(&log, NONE)[0].end.sequence;
    let expected: Vec<_> = all(&medium)
        .into_iter()
        .filter(|(sequence, _)| *sequence > first)
        .collect();
    let found = reads_after(&Vanishing(Arc::clone(&medium)), &keyring(), 0, usize::MAX).unwrap();
    assert_eq!(found, expected);
}
