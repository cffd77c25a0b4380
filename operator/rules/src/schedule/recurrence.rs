//! The times at which a rotation comes back.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use strongroom_crds::v1alpha1::Schedule;

use super::{ScheduleError, later, time_zone};

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

    /// The first time after `last`, for one that is then delayed by `wait` seconds: it is after `last` together with the
    /// delay, so that a delay longer than the distance of two times skips none.
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
