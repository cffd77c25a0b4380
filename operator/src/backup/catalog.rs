//! What lies at a destination: the backups of a store, which of them are verified, and which of them are to
//! be deleted.

use std::collections::BTreeSet;
use std::io::Read;

use jiff::Timestamp;
use strongroom_model::id::StoreId;
use strongroom_rules::backup::{BackupLimits, StoredBackup, superfluous};

use super::error::BackupError;
use super::manifest::BackupManifest;
use super::name::BackupName;
use super::place::BackupPlace;

/// Most bytes of a manifest.
const MAX_MANIFEST_BYTES: u64 = 64 << 10;

/// The manifest of a backup.
pub(crate) async fn read_manifest(
    place: &BackupPlace,
    name: &BackupName,
) -> Result<BackupManifest, BackupError> {
    let object = name.manifest();
    let read = place.read(&object, |from| {
        let mut bytes = Vec::new();
        from.take(MAX_MANIFEST_BYTES)
            .read_to_end(&mut bytes)
            .map(|_| bytes)
    });
    let (bytes, _) = read.await?;
    let bytes = bytes.map_err(|_| BackupError::Interrupted)?;
    BackupManifest::decode(&object, &bytes)
}

/// The backups at a destination, of one store or of all.
pub(super) async fn stored(
    place: &BackupPlace,
    store: Option<StoreId>,
) -> Result<Vec<(BackupName, bool)>, BackupError> {
    let names: BTreeSet<String> = place.list().await?.into_iter().collect();
    let backups = names.iter().filter_map(|name| name.parse::<BackupName>().ok());
    Ok(backups
        .filter(|name| store.is_none_or(|store| name.store == store))
        .map(|name| {
            let verified = names.contains(&name.manifest());
            (name, verified)
        })
        .collect())
}

/// The newest verified backup of a store; of any, where none is said and there is one alone.
pub(crate) async fn newest(
    place: &BackupPlace,
    store: Option<StoreId>,
) -> Result<Option<BackupName>, BackupError> {
    let verified = stored(place, store).await?.into_iter();
    let verified: Vec<BackupName> = verified
        .filter(|(_, verified)| *verified)
        .map(|(name, _)| name)
        .collect();
    let stores: BTreeSet<StoreId> = verified.iter().map(|name| name.store).collect();
    if stores.len() > 1 {
        return Err(BackupError::SeveralStores {
            destination: place.shown().to_owned(),
        });
    }
    Ok(verified.into_iter().max_by_key(|name| name.taken))
}

/// Deletes the backups of a store that are beyond the limits. How many went.
pub(super) async fn prune(
    place: &BackupPlace,
    store: StoreId,
    limits: BackupLimits,
    now: Timestamp,
) -> Result<usize, BackupError> {
    let found = stored(place, Some(store)).await?;
    let all: Vec<StoredBackup> = found
        .into_iter()
        .map(|(name, verified)| StoredBackup {
            name: name.to_string(),
            taken: name.taken,
            verified,
        })
        .collect();
    let gone = superfluous(&all, limits, now);
    for backup in &gone {
        // The manifest goes first: what has one is a backup.
        if let Ok(name) = backup.name.parse::<BackupName>() {
            place.delete(&name.manifest()).await?;
        }
        place.delete(&backup.name).await?;
    }
    Ok(gone.len())
}
