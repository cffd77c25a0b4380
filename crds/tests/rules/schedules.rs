//! When a schedule rotates.

use serde_json::{Value, json};

use super::{accepted, refused, schedule};

#[test]
fn schedules_do_not_contradict_themselves() {
    let when = "spec.schedule: set exactly one of every, cron";
    let what = "spec.secrets: set exactly one of names, selector";
    for (fields, expected) in [
        (json!({"schedule": {}}), when),
        (json!({"schedule": {"every": "1d", "cron": "0 3 * * *"}}), when),
        (
            json!({"schedule": {"every": "1d", "timeZone": "UTC"}}),
            "spec.schedule.timeZone: timeZone belongs to cron",
        ),
        (json!({"secrets": {}}), what),
        (json!({"secrets": {"names": ["a"], "selector": {}}}), what),
        (
            json!({"window": {"start": "02:00", "end": "02:00"}}),
            "spec.window: start and end are equal",
        ),
    ] {
        refused(&schedule(fields), expected);
    }
    let every = |every: &str| schedule(json!({"schedule": {"every": every}}));
    for time in ["30s", "3651d", "9999d", "522w", "99999w", "10000h"] {
        refused(&every(time), "spec.schedule.every: every must be 1m to 3650d");
    }
    for time in ["1m", "99999m", "9999h", "1d", "3650d", "3599d", "521w"] {
        accepted(&every(time));
    }
}

fn jittering(when: Value, jitter: &str) -> Value {
    schedule(json!({"schedule": when, "jitter": jitter}))
}

#[test]
fn jitter_is_no_longer_than_the_interval() {
    let every = |every: &str, jitter: &str| jittering(json!({"every": every}), jitter);
    for (interval, jitter) in [
        ("1h", "30d"),
        ("1d", "25h"),
        ("59m", "1h"),
        ("1w", "8d"),
        ("90m", "5401s"),
    ] {
        refused(
            &every(interval, jitter),
            "spec.jitter: jitter is longer than schedule.every",
        );
    }
    for (interval, jitter) in [
        ("30d", "1h"),
        ("1d", "24h"),
        ("1w", "7d"),
        ("90m", "5400s"),
        ("3650d", "521w"),
    ] {
        accepted(&every(interval, jitter));
    }
}

#[test]
fn jitter_is_no_longer_than_the_time_between_two_times_of_the_calendar() {
    for (cron, fits, long) in [
        ("* * * * *", "60s", "61s"),
        ("*/15 * * * *", "15m", "16m"),
        ("30 * * * *", "1h", "61m"),
        ("*/5 3 * * *", "5m", "6m"),
        ("0 3 * * *", "24h", "25h"),
        ("0 3 * * MON", "1w", "30d"),
        ("0 3 * * 1", "7d", "8d"),
        ("0 3 1 * *", "31d", "32d"),
    ] {
        accepted(&jittering(json!({"cron": cron}), fits));
        refused(
            &jittering(json!({"cron": cron}), long),
            "spec.jitter: jitter is longer than the time from one time of schedule.cron to the next",
        );
    }
    // What the text does not tell at a glance is the controller's to say.
    for cron in [
        "0 1,13 * * *",
        "5 */6 * * *",
        "0 3 * * MON-FRI",
        "0 3 * * MON#1",
        "0 3 1 1 *",
    ] {
        accepted(&jittering(json!({"cron": cron}), "30d"));
    }
}
