//! The directory of a store.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::engine::STORE_FILE;
use crate::lock::StoreLock;
use crate::seal;

/// A store's directory under lock.
pub(super) struct StoreDirectory {
    pub(super) path: PathBuf,
    /// Held while the seal file and what the store knows of it change together, or are read together.
    pub(super) sealing: Mutex<()>,
    #[expect(dead_code, reason = "held for as long as the store is open")]
    lock: StoreLock,
}

impl StoreDirectory {
    /// The directory of a store that is open for as long as this is there.
    pub(super) fn new(path: &Path, lock: StoreLock) -> Self {
        Self {
            path: path.to_owned(),
            sealing: Mutex::new(()),
            lock,
        }
    }
}

/// Whether there is a store at `dir`, or one that only waits to be put in place.
#[must_use]
pub fn exists(dir: &Path) -> bool {
    dir.join(STORE_FILE).exists() || dir.join(seal::FILE_NAME).exists()
}

/// Makes the directory of a store, which nobody else looks into.
pub(super) fn private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
