//! The engine on redb: plain tables of byte keys and byte values, two-phase commit always, checksums of the
//! whole file verified at every open.
//!
//! Must use nothing else of redb: no savepoints, no multimaps, no typed derive, no lesser durability. Those
//! are where its releases of 2026 had their fixes.
//!
//! A failure other than a full disk poisons the engine: a failed fsync may have dropped the very bytes it was
//! asked to keep, and asking again would answer for others. Reads then go on over a copy-on-write view of the
//! file.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard, RwLock};
use redb::{Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};

use super::deferred_disk::DeferredDisk;
use super::disk::{Backend, Disk, FileDisk};
use super::error::{about_the_file, is_full};
use super::overlay_disk::OverlayDisk;
use super::redb_snapshot::RedbSnapshot;
use super::{
    Batch, Change, CommitOutcome, Engine, EngineError, EngineStats, Precondition, REMEMBERED_REQUESTS,
    Resolution, Revision, Snapshot, Table,
};
use crate::id::RequestId;

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// The engine's own rows: they are no records of the store and not part of its state digest.
const ENGINE: Definition = TableDefinition::new("engine");
/// Request id to revision.
const REQUESTS: Definition = TableDefinition::new("requests");
/// Revision and index to request id, so that the oldest can be dropped.
const REQUEST_ORDER: Definition = TableDefinition::new("request-order");

/// Row of [`ENGINE`]: revision, fence epoch, number of requests; eight bytes each.
const COUNTERS: &[u8] = b"counters";

/// Room that must be free before a commit is tried: what the largest commit can need beyond its own bytes.
const MIN_FREE_BYTES: u64 = 1 << 20;

pub(super) const fn definition(table: Table) -> Definition {
    TableDefinition::new(table.name())
}

/// How the engine is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RedbOptions {
    /// redb's page cache in bytes.
    pub cache_bytes: usize,
    /// Whether a new, empty file may be made.
    pub create: bool,
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 16 << 20,
            create: false,
        }
    }
}

/// The settings with which every store file is opened; a benchmark's baseline uses the same.
#[must_use]
pub fn builder(cache_bytes: usize) -> redb::Builder {
    let mut builder = Database::builder();
    builder
        .set_cache_size(cache_bytes)
        .set_check_integrity_on_open(true);
    builder
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Counters {
    revision: u64,
    fence: u64,
    requests: u64,
}

impl Counters {
    fn encode(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        for (to, value) in bytes
            .chunks_exact_mut(8)
            .zip([self.revision, self.fence, self.requests])
        {
            to.copy_from_slice(&value.to_be_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, EngineError> {
        let mut words = bytes
            .chunks_exact(8)
            .filter_map(|word| word.try_into().ok().map(u64::from_be_bytes));
        match (bytes.len(), words.next(), words.next(), words.next()) {
            (24, Some(revision), Some(fence), Some(requests)) => Ok(Self {
                revision,
                fence,
                requests,
            }),
            _ => Err(EngineError::Damaged(
                "the engine's counters have an impossible size".to_owned(),
            )),
        }
    }
}

/// Tables in one file.
pub struct RedbEngine {
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
    pub fn open_file(path: &Path, options: RedbOptions) -> Result<Self, EngineError> {
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
    pub fn open_copy_on_write(path: &Path, cache_bytes: usize) -> Result<Self, EngineError> {
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
    pub fn open(disk: Arc<dyn Disk>, options: RedbOptions) -> Result<Self, EngineError> {
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
        let bytes: u64 = batch
            .changes
            .iter()
            .map(|change| match change {
                Change::Put { key, value, .. } => (key.len() + value.len()) as u64,
                Change::Delete { key, .. } => key.len() as u64,
            })
            .sum();
        match self.disk.free() {
            Some(free) if free < MIN_FREE_BYTES + bytes.saturating_mul(4) => Err(EngineError::OutOfSpace),
            _ => Ok(()),
        }
    }
}

fn open_database(
    disk: &Arc<dyn Disk>,
    failed: &Arc<AtomicBool>,
    cache_bytes: usize,
) -> Result<Database, EngineError> {
    let backend = Backend::new(Arc::clone(disk), Arc::clone(failed));
    let database = builder(cache_bytes).create_with_backend(backend)?;
    // Every table of today exists from the start. One that a later version adds comes with its first record.
    let transaction = database.begin_read()?;
    let missing = matches!(
        transaction.open_table(ENGINE),
        Err(redb::TableError::TableDoesNotExist(_))
    );
    drop(transaction);
    if missing {
        let mut transaction = database.begin_write()?;
        durable(&mut transaction)?;
        for table in Table::ALL {
            transaction.open_table(definition(table))?;
        }
        transaction.open_table(REQUESTS)?;
        transaction.open_table(REQUEST_ORDER)?;
        let mut engine = transaction.open_table(ENGINE)?;
        engine.insert(COUNTERS, Counters::default().encode().as_slice())?;
        drop(engine);
        transaction.commit().map_err(|error| commit_error(&error))?;
    }
    Ok(database)
}

fn durable(transaction: &mut redb::WriteTransaction) -> Result<(), EngineError> {
    transaction
        .set_durability(Durability::Immediate)
        .map_err(|error| EngineError::Damaged(about_the_file(&error)))?;
    transaction.set_two_phase_commit(true);
    Ok(())
}

fn commit_error(error: &redb::CommitError) -> EngineError {
    match error {
        redb::CommitError::Storage(redb::StorageError::Io(error)) if is_full(error) => {
            EngineError::OutOfSpace
        }
        other => EngineError::Damaged(about_the_file(other)),
    }
}

fn counters(transaction: &ReadTransaction) -> Result<Counters, EngineError> {
    let engine = transaction.open_table(ENGINE)?;
    let row = engine
        .get(COUNTERS)?
        .ok_or_else(|| EngineError::Damaged("the engine's counters are missing".to_owned()))?;
    Counters::decode(row.value())
}

/// What a transaction came to, before it is committed.
enum Staged {
    Ready(Counters),
    Conflict(usize),
}

/// Checks the preconditions and makes the changes inside `transaction`.
fn stage(transaction: &redb::WriteTransaction, batch: &Batch) -> Result<Staged, EngineError> {
    let mut engine = transaction.open_table(ENGINE)?;
    let mut counters = {
        let row = engine
            .get(COUNTERS)?
            .ok_or_else(|| EngineError::Damaged("the engine's counters are missing".to_owned()))?;
        Counters::decode(row.value())?
    };
    for (index, precondition) in batch.preconditions.iter().enumerate() {
        let holds = match precondition {
            Precondition::Revision(revision) => counters.revision == revision.0,
            Precondition::Epoch(epoch) => counters.fence == *epoch,
        };
        if !holds {
            return Ok(Staged::Conflict(index));
        }
    }
    if let Some(epoch) = batch.raise_fence {
        if epoch <= counters.fence {
            return Ok(Staged::Conflict(batch.preconditions.len()));
        }
        counters.fence = epoch;
    }
    for table in Table::ALL {
        let mut changes = batch
            .changes
            .iter()
            .filter(|change| matches!(change, Change::Put { table: of, .. } | Change::Delete { table: of, .. } if *of == table))
            .peekable();
        if changes.peek().is_none() {
            continue;
        }
        let mut open = transaction.open_table(definition(table))?;
        for change in changes {
            match change {
                Change::Put { key, value, .. } => drop(open.insert(key.as_slice(), value.as_slice())?),
                Change::Delete { key, .. } => drop(open.remove(key.as_slice())?),
            }
        }
    }
    counters.revision += 1;
    remember(transaction, batch, &mut counters)?;
    engine.insert(COUNTERS, counters.encode().as_slice())?;
    Ok(Staged::Ready(counters))
}

/// Writes the request rows, and drops the oldest beyond [`REMEMBERED_REQUESTS`].
fn remember(
    transaction: &redb::WriteTransaction,
    batch: &Batch,
    counters: &mut Counters,
) -> Result<(), EngineError> {
    if batch.requests.is_empty() {
        return Ok(());
    }
    let mut requests = transaction.open_table(REQUESTS)?;
    let mut order = transaction.open_table(REQUEST_ORDER)?;
    let revision = counters.revision.to_be_bytes();
    for (index, request) in (0_u32..).zip(&batch.requests) {
        let mut key = [0; 12];
        let (head, tail) = key.split_at_mut(8);
        head.copy_from_slice(&revision);
        tail.copy_from_slice(&index.to_be_bytes());
        requests.insert(request.as_bytes().as_slice(), revision.as_slice())?;
        order.insert(key.as_slice(), request.as_bytes().as_slice())?;
        counters.requests += 1;
    }
    while counters.requests > REMEMBERED_REQUESTS {
        let Some(oldest) = order.pop_first()?.map(|(_, request)| request.value().to_vec()) else {
            break;
        };
        requests.remove(oldest.as_slice())?;
        counters.requests -= 1;
    }
    Ok(())
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

    fn resolve(&self, request: RequestId) -> Result<Resolution, EngineError> {
        let transaction = self.read()?;
        let requests = transaction.open_table(REQUESTS)?;
        let row = requests.get(request.as_bytes().as_slice())?;
        match row.and_then(|row| row.value().try_into().ok().map(u64::from_be_bytes)) {
            // INVARIANT: nothing is called committed that a power cut could still take: only a restart knows
            // what was kept.
            Some(revision)
                if self.view.load(Ordering::Acquire) && revision > self.durable.load(Ordering::Acquire) =>
            {
                Err(EngineError::Poisoned)
            }
            Some(revision) => Ok(Resolution::Committed(Revision(revision))),
            None => Ok(Resolution::NotCommitted),
        }
    }

    fn fence(&self) -> Result<u64, EngineError> {
        counters(&self.read()?).map(|counters| counters.fence)
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

/// Commits a batch. An error says whether the outcome is undecided: once redb began to commit, it is.
fn commit(database: &Database, batch: &Batch) -> Result<CommitOutcome, (EngineError, bool)> {
    let before = |error: EngineError| (error, false);
    let mut transaction = database.begin_write().map_err(|error| before(error.into()))?;
    durable(&mut transaction).map_err(before)?;
    match stage(&transaction, batch) {
        Ok(Staged::Conflict(index)) => {
            transaction.abort().map_err(|error| before(error.into()))?;
            Ok(CommitOutcome::Conflict(index))
        }
        Ok(Staged::Ready(counters)) => match transaction.commit() {
            Ok(()) => Ok(CommitOutcome::Committed(Revision(counters.revision))),
            Err(error) => Err((commit_error(&error), true)),
        },
        Err(error) => {
            // The first error says what happened; a failing abort adds nothing to it.
            let _ = transaction.abort();
            Err(before(error))
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
