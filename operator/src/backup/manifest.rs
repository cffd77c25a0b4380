//! What is known of a verified backup, beside it at its destination. It is no proof: who can write there can
//! write it. What proves a backup is its own parts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strongroom_store::seal::SlotKind;
use strongroom_store::vault::BackupReport;

use super::error::BackupError;
use super::name::BackupName;
use super::place::TransferDigest;

/// The form of this version.
const FORMAT: u32 = 1;

/// What `strongroom-….json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackupManifest {
    /// Of the manifest, not of the backup.
    pub(crate) format: u32,
    /// Id of the store.
    pub(crate) store: String,
    /// When the snapshot was taken.
    pub(crate) taken: Timestamp,
    /// When all of it had been read back and opened.
    pub(crate) verified: Timestamp,
    /// Size of the backup.
    pub(crate) bytes: u64,
    /// SHA-256 of the backup, in hexadecimal.
    pub(crate) sha256: String,
    /// Commits that the store had.
    pub(crate) commits: u64,
    /// Records in it, those of the audit included.
    pub(crate) records: u64,
    /// Secrets in it, those in a recovery window included.
    pub(crate) secrets: u64,
    /// Versions of secrets in it.
    pub(crate) versions: u64,
    /// What opens it.
    pub(crate) slots: Vec<ManifestSlot>,
}

/// A slot of the seal file in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestSlot {
    /// As `strongroom seal slots` shows it.
    pub(crate) id: String,
    /// Such as `recovery`.
    pub(crate) kind: String,
}

impl BackupManifest {
    pub(super) fn new(
        name: &BackupName,
        passed: TransferDigest,
        report: &BackupReport,
        verified: Timestamp,
    ) -> Self {
        let slots = report.slots.iter().map(|slot| ManifestSlot {
            id: slot.id.to_string(),
            kind: slot.kind.to_string(),
        });
        Self {
            format: FORMAT,
            store: name.store.to_string(),
            taken: name.taken,
            verified,
            bytes: passed.bytes,
            sha256: passed.sha256,
            commits: report.commits,
            records: report.records,
            secrets: report.secrets,
            versions: report.versions,
            slots: slots.collect(),
        }
    }

    pub(super) fn decode(name: &str, bytes: &[u8]) -> Result<Self, BackupError> {
        let malformed = |why: String| BackupError::Manifest {
            name: name.to_owned(),
            why,
        };
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|_| malformed("it is no manifest of a backup".to_owned()))?;
        if manifest.format > FORMAT {
            return Err(malformed(format!(
                "it has format {}, which this version does not know; run a newer strongroom",
                manifest.format
            )));
        }
        Ok(manifest)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // It is made of texts and numbers, so that nothing of it can fail.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// The ids of the recovery slots that open it.
    pub(super) fn recovery_slots(&self) -> impl Iterator<Item = String> {
        let recovery = SlotKind::Recovery.to_string();
        self.slots
            .iter()
            .filter(move |slot| slot.kind == recovery)
            .map(|slot| slot.id.clone())
    }

    /// In which numbers what was found differs from what is written here.
    pub(super) fn differences(&self, passed: &TransferDigest, report: &BackupReport) -> Vec<String> {
        let mut differences = Vec::new();
        if self.store != report.store.to_string() {
            differences.push(format!(
                "it is of store {} instead of {}",
                report.store, self.store
            ));
        }
        if self.sha256 != passed.sha256 {
            differences.push(format!(
                "its SHA-256 is {} instead of {}",
                passed.sha256, self.sha256
            ));
        }
        for (what, said, found) in [
            ("bytes", self.bytes, passed.bytes),
            ("commits", self.commits, report.commits),
            ("records", self.records, report.records),
            ("secrets", self.secrets, report.secrets),
            ("versions", self.versions, report.versions),
        ] {
            if said != found {
                differences.push(format!("it has {found} {what} instead of {said}"));
            }
        }
        differences
    }
}
