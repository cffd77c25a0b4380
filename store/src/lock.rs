//! One process owns a store's directory at a time.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// The lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("another process has the store at `{0}` open; stop it first, or work on a copy")]
    Held(String),
    /// Nothing can be written there.
    #[error(
        "the store at `{0}` lies on a read-only file system; check the disk and the kernel log, and mount it writable"
    )]
    ReadOnly(String),
    /// The operating system refused.
    #[error("the store's lock cannot be taken: {0}")]
    Io(#[from] io::Error),
}

/// Held for as long as this lives; the kernel lets go when the process ends, however it ends.
#[derive(Debug)]
pub struct StoreLock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl StoreLock {
    /// Takes the lock of the store in `dir`.
    ///
    /// # Errors
    /// [`LockError::Held`] where another process has it.
    pub fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join("store.lock");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|error| match error.kind() {
                io::ErrorKind::ReadOnlyFilesystem => LockError::ReadOnly(dir.display().to_string()),
                _ => LockError::Io(error),
            })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(LockError::Held(dir.display().to_string())),
            Err(error) => Err(LockError::Io(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_is_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let first = StoreLock::take(dir.path()).unwrap();
        assert!(matches!(StoreLock::take(dir.path()), Err(LockError::Held(_))));
        drop(first);
        StoreLock::take(dir.path()).unwrap();
    }
}
