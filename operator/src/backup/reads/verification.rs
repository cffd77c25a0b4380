//! Whether the copies of a read chain are what was written, and all of it. Needs no store and no secret.

use std::io::Read;

use strongroom_model::id::StoreId;
use strongroom_store::audit::{CopiesReport, CopiesVerifier};
use strongroom_store::crypto::PublicKey;

use super::READS_FOLDER;
use super::segment_name::{SegmentName, is_rekey, is_segment};
use crate::backup::destination::BackupDestination;
use crate::backup::error::BackupError;
use crate::backup::place::BackupPlace;

/// More bytes than any copy has.
const MAX_COPY_BYTES: u64 = 64 << 20;

/// Verifies the copies of a store's read chain, of the only one that is there where none is said.
pub(crate) async fn verify_reads(
    destination: &BackupDestination,
    store: Option<StoreId>,
    key: PublicKey,
) -> Result<CopiesReport, BackupError> {
    let place = BackupPlace::open(destination).await?.within(READS_FOLDER);
    let none = || BackupError::NoReads {
        destination: destination.to_string(),
    };
    let store = match store {
        Some(store) => store,
        None => only_store(&place).await?.ok_or_else(none)?,
    };
    let place = place.within(&store.to_string());
    let mut names = place.list().await?;
    names.sort();
    if !names.iter().any(|name| is_segment(name)) {
        return Err(none());
    }
    let mut verifier = CopiesVerifier::new(store, key);
    for name in names.iter().filter(|name| is_rekey(name)) {
        verifier.rekey(name, &whole(&place, name).await?);
    }
    for name in names.iter().filter(|name| is_segment(name)) {
        let at = SegmentName::parse(name).map(|name| name.place);
        verifier.segment(name, at, &whole(&place, name).await?);
    }
    Ok(verifier.finish())
}

/// The store whose copies lie there, where there is one alone.
async fn only_store(place: &BackupPlace) -> Result<Option<StoreId>, BackupError> {
    let folders = place.folders().await?;
    let mut stores = folders.iter().filter_map(|name| name.parse().ok());
    let store = stores.next();
    if stores.next().is_some() {
        return Err(BackupError::SeveralReads {
            destination: place.shown().to_owned(),
        });
    }
    Ok(store)
}

async fn whole(place: &BackupPlace, name: &str) -> Result<Vec<u8>, BackupError> {
    let read = place.read(name, |from| {
        let mut bytes = Vec::new();
        from.take(MAX_COPY_BYTES).read_to_end(&mut bytes).map(|_| bytes)
    });
    let (bytes, _) = read.await?;
    bytes.map_err(|_| BackupError::Interrupted)
}
