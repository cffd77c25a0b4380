//! Where segments lie. Must not hide a failure: what it means is for the log to decide.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

/// Numbered segments of fixed size; tests put a simulated one here.
pub trait SegmentStorage: fmt::Debug + Send + Sync + 'static {
    /// The numbers of the segments there are, in order.
    ///
    /// # Errors
    /// What the disk says, as for each method.
    fn segments(&self) -> io::Result<Vec<u64>>;

    /// Makes a segment of so many zero bytes, with its room reserved, and returns when that is durable. A
    /// segment of that number which is there already, whole or not, is brought to that size and keeps its
    /// bytes.
    ///
    /// # Errors
    /// Also where there is no room; then no new segment is there.
    fn create(&self, segment: u64, bytes: u64) -> io::Result<()>;

    /// Size of a segment in bytes.
    ///
    /// # Errors
    /// What the disk says.
    fn size(&self, segment: u64) -> io::Result<u64>;

    /// Fills `out` from `offset`.
    ///
    /// # Errors
    /// Also where the segment ends before.
    fn read(&self, segment: u64, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes at `offset`.
    ///
    /// # Errors
    /// What the disk says.
    fn write(&self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns when all that was written to the segment is durable.
    ///
    /// # Errors
    /// What the disk says; nothing is known about unsynced bytes afterwards.
    fn sync(&self, segment: u64) -> io::Result<()>;

    /// Gives back what a segment has behind so many bytes.
    ///
    /// # Errors
    /// What the disk says; then it may still have it.
    fn shrink(&self, segment: u64, bytes: u64) -> io::Result<()>;

    /// Removes a segment, and returns when that is durable. One that is not there is removed already.
    ///
    /// # Errors
    /// What the disk says; then it may still be there.
    fn remove(&self, segment: u64) -> io::Result<()>;
}

/// All bytes of a segment.
///
/// # Errors
/// What the disk says.
pub(in crate::audit) fn read_segment(storage: &dyn SegmentStorage, segment: u64) -> io::Result<Vec<u8>> {
    read_prefix(storage, segment, u64::MAX)
}

/// The first bytes of a segment, at most so many.
///
/// # Errors
/// What the disk says.
pub(in crate::audit) fn read_prefix(
    storage: &dyn SegmentStorage,
    segment: u64,
    most: u64,
) -> io::Result<Vec<u8>> {
    let size = usize::try_from(storage.size(segment)?.min(most)).map_err(io::Error::other)?;
    let mut bytes = vec![0; size];
    storage.read(segment, 0, &mut bytes)?;
    Ok(bytes)
}

/// Bytes that no new segment takes: changes go on where reads no longer do. A commit of the store needs 1
/// MiB.
const RESERVED_FOR_CHANGES_BYTES: u64 = 4 << 20;
/// Open files are kept for so many segments.
const MAX_OPEN_FILES: usize = 4;

/// Segments as files of one directory.
#[derive(Debug)]
pub struct SegmentDirectory {
    path: PathBuf,
    open: Mutex<BTreeMap<u64, Arc<File>>>,
    creating: Mutex<()>,
    writable: bool,
}

impl SegmentDirectory {
    /// Opens the directory; makes it, for its owner only, where there is none.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {
                if let Some(parent) = path.parent() {
                    File::open(parent)?.sync_all()?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(Self::at(path, true))
    }

    /// Shows the directory; nothing is made, and writes fail.
    #[must_use]
    pub fn read_only(path: &Path) -> Self {
        Self::at(path, false)
    }

    fn at(path: &Path, writable: bool) -> Self {
        Self {
            path: path.to_owned(),
            open: Mutex::default(),
            creating: Mutex::default(),
            writable,
        }
    }

    fn path_of(&self, segment: u64) -> PathBuf {
        self.path.join(format!("{segment:016}.reads"))
    }

    /// Bytes that are free where the segments lie, where the system says so.
    fn free(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.path).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// The open file of a segment. It stays open between a write and its sync, so that a failure in between
    /// is reported.
    fn file(&self, segment: u64) -> io::Result<Arc<File>> {
        let mut open = self.open.lock();
        if let Some(file) = open.get(&segment) {
            return Ok(Arc::clone(file));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(self.writable)
            .open(self.path_of(segment))?;
        let file = Arc::new(file);
        open.insert(segment, Arc::clone(&file));
        while open.len() > MAX_OPEN_FILES {
            open.pop_first();
        }
        Ok(file)
    }
}

impl SegmentStorage for SegmentDirectory {
    fn segments(&self) -> io::Result<Vec<u64>> {
        let listing = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listing => listing?,
        };
        let mut numbers = Vec::new();
        for entry in listing {
            let name = entry?.file_name();
            if let Some(number) = name
                .to_str()
                .and_then(|name| name.strip_suffix(".reads"))
                .and_then(|digits| digits.parse().ok())
            {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn create(&self, segment: u64, bytes: u64) -> io::Result<()> {
        let _one_at_a_time = self.creating.lock();
        let path = self.path_of(segment);
        let existed = path.exists();
        let needed = bytes.saturating_add(RESERVED_FOR_CHANGES_BYTES);
        if !existed && self.free().is_some_and(|free| free < needed) {
            // Not even for a moment, in an attempt that has to fail: a commit of the store would find none.
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)?;
        let made = reserve(&file, bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| File::open(&self.path)?.sync_all());
        if made.is_err() && !existed {
            let _ = fs::remove_file(&path);
        }
        made
    }

    fn size(&self, segment: u64) -> io::Result<u64> {
        self.file(segment)?.metadata().map(|metadata| metadata.len())
    }

    fn read(&self, segment: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file(segment)?.read_exact_at(out, offset)
    }

    fn write(&self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(segment)?.write_all_at(bytes, offset)
    }

    fn sync(&self, segment: u64) -> io::Result<()> {
        self.file(segment)?.sync_data()
    }

    fn shrink(&self, segment: u64, bytes: u64) -> io::Result<()> {
        self.file(segment)?.set_len(bytes)
    }

    fn remove(&self, segment: u64) -> io::Result<()> {
        self.open.lock().remove(&segment);
        match fs::remove_file(self.path_of(segment)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        File::open(&self.path)?.sync_all()
    }
}

/// Gives the file its size and its blocks. Where the file system cannot reserve blocks, zeros are written.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    let flags = rustix::fs::FallocateFlags::empty();
    match rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, flags, 0, bytes)) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            static BLOCK: [u8; 64 * 1_024] = [0; 64 * 1_024];
            let mut at = file.metadata()?.len();
            while at < bytes {
                let count = usize::try_from(bytes - at)
                    .unwrap_or(BLOCK.len())
                    .min(BLOCK.len());
                file.write_all_at(BLOCK.get(..count).unwrap_or_default(), at)?;
                at += count as u64;
            }
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_that_has_no_room_is_not_begun() {
        let dir = tempfile::tempdir().unwrap();
        let storage = SegmentDirectory::open(&dir.path().join("reads")).unwrap();
        // The file system, were it asked, would call that more than a file can have.
        let error = storage.create(1, i64::MAX.unsigned_abs()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(storage.segments().unwrap(), [0; 0]);
    }
}
