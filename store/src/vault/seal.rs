//! The open store and its seal file: they change together, and neither is trusted alone.

use strongroom_model::id::RequestId;

use super::commands::ChangeSeal;
use super::open_error::OpenError;
use super::state::check_seal;
use super::store::Store;
use super::types::Meta;
use crate::crypto::CryptoError;
use crate::engine::Snapshot;
use crate::format::SealDigest;
use crate::seal::{SealError, SealFile, SlotInfo};

/// Which slots come and go, in words: `add recovery slot 0a1b2c3d "paper"`.
pub(super) fn what_changes(before: &[SlotInfo], after: &[SlotInfo]) -> String {
    let say = |verb: &str, of: &[SlotInfo], other: &[SlotInfo]| {
        let lacks = |slot: &&SlotInfo| other.iter().all(|there| there.id != slot.id);
        of.iter()
            .filter(lacks)
            .map(|slot| format!("{verb} {} slot {} {:?}", slot.kind, slot.id, slot.label))
            .collect::<Vec<_>>()
    };
    let mut all = say("add", after, before);
    all.extend(say("remove", before, after));
    if all.is_empty() {
        return "change no slot".to_owned();
    }
    all.join(", ")
}

impl Store {
    /// Changes the seal file of the open store: the store knows the new file before it is there, and until it
    /// is, the old one still counts. A file that somebody put in its place meanwhile is not built upon.
    ///
    /// # Errors
    /// [`OpenError::Seal`] as `change` says; [`OpenError::SealReplaced`]; [`OpenError::Store`].
    pub fn change_seal<T>(
        &self,
        meta: Meta,
        change: impl FnOnce(&mut SealFile) -> Result<T, SealError>,
    ) -> Result<T, OpenError> {
        let Some(directory) = &self.shared.directory else {
            return Err(OpenError::Missing("the store's directory".to_owned()));
        };
        let _alone = directory.sealing.lock();
        let mut file = SealFile::load(&directory.path)?;
        check_seal(
            &self.shared.keyring,
            self.shared.engine.snapshot()?.as_ref(),
            &file,
        )?;
        let current = self.shared.keyring.seal_file_mac(&file.encode());
        let before = file.slots();
        let out = change(&mut file)?;
        let changed = what_changes(&before, &file.slots());
        let next = self.shared.keyring.seal_file_mac(&file.encode());
        let announced = SealDigest {
            current,
            next: Some(next),
        };
        let announce = ChangeSeal {
            digest: announced,
            detail: format!("is about to {changed}"),
        };
        self.run(announce, meta.clone())?;
        file.write(&directory.path)?;
        let meta = Meta {
            request: RequestId::generate().map_err(|_| CryptoError::NoRandomness)?,
            ..meta
        };
        let settled = SealDigest {
            current: next,
            next: None,
        };
        let settle = ChangeSeal {
            digest: settled,
            detail: format!("did {changed}"),
        };
        self.run(settle, meta)?;
        Ok(out)
    }

    /// A snapshot, and the seal file that belongs to it.
    pub(super) fn sealed_snapshot(&self) -> Result<(SealFile, Box<dyn Snapshot>), OpenError> {
        let Some(directory) = &self.shared.directory else {
            return Err(OpenError::Missing("the store's directory".to_owned()));
        };
        let _still = directory.sealing.lock();
        let file = SealFile::load(&directory.path)?;
        let snapshot = self.shared.engine.snapshot()?;
        check_seal(&self.shared.keyring, snapshot.as_ref(), &file)?;
        Ok((file, snapshot))
    }
}
