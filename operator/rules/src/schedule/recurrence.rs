//! The times at which a rotation comes back.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use strongroom_crds::v1alpha1::Schedule;

use super::{ScheduleError, later, time_zone};

/// A cron expression of five fields names no two times that are nearer, in seconds.
const MIN_GAP_SECONDS: u64 = 60;
/// How many times of a calendar are looked at to find its least gap, and how far ahead.
const MAX_OCCURRENCES: usize = 512;
const MAX_LOOKAHEAD: SignedDuration = SignedDuration::from_hours(24 * 400);

#[derive(Debug)]
pub(super) enum Recurrence {
    /// A number of seconds after the last one.
    Every(u64),
    /// Times of the calendar.
    Calendar { cron: Box<Cron>, zone: TimeZone },
}

impl Recurrence {
    pub(super) fn parse(schedule: &Schedule) -> Result<Self, ScheduleError> {
        match (schedule.every, &schedule.cron) {
            (Some(every), None) => Ok(Self::Every(every.seconds().unsigned_abs())),
            (None, Some(text)) => calendar(text, schedule.time_zone.as_deref()),
            _ => Err(ScheduleError::NotOne),
        }
    }

    /// The first time after `last`, for one that is then delayed by `wait` seconds: it is after `last`
    /// together with the delay, so that a delay longer than the distance of two times skips none.
    pub(super) fn after(&self, last: Timestamp, wait: u64) -> Result<Timestamp, ScheduleError> {
        match self {
            Self::Every(seconds) => later(last, *seconds),
            Self::Calendar { cron, zone } => {
                let wait = SignedDuration::from_secs(
                    i64::try_from(wait).map_err(|_| ScheduleError::BeyondCalendar)?,
                );
                let from = last
                    .checked_sub(wait)
                    .map_err(|_| ScheduleError::BeyondCalendar)?;
                let next = cron
                    .find_next_occurrence(&from.to_zoned(zone.clone()), false)
                    .map_err(|_| ScheduleError::BeyondCalendar)?;
                Ok(next.timestamp())
            }
        }
    }

    /// The time between two times that follow each other, in seconds, where one is found that is less than
    /// `bound`. The calendar is gone through as UTC has it: that the clock is put forward makes no schedule
    /// wrong.
    pub(super) fn gap_below(&self, bound: u64) -> Option<u64> {
        let cron = match self {
            Self::Every(seconds) => return Some(*seconds).filter(|seconds| *seconds < bound),
            Self::Calendar { cron, .. } => cron,
        };
        if bound <= MIN_GAP_SECONDS {
            return None;
        }
        let mut times = cron
            .iter_after(Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC))
            .take(MAX_OCCURRENCES)
            .map(|time| time.timestamp());
        let first = times.next()?;
        let mut before = first;
        for time in times {
            let gap = time.duration_since(before).as_secs().unsigned_abs();
            if gap < bound {
                return Some(gap);
            }
            if time.duration_since(first) > MAX_LOOKAHEAD {
                return None;
            }
            before = time;
        }
        None
    }
}

fn calendar(text: &str, zone: Option<&str>) -> Result<Recurrence, ScheduleError> {
    let refuse = || ScheduleError::Cron {
        cron: text.chars().take(128).collect(),
    };
    if text.split_whitespace().count() != 5 {
        return Err(refuse());
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    let cron = parser.parse(text).map_err(|_| refuse())?;
    let zone = time_zone(zone)?;
    cron.find_next_occurrence(&Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC), true)
        .map_err(|_| ScheduleError::Never {
            cron: text.to_owned(),
        })?;
    Ok(Recurrence::Calendar {
        cron: Box::new(cron),
        zone,
    })
}
