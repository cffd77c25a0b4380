//! Whether a backup is whole: every part is opened, and the set of its records is the one that the store
//! committed. Needs no room but for one part.

use std::io::Read;

use strongroom_model::id::StoreId;

use super::backup_reader::BackupHeader;
use super::open_error::OpenError;
use super::state::{decode_state, matches_seal};
use super::store::Store;
use crate::crypto::{Keyring, StateDigest};
use crate::engine::Table;
use crate::format::meta;
use crate::seal::{SealFile, SlotInfo};

/// What a backup holds, counted from the records that opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupReport {
    /// The store that it was taken from.
    pub store: StoreId,
    /// Commits that the store had.
    pub commits: u64,
    /// Records, those of the audit included.
    pub records: u64,
    /// Secrets, those in a recovery window included.
    pub secrets: u64,
    /// Versions of secrets, each with a value.
    pub versions: u64,
    /// The ways to open it.
    pub slots: Vec<SlotInfo>,
}

impl Store {
    /// Reads a backup of this store to its end, and opens each part.
    ///
    /// # Errors
    /// [`OpenError::OtherBackup`] where it is another store's; [`OpenError::Tampered`] where it is cut or
    /// changed; [`OpenError::BackupFormat`] where a newer version wrote it.
    pub fn verify_backup(&self, from: &mut dyn Read) -> Result<BackupReport, OpenError> {
        let header = BackupHeader::read(from)?;
        if header.seal.store() != self.id() {
            return Err(OpenError::OtherBackup(header.seal.store()));
        }
        let keyring = &self.shared.keyring;
        let mut tally = BackupTally::new(keyring);
        let mut parts = header.parts(keyring, from);
        while let Some(items) = parts.next_part()? {
            for (table, key, value) in &items {
                tally.add(*table, key, value);
            }
        }
        tally.finish(&header.seal)
    }
}

/// The records of a backup, as they go by.
pub(super) struct BackupTally<'a> {
    keyring: &'a Keyring,
    digest: StateDigest,
    identity: Option<Vec<u8>>,
    state: Option<Vec<u8>>,
    seal: Option<Vec<u8>>,
    records: u64,
    secrets: u64,
    versions: u64,
}

impl<'a> BackupTally<'a> {
    pub(super) fn new(keyring: &'a Keyring) -> Self {
        Self {
            keyring,
            digest: StateDigest::default(),
            identity: None,
            state: None,
            seal: None,
            records: 0,
            secrets: 0,
            versions: 0,
        }
    }

    pub(super) fn add(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.records += 1;
        match table {
            Table::Head => self.secrets += 1,
            Table::Version => self.versions += 1,
            Table::Meta if key == meta::STATE => {
                // The digest is in this one, so it is of all the others.
                self.state = Some(value.to_vec());
                return;
            }
            Table::Meta if key == meta::IDENTITY => self.identity = Some(value.to_vec()),
            Table::Meta if key == meta::SEAL => self.seal = Some(value.to_vec()),
            _ => {}
        }
        let term = self.keyring.record_term(table.code(), key, value);
        self.digest = self.digest.plus(term);
    }

    /// What it holds, once the records are those of one commit and the seal file is the one that they know.
    pub(super) fn finish(self, seal: &SealFile) -> Result<BackupReport, OpenError> {
        let (Some(identity), Some(state), Some(known)) = (self.identity, self.state, self.seal) else {
            return Err(OpenError::Tampered);
        };
        if identity != self.keyring.store().as_bytes() {
            return Err(OpenError::OtherBackup(seal.store()));
        }
        let state = decode_state(self.keyring, &state)?;
        if state.digest != self.digest {
            return Err(OpenError::Tampered);
        }
        matches_seal(self.keyring, &known, seal)?;
        Ok(BackupReport {
            store: self.keyring.store(),
            commits: state.counter,
            records: self.records,
            secrets: self.secrets,
            versions: self.versions,
            slots: seal.slots(),
        })
    }
}
