use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);
const MIB: u64 = 1 << 20;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn limits(
    keep_for: Option<Duration>,
    keep: Option<u64>,
    bound: Option<u64>,
    full: WhenFull,
) -> RetentionLimits {
    RetentionLimits::new(keep_for, keep, bound, full).unwrap()
}

#[test]
fn nothing_goes_within_the_limits_and_not_each_second_beyond_them() {
    let goal = |limits: &RetentionLimits, bytes, oldest: i64, now| {
        Goal::from_limits(limits, bytes, Some(at(oldest)), now)
    };
    assert_eq!(
        goal(
            &RetentionLimits::default(),
            u64::MAX,
            0,
            Some(at(i64::MAX / 1_000))
        ),
        None
    );
    let day = limits(Some(24 * HOUR), None, None, WhenFull::Stop);
    let now = 100 * 3_600;
    assert_eq!(
        goal(&day, 0, now - 24 * 3_600 - 3_000, Some(at(now))),
        None,
        "within the slack"
    );
    let old = now - 25 * 3_600 - 1;
    let expected = Goal {
        before: Some(at(now - 24 * 3_600)),
        bytes: 0,
    };
    assert_eq!(goal(&day, 0, old, Some(at(now))), Some(expected));
    assert_eq!(goal(&day, 0, old, None), None, "a clock that jumped");
    assert_eq!(
        Goal::from_limits(&day, 0, None, Some(at(now))),
        None,
        "an empty log"
    );

    let size = limits(None, Some(16 * MIB), None, WhenFull::Stop);
    let bytes = |limits: &RetentionLimits, bytes| goal(limits, bytes, 0, None).map(|goal| goal.bytes);
    assert_eq!(bytes(&size, 16 * MIB), None);
    assert_eq!(bytes(&size, 16 * MIB + 5), Some(MIB + 5));

    let full = limits(Some(HOUR), None, Some(16 * MIB), WhenFull::DropExported);
    assert_eq!(bytes(&full, 15 * MIB), None);
    assert_eq!(bytes(&full, 15 * MIB + 1), Some(MIB + 1));
    let stop = limits(Some(HOUR), None, Some(16 * MIB), WhenFull::Stop);
    assert_eq!(bytes(&stop, 16 * MIB), None, "nothing goes that is to be kept");
}

/// A change a second, each of which saw ten reads more, and pieces of a hundred reads.
fn chains(changes: u64) -> (Vec<OldestChange>, Vec<ClosedSegment>) {
    let made = (1..=changes)
        .map(|sequence| OldestChange {
            sequence,
            seen: sequence * 10,
            bytes: 100,
            time: at(i64::try_from(sequence).unwrap()),
        })
        .collect();
    let pieces = (1..=changes / 10)
        .map(|number| ClosedSegment {
            end: ReadHead {
                sequence: number * 100,
                hash: [u8::try_from(number).unwrap_or(0); 32],
            },
            newest: at(i64::try_from(number * 10).unwrap()),
            bytes: 10_000,
        })
        .collect();
    (made, pieces)
}

fn planned(
    goal: Goal,
    changes: &[OldestChange],
    pieces: &[ClosedSegment],
    exported: (u64, u64),
) -> (u64, u64) {
    let old = OldestRecords {
        changes,
        pieces,
        exported,
    };
    let plan = plan(&goal, &old);
    let reads = plan.and_then(|plan| plan.reads).map_or(0, |reads| reads.sequence);
    (plan.and_then(|plan| plan.changes).unwrap_or(0), reads)
}

const ALL: (u64, u64) = (u64::MAX, u64::MAX);

fn by_age(seconds: i64) -> Goal {
    Goal {
        before: Some(at(seconds)),
        bytes: 0,
    }
}

const fn by_size(bytes: u64) -> Goal {
    Goal { before: None, bytes }
}

#[test]
fn what_is_older_goes_and_a_piece_goes_once_all_of_it_is() {
    let (changes, pieces) = chains(50);
    assert_eq!(planned(by_age(1), &changes, &pieces, ALL), (0, 0));
    assert_eq!(planned(by_age(15), &changes, &pieces, ALL), (14, 100));
    assert_eq!(planned(by_age(20), &changes, &pieces, ALL), (19, 100));
    assert_eq!(planned(by_age(21), &changes, &pieces, ALL), (20, 200));
    assert_eq!(
        planned(by_age(1_000), &changes, &pieces, ALL),
        (49, 500),
        "the last change stays"
    );
}

#[test]
fn by_size_the_oldest_of_both_go_until_it_fits() {
    let (changes, pieces) = chains(50);
    assert_eq!(planned(by_size(1), &changes, &pieces, ALL), (1, 0));
    assert_eq!(planned(by_size(900), &changes, &pieces, ALL), (9, 0));
    assert_eq!(planned(by_size(901), &changes, &pieces, ALL), (9, 100));
    assert_eq!(planned(by_size(10_901), &changes, &pieces, ALL), (10, 100));
}

#[test]
fn what_a_reader_has_not_got_stays_and_so_do_changes_that_saw_what_goes() {
    let (changes, pieces) = chains(50);
    assert_eq!(planned(by_age(1_000), &changes, &pieces, (0, 0)), (0, 0));
    assert_eq!(planned(by_age(1_000), &changes, &pieces, (7, 500)), (7, 0));
    assert_eq!(planned(by_age(1_000), &changes, &pieces, (50, 99)), (49, 0));
    assert_eq!(planned(by_age(1_000), &changes, &pieces, (12, 500)), (12, 100));
    assert_eq!(planned(by_age(1_000), &changes[..1], &pieces, ALL), (0, 0));
}

proptest! {
    #[test]
    fn whatever_the_chains_are_nothing_goes_that_must_stay(
        steps in proptest::collection::vec((0_u64..30, 0_i64..20, 1_u64..500), 1..60),
        ends in proptest::collection::vec((1_u64..200, 0_i64..40), 0..12),
        exported in (0_u64..70, 0_u64..2_000),
        before in proptest::option::of(0_i64..800),
        bytes in 0_u64..20_000,
    ) {
        let (mut seen, mut second) = (0, 0);
        let mut changes = Vec::new();
        for (sequence, (more, later, size)) in (1_u64..).zip(steps) {
            seen += more;
            second += later;
            changes.push(OldestChange { sequence, seen, bytes: size, time: at(second) });
        }
        let (mut end, mut second) = (0, 0);
        let mut pieces = Vec::new();
        for (more, later) in ends {
            end += more;
            second += later;
            let end = ReadHead { sequence: end, hash: [1; 32] };
            pieces.push(ClosedSegment { end, newest: at(second), bytes: 1_000 });
        }
        let goal = Goal { before: before.map(at), bytes };
        let (change, read) = planned(goal, &changes, &pieces, exported);
        prop_assert!(change <= exported.0 && read <= exported.1);
        prop_assert!(change < changes.len() as u64);
        let stays = &changes[usize::try_from(change).unwrap()];
        prop_assert!(stays.seen >= read, "the first that stays saw {} and {read} go", stays.seen);
        if bytes == 0 {
            let limit = before.map_or(at(0), at);
            prop_assert!(changes.iter().take(usize::try_from(change).unwrap()).all(|gone| gone.time < limit));
            prop_assert!(pieces.iter().filter(|piece| piece.end.sequence <= read).all(|gone| gone.newest < limit));
        }
    }
}

#[test]
fn the_segment_in_use_is_closed_before_its_records_are_too_old() {
    let in_use = |began: Option<i64>, bytes| ActiveSegment {
        began: began.map(at),
        bytes,
    };
    let days = limits(Some(80 * 24 * HOUR), None, None, WhenFull::Stop);
    let ten = 10 * 24 * 3_600;
    assert!(!roll_is_due(&days, &in_use(Some(0), 5 * MIB), Some(at(ten))));
    assert!(roll_is_due(&days, &in_use(Some(0), 5), Some(at(ten + 1))));
    assert!(!roll_is_due(&days, &in_use(Some(0), 5), None));
    assert!(!roll_is_due(&days, &in_use(None, 80), Some(at(ten + 1))));
    let size = limits(None, Some(8 * MIB), None, WhenFull::Stop);
    assert!(!roll_is_due(&size, &in_use(Some(0), MIB - 1), None));
    assert!(roll_is_due(&size, &in_use(Some(0), MIB), None));
    let bound = limits(None, None, Some(8 * MIB), WhenFull::Stop);
    assert!(!roll_is_due(&bound, &in_use(Some(0), 9 * MIB), None));
}
