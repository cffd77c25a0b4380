//! A [`Disk`] under redb.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::is_full;
use crate::engine::Disk;

/// Puts a disk under redb, and remembers whether anything but a full disk ever failed.
#[derive(Debug)]
pub(super) struct Backend {
    disk: Arc<dyn Disk>,
    failed: Arc<AtomicBool>,
}

impl Backend {
    pub(super) const fn new(disk: Arc<dyn Disk>, failed: Arc<AtomicBool>) -> Self {
        Self { disk, failed }
    }

    /// A full disk refuses a write and keeps what it has. After any other failure, and after every failed
    /// sync, nobody knows what is on disk.
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.as_ref().is_err_and(|error| !is_full(error)) {
            self.failed.store(true, Ordering::Release);
        }
        result
    }
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(self.disk.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let result = self.disk.sync();
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(self.disk.write(offset, data))
    }
}
