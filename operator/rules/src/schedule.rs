//! When a secret is rotated next: a pure function of the schedule, the last rotation and `now`.
//!
//! - What is due follows from the last rotation alone, so a reconcile that is repeated finds the same time.
//! - After a pause, however long, a secret is rotated once: the next time counts from that rotation.
//! - Jitter is a hash of schedule and secret: always the same wait for the same secret.
//! - Summer time: a fixed time of day that the clock skips runs at the first moment after the gap, one that
//!   comes twice runs at the first; a repeating time (`*/15`) follows the elapsed time.

mod calendar;
mod recurrence;
#[cfg(test)]
mod tests;
mod window;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use strongroom_crds::v1alpha1::RotationScheduleSpec;

pub use self::calendar::Calendar;
use self::recurrence::Recurrence;
pub(crate) use self::window::DailyWindow;

/// Why a schedule means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Neither or both of every and cron.
    #[error("set exactly one of `schedule.every` and `schedule.cron`")]
    NotOne,
    /// Not a cron expression of five fields.
    #[error(
        "`{cron}` is not a cron expression: write minute, hour, day of month, month and day of week, as in `0 3 * * MON`"
    )]
    Cron {
        /// `spec.schedule.cron` as it is written.
        cron: String,
    },
    /// A cron expression that no day fulfils.
    #[error("`{cron}` never occurs")]
    Never {
        /// `spec.schedule.cron` as it is written.
        cron: String,
    },
    /// Not a time zone.
    #[error("`{zone}` is not an IANA time zone: write one as in `Europe/Berlin`")]
    TimeZone {
        /// As the spec has it.
        zone: String,
    },
    /// Not a time of day.
    #[error("`{time}` is not a time of day: write one as in `02:00`")]
    TimeOfDay {
        /// As the spec has it.
        time: String,
    },
    /// A window without length.
    #[error("start and end of the window are equal: remove the window to rotate at any time")]
    EmptyWindow,
    /// The next time lies outside of what a calendar can say.
    #[error("the next rotation is beyond the end of the calendar: shorten `schedule.every` or `jitter`")]
    BeyondCalendar,
}

/// A schedule that was understood.
#[derive(Debug)]
pub struct Timetable {
    recurrence: Recurrence,
    window: Option<DailyWindow>,
    /// In seconds; 0 without jitter.
    jitter: u64,
}

/// Who waits: the jitter of a secret follows from it.
#[derive(Clone, Copy, Debug)]
pub struct JitterSeed<'a> {
    /// UID of the RotationSchedule.
    pub schedule_uid: &'a str,
    /// The secret's id in the store.
    pub secret_id: &'a [u8; 16],
}

impl Timetable {
    /// Understands the schedule, the window and the jitter of a RotationSchedule.
    ///
    /// # Errors
    /// A [`ScheduleError`] that quotes the field.
    pub fn parse(spec: &RotationScheduleSpec) -> Result<Self, ScheduleError> {
        Ok(Self {
            recurrence: Recurrence::parse(&spec.schedule)?,
            window: spec.window.as_ref().map(DailyWindow::parse).transpose()?,
            jitter: spec.jitter.map_or(0, |jitter| jitter.seconds().unsigned_abs()),
        })
    }

    /// The time from one time of the schedule to the next, in seconds, where the jitter is longer than that:
    /// rotations then move into one another.
    #[must_use]
    pub fn gap_below_jitter(&self) -> Option<u64> {
        self.recurrence.gap_below(self.jitter)
    }

    /// When a secret that was last rotated (or else created) at `last` is rotated next. A time that is not
    /// after `now` means: now. The time is inside the window, except that one that is past may not be.
    ///
    /// # Errors
    /// [`ScheduleError::BeyondCalendar`] if there is no such time.
    pub fn next_due(
        &self,
        last: Timestamp,
        now: Timestamp,
        who: JitterSeed<'_>,
    ) -> Result<Timestamp, ScheduleError> {
        let wait = spread(who, self.jitter);
        let due = later(self.recurrence.after(last, wait)?, wait)?;
        let Some(window) = &self.window else {
            return Ok(due);
        };
        let due = self.inside(window, due, who)?;
        if due > now || window.contains(now)? {
            Ok(due)
        } else {
            self.inside(window, now, who)
        }
    }

    /// `at` if it is inside the window; else a moment after the window's next opening, so that not all that
    /// waited for it come at once.
    fn inside(
        &self,
        window: &DailyWindow,
        at: Timestamp,
        who: JitterSeed<'_>,
    ) -> Result<Timestamp, ScheduleError> {
        if window.contains(at)? {
            return Ok(at);
        }
        let (opens, closes) = window.next_opening(at)?;
        let length = closes.duration_since(opens).as_secs().unsigned_abs();
        later(opens, spread(who, self.jitter.min(length)))
    }
}

/// A number of seconds below `bound`, always the same for the same secret and schedule.
fn spread(who: JitterSeed<'_>, bound: u64) -> u64 {
    if bound == 0 {
        return 0;
    }
    let digest = Sha256::new()
        .chain_update(who.secret_id)
        .chain_update(who.schedule_uid)
        .finalize();
    let number = digest
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte));
    number % bound
}

fn later(at: Timestamp, seconds: u64) -> Result<Timestamp, ScheduleError> {
    let seconds = i64::try_from(seconds).map_err(|_| ScheduleError::BeyondCalendar)?;
    at.checked_add(SignedDuration::from_secs(seconds))
        .map_err(|_| ScheduleError::BeyondCalendar)
}

/// The time zone of this name, UTC if there is none, from the database that is built in: the same everywhere.
fn time_zone(name: Option<&str>) -> Result<TimeZone, ScheduleError> {
    let Some(name) = name else {
        return Ok(TimeZone::UTC);
    };
    TimeZoneDatabase::bundled()
        .get(name)
        .map_err(|_| ScheduleError::TimeZone {
            zone: name.to_owned(),
        })
}
