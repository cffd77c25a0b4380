//! Backup and restore: one snapshot as an encrypted, ordered stream, and that stream into an empty place.
//! [`super::backup_format`] has the bytes. A restored store is as old as its snapshot, so its anchor demands
//! that a person accepts it.

use std::io::{self, Read, Write};
use std::path::Path;

use strongroom_model::time::Timestamp;

use super::backup_format::{Item, MAGIC, encode_part};
use super::backup_reader::{BackupHeader, BackupParts};
use super::commands::{ForgetNamespaceUids, RecordRestore};
use super::directory::private_dir;
use super::error::StoreError;
use super::open::{AnchorRule, OpenStoreOptions};
use super::open_error::OpenError;
use super::store::Store;
use super::types::Meta;
use crate::audit::RetentionLimits;
use crate::crypto::{Context, Keyring, RootKey};
use crate::engine::{
    Batch, Change, CommitOutcome, DEFAULT_CACHE_BYTES, Engine, STORE_FILE, Table, create_file, try_visit,
};
use crate::seal::SlotSecret;

/// A part is closed once it holds so many bytes.
const PART_BYTES: usize = 1 << 20;

impl Store {
    /// Writes a backup of now. Writers go on meanwhile; the stream shows one snapshot. Returns the number of
    /// records.
    ///
    /// # Errors
    /// What `out` says, and [`StoreError::Damaged`].
    pub fn backup(&self, out: &mut dyn Write) -> Result<u64, OpenError> {
        let (seal, snapshot) = self.sealed_snapshot()?;
        let seal = seal.encode();
        let backup = *crate::crypto::random::<16>()?;
        out.write_all(&MAGIC)?;
        out.write_all(&backup)?;
        out.write_all(&u32::try_from(seal.len()).unwrap_or(u32::MAX).to_be_bytes())?;
        out.write_all(&seal)?;
        let mut parts = Parts {
            keyring: &self.shared.keyring,
            backup,
            number: 0,
            out,
            records: Vec::new(),
            bytes: 0,
        };
        let mut total = 0;
        for table in Table::ALL {
            try_visit(snapshot.as_ref(), table, |key, value| {
                total += 1;
                parts.add(table, key, value)
            })?;
        }
        parts.close(true)?;
        out.flush()?;
        Ok(total)
    }
}

struct Parts<'a> {
    keyring: &'a Keyring,
    backup: [u8; 16],
    number: u64,
    out: &'a mut dyn Write,
    records: Vec<Item>,
    bytes: usize,
}

impl Parts<'_> {
    fn add(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), OpenError> {
        self.bytes += key.len() + value.len() + 9;
        self.records.push((table, key.to_vec(), value.to_vec()));
        if self.bytes >= PART_BYTES {
            self.close(false)
        } else {
            Ok(())
        }
    }

    fn close(&mut self, last: bool) -> Result<(), OpenError> {
        let plain = encode_part(&self.records);
        self.records.clear();
        let context = Context::Backup {
            backup: &self.backup,
            part: self.number,
            last,
        };
        let sealed = self.keyring.seal(&context, &plain)?;
        self.out
            .write_all(&u32::try_from(sealed.len()).unwrap_or(u32::MAX).to_be_bytes())?;
        self.out.write_all(&sealed)?;
        self.number += 1;
        self.bytes = 0;
        Ok(())
    }
}

/// How a backup is restored.
#[derive(Debug)]
pub struct RestoreOptions<'a> {
    /// The place; nothing may be there.
    pub dir: &'a Path,
    /// The key of any slot that the store had when the backup was taken.
    pub secret: &'a SlotSecret,
    /// Into a new cluster: namespaces are known by name alone until they are seen.
    pub accept_namespaces: bool,
    /// Who, and when.
    pub meta: Meta,
}

/// Restores a backup into an empty place. Returns the number of records.
///
/// # Errors
/// [`OpenError::Exists`] where something is there; [`OpenError::Tampered`] where the stream is not whole;
/// [`OpenError::Decode`] where it is no backup; [`OpenError::BackupFormat`] where a newer version wrote it.
pub fn restore(options: &RestoreOptions<'_>, from: &mut dyn Read) -> Result<u64, OpenError> {
    if !is_empty(options.dir)? {
        return Err(OpenError::Exists(options.dir.display().to_string()));
    }
    let header = BackupHeader::read(from)?;
    let root = header.seal.unlock(options.secret)?;
    let keyring = Keyring::derive(&root, header.seal.store());
    private_dir(options.dir)?;
    let engine = create_file(&options.dir.join(STORE_FILE))?;
    let restored = import_records(engine.as_ref(), header.parts(&keyring, from));
    drop(engine);
    let total = match restored {
        Ok(total) => total,
        Err(error) => {
            // Half a store must not look like one.
            std::fs::remove_file(options.dir.join(STORE_FILE))?;
            return Err(error);
        }
    };
    // The seal comes last: without it nothing opens, so a cut restore is no store.
    header.seal.write(options.dir)?;
    settle(options, &root)?;
    Ok(total)
}

/// Whether nothing is at `dir`: also segments of another store's read chain would be in the way.
pub(super) fn is_empty(dir: &Path) -> io::Result<bool> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn import_records(engine: &dyn Engine, mut parts: BackupParts<'_>) -> Result<u64, OpenError> {
    let mut total = 0;
    while let Some(items) = parts.next_part()? {
        total += items.len() as u64;
        import_part(engine, items)?;
    }
    Ok(total)
}

/// Puts the records of one part into the engine.
pub(super) fn import_part(engine: &dyn Engine, items: Vec<Item>) -> Result<(), OpenError> {
    let changes: Vec<Change> = items
        .into_iter()
        .map(|(table, key, value)| Change::Put { table, key, value })
        .collect();
    match engine.commit(&Batch {
        changes,
        ..Batch::default()
    })? {
        CommitOutcome::Committed(_) => Ok(()),
        CommitOutcome::Conflict(_) | CommitOutcome::Unknown => Err(StoreError::NotCommitted.into()),
    }
}

/// Opens a store as a start after a restore does.
pub(super) fn open_restored(dir: &Path, root: &RootKey, now: Timestamp) -> Result<Store, OpenError> {
    Store::open(OpenStoreOptions {
        dir,
        root,
        epoch: 0,
        anchor: AnchorRule::Accept,
        cache_bytes: DEFAULT_CACHE_BYTES,
        strict_anchor: None,
        audit: RetentionLimits::default(),
        quota: None,
        now,
    })
}

/// Opens what was restored, which proves it, and records the restore.
fn settle(options: &RestoreOptions<'_>, root: &RootKey) -> Result<(), OpenError> {
    let store = open_restored(options.dir, root, options.meta.now)?;
    let namespaces = if options.accept_namespaces {
        "; namespaces are taken over by name"
    } else {
        ""
    };
    let restored = RecordRestore {
        detail: format!(
            "a backup, opened with a {} slot{namespaces}",
            options.secret.kind()
        ),
    };
    store.run(restored, options.meta.clone())?;
    if options.accept_namespaces {
        store.run(ForgetNamespaceUids, options.meta.clone())?;
    }
    store.close();
    Ok(())
}
