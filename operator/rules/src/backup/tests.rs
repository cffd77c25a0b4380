use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::schedule::Calendar;

fn at(hours: i64) -> Timestamp {
    Timestamp::from_second(1_795_465_320 + hours * 3_600).unwrap()
}

fn slots(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn a_backup_is_due_at_first_by_the_schedule_and_for_a_new_recovery_slot() {
    // Each day at three.
    let calendar = Calendar::parse("0 3 * * *", None).unwrap();
    let three: Timestamp = "2026-11-24T03:00:00Z".parse().unwrap();
    let (none, one, two) = (slots(&[]), slots(&["a"]), slots(&["a", "b"]));
    // It was taken at 2026-11-23T20:22:00Z.
    let due = |newest, slots, now| backup_due(&calendar, newest, slots, now).unwrap();
    assert_eq!(due(None, &one, at(0)), Due::Now(BackupCause::First));
    assert_eq!(due(Some((at(0), &one)), &one, at(1)), Due::At(three));
    assert_eq!(
        due(Some((at(0), &one)), &none, at(1)),
        Due::At(three),
        "a slot that went makes none"
    );
    assert_eq!(
        due(Some((at(0), &one)), &two, at(1)),
        Due::Now(BackupCause::RecoverySlot)
    );
    assert_eq!(
        due(Some((at(0), &one)), &one, three),
        Due::Now(BackupCause::Schedule)
    );
    // However long nobody looked, one is due, and then the next day's.
    assert_eq!(
        due(Some((at(0), &one)), &one, at(1_000)),
        Due::Now(BackupCause::Schedule)
    );
    assert!(matches!(due(Some((at(1_000), &one)), &one, at(1_000)), Due::At(next) if next > at(1_000)));
}

#[test]
fn a_drill_is_due_by_its_schedule() {
    let calendar = Calendar::parse("0 5 * * SUN", Some("Europe/Berlin")).unwrap();
    let sunday: Timestamp = "2026-11-29T04:00:00Z".parse().unwrap();
    assert_eq!(drill_due(&calendar, at(0), at(1)).unwrap(), Due::At(sunday));
    assert_eq!(drill_due(&calendar, at(0), sunday).unwrap(), Due::Now(()));
}

#[test]
fn a_schedule_that_means_nothing_is_told() {
    for (cron, zone, told) in [
        ("at night", None, "is not a cron expression"),
        ("0 3 * *", None, "is not a cron expression"),
        ("0 0 31 2 *", None, "never occurs"),
        ("0 3 * * *", Some("Europe/Bern-Nord"), "is not an IANA time zone"),
    ] {
        let error = Calendar::parse(cron, zone).unwrap_err().to_string();
        assert!(error.contains(told), "{cron}: {error}");
    }
}

#[test]
fn failures_are_waited_for_longer_and_longer() {
    let waits = [1, 2, 3, 6, 40, u32::MAX].map(retry_delay);
    let seconds = [30, 60, 120, 900, 900, 900].map(Duration::from_secs);
    assert_eq!(waits, seconds);
}

fn backup(name: &str, hours: i64, verified: bool) -> StoredBackup {
    StoredBackup {
        name: name.to_owned(),
        taken: at(hours),
        verified,
    }
}

fn gone(all: &[StoredBackup], limits: BackupLimits, now: Timestamp) -> Vec<&str> {
    let mut gone: Vec<&str> = superfluous(all, limits, now)
        .into_iter()
        .map(|backup| backup.name.as_str())
        .collect();
    gone.sort_unstable();
    gone
}

#[test]
fn backups_go_by_number_and_by_age() {
    let all = [
        backup("a", 0, true),
        backup("b", 24, true),
        backup("b-failed", 30, false),
        backup("c", 48, true),
        backup("d-under-way", 72, false),
    ];
    let limits = |count, hours: Option<i64>| BackupLimits {
        count,
        age: hours.map(SignedDuration::from_hours),
    };
    assert_eq!(gone(&all, limits(None, None), at(80)), ["b-failed"]);
    assert_eq!(gone(&all, limits(Some(2), None), at(80)), ["a", "b-failed"]);
    assert_eq!(gone(&all, limits(Some(3), Some(60)), at(80)), ["a", "b-failed"]);
    assert_eq!(
        gone(&all, limits(Some(1), Some(1)), at(999)),
        ["a", "b", "b-failed"]
    );
    assert_eq!(
        gone(&all[2..3], limits(Some(1), Some(1)), at(999)),
        [""; 0],
        "nothing verified is there"
    );
}

proptest! {
    #[test]
    fn the_newest_verified_backup_never_goes(
        taken in proptest::collection::vec((-50_i64..50, any::<bool>()), 0..20),
        count in proptest::option::of(0_u32..5),
        age in proptest::option::of(0_i64..100),
        now in -100_i64..200,
    ) {
        let all: Vec<StoredBackup> = taken
            .iter()
            .enumerate()
            .map(|(number, (hours, verified))| backup(&format!("backup-{number}"), *hours, *verified))
            .collect();
        let limits = BackupLimits { count, age: age.map(SignedDuration::from_hours) };
        let gone = superfluous(&all, limits, at(now));
        let newest = all.iter().filter(|backup| backup.verified).map(|backup| backup.taken).max();
        let kept: Vec<&StoredBackup> = all.iter().filter(|backup| !gone.contains(backup)).collect();
        match newest {
            None => prop_assert!(gone.is_empty()),
            Some(newest) => {
                prop_assert!(kept.iter().any(|backup| backup.verified && backup.taken == newest));
                // Nothing that is under way goes, and nothing is kept that is beyond the limits.
                prop_assert!(gone.iter().all(|backup| backup.verified || backup.taken < newest));
                let verified = kept.iter().filter(|backup| backup.verified).count();
                if let Some(count) = count {
                    prop_assert!(verified <= usize::try_from(count.max(1)).unwrap());
                }
                if let Some(age) = limits.age {
                    let old = |backup: &&&StoredBackup| backup.verified && at(now).duration_since(backup.taken) > age;
                    prop_assert!(kept.iter().filter(old).count() <= 1);
                }
            }
        }
    }
}

#[test]
fn reads_go_with_the_backups_of_their_time() {
    let limits = |hours: Option<i64>| BackupLimits {
        count: Some(1),
        age: hours.map(SignedDuration::from_hours),
    };
    let goes = |oldest, age| reads_are_superfluous(at(0), oldest, limits(age), at(100));
    assert!(goes(Some(at(1)), Some(99)));
    assert!(!goes(Some(at(1)), Some(100)), "a backup may be as old");
    assert!(!goes(Some(at(0)), Some(10)), "a backup is as old");
    assert!(!goes(None, Some(10)), "there is no backup");
    assert!(!goes(Some(at(1)), None), "there is no limit by age");
}
