//! Writes the file of a stopped store anew: its records go into a new file, and that takes the place of the
//! old one by one rename. What was destroyed stays behind with the old file's free pages.
//!
//! The engine's own compaction would not do: it moves pages inside of the file and cuts its end, and what
//! stays free in the midst keeps its bytes. Killed, it leaves a file that must be repaired; here the old one
//! stands until the new one is whole, proven and durable.
//!
//! The ids of requests that the engine remembers stay behind too: each is made by the process that asks, and
//! none is asked about after a stop.
//!
//! Must not change a record: counter, digest and chains stay as they are, so that the anchor still fits.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use super::error::StoreError;
use super::open_error::OpenError;
use super::state::{check_seal, digest_of, read_state};
use crate::crypto::{Keyring, RootKey};
use crate::engine::{
    Batch, Change, CommitOutcome, Engine, STORE_FILE, Snapshot, Table, create_file, try_visit, view_file,
};
use crate::lock::StoreLock;
use crate::seal::{SealError, SealFile, SlotKind};

/// The new file until it is whole.
const NEW_FILE: &str = "store.redb.new";

/// A commit is closed once it holds so many bytes.
const COMMIT_BYTES: usize = 1 << 20;

/// What became of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompactionReport {
    /// Records that were copied.
    pub records: u64,
    /// Bytes of the old file.
    pub bytes_before: u64,
    /// Bytes of the new one.
    pub bytes_after: u64,
}

impl fmt::Display for CompactionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "records: {}", self.records)?;
        write!(
            f,
            "bytes of the store file: {}, before: {}",
            self.bytes_after, self.bytes_before
        )
    }
}

/// Writes the file of the stopped store in `dir` anew, without its free pages.
///
/// # Errors
/// [`OpenError`]; then the store holds what it held. [`OpenError::Tampered`] where that is not what it
/// committed.
pub fn compact(dir: &Path, root: &RootKey) -> Result<CompactionReport, OpenError> {
    let (path, new) = (dir.join(STORE_FILE), dir.join(NEW_FILE));
    if !path.exists() {
        return Err(OpenError::Missing(path.display().to_string()));
    }
    let _lock = StoreLock::take(dir)?;
    let seal = SealFile::load(dir)?;
    if !seal.proves(root) {
        return Err(SealError::WrongKey(SlotKind::KeyFile).into());
    }
    let keyring = Keyring::derive(root, seal.store());
    // What a compaction left that was killed.
    remove(&new)?;
    let done = rewrite(&path, &new, &keyring, &seal).and_then(|records| {
        let (bytes_before, bytes_after) = put_in_place(&new, &path, dir)?;
        Ok(CompactionReport {
            records,
            bytes_before,
            bytes_after,
        })
    });
    if done.is_err() {
        // The first error says what happened; a failing removal adds nothing to it.
        let _ = remove(&new);
    }
    done
}

/// Copies every record into a new file at `new`, and proves the copy. Returns the number of records.
fn rewrite(path: &Path, new: &Path, keyring: &Keyring, seal: &SealFile) -> Result<u64, OpenError> {
    // Copy-on-write: also a file that needs repair stays as it is.
    let old = view_file(path)?;
    let from = old.snapshot()?;
    read_state(keyring, from.as_ref())?;
    check_seal(keyring, from.as_ref(), seal)?;
    let to = create_file(new)?;
    let records = copy(from.as_ref(), to.as_ref())?;
    let fence = old.fence()?;
    if fence > 0 {
        let raise = Batch {
            raise_fence: Some(fence),
            ..Batch::default()
        };
        commit(to.as_ref(), &raise)?;
    }
    // One look proves both files: what was changed in the old one, or lost on the way, is in no digest.
    let copied = to.snapshot()?;
    if digest_of(keyring, copied.as_ref())? != read_state(keyring, copied.as_ref())?.digest {
        return Err(OpenError::Tampered);
    }
    Ok(records)
}

fn copy(from: &dyn Snapshot, to: &dyn Engine) -> Result<u64, OpenError> {
    let mut copied = 0;
    let mut pending = PendingCommit {
        to,
        batch: Batch::default(),
        bytes: 0,
    };
    for table in Table::ALL {
        try_visit(from, table, |key, value| {
            copied += 1;
            pending.add(table, key, value)
        })?;
    }
    pending.commit()?;
    Ok(copied)
}

/// Records that are not in the new file yet.
struct PendingCommit<'a> {
    to: &'a dyn Engine,
    batch: Batch,
    bytes: usize,
}

impl PendingCommit<'_> {
    fn add(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), OpenError> {
        self.bytes += key.len() + value.len();
        self.batch.changes.push(Change::Put {
            table,
            key: key.to_vec(),
            value: value.to_vec(),
        });
        if self.bytes >= COMMIT_BYTES {
            self.commit()
        } else {
            Ok(())
        }
    }

    fn commit(&mut self) -> Result<(), OpenError> {
        commit(self.to, &self.batch)?;
        self.batch.changes.clear();
        self.bytes = 0;
        Ok(())
    }
}

fn commit(to: &dyn Engine, batch: &Batch) -> Result<(), OpenError> {
    match to.commit(batch)? {
        CommitOutcome::Committed(_) => Ok(()),
        CommitOutcome::Conflict(_) | CommitOutcome::Unknown => Err(StoreError::NotCommitted.into()),
    }
}

/// Makes the new file durable and the store's. Returns the length of the old one and its own.
fn put_in_place(new: &Path, path: &Path, dir: &Path) -> Result<(u64, u64), OpenError> {
    let (of, is) = (fs::metadata(path)?, fs::metadata(new)?);
    if (of.uid(), of.gid()) != (is.uid(), is.gid()) {
        // Run by root: the process must be able to open it.
        chown(new, Some(of.uid()), Some(of.gid()))?;
    }
    fs::File::open(new)?.sync_all()?;
    fs::rename(new, path)?;
    // IMPORTANT: the rename is durable only once the directory is.
    fs::File::open(dir)?.sync_all()?;
    Ok((of.len(), is.len()))
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
