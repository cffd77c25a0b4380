//! The engine of a store file. Here alone it is chosen: one more is one more file beside the engines, and a
//! decision in these functions.

use std::path::Path;
#[cfg(any(test, feature = "test-util"))]
use std::sync::Arc;

#[cfg(any(test, feature = "test-util"))]
use super::Disk;
use super::redb_engine::{RedbEngine, RedbOptions};
use super::{Engine, EngineError};

/// The store's file in its directory.
pub const STORE_FILE: &str = "store.redb";

/// Bytes of the engine's page cache where nobody says another number.
pub const DEFAULT_CACHE_BYTES: usize = 16 << 20;

/// Makes a store file at `path`, or opens the one that is there, after verifying all of it.
///
/// # Errors
/// [`EngineError`] as the system says; [`EngineError::Damaged`] where a checksum fails.
pub fn create_file(path: &Path) -> Result<Box<dyn Engine>, EngineError> {
    let options = RedbOptions {
        cache_bytes: DEFAULT_CACHE_BYTES,
        create: true,
    };
    Ok(Box::new(RedbEngine::open_file(path, options)?))
}

/// Opens the store file at `path` after verifying all of it. It is not changed before the first commit.
///
/// # Errors
/// [`EngineError::Missing`] where there is none; [`EngineError::Damaged`] where a checksum fails.
pub fn open_file(path: &Path, cache_bytes: usize) -> Result<Box<dyn Engine>, EngineError> {
    let options = RedbOptions {
        cache_bytes,
        create: false,
    };
    Ok(Box::new(RedbEngine::open_file(path, options)?))
}

/// Shows the store file at `path` without changing a byte of it, even where it needs repair. Commits go
/// nowhere.
///
/// # Errors
/// As [`open_file`].
pub fn view_file(path: &Path) -> Result<Box<dyn Engine>, EngineError> {
    Ok(Box::new(RedbEngine::open_copy_on_write(
        path,
        DEFAULT_CACHE_BYTES,
    )?))
}

/// The engine of a store file on a disk of the caller's, for tests.
///
/// # Errors
/// As [`create_file`] and [`open_file`].
#[cfg(any(test, feature = "test-util"))]
pub fn open_disk(disk: Arc<dyn Disk>, create: bool) -> Result<Box<dyn Engine>, EngineError> {
    let options = RedbOptions {
        cache_bytes: 1 << 20,
        create,
    };
    Ok(Box::new(RedbEngine::open(disk, options)?))
}
