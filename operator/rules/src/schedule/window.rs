//! A maintenance window that opens on some days at a time of day.

use jiff::civil::{Date, Time, Weekday as CivilWeekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use strongroom_crds::v1alpha1::{Weekday, Window};

use super::{ScheduleError, time_zone};

/// Days that are looked at for the next opening: a week, the day before it and the day after.
const DAYS_AHEAD: i64 = 9;

#[derive(Clone, Debug)]
pub(crate) struct DailyWindow {
    /// Empty: every day.
    days: Vec<CivilWeekday>,
    start: Time,
    end: Time,
    zone: TimeZone,
}

impl DailyWindow {
    pub(crate) fn parse(window: &Window) -> Result<Self, ScheduleError> {
        let (start, end) = (time_of_day(&window.start)?, time_of_day(&window.end)?);
        if start == end {
            return Err(ScheduleError::EmptyWindow);
        }
        let days = window.days.iter().flatten().copied().map(civil).collect();
        Ok(Self {
            days,
            start,
            end,
            zone: time_zone(window.time_zone.as_deref())?,
        })
    }

    /// Whether the window is open.
    pub(crate) fn contains(&self, at: Timestamp) -> Result<bool, ScheduleError> {
        for date in self.dates_from_the_day_before(at).take(2) {
            let date = date?;
            let (opens, closes) = self.on(date)?;
            if self.opens_on(date) && (opens..closes).contains(&at) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The first opening after `at`, and its end.
    pub(super) fn next_opening(&self, at: Timestamp) -> Result<(Timestamp, Timestamp), ScheduleError> {
        for date in self.dates_from_the_day_before(at) {
            let date = date?;
            let (opens, closes) = self.on(date)?;
            if opens > at && self.opens_on(date) {
                return Ok((opens, closes));
            }
        }
        Err(ScheduleError::BeyondCalendar)
    }

    fn opens_on(&self, date: Date) -> bool {
        self.days.is_empty() || self.days.contains(&date.weekday())
    }

    fn dates_from_the_day_before(&self, at: Timestamp) -> impl Iterator<Item = Result<Date, ScheduleError>> {
        let today = date_of(at, &self.zone);
        (-1..DAYS_AHEAD).map(move |days| {
            today
                .checked_add(Span::new().days(days))
                .map_err(|_| ScheduleError::BeyondCalendar)
        })
    }

    /// Opening and end of the window of a day. A time that the clock skips is moved past the gap; of one that
    /// comes twice the first counts.
    fn on(&self, date: Date) -> Result<(Timestamp, Timestamp), ScheduleError> {
        let instant = |date: Date, time: Time| {
            let zoned = date.to_datetime(time).to_zoned(self.zone.clone());
            zoned
                .map(|zoned| zoned.timestamp())
                .map_err(|_| ScheduleError::BeyondCalendar)
        };
        let last = if self.end > self.start {
            Ok(date)
        } else {
            date.tomorrow()
        };
        let last = last.map_err(|_| ScheduleError::BeyondCalendar)?;
        Ok((instant(date, self.start)?, instant(last, self.end)?))
    }
}

fn date_of(at: Timestamp, zone: &TimeZone) -> Date {
    at.to_zoned(zone.clone()).date()
}

fn time_of_day(text: &str) -> Result<Time, ScheduleError> {
    let refuse = || ScheduleError::TimeOfDay {
        time: text.chars().take(16).collect(),
    };
    let (hour, minute) = text.split_once(':').ok_or_else(refuse)?;
    let number = |digits: &str| -> Option<i8> {
        let plain = digits.len() == 2 && digits.bytes().all(|c| c.is_ascii_digit());
        if plain { digits.parse().ok() } else { None }
    };
    let (hour, minute) = number(hour).zip(number(minute)).ok_or_else(refuse)?;
    Time::new(hour, minute, 0, 0).map_err(|_| refuse())
}

fn civil(day: Weekday) -> CivilWeekday {
    match day {
        Weekday::Mon => CivilWeekday::Monday,
        Weekday::Tue => CivilWeekday::Tuesday,
        Weekday::Wed => CivilWeekday::Wednesday,
        Weekday::Thu => CivilWeekday::Thursday,
        Weekday::Fri => CivilWeekday::Friday,
        Weekday::Sat => CivilWeekday::Saturday,
        Weekday::Sun => CivilWeekday::Sunday,
    }
}
