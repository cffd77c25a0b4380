//! A redb database of ours: the settings, the tables, and the engine's own rows.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use redb::{Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};

use super::backend::Backend;
use super::error::{about_the_file, is_full};
use crate::engine::{Disk, EngineError, Table};

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// The engine's own rows: they are no records of the store and not part of its state digest.
pub(super) const ENGINE: Definition = TableDefinition::new("engine");
/// Request id to revision.
pub(super) const REQUESTS: Definition = TableDefinition::new("requests");
/// Revision and index to request id, so that the oldest can be dropped.
pub(super) const REQUEST_ORDER: Definition = TableDefinition::new("request-order");

/// Row of [`ENGINE`]: revision, fence epoch, number of requests; eight bytes each.
pub(super) const COUNTERS: &[u8] = b"counters";

pub(super) const fn definition(table: Table) -> Definition {
    TableDefinition::new(table.name())
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
pub(super) struct Counters {
    pub(super) revision: u64,
    pub(super) fence: u64,
    pub(super) requests: u64,
}

impl Counters {
    pub(super) fn encode(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        for (to, value) in bytes
            .chunks_exact_mut(8)
            .zip([self.revision, self.fence, self.requests])
        {
            to.copy_from_slice(&value.to_be_bytes());
        }
        bytes
    }

    /// The row of [`ENGINE`].
    pub(super) fn read(
        engine: &impl ReadableTable<&'static [u8], &'static [u8]>,
    ) -> Result<Self, EngineError> {
        let row = engine
            .get(COUNTERS)?
            .ok_or_else(|| EngineError::Damaged("the engine's counters are missing".to_owned()))?;
        Self::decode(row.value())
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

pub(super) fn open_database(
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

pub(super) fn durable(transaction: &mut redb::WriteTransaction) -> Result<(), EngineError> {
    transaction
        .set_durability(Durability::Immediate)
        .map_err(|error| EngineError::Damaged(about_the_file(&error)))?;
    transaction.set_two_phase_commit(true);
    Ok(())
}

pub(super) fn commit_error(error: &redb::CommitError) -> EngineError {
    match error {
        redb::CommitError::Storage(redb::StorageError::Io(error)) if is_full(error) => {
            EngineError::OutOfSpace
        }
        other => EngineError::Damaged(about_the_file(other)),
    }
}

/// The counters as a reader sees them.
pub(super) fn counters(transaction: &ReadTransaction) -> Result<Counters, EngineError> {
    Counters::read(&transaction.open_table(ENGINE)?)
}
