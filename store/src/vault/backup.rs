//! Backup and restore: one snapshot as an encrypted, ordered stream, and that stream into an empty place.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | magic `SRBACK\0` and format 1 |
//! | 16 | backup id |
//! | 4 + n | the seal file: the key of any of its slots opens the backup |
//! | each part | length 4, sealed bytes; the last part says so inside of what it is sealed under |
//!
//! A part holds records as they stand in the store, values still sealed: count 4, then table 1, key (4 + n),
//! value (4 + n). A part that is cut, changed, left out or moved does not open. A restored store is as old as
//! its snapshot, so its anchor demands that a person accepts it.

use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::commands::{ForgetNamespaceUids, RecordRestore};
use super::directory::private_dir;
use super::error::StoreError;
use super::open::{AnchorRule, OpenStoreOptions};
use super::open_error::OpenError;
use super::store::Store;
use super::types::Meta;
use crate::audit::RetentionLimits;
use crate::codec::{DecodeError, Reader, Writer};
use crate::crypto::{Context, Keyring, RootKey};
use crate::engine::{
    Batch, Change, CommitOutcome, DEFAULT_CACHE_BYTES, Engine, STORE_FILE, Table, create_file, try_visit,
};
use crate::seal::{SealFile, SlotSecret};

const MAGIC: [u8; 8] = *b"SRBACK\0\x01";

/// A part is closed once it holds so many bytes.
const PART_BYTES: usize = 1 << 20;

/// Most bytes of one part that a restore takes in.
const MAX_PART_BYTES: usize = 32 << 20;

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

/// A record as it stands in the store: table, key, value.
type Item = (Table, Vec<u8>, Vec<u8>);

/// The bytes of a part before it is sealed.
pub(crate) fn encode_part(items: &[Item]) -> Zeroizing<Vec<u8>> {
    let size: usize = items
        .iter()
        .map(|(_, key, value)| 9 + key.len() + value.len())
        .sum();
    let mut writer = Writer::with_capacity(4 + size);
    writer.list(items.iter(), |w, (table, key, value)| {
        w.u8(table.code()).bytes(key).bytes(value)
    });
    writer.finish()
}

/// The records of an opened part.
pub(crate) fn decode_part(bytes: &[u8]) -> Result<Vec<Item>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let items = reader.list(|r| {
        let table = Table::from_code(r.u8()?).ok_or(DecodeError::Invalid("table"))?;
        Ok((table, r.bytes()?.to_vec(), r.bytes()?.to_vec()))
    })?;
    reader.end()?;
    Ok(items)
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
/// [`DecodeError`] where it is no backup, or one of a format that this version does not know.
pub fn restore(options: &RestoreOptions<'_>, from: &mut dyn Read) -> Result<u64, OpenError> {
    if !is_empty(options.dir)? {
        return Err(OpenError::Exists(options.dir.display().to_string()));
    }
    let mut magic = [0; 8];
    from.read_exact(&mut magic).map_err(cut)?;
    match magic {
        MAGIC => {}
        [b'S', b'R', b'B', b'A', b'C', b'K', 0, format] => {
            return Err(DecodeError::UnknownFormat(format).into());
        }
        _ => return Err(DecodeError::Invalid("magic of a backup").into()),
    }
    let mut backup = [0; 16];
    from.read_exact(&mut backup).map_err(cut)?;
    let seal = SealFile::decode(&length_prefixed(from)?)?;
    let root = seal.unlock(options.secret)?;
    let keyring = Keyring::derive(&root, seal.store());
    private_dir(options.dir)?;
    let engine = create_file(&options.dir.join(STORE_FILE))?;
    let restored = import_records(engine.as_ref(), &keyring, &backup, from);
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
    seal.write(options.dir)?;
    settle(options, &root)?;
    Ok(total)
}

/// Whether nothing is at `dir`: also segments of another store's read chain would be in the way.
fn is_empty(dir: &Path) -> io::Result<bool> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn import_records(
    engine: &dyn Engine,
    keyring: &Keyring,
    backup: &[u8; 16],
    from: &mut dyn Read,
) -> Result<u64, OpenError> {
    let mut total = 0;
    for number in 0.. {
        let sealed = length_prefixed(from)?;
        let open = |last| {
            keyring.open(
                &Context::Backup {
                    backup,
                    part: number,
                    last,
                },
                &sealed,
            )
        };
        let (bytes, last) = match open(false) {
            Ok(bytes) => (bytes, false),
            Err(_) => (open(true).map_err(|_| OpenError::Tampered)?, true),
        };
        let changes: Vec<Change> = decode_part(bytes.expose())?
            .into_iter()
            .map(|(table, key, value)| Change::Put { table, key, value })
            .collect();
        total += changes.len() as u64;
        match engine.commit(&Batch {
            changes,
            ..Batch::default()
        })? {
            CommitOutcome::Committed(_) => {}
            CommitOutcome::Conflict(_) | CommitOutcome::Unknown => {
                return Err(StoreError::NotCommitted.into());
            }
        }
        if last {
            break;
        }
    }
    if from.read(&mut [0])? > 0 {
        return Err(OpenError::Tampered);
    }
    Ok(total)
}

/// Opens what was restored, which proves it, and puts the restore on record.
fn settle(options: &RestoreOptions<'_>, root: &RootKey) -> Result<(), OpenError> {
    let store = Store::open(OpenStoreOptions {
        dir: options.dir,
        root,
        epoch: 0,
        anchor: AnchorRule::Accept,
        cache_bytes: DEFAULT_CACHE_BYTES,
        strict_anchor: None,
        audit: RetentionLimits::default(),
        quota: None,
        now: options.meta.now,
    })?;
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

fn length_prefixed(from: &mut dyn Read) -> Result<Vec<u8>, OpenError> {
    let mut length = [0; 4];
    from.read_exact(&mut length).map_err(cut)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_PART_BYTES {
        return Err(DecodeError::Invalid("length of a part").into());
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).map_err(cut)?;
    Ok(bytes)
}

/// A stream that ends too early is no whole backup.
fn cut(error: io::Error) -> OpenError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        OpenError::Tampered
    } else {
        error.into()
    }
}
