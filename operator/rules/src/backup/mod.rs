//! When a backup is taken, when a drill is held, and which backups are deleted: pure functions of what lies
//! at the destination, the schedule and `now`.

mod due;
mod retention;
mod stored_backup;
#[cfg(test)]
mod tests;

pub use self::due::{BackupCause, Due, backup_due, drill_due, retry_delay};
pub use self::retention::{BackupLimits, reads_are_superfluous, superfluous};
pub use self::stored_backup::StoredBackup;
