//! Only one plugin on a node at a time. A second one, such as that of the new namespace while the plugin
//! moves, waits until the first has ended before it touches a volume, the socket or the journal. The lock is
//! a file in the node's folder that both use; the kernel releases it when the process ends, however it ends.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Name of the file.
const LOCK_FILE: &str = "plugin.lock";

/// The lock cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{step} {}: {source}", path.display())]
pub struct LockError {
    step: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn trying(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LockError {
    move |source| LockError {
        step,
        path: path.to_owned(),
        source,
    }
}

/// The lock of a node; held from when it is taken for as long as this lives.
#[derive(Debug)]
pub struct PluginLock {
    file: File,
    path: PathBuf,
}

impl PluginLock {
    /// The lock in this folder, which is made where it is not there. It is not taken yet.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn open(folder: &Path) -> Result<Self, LockError> {
        fs::create_dir_all(folder).map_err(trying("making", folder))?;
        let path = folder.join(LOCK_FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(trying("opening", &path))?;
        Ok(Self { file, path })
    }

    /// Takes it, unless another process has it: then false.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn try_take(&self) -> Result<bool, LockError> {
        match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(trying("locking", &self.path)(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_has_it_when_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("s");
        let first = PluginLock::open(&folder).unwrap();
        let second = PluginLock::open(&folder).unwrap();
        assert!(first.try_take().unwrap());
        assert!(first.try_take().unwrap(), "it has it still");
        assert!(!second.try_take().unwrap());
        drop(first);
        assert!(second.try_take().unwrap());
        fs::write(dir.path().join("file"), "").unwrap();
        let said = PluginLock::open(&dir.path().join("file")).unwrap_err();
        assert!(said.to_string().starts_with("making "), "{said}");
    }
}
