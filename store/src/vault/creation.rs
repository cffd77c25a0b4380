//! Makes a store: whole in a directory beside its place, and put in place by one rename.

use std::fs;
use std::path::{Path, PathBuf};

use strongroom_model::time::Timestamp;

use super::directory::{exists, private_dir};
use super::error::StoreError;
use super::open_error::OpenError;
use super::store::Store;
use crate::audit::{self, Action, Actor, ChainHead, Checkpoint, Entry, ReadHead};
use crate::crypto::{Context, Keyring, RootKey, StateDigest};
use crate::engine::{Batch, Change, CommitOutcome, Engine, STORE_FILE, Table, create_file};
use crate::format::{SealDigest, StoreState, meta};
use crate::lock::StoreLock;
use crate::seal::SealFile;

/// What a new store is made of.
#[derive(Debug)]
pub struct CreateStoreOptions<'a> {
    /// Its place; nothing may be there.
    pub dir: &'a Path,
    /// What opens it from then on; it is written beside the store file.
    pub seal: &'a SealFile,
    /// The root key that the seal was made with.
    pub root: &'a RootKey,
    /// When it is made, by the wall clock.
    pub now: Timestamp,
    /// Who makes it.
    pub actor: Actor,
}

fn beside(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(".creating");
    dir.with_file_name(name)
}

impl Store {
    /// Makes a new store beside `dir`, whole and durable. [`Store::publish`] puts it in place: between the
    /// two, a caller can store the key of the slot. What an earlier attempt left there is replaced.
    ///
    /// # Errors
    /// [`OpenError::Exists`] where there is a store already.
    pub fn prepare(create: &CreateStoreOptions<'_>) -> Result<(), OpenError> {
        if exists(create.dir) {
            return Err(OpenError::Exists(create.dir.display().to_string()));
        }
        let dir = beside(create.dir);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        private_dir(&dir)?;
        let engine = create_file(&dir.join(STORE_FILE))?;
        let keyring = Keyring::derive(create.root, create.seal.store());
        initialize(
            engine.as_ref(),
            &keyring,
            create.seal,
            create.now,
            create.actor.clone(),
        )?;
        create.seal.write(&dir)?;
        Ok(())
    }

    /// Whether [`Store::prepare`] left a store to be put in place.
    #[must_use]
    pub fn prepared(dir: &Path) -> Option<SealFile> {
        SealFile::load(&beside(dir)).ok()
    }

    /// Puts a prepared store in place.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn publish(dir: &Path) -> Result<(), OpenError> {
        Self::put_in_place(&beside(dir), dir)
    }

    /// Puts a whole store that no process has open from another directory of the same volume into place.
    ///
    /// # Errors
    /// [`OpenError::Exists`] where there is a store already; what the operating system says.
    pub fn put_in_place(from: &Path, dir: &Path) -> Result<(), OpenError> {
        if exists(dir) {
            return Err(OpenError::Exists(dir.display().to_string()));
        }
        if dir.exists() {
            // Only an empty directory may give way.
            fs::remove_dir(dir)?;
        }
        rename(from, dir)
    }

    /// Moves whatever is at `dir` to `to`, out of the way, where no process has a store open there.
    ///
    /// # Errors
    /// [`OpenError::Exists`] where something is at `to`; [`OpenError::Lock`].
    pub fn set_aside(dir: &Path, to: &Path) -> Result<(), OpenError> {
        let _lock = StoreLock::take(dir)?;
        if to.exists() {
            return Err(OpenError::Exists(to.display().to_string()));
        }
        rename(dir, to)
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    fs::rename(from, to)?;
    if let Some(parent) = to.parent() {
        // IMPORTANT: the rename is durable only once the directory is.
        fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Founds a store: its first commit.
fn initialize(
    engine: &dyn Engine,
    keyring: &Keyring,
    seal: &SealFile,
    now: Timestamp,
    actor: Actor,
) -> Result<(), OpenError> {
    let store = keyring.store();
    let entry = Entry::new(now, actor, Action::CreateStore);
    let (record, head) = audit::record(keyring, 0, ChainHead::default(), ReadHead::default(), &entry)?;
    let checkpoint = Checkpoint::sign(keyring.signer(), &store, head, ReadHead::default(), now);
    let digest = SealDigest {
        current: keyring.seal_file_mac(&seal.encode()),
        next: None,
    };
    let records = vec![
        (Table::Meta, meta::IDENTITY.to_vec(), store.as_bytes().to_vec()),
        (Table::Meta, meta::SEAL.to_vec(), digest.encode()),
        (Table::Meta, meta::CHECKPOINT.to_vec(), checkpoint.encode()),
        (
            Table::Audit,
            audit::encode_key(0, record.sequence),
            record.encode(),
        ),
    ];
    let sum = records
        .iter()
        .fold(StateDigest::default(), |sum, (table, key, value)| {
            sum.plus(keyring.record_term(table.code(), key, value))
        });
    let state = StoreState {
        counter: 1,
        digest: sum,
        head,
    };
    let sealed = keyring.seal(&Context::Meta("state"), &state.encode())?;
    let mut changes: Vec<Change> = records
        .into_iter()
        .map(|(table, key, value)| Change::Put { table, key, value })
        .collect();
    changes.push(Change::Put {
        table: Table::Meta,
        key: meta::STATE.to_vec(),
        value: sealed,
    });
    match engine.commit(&Batch {
        changes,
        ..Batch::default()
    })? {
        CommitOutcome::Committed(_) => Ok(()),
        CommitOutcome::Conflict(_) | CommitOutcome::Unknown => Err(StoreError::NotCommitted.into()),
    }
}
