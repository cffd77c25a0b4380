//! Times of a calendar, for schedules other than rotations.

use jiff::Timestamp;
use strongroom_crds::v1alpha1::Schedule;

use super::ScheduleError;
use super::recurrence::Recurrence;

/// The times of a cron expression.
#[derive(Debug)]
pub struct Calendar(Recurrence);

impl Calendar {
    /// Understands a cron expression of five fields, as a RotationSchedule has it, in a time zone of the IANA
    /// database; none: UTC.
    ///
    /// # Errors
    /// A [`ScheduleError`] that quotes it.
    pub fn parse(cron: &str, time_zone: Option<&str>) -> Result<Self, ScheduleError> {
        Recurrence::parse(&Schedule {
            every: None,
            cron: Some(cron.to_owned()),
            time_zone: time_zone.map(str::to_owned),
        })
        .map(Self)
    }

    /// The first time after this one.
    ///
    /// # Errors
    /// [`ScheduleError::BeyondCalendar`].
    pub fn after(&self, last: Timestamp) -> Result<Timestamp, ScheduleError> {
        self.0.after(last, 0)
    }
}
