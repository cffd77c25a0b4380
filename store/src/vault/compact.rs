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
use std::path::Path;

use super::new_file::{NewFile, remove, sync_directory};
use super::open_error::OpenError;
use super::rekey::settle;
use super::state::{check_seal, digest_of, read_state};
use crate::crypto::{Keyring, RootKey};
use crate::engine::{STORE_FILE, Table, try_visit, view_file};
use crate::lock::StoreLock;
use crate::seal::{SealError, SealFile, SlotKind, same_owner};

/// The new file until it is whole.
const NEW_FILE: &str = "store.redb.new";

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
    settle(dir, &seal, &mut |_| {})?;
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
    let mut to = NewFile::create(new)?;
    let mut records = 0;
    for table in Table::ALL {
        try_visit(from.as_ref(), table, |key, value| {
            records += 1;
            to.put(table, key.to_vec(), value.to_vec())
        })?;
    }
    // One look proves both files: what was changed in the old one, or lost on the way, is in no digest.
    let to = to.finish(old.fence()?)?;
    let copied = to.snapshot()?;
    if digest_of(keyring, copied.as_ref())? != read_state(keyring, copied.as_ref())?.digest {
        return Err(OpenError::Tampered);
    }
    Ok(records)
}

/// Makes the new file durable and the store's. Returns the length of the old one and its own.
fn put_in_place(new: &Path, path: &Path, dir: &Path) -> Result<(u64, u64), OpenError> {
    let lengths = (fs::metadata(path)?.len(), fs::metadata(new)?.len());
    same_owner(path, new)?;
    fs::File::open(new)?.sync_all()?;
    fs::rename(new, path)?;
    // IMPORTANT: the rename is durable only once the directory is.
    sync_directory(dir)?;
    Ok(lengths)
}
