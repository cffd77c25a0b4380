//! The engine: what it does with its database when a commit fails.
//!
//! A failure other than a full disk poisons the engine: a failed fsync may have dropped the very bytes it was
//! asked to keep, and asking again would answer for others. Reads then go on over a copy-on-write view of the
//! file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard, RwLock};
use redb::{Database, ReadTransaction, ReadableDatabase};
use strongroom_model::id::RequestId;

use super::database::{REQUESTS, counters, open_database};
use super::error::is_full;
use super::snapshot::RedbSnapshot;
use super::transaction::commit;
use crate::engine::deferred_disk::DeferredDisk;
use crate::engine::{
    Batch, Change, CommitOutcome, Disk, Engine, EngineError, EngineStats, FileDisk, OverlayDisk,
    RecordLimits, Revision, Snapshot,
};

/// Room that must be free before a commit is tried: what the largest commit can need beyond its own bytes.
const MIN_FREE_BYTES: u64 = 1 << 20;

/// The largest record that redb holds, key and value together.
const MAX_RECORD_BYTES: usize = 3 << 30;
/// Keys take no more of it: ours have at most 32 bytes.
const MAX_KEY_BYTES: usize = 1 << 20;

/// How the engine is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::engine) struct RedbOptions {
    /// redb's page cache in bytes.
    pub(in crate::engine) cache_bytes: usize,
    /// Whether a new, empty file may be made.
    pub(in crate::engine) create: bool,
}

/// Tables in one file.
pub(in crate::engine) struct RedbEngine {
    disk: Arc<dyn Disk>,
    /// The same disk where an existing file was opened: released by the first write that somebody asked for.
    held: Option<Arc<DeferredDisk>>,
    options: RedbOptions,
    /// None only while it is reopened, or when that failed.
    database: RwLock<Option<Database>>,
    writer: Mutex<()>,
    failed: Arc<AtomicBool>,
    poisoned: AtomicBool,
    /// The open database is a view over a full disk: it must be opened anew before anything is written.
    view: AtomicBool,
    /// The last revision that is known to be durable. A view may show a later one, which a failed sync left
    /// in the page cache alone.
    durable: AtomicU64,
    committed: AtomicU64,
}

impl RedbEngine {
    /// Opens the store file at `path` after verifying all of it. A file that was there is not changed before
    /// the first commit.
    ///
    /// # Errors
    /// [`EngineError::Missing`] where there is none and none may be made; [`EngineError::Damaged`] where a
    /// checksum fails.
    pub(in crate::engine) fn open_file(path: &Path, options: RedbOptions) -> Result<Self, EngineError> {
        if !options.create && !path.exists() {
            return Err(EngineError::Missing(path.display().to_string()));
        }
        let disk = FileDisk::open(path, options.create)?;
        if options.create
            && let Some(parent) = path.parent()
        {
            // IMPORTANT: a new file is durable only once its directory is.
            std::fs::File::open(parent)?.sync_all()?;
        }
        Self::open(Arc::new(disk), options)
    }

    /// Shows the store file at `path` without changing a byte of it, even where it needs repair. Commits go
    /// nowhere.
    ///
    /// # Errors
    /// As [`RedbEngine::open_file`].
    pub(in crate::engine) fn open_copy_on_write(
        path: &Path,
        cache_bytes: usize,
    ) -> Result<Self, EngineError> {
        if !path.exists() {
            return Err(EngineError::Missing(path.display().to_string()));
        }
        let overlay = OverlayDisk::new(Arc::new(FileDisk::open_read_only(path)?))?;
        Self::open(
            Arc::new(overlay),
            RedbOptions {
                cache_bytes,
                create: false,
            },
        )
    }

    /// Opens the store on any disk.
    ///
    /// # Errors
    /// As [`RedbEngine::open_file`].
    pub(in crate::engine) fn open(disk: Arc<dyn Disk>, options: RedbOptions) -> Result<Self, EngineError> {
        if !options.create && disk.is_empty()? {
            return Err(EngineError::Damaged("the file is empty".to_owned()));
        }
        let failed = Arc::new(AtomicBool::new(false));
        let held = match options.create {
            true => None,
            false => Some(Arc::new(DeferredDisk::new(Arc::clone(&disk))?)),
        };
        let disk: Arc<dyn Disk> = match &held {
            Some(held) => Arc::clone(held) as _,
            None => disk,
        };
        let database = open_database(&disk, &failed, options.cache_bytes)?;
        let counters = counters(&database.begin_read()?)?;
        Ok(Self {
            disk,
            held,
            options,
            database: RwLock::new(Some(database)),
            writer: Mutex::new(()),
            failed,
            poisoned: AtomicBool::new(false),
            view: AtomicBool::new(false),
            durable: AtomicU64::new(counters.revision),
            committed: AtomicU64::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.writer.lock()
    }

    fn read(&self) -> Result<ReadTransaction, EngineError> {
        let guard = self.database.read();
        let database = guard.as_ref().ok_or(EngineError::Poisoned)?;
        Ok(database.begin_read()?)
    }

    /// After a commit failed: find out what that means. A full disk kept all it had, so the file is opened
    /// anew and says itself whether the commit is in it. Anything else poisons, and reads go on over a view
    /// that writes nothing.
    fn recover(&self) -> Result<(), EngineError> {
        let mut guard = self.database.write();
        drop(guard.take());
        if !self.failed.load(Ordering::Acquire) {
            match open_database(&self.disk, &self.failed, self.options.cache_bytes) {
                Ok(database) => {
                    let counters = counters(&database.begin_read()?)?;
                    self.durable.store(counters.revision, Ordering::Release);
                    *guard = Some(database);
                    self.view.store(false, Ordering::Release);
                    return Ok(());
                }
                Err(EngineError::OutOfSpace) => {}
                Err(_) => self.failed.store(true, Ordering::Release),
            }
        }
        let full = !self.failed.load(Ordering::Acquire);
        self.poisoned.store(!full, Ordering::Release);
        self.view.store(true, Ordering::Release);
        let view: Arc<dyn Disk> = Arc::new(OverlayDisk::new(Arc::clone(&self.disk))?);
        *guard = Some(open_database(
            &view,
            &Arc::new(AtomicBool::new(false)),
            self.options.cache_bytes,
        )?);
        if full {
            Err(EngineError::OutOfSpace)
        } else {
            Err(EngineError::Poisoned)
        }
    }

    /// Lets what opening did reach the file. Until then it stands there as it was found.
    fn release(&self) -> Result<(), EngineError> {
        let Some(held) = &self.held else { return Ok(()) };
        match held.release() {
            Ok(()) => Ok(()),
            Err(error) if is_full(&error) => Err(EngineError::OutOfSpace),
            Err(_) => {
                self.failed.store(true, Ordering::Release);
                self.recover()
            }
        }
    }

    /// Refuses before anything is written where the disk has too little room: a full disk then costs no
    /// reopening.
    fn check_free_space(&self, batch: &Batch) -> Result<(), EngineError> {
        let bytes = |change: &Change| (change.key().len() + change.value().map_or(0, <[u8]>::len)) as u64;
        let bytes: u64 = batch.changes.iter().map(bytes).sum();
        match self.disk.free() {
            Some(free) if free < MIN_FREE_BYTES + bytes.saturating_mul(4) => Err(EngineError::OutOfSpace),
            _ => Ok(()),
        }
    }
}

impl Engine for RedbEngine {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
        let transaction = self.read()?;
        let revision = Revision(counters(&transaction)?.revision);
        Ok(Box::new(RedbSnapshot::new(transaction, revision)))
    }

    fn commit(&self, batch: &Batch) -> Result<CommitOutcome, EngineError> {
        let _writer = self.lock();
        if self.poisoned.load(Ordering::Acquire) {
            return Err(EngineError::Poisoned);
        }
        self.check_free_space(batch)?;
        self.release()?;
        if self.view.load(Ordering::Acquire) {
            self.recover()?;
        }
        let committed = {
            let guard = self.database.read();
            let database = guard.as_ref().ok_or(EngineError::Poisoned)?;
            commit(database, batch)
        };
        match committed {
            Ok(CommitOutcome::Committed(revision)) => {
                self.committed.fetch_add(1, Ordering::Relaxed);
                self.durable.store(revision.0, Ordering::Release);
                Ok(CommitOutcome::Committed(revision))
            }
            Ok(other) => Ok(other),
            Err((error, undecided)) => match (self.recover(), undecided) {
                // Reopened: the file says itself what is in it, and `resolve` reads that.
                (Ok(()), true) => Ok(CommitOutcome::Unknown),
                (Ok(()) | Err(EngineError::OutOfSpace), false) => Err(match error {
                    EngineError::Poisoned => EngineError::OutOfSpace,
                    other => other,
                }),
                (Err(_), true) => Ok(CommitOutcome::Unknown),
                (Err(poison), false) => Err(poison),
            },
        }
    }

    fn resolve(&self, requests: &[RequestId]) -> Result<BTreeMap<RequestId, Revision>, EngineError> {
        let transaction = self.read()?;
        let rows = transaction.open_table(REQUESTS)?;
        let mut found = BTreeMap::new();
        for request in requests {
            let row = rows.get(request.as_bytes().as_slice())?;
            let Some(revision) = row.and_then(|row| row.value().try_into().ok().map(u64::from_be_bytes))
            else {
                continue;
            };
            // INVARIANT: nothing is called committed that a power cut could still take: only a restart knows
            // what was kept.
            if self.view.load(Ordering::Acquire) && revision > self.durable.load(Ordering::Acquire) {
                return Err(EngineError::Poisoned);
            }
            found.insert(*request, Revision(revision));
        }
        Ok(found)
    }

    fn fence(&self) -> Result<u64, EngineError> {
        counters(&self.read()?).map(|counters| counters.fence)
    }

    fn limits(&self) -> RecordLimits {
        RecordLimits {
            key_bytes: MAX_KEY_BYTES,
            value_bytes: MAX_RECORD_BYTES - MAX_KEY_BYTES,
        }
    }

    fn stats(&self) -> EngineStats {
        let revision = self
            .read()
            .and_then(|transaction| counters(&transaction))
            .unwrap_or_default()
            .revision;
        EngineStats {
            bytes: self.disk.len().unwrap_or(0),
            commits: self.committed.load(Ordering::Relaxed),
            revision: Revision(revision),
        }
    }
}

impl fmt::Debug for RedbEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbEngine")
            .field("disk", &self.disk)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
