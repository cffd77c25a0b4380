//! How the backups of an installation stand: the process that takes them writes it into a ConfigMap of its
//! namespace, where the CLI and the chart read it. Nothing in it is secret.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Name of the ConfigMap.
pub const BACKUP_CONFIG_MAP: &str = "strongroom-backups";
/// Key of the ConfigMap, which holds a [`BackupStatus`] as JSON.
pub const BACKUP_STATUS_KEY: &str = "status.json";

/// How the backups of an installation stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackupStatus {
    /// When backups are taken, as a cron expression; none: nobody takes any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Where they go, without options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Recovery slots of the seal: keys that are kept outside of the cluster.
    pub recovery_slots: u32,
    /// The newest backup that was read back and opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<NewestBackup>,
    /// When the next one is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// Why there is none since; none once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<BackupFailure>,
    /// When drills are held, as a cron expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill_schedule: Option<String>,
    /// The last drill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill: Option<LastDrill>,
}

/// A backup that was read back and opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewestBackup {
    /// What it is called at its destination.
    pub name: String,
    /// When it was taken.
    pub taken: Timestamp,
    /// Bytes of the backup at its destination.
    pub bytes: u64,
    /// Secrets in it, those in a recovery window included.
    pub secrets: u64,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupFailure {
    /// When the first of those in a row failed.
    pub since: Timestamp,
    /// What went wrong last.
    pub message: String,
}

/// A drill that was held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastDrill {
    /// When it ended.
    pub at: Timestamp,
    /// The backup that was restored.
    pub backup: String,
    /// What was wrong; nothing: all of it came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl BackupStatus {
    /// What is wrong with recovery keys, in words.
    #[must_use]
    pub fn recovery_problem(&self) -> Option<String> {
        (self.schedule.is_some() && self.recovery_slots == 0).then(|| {
            "backups are taken, and no recovery key opens them: if the cluster is lost, they are too; create one with `strongroom seal \
             recovery-key`, and a backup is taken at once"
                .to_owned()
        })
    }

    /// What is wrong with backups, in words.
    #[must_use]
    pub fn backup_problem(&self, now: Timestamp) -> Option<String> {
        if let Some(BackupFailure { since, message }) = &self.failure {
            return Some(format!("no backup was taken since {since:.0}: {message}"));
        }
        let next = self.next.filter(|next| now.duration_since(*next) > OVERDUE)?;
        Some(format!("a backup was due at {next:.0}, and nobody took it"))
    }

    /// What the last drill found, in words.
    #[must_use]
    pub fn drill_problem(&self) -> Option<String> {
        let LastDrill { at, backup, problem } = self.drill.as_ref()?;
        let problem = problem.as_ref()?;
        Some(format!("the drill of `{backup}` at {at:.0} failed: {problem}"))
    }
}

/// From when on a backup that is due is missing.
const OVERDUE: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_backups_is_told() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-24T05:00:00Z");
        let well = BackupStatus {
            schedule: Some("0 3 * * *".to_owned()),
            recovery_slots: 1,
            next: Some(at("2026-11-25T03:00:00Z")),
            ..BackupStatus::default()
        };
        let told = |status: BackupStatus| {
            [
                status.recovery_problem(),
                status.backup_problem(now),
                status.drill_problem(),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; ")
        };
        assert_eq!(told(BackupStatus::default()), "", "nobody asked for any");
        assert_eq!(told(well.clone()), "");
        let bare = BackupStatus {
            recovery_slots: 0,
            ..well.clone()
        };
        assert!(told(bare).contains("no recovery key opens them"));
        let late = BackupStatus {
            next: Some(at("2026-11-24T03:00:00Z")),
            ..well.clone()
        };
        assert_eq!(
            told(late),
            "a backup was due at 2026-11-24T03:00:00Z, and nobody took it"
        );
        let failing = BackupStatus {
            failure: Some(BackupFailure {
                since: at("2026-11-24T03:00:00Z"),
                message: "the bucket is full".to_owned(),
            }),
            ..well.clone()
        };
        assert_eq!(
            told(failing),
            "no backup was taken since 2026-11-24T03:00:00Z: the bucket is full"
        );
        let damaged = BackupStatus {
            drill: Some(LastDrill {
                at: at("2026-11-24T04:00:00Z"),
                backup: "b".to_owned(),
                problem: Some("a value does not open".to_owned()),
            }),
            ..well
        };
        assert!(told(damaged).contains("the drill of `b` at 2026-11-24T04:00:00Z failed: a value"));
    }

    #[test]
    fn it_travels_as_json() {
        let status = BackupStatus {
            schedule: Some("0 3 * * *".to_owned()),
            newest: Some(NewestBackup {
                name: "b".to_owned(),
                taken: "2026-11-24T03:00:00Z".parse().unwrap(),
                bytes: 7,
                secrets: 1,
            }),
            ..BackupStatus::default()
        };
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(
            text,
            r#"{"schedule":"0 3 * * *","recoverySlots":0,"newest":{"name":"b","taken":"2026-11-24T03:00:00Z","bytes":7,"secrets":1}}"#
        );
        assert_eq!(serde_json::from_str::<BackupStatus>(&text).unwrap(), status);
        let newer = r#"{"recoverySlots":2,"somethingNew":1}"#;
        assert_eq!(
            serde_json::from_str::<BackupStatus>(newer)
                .unwrap()
                .recovery_slots,
            2
        );
    }
}
