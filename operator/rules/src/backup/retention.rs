//! Which backups are deleted.

use jiff::{SignedDuration, Timestamp};

use super::stored_backup::StoredBackup;

/// How many backups are kept, and for how long. Each is a limit by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupLimits {
    /// How many verified ones; none: any number.
    pub count: Option<u32>,
    /// For how long after they were taken; none: for ever.
    pub age: Option<SignedDuration>,
}

/// The backups that are beyond the limits, and what attempts that failed left behind.
///
/// INVARIANT: the newest verified backup is none of them, and without a verified one nothing goes.
#[must_use]
pub fn superfluous(all: &[StoredBackup], limits: BackupLimits, now: Timestamp) -> Vec<&StoredBackup> {
    let mut verified: Vec<&StoredBackup> = all.iter().filter(|backup| backup.verified).collect();
    verified.sort_by(|a, b| (b.taken, &b.name).cmp(&(a.taken, &a.name)));
    let Some((newest, older)) = verified.split_first() else {
        return Vec::new();
    };
    let too_old = |backup: &StoredBackup| {
        limits
            .age
            .is_some_and(|age| now.duration_since(backup.taken) > age)
    };
    let beyond = (2_u32..)
        .zip(older)
        .filter(|(number, backup)| limits.count.is_some_and(|most| *number > most) || too_old(backup))
        .map(|(_, backup)| *backup);
    let failed = all
        .iter()
        .filter(|backup| !backup.verified && backup.taken < newest.taken);
    beyond.chain(failed).collect()
}

/// Whether copies of reads go of which the youngest was made at `newest`: they are older than a backup may
/// get, and than each verified backup that is there. Without a limit by age, or without a backup, none goes.
#[must_use]
pub fn reads_are_superfluous(
    newest: Timestamp,
    oldest_backup: Option<Timestamp>,
    limits: BackupLimits,
    now: Timestamp,
) -> bool {
    let too_old = limits.age.is_some_and(|age| now.duration_since(newest) > age);
    too_old && oldest_backup.is_some_and(|taken| newest < taken)
}
