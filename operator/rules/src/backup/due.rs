//! When the next backup is taken, and the next drill held.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::schedule::{Calendar, ScheduleError};

/// The wait after a first failure; it doubles with each one that follows.
const FIRST_RETRY: Duration = Duration::from_secs(30);
/// The longest wait.
const LAST_RETRY: Duration = Duration::from_secs(15 * 60);

/// Why a backup is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupCause {
    /// There is no verified backup.
    First,
    /// The schedule says so.
    Schedule,
    /// The seal has a recovery slot that opens no backup yet.
    RecoverySlot,
}

impl BackupCause {
    /// The word for logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Schedule => "schedule",
            Self::RecoverySlot => "recovery slot",
        }
    }
}

/// Whether something is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due<C> {
    /// It is, for this cause.
    Now(C),
    /// It is at this time.
    At(Timestamp),
}

/// Whether a backup is due. `newest` is when the newest verified one was taken, and the recovery slots that
/// open it; `slots` are those that the seal has now.
///
/// After a pause, however long, one is taken: the next time counts from that one.
///
/// # Errors
/// [`ScheduleError::BeyondCalendar`].
pub fn backup_due(
    calendar: &Calendar,
    newest: Option<(Timestamp, &BTreeSet<String>)>,
    slots: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Due<BackupCause>, ScheduleError> {
    let Some((taken, opened_by)) = newest else {
        return Ok(Due::Now(BackupCause::First));
    };
    if !slots.is_subset(opened_by) {
        return Ok(Due::Now(BackupCause::RecoverySlot));
    }
    let next = calendar.after(taken)?;
    Ok(if next <= now {
        Due::Now(BackupCause::Schedule)
    } else {
        Due::At(next)
    })
}

/// Whether a drill is due, which counts from the last one that was held, or else from the start of the
/// process.
///
/// # Errors
/// [`ScheduleError::BeyondCalendar`].
pub fn drill_due(calendar: &Calendar, last: Timestamp, now: Timestamp) -> Result<Due<()>, ScheduleError> {
    let next = calendar.after(last)?;
    Ok(if next <= now { Due::Now(()) } else { Due::At(next) })
}

/// How long to wait after so many failures in a row.
#[must_use]
pub fn retry_delay(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_RETRY.saturating_mul(doubled).min(LAST_RETRY)
}
