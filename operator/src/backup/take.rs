//! One backup: the snapshot is sent, read back and opened, and then its manifest says so.

use jiff::Timestamp;
use strongroom_model::id::RequestId;
use strongroom_store::audit::Actor;
use strongroom_store::vault::{Meta, Store};

use super::catalog::read_manifest;
use super::error::BackupError;
use super::manifest::BackupManifest;
use super::name::BackupName;
use super::place::{BackupPlace, TransferDigest};
use super::snapshot::snapshot;
use crate::store_handle::{store_time, timestamp};

/// Takes a backup of now, and verifies it where it lies.
pub(super) async fn take(
    store: &Store,
    place: &BackupPlace,
    now: impl Fn() -> Timestamp,
) -> Result<(BackupName, BackupManifest), BackupError> {
    // To the millisecond, as its name has it.
    let taken = timestamp(store_time(now()));
    let name = BackupName {
        store: store.id(),
        taken,
    };
    let meta = Meta {
        actor: Actor::System,
        request: RequestId::generate()?,
        now: store_time(taken),
        asked: None,
    };
    let object = name.to_string();
    let what = format!("all of the store, to `{}` as `{object}`", place.shown());
    let (mut pieces, written) = snapshot(store.clone(), meta, what);
    let sent = place.send(&object, &mut pieces).await;
    // Where nobody reads any more, the snapshot ends by itself.
    drop(pieces);
    let written = written.await.map_err(|_| BackupError::Interrupted)?;
    let pending = sent?;
    let sent = match written {
        Ok(_) => pending.finish().await?,
        Err(error) => {
            pending.abort().await;
            return Err(BackupError::Snapshot(Box::new(error)));
        }
    };
    match verify(store, place, &name, sent, &now).await {
        Ok(manifest) => Ok((name, manifest)),
        Err(error) => {
            // It is no backup. One that cannot be deleted goes with the next that is.
            for left in [name.manifest(), object] {
                if let Err(error) = place.delete(&left).await {
                    tracing::debug!(name = left, %error, "unverified backup left behind");
                }
            }
            Err(error)
        }
    }
}

/// Reads a backup back, opens every part of it, and writes its manifest.
async fn verify(
    store: &Store,
    place: &BackupPlace,
    name: &BackupName,
    sent: TransferDigest,
    now: impl Fn() -> Timestamp,
) -> Result<BackupManifest, BackupError> {
    let object = name.to_string();
    let keys = store.clone();
    let (report, found) = place.read(&object, move |from| keys.verify_backup(from)).await?;
    let report = report.map_err(|source| BackupError::Unsound {
        name: object.clone(),
        source: Box::new(source),
    })?;
    if found != sent {
        return Err(BackupError::Changed {
            name: object,
            sent: sent.to_string(),
            found: found.to_string(),
        });
    }
    let manifest = BackupManifest::new(name, found, &report, now());
    place.put(&name.manifest(), manifest.encode()).await?;
    if read_manifest(place, name).await? != manifest {
        return Err(BackupError::Manifest {
            name: name.manifest(),
            why: "the destination gives back another one".to_owned(),
        });
    }
    Ok(manifest)
}
