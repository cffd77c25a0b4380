//! A store file that is written beside the one in use, in commits of a bounded size, and takes its place by a
//! rename once it is whole. Must not know what a record means.

use std::fs;
use std::io;
use std::path::Path;

use super::error::StoreError;
use super::open_error::OpenError;
use crate::engine::{Batch, Change, CommitOutcome, Engine, Table, create_file};

/// A commit is closed once it holds so many bytes.
const COMMIT_BYTES: usize = 1 << 20;

/// A file that is being written.
pub(super) struct NewFile {
    engine: Box<dyn Engine>,
    /// Records that are not in the file yet.
    batch: Batch,
    bytes: usize,
}

impl NewFile {
    /// Begins the file at `path`, where nothing is.
    ///
    /// # Errors
    /// [`OpenError::Engine`].
    pub(super) fn create(path: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            engine: create_file(path)?,
            batch: Batch::default(),
            bytes: 0,
        })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`OpenError::Engine`], such as that the disk is full.
    pub(super) fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) -> Result<(), OpenError> {
        self.bytes += key.len() + value.len();
        self.batch.changes.push(Change::Put { table, key, value });
        if self.bytes >= COMMIT_BYTES {
            self.commit()
        } else {
            Ok(())
        }
    }

    /// Writes what is left, and the fence of the file before. The engine shows the whole file.
    ///
    /// # Errors
    /// [`OpenError::Engine`], such as that the disk is full.
    pub(super) fn finish(mut self, fence: u64) -> Result<Box<dyn Engine>, OpenError> {
        self.batch.raise_fence = (fence > 0).then_some(fence);
        self.commit()?;
        Ok(self.engine)
    }

    fn commit(&mut self) -> Result<(), OpenError> {
        match self.engine.commit(&self.batch)? {
            CommitOutcome::Committed(_) => {}
            CommitOutcome::Conflict(_) | CommitOutcome::Unknown => {
                return Err(StoreError::NotCommitted.into());
            }
        }
        self.batch.changes.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// Removes a file, if it is there.
///
/// # Errors
/// What the operating system says.
pub(super) fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes renames within a directory durable.
///
/// # Errors
/// What the operating system says.
pub(super) fn sync_directory(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}
