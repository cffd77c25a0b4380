//! The disk below a file engine. Must not hide a failure: every error reaches the engine, which decides what
//! it means.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A random-access medium; tests put a simulated one here.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Length in bytes.
    ///
    /// # Errors
    /// What the disk says, as for each method.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// As [`Disk::len`].
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// Fills `out` from `offset`.
    ///
    /// # Errors
    /// Also where the disk ends before.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Cuts or extends by zero bytes.
    ///
    /// # Errors
    /// What the disk says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns when all that was written is durable.
    ///
    /// # Errors
    /// What the disk says; nothing is known about unsynced bytes afterwards.
    fn sync(&self) -> io::Result<()>;

    /// Writes at `offset`.
    ///
    /// # Errors
    /// What the disk says.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Bytes that can still be written, where the disk knows.
    fn free(&self) -> Option<u64>;
}

/// A file of the operating system.
#[derive(Debug)]
pub struct FileDisk(File);

impl FileDisk {
    /// Opens the file for reading and writing; makes it, readable by its owner only, when told so.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(path: &Path, create: bool) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        Ok(Self(file))
    }

    /// Opens the file for reading alone; writes fail.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open_read_only(path: &Path) -> io::Result<Self> {
        OpenOptions::new().read(true).open(path).map(Self)
    }
}

impl Disk for FileDisk {
    fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn free(&self) -> Option<u64> {
        let space = rustix::fs::fstatvfs(&self.0).ok()?;
        Some(space.f_bavail.saturating_mul(space.f_frsize))
    }
}
