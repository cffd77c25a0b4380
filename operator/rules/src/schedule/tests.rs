use proptest::prelude::*;
use strongroom_crds::v1alpha1::{GenerateRotator, Rotator, Schedule, ScheduledSecrets, Weekday, Window};

use super::*;

fn spec(schedule: Schedule, window: Option<Window>, jitter: Option<&str>) -> RotationScheduleSpec {
    RotationScheduleSpec {
        secrets: ScheduledSecrets::default(),
        schedule,
        window,
        jitter: jitter.map(|text| text.parse().expect("a period")),
        rotator: Rotator::Generate(GenerateRotator::default()),
        suspend: None,
    }
}

fn every(text: &str) -> Schedule {
    Schedule {
        every: Some(text.parse().expect("a period")),
        ..Schedule::default()
    }
}

fn cron(text: &str, zone: &str) -> Schedule {
    Schedule {
        cron: Some(text.into()),
        time_zone: Some(zone.into()),
        ..Schedule::default()
    }
}

fn window(days: Option<Vec<Weekday>>, start: &str, end: &str, zone: &str) -> Option<Window> {
    Some(Window {
        days,
        start: start.into(),
        end: end.into(),
        time_zone: Some(zone.into()),
    })
}

const WHO: JitterSeed<'static> = JitterSeed {
    schedule_uid: "uid",
    secret_id: &[7; 16],
};

fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

fn timetable(spec: &RotationScheduleSpec) -> Timetable {
    Timetable::parse(spec).expect("understood")
}

/// What is due next, seen from the moment of the last rotation.
fn next(timetable: &Timetable, last: &str) -> String {
    timetable
        .next_due(at(last), at(last), WHO)
        .expect("a time")
        .to_string()
}

#[test]
fn every_counts_from_the_last_rotation() {
    let timetable = timetable(&spec(every("30d"), None, None));
    assert_eq!(next(&timetable, "2026-01-01T12:00:00Z"), "2026-01-31T12:00:00Z");
}

#[test]
fn after_a_pause_a_secret_rotates_once() {
    for schedule in [every("1h"), cron("0 * * * *", "UTC")] {
        let timetable = timetable(&spec(schedule, None, None));
        let now = at("2026-03-01T10:30:00Z");
        let due = timetable
            .next_due(at("2026-01-01T00:00:00Z"), now, WHO)
            .expect("a time");
        assert!(due <= now, "it is due");
        assert_eq!(
            due,
            timetable
                .next_due(at("2026-01-01T00:00:00Z"), at("2026-03-02T00:00:00Z"), WHO)
                .expect("a time")
        );
        let after = timetable.next_due(now, now, WHO).expect("a time");
        assert!(after > now, "and after that rotation not any more");
    }
}

/// Berlin's clock skips 02:00 to 03:00 on 2026-03-29 and repeats 02:00 to 03:00 on 2026-10-25.
#[test]
fn fixed_times_survive_summer_time() {
    let table = [
        ("30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
        ("30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
        ("30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
        ("30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        ("0 3 * * MON", "2026-03-24T12:00:00Z", "2026-03-30T01:00:00Z"),
        ("0 0 1 * *", "2026-03-15T00:00:00Z", "2026-03-31T22:00:00Z"),
        ("0 0 29 2 *", "2026-03-01T00:00:00Z", "2028-02-28T23:00:00Z"),
    ];
    for (expression, last, expected) in table {
        let timetable = timetable(&spec(cron(expression, "Europe/Berlin"), None, None));
        assert_eq!(next(&timetable, last), expected, "{expression} after {last}");
    }
}

#[test]
fn repeating_times_follow_elapsed_time() {
    let timetable = timetable(&spec(cron("*/30 * * * *", "Europe/Berlin"), None, None));
    let mut last = at("2026-10-24T23:00:00Z");
    for _ in 0..12 {
        let due = timetable.next_due(last, last, WHO).expect("a time");
        assert_eq!(
            due.duration_since(last),
            SignedDuration::from_mins(30),
            "after {last}"
        );
        last = due;
    }
}

#[test]
fn a_rotation_waits_for_its_window() {
    let nights = window(None, "22:00", "04:00", "Europe/Berlin");
    let timetable = timetable(&spec(every("1d"), nights, None));
    for (last, expected) in [
        ("2026-01-01T22:30:00Z", "2026-01-02T22:30:00Z"),
        ("2026-01-01T02:59:00Z", "2026-01-02T02:59:00Z"),
        ("2026-01-01T03:00:00Z", "2026-01-02T21:00:00Z"),
        ("2026-01-01T12:00:00Z", "2026-01-02T21:00:00Z"),
        ("2026-06-01T12:00:00Z", "2026-06-02T20:00:00Z"),
    ] {
        assert_eq!(next(&timetable, last), expected, "after {last}");
    }
    let missed = timetable.next_due(at("2026-01-01T12:00:00Z"), at("2026-01-10T12:00:00Z"), WHO);
    assert_eq!(
        missed,
        Ok(at("2026-01-10T21:00:00Z")),
        "a missed window is not caught up outside one"
    );
    let open = timetable.next_due(at("2026-01-01T12:00:00Z"), at("2026-01-10T21:30:00Z"), WHO);
    assert_eq!(open, Ok(at("2026-01-02T21:00:00Z")), "inside one it is due");
}

#[test]
fn a_window_belongs_to_the_day_it_opens_on() {
    let fridays = window(Some(vec![Weekday::Fri]), "23:00", "01:00", "UTC");
    let timetable = timetable(&spec(every("1d"), fridays, None));
    // 2026-01-02 is a Friday.
    assert_eq!(next(&timetable, "2026-01-02T00:30:00Z"), "2026-01-03T00:30:00Z");
    assert_eq!(next(&timetable, "2026-01-01T00:30:00Z"), "2026-01-02T23:00:00Z");
    assert_eq!(next(&timetable, "2026-01-03T00:30:00Z"), "2026-01-09T23:00:00Z");
}

#[test]
fn a_window_in_the_skipped_hour_still_opens() {
    let inside_gap = window(None, "02:15", "02:45", "Europe/Berlin");
    let timetable = timetable(&spec(every("1d"), inside_gap, None));
    assert_eq!(next(&timetable, "2026-03-28T00:50:00Z"), "2026-03-29T01:15:00Z");
}

#[test]
fn what_means_nothing_is_refused() {
    let no_cron = |text: &str| {
        let refused = ScheduleError::Cron { cron: text.into() };
        (spec(cron(text, "UTC"), None, None), refused)
    };
    let cases = [
        (spec(Schedule::default(), None, None), ScheduleError::NotOne),
        (
            spec(
                Schedule {
                    cron: Some("0 3 * * *".into()),
                    ..every("1d")
                },
                None,
                None,
            ),
            ScheduleError::NotOne,
        ),
        no_cron("0 3 * *"),
        no_cron("61 3 * * *"),
        no_cron("0 0 3 * * *"),
        (
            spec(cron("0 0 30 2 *", "UTC"), None, None),
            ScheduleError::Never {
                cron: "0 0 30 2 *".into(),
            },
        ),
        (
            spec(cron("0 3 * * *", "Europe/Atlantis"), None, None),
            ScheduleError::TimeZone {
                zone: "Europe/Atlantis".into(),
            },
        ),
        (
            spec(every("1d"), window(None, "24:00", "01:00", "UTC"), None),
            ScheduleError::TimeOfDay { time: "24:00".into() },
        ),
        (
            spec(every("1d"), window(None, "01:00", "01:00", "UTC"), None),
            ScheduleError::EmptyWindow,
        ),
    ];
    for (spec, error) in cases {
        assert_eq!(Timetable::parse(&spec).err(), Some(error), "{:?}", spec.schedule);
    }
}

#[test]
fn jitter_spreads_secrets() {
    let timetable = timetable(&spec(cron("0 3 * * *", "UTC"), None, Some("1h")));
    let last = at("2026-01-01T12:00:00Z");
    let times: std::collections::BTreeSet<Timestamp> = (0..100)
        .map(|n| {
            let who = JitterSeed {
                schedule_uid: "uid",
                secret_id: &[n; 16],
            };
            timetable.next_due(last, last, who).expect("a time")
        })
        .collect();
    assert!(times.len() > 90, "{} different times", times.len());
    assert!(
        times
            .iter()
            .all(|time| (at("2026-01-02T03:00:00Z")..at("2026-01-02T04:00:00Z")).contains(time))
    );
}

#[test]
fn a_jitter_longer_than_the_least_gap_is_found() {
    let gap = |schedule, jitter| timetable(&spec(schedule, None, Some(jitter))).gap_below_jitter();
    let berlin = |text| cron(text, "Europe/Berlin");
    for (schedule, fits, long, least) in [
        (every("1h"), "1h", "61m", 3_600),
        (berlin("* * * * *"), "60s", "61s", 60),
        (berlin("*/45 * * * *"), "15m", "16m", 900),
        (berlin("0 1,4,13 * * *"), "3h", "4h", 10_800),
        (berlin("0 3 * * *"), "24h", "25h", 86_400),
        (berlin("0 3 * * MON-FRI"), "1d", "2d", 86_400),
        (berlin("0 3 1 * *"), "28d", "29d", 28 * 86_400),
        (berlin("0 3 1 1 *"), "365d", "366d", 365 * 86_400),
    ] {
        assert_eq!(gap(schedule.clone(), fits), None, "{schedule:?}");
        assert!(
            gap(schedule.clone(), long).is_some_and(|gap| gap >= least),
            "{schedule:?}"
        );
    }
    let without = timetable(&spec(berlin("* * * * *"), None, None));
    assert_eq!(without.gap_below_jitter(), None);
}

fn schedules() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        (1_u32..5000).prop_map(|minutes| every(&format!("{minutes}m"))),
        (
            0_u8..60,
            0_u8..24,
            prop_oneof![
                "Europe/Berlin",
                "America/New_York",
                "Asia/Kathmandu",
                "Australia/Lord_Howe"
            ]
        )
            .prop_map(|(minute, hour, zone)| cron(&format!("{minute} {hour} * * *"), &zone)),
        (1_u8..59).prop_map(|step| cron(&format!("*/{step} * * * *"), "America/St_Johns")),
    ]
}

fn windows() -> impl Strategy<Value = Option<Window>> {
    proptest::option::of(
        (0_u8..24, 0_u8..60, 0_u8..24, 0_u8..60).prop_map(|(h, m, eh, em)| {
            let end = if (h, m) == (eh, em) {
                format!("{eh:02}:{:02}", (em + 1) % 60)
            } else {
                format!("{eh:02}:{em:02}")
            };
            Window {
                days: None,
                start: format!("{h:02}:{m:02}"),
                end,
                time_zone: Some("Europe/Berlin".into()),
            }
        }),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_due_comes_after_the_last_and_inside_the_window(
        schedule in schedules(), window in windows(), jitter in 0_u32..200, last in 1_700_000_000_i64..1_900_000_000,
        pause in 0_i64..10_000_000, secret: [u8; 16],
    ) {
        let jitter = (jitter > 0).then(|| format!("{jitter}m"));
        let timetable = timetable(&spec(schedule, window, jitter.as_deref()));
        let last = Timestamp::from_second(last).expect("in range");
        let now = later(last, pause.unsigned_abs()).expect("in range");
        let who = JitterSeed { schedule_uid: "uid", secret_id: &secret };
        let due = timetable.next_due(last, now, who).expect("a time");
        prop_assert!(due > last);
        prop_assert_eq!(due, timetable.next_due(last, now, who).expect("a time"), "the same answer twice");
        if let Some(window) = &timetable.window {
            let runs = due.max(now);
            prop_assert!(window.contains(runs).expect("in range"), "it runs at {} inside the window", runs);
        }
        prop_assert!(timetable.next_due(due.max(now), due.max(now), who).expect("a time") > due.max(now), "once");
    }

    #[test]
    fn any_text_gives_an_answer(text in ".{0,40}", zone in ".{0,20}", start in ".{0,6}") {
        let _ = Timetable::parse(&spec(cron(&text, &zone), window(None, &start, "01:00", &zone), None));
    }
}
