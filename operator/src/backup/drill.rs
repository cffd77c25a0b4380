//! A backup is restored into a place that is thrown away, everything in it is opened, and what was found is
//! compared with its manifest. The store is not touched.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;
use strongroom_store::crypto::RootKey;
use strongroom_store::engine::EngineError;
use strongroom_store::seal::{SlotKind, SlotSecret};
use strongroom_store::vault::{BackupKey, CheckReport, DrillOptions, DrillReport, OpenError, drill};

use super::error::BackupError;
use super::manifest::BackupManifest;
use super::place::{BackupPlace, TransferDigest};
use crate::store_handle::store_time;

/// What beyond twice the backup must be free: the engine's own pages, and a rest for others.
const SPARE_BYTES: u64 = 64 << 20;

/// What opens the backup.
pub(crate) enum DrillKey {
    /// The root key of the process that has the store open.
    Root(Arc<RootKey>),
    /// What opens one slot of the backup's seal file.
    Slot(SlotSecret),
}

/// A drill that is to be held.
pub(crate) struct DrillJob<'a> {
    /// Where the backup lies.
    pub(crate) place: &'a BackupPlace,
    /// What it is called there.
    pub(crate) object: String,
    /// What it should hold, where that is known.
    pub(crate) manifest: Option<BackupManifest>,
    /// A folder that is made for the drill and removed after it.
    pub(crate) dir: PathBuf,
    pub(crate) key: DrillKey,
    pub(crate) now: Timestamp,
}

/// How a drill went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DrillOutcome {
    /// Whether all of it came back.
    pub(crate) sound: bool,
    /// What it is called where it lies.
    pub(crate) backup: String,
    /// Id of the store that it was taken from.
    pub(crate) store: String,
    /// When it was taken, where its manifest says so.
    pub(crate) taken: Option<Timestamp>,
    /// Whether there was a manifest to compare with.
    pub(crate) compared: bool,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) commits: u64,
    pub(crate) records: u64,
    pub(crate) secrets: u64,
    /// Values that were opened.
    pub(crate) values: u64,
    /// Values under an encryption key that is disabled or waits for its destruction.
    pub(crate) refused: u64,
    pub(crate) policies: u64,
    /// Ways to open it that are kept outside of the cluster.
    pub(crate) recovery_slots: usize,
    pub(crate) seconds: u64,
    /// What is wrong.
    pub(crate) problems: Vec<String>,
}

impl DrillJob<'_> {
    /// Holds it. An outcome may say that the backup is not sound.
    pub(crate) async fn hold(self) -> Result<DrillOutcome, BackupError> {
        let Self {
            place,
            object,
            manifest,
            dir,
            key,
            now,
        } = self;
        let begun = Instant::now();
        make_room(&dir, place.size(&object).await?)?;
        let at = dir.clone();
        let held = place.read(&object, move |from| {
            let key = match &key {
                DrillKey::Root(root) => BackupKey::Root(root),
                DrillKey::Slot(secret) => BackupKey::Slot(secret),
            };
            let options = DrillOptions {
                dir: &at,
                key,
                now: store_time(now),
            };
            drill(options, from)
        });
        let (report, passed) = held.await?;
        let report = report.map_err(|source| match source {
            OpenError::Engine(EngineError::OutOfSpace) => BackupError::Scratch {
                place: dir.display().to_string(),
                source: std::io::ErrorKind::StorageFull.into(),
            },
            source => BackupError::Restore {
                name: object.clone(),
                source: Box::new(source),
            },
        })?;
        Ok(outcome(
            object,
            manifest.as_ref(),
            &passed,
            report,
            begun.elapsed().as_secs(),
        ))
    }
}

/// Removes what an earlier drill left there, and looks whether there is room for this one.
fn make_room(dir: &std::path::Path, bytes: u64) -> Result<(), BackupError> {
    let place = dir.parent().unwrap_or(dir);
    let cannot = |source| BackupError::Scratch {
        place: place.display().to_string(),
        source,
    };
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot(error)),
        _ => {}
    }
    std::fs::create_dir_all(place).map_err(cannot)?;
    let about = rustix::fs::statvfs(place).map_err(|error| cannot(error.into()))?;
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    let needed = bytes.saturating_mul(2).saturating_add(SPARE_BYTES);
    if free < needed {
        return Err(BackupError::NoRoom {
            place: place.display().to_string(),
            needed,
            free,
        });
    }
    Ok(())
}

fn outcome(
    backup: String,
    manifest: Option<&BackupManifest>,
    passed: &TransferDigest,
    DrillReport { backup: found, check }: DrillReport,
    seconds: u64,
) -> DrillOutcome {
    let CheckReport {
        records: _,
        secrets,
        values,
        refused,
        policies,
        keyed: _,
        damage,
    } = check;
    let mut problems = manifest.map_or_else(Vec::new, |manifest| manifest.differences(passed, &found));
    if secrets != found.secrets {
        problems.push(format!("{secrets} secrets of {} came back", found.secrets));
    }
    if values + refused != found.versions {
        problems.push(format!(
            "{values} values of {} opened, and {refused} are under a key that refuses",
            found.versions
        ));
    }
    problems.extend(damage);
    let recovery = found.slots.iter().filter(|slot| slot.kind == SlotKind::Recovery);
    DrillOutcome {
        sound: problems.is_empty(),
        backup,
        store: found.store.to_string(),
        taken: manifest.map(|manifest| manifest.taken),
        compared: manifest.is_some(),
        bytes: passed.bytes,
        sha256: passed.sha256.clone(),
        commits: found.commits,
        records: found.records,
        secrets,
        values,
        refused,
        policies,
        recovery_slots: recovery.count(),
        seconds,
        problems,
    }
}
