//! What `kubectl strongroom status -o json` prints. The names of fields and checks stay as they are: programs
//! read them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backup_status::BackupStatus;
use crate::process_report::ProcessReport;
use crate::v1::{StoreLimit, StoreUsage};

/// How an installation stands, and the ManagedSecrets of a namespace or of all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstallationStatus {
    /// Address of the API server that was asked.
    pub server: String,
    /// What the extension API answered, in words.
    pub api: String,
    /// Whether no check is `failing`.
    pub healthy: bool,
    /// What is failing, in words.
    pub problems: Vec<String>,
    /// All that was looked at.
    pub checks: Vec<StatusCheck>,
    /// How many ManagedSecrets there are; none where they may not be listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_secrets: Option<u64>,
    /// How many of them are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<u64>,
    /// How many hours the audit log holds at its present rate.
    pub audit_held_hours: Option<f64>,
    /// What the namespace has of the store.
    pub room: Option<NamespaceRoom>,
    /// How backups stand.
    pub backups: Option<BackupStatus>,
    /// What the process with the store said last.
    pub process: Option<ProcessReport>,
    /// The ManagedSecrets; with `--not-ready` only those that are not.
    pub secrets: Vec<ManagedSecretSummary>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusCheck {
    /// Name of the check.
    pub check: CheckName,
    /// Which of several: a sink, a certificate, a namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// How it stands.
    pub state: CheckState,
    /// What was found, or why nothing could be.
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

/// What can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckName {
    /// The extension API answers.
    Api,
    /// The store is open and answers.
    Store,
    /// One process holds the lease.
    Lease,
    /// The volume of the store is bound and has space.
    Space,
    /// The audit log has space and reaches back far enough.
    AuditLog,
    /// A sink takes audit records.
    AuditSink,
    /// A certificate is valid for long enough.
    Certificate,
    /// Nodes are connected, by plugins of this release.
    Nodes,
    /// Deletions wait for a person, or for the end of their recovery window.
    Deletions,
    /// A namespace has room in the store.
    Share,
    /// There is a recovery key.
    RecoveryKeys,
    /// There is a recent verified backup.
    Backup,
    /// The last drill brought everything back.
    Drill,
    /// Rotations are on time.
    Rotations,
    /// Objects are reconciled.
    Objects,
    /// A product may act, and has room.
    Product,
}

impl CheckName {
    /// What a person calls it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Store => "store",
            Self::Lease => "lease",
            Self::Space => "space",
            Self::AuditLog => "audit log",
            Self::AuditSink => "audit sink",
            Self::Certificate => "certificate",
            Self::Nodes => "nodes",
            Self::Deletions => "deletions",
            Self::Share => "share",
            Self::RecoveryKeys => "recovery keys",
            Self::Backup => "backup",
            Self::Drill => "drill",
            Self::Rotations => "rotations",
            Self::Objects => "objects",
            Self::Product => "product",
        }
    }
}

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warning,
    /// It does not work.
    Failing,
    /// It could not be seen.
    Unknown,
}

impl CheckState {
    /// The word for it, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failing => "failing",
            Self::Unknown => "unknown",
        }
    }
}

/// What a namespace has of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceRoom {
    /// `metadata.name` of the Namespace.
    pub namespace: String,
    /// Secrets and bytes that count for it now.
    pub used: StoreUsage,
    /// Most secrets and bytes that it may have.
    pub limit: StoreLimit,
}

/// How a ManagedSecret stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedSecretSummary {
    /// Where it is.
    pub namespace: String,
    /// `metadata.name` of the ManagedSecret.
    pub name: String,
    /// Status of its condition Ready: `True`, `False`, `Unknown`.
    pub ready: Option<String>,
    /// Reason of that condition.
    pub reason: Option<String>,
    /// Message of that condition.
    pub message: Option<String>,
    /// The version with the stage Current.
    pub current: Option<String>,
    /// When it was last rotated.
    pub last_rotation: Option<Timestamp>,
    /// When its next rotation is due.
    pub next_rotation: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKS: [CheckName; 16] = [
        CheckName::Api,
        CheckName::Store,
        CheckName::Lease,
        CheckName::Space,
        CheckName::AuditLog,
        CheckName::AuditSink,
        CheckName::Certificate,
        CheckName::Nodes,
        CheckName::Deletions,
        CheckName::Share,
        CheckName::RecoveryKeys,
        CheckName::Backup,
        CheckName::Drill,
        CheckName::Rotations,
        CheckName::Objects,
        CheckName::Product,
    ];

    #[test]
    fn names_of_checks_and_states_stay_as_programs_know_them() {
        assert_eq!(
            serde_json::to_string(&CHECKS).unwrap(),
            r#"["api","store","lease","space","auditLog","auditSink","certificate","nodes","deletions","share","recoveryKeys","backup","drill","rotations","objects","product"]"#
        );
        for state in [
            CheckState::Ok,
            CheckState::Warning,
            CheckState::Failing,
            CheckState::Unknown,
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }

    #[test]
    fn a_status_travels_as_json() {
        let status = InstallationStatus {
            server: "https://10.0.0.1:6443".to_owned(),
            api: "people.strongroom.dev answers".to_owned(),
            healthy: false,
            problems: vec!["the lease".to_owned()],
            checks: vec![StatusCheck {
                check: CheckName::Certificate,
                item: Some("gateway".to_owned()),
                state: CheckState::Failing,
                detail: "ended".to_owned(),
                action: None,
            }],
            managed_secrets: Some(1),
            ready: Some(0),
            audit_held_hours: Some(41.5),
            room: None,
            backups: Some(BackupStatus::default()),
            process: None,
            secrets: vec![ManagedSecretSummary {
                namespace: "shop".to_owned(),
                name: "db".to_owned(),
                ..ManagedSecretSummary::default()
            }],
        };
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["checks"][0]["item"], "gateway");
        assert_eq!(json["secrets"][0]["lastRotation"], serde_json::Value::Null);
        assert_eq!(
            serde_json::from_value::<InstallationStatus>(json).unwrap(),
            status
        );
    }
}
