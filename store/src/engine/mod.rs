//! The engine: ordered tables of bytes with snapshots and atomic, durable commits.
//!
//! Nothing here knows what a record means, and nothing here encrypts: an engine gets bytes that are already
//! sealed. An answer to a commit is one of four: committed, refused by a precondition, certainly not
//! committed (an error), or *unknown*, which [`Engine::resolve`] settles by the request ids that were written
//! in the same commit.

mod deferred_disk;
mod disk;
mod error;
#[cfg(any(test, feature = "test-util"))]
mod memory;
mod overlay_disk;
mod redb_engine;
mod redb_snapshot;
mod table;

use std::ops::ControlFlow;

pub use disk::{Disk, FileDisk};
pub use error::EngineError;
#[cfg(any(test, feature = "test-util"))]
pub use memory::MemoryEngine;
pub use overlay_disk::OverlayDisk;
pub use redb_engine::{RedbEngine, RedbOptions, builder as redb_builder};
pub use table::Table;

use crate::id::RequestId;

/// A key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// Sees the key and value of one record; says whether to go on.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Counts commits; the first one makes revision 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Revision(pub u64);

/// One consistent view of all tables.
pub trait Snapshot: Send {
    /// The revision that this view shows.
    fn revision(&self) -> Revision;

    /// The value of a key.
    ///
    /// # Errors
    /// [`EngineError`] where the disk fails or is damaged.
    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// Records whose key starts with `prefix` and comes after `after`, in order of the keys, at most `limit`.
    ///
    /// # Errors
    /// [`EngineError`] where the disk fails or is damaged.
    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<KeyValue>, EngineError>;

    /// Shows every record of a table in order of the keys until told to stop.
    ///
    /// # Errors
    /// [`EngineError`] where the disk fails or is damaged.
    fn visit(&self, table: Table, visitor: &mut Visitor<'_>) -> Result<(), EngineError>;
}

/// Visits every record of a table until `visit` fails.
///
/// # Errors
/// The engine's, and what `visit` returns.
pub(crate) fn try_visit<E: From<EngineError>>(
    snapshot: &dyn Snapshot,
    table: Table,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut result = Ok(());
    snapshot.visit(table, &mut |key, value| {
        result = visit(key, value);
        if result.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    result
}

/// What must hold for a commit to happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Precondition {
    /// Nothing was committed since this revision.
    Revision(Revision),
    /// The fence stands at this epoch.
    Epoch(u64),
}

/// One change of a commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Writes a record, whether or not there is one.
    Put {
        /// Which of the engine's tables.
        table: Table,
        /// What it is found by; whatever had it is replaced.
        key: Vec<u8>,
        /// Opaque to the engine.
        value: Vec<u8>,
    },
    /// Removes a record, whether or not there is one.
    Delete {
        /// Which of the engine's tables.
        table: Table,
        /// What it is found by.
        key: Vec<u8>,
    },
}

/// One atomic commit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// The requests that this commit answers; kept with it, for [`Engine::resolve`].
    pub requests: Vec<RequestId>,
    /// What must hold.
    pub preconditions: Vec<Precondition>,
    /// What changes, in order.
    pub changes: Vec<Change>,
    /// Raises the fence to this epoch in the same commit. Only a higher epoch than the stored
    /// one: of two writers that were given the same epoch, one raises it.
    pub raise_fence: Option<u64>,
}

/// How a commit ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommitOutcome {
    /// It is durable.
    Committed(Revision),
    /// The precondition of this index did not hold (one past the last: the fence stands higher); nothing
    /// changed.
    Conflict(usize),
    /// It may or may not be durable; ask [`Engine::resolve`].
    Unknown,
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resolution {
    /// It is durable since this revision.
    Committed(Revision),
    /// It is not, and never will be.
    NotCommitted,
}

/// What an engine holds and did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EngineStats {
    /// Bytes on disk.
    pub bytes: u64,
    /// Commits since it was opened.
    pub commits: u64,
    /// The last revision.
    pub revision: Revision,
}

/// Requests whose outcome is remembered, at least.
pub const REMEMBERED_REQUESTS: u64 = 10_000;

/// Ordered tables of bytes with snapshots and atomic commits. One writer; any number of readers.
pub trait Engine: Send + Sync {
    /// A consistent view of now.
    ///
    /// # Errors
    /// [`EngineError`] where the disk fails.
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError>;

    /// Commits durably and atomically.
    ///
    /// # Errors
    /// An error means that the batch is certainly not committed; after [`EngineError::Poisoned`] no later one
    /// will be.
    fn commit(&self, batch: &Batch) -> Result<CommitOutcome, EngineError>;

    /// What became of a request whose commit ended unknown. The same question has the same answer from then
    /// on.
    ///
    /// # Errors
    /// [`EngineError`] where that cannot be read now.
    fn resolve(&self, request: RequestId) -> Result<Resolution, EngineError>;

    /// The epoch below which no writer may commit.
    ///
    /// # Errors
    /// [`EngineError`] where the disk fails.
    fn fence(&self) -> Result<u64, EngineError>;

    /// What it holds and did.
    fn stats(&self) -> EngineStats;
}
