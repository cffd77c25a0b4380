//! What an engine owes its callers. `tests/engine_conformance.rs` asks it of each of them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use strongroom_model::id::RequestId;

use super::{EngineError, Table};

/// One record of a table, as bytes.
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

impl Change {
    /// Which of the engine's tables.
    #[must_use]
    pub const fn table(&self) -> Table {
        match self {
            Self::Put { table, .. } | Self::Delete { table, .. } => *table,
        }
    }

    /// What the record is found by.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    /// What stands there afterwards; none where it is removed.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Put { value, .. } => Some(value),
            Self::Delete { .. } => None,
        }
    }
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

/// The largest record that an engine holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordLimits {
    /// Longest key, in bytes.
    pub key_bytes: usize,
    /// Longest value, in bytes.
    pub value_bytes: usize,
}

impl RecordLimits {
    /// There is no end but that of the memory.
    pub const UNLIMITED: Self = Self {
        key_bytes: usize::MAX,
        value_bytes: usize::MAX,
    };

    /// Whether a record is within them.
    ///
    /// # Errors
    /// [`EngineError::RecordTooLarge`].
    pub fn check(&self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        if key.len() > self.key_bytes {
            return Err(EngineError::RecordTooLarge(key.len()));
        }
        if value.len() > self.value_bytes {
            return Err(EngineError::RecordTooLarge(value.len()));
        }
        Ok(())
    }
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

    /// Those of these requests that are committed, with the revision since which they are durable; the others
    /// are not, and never will be. The same question has the same answer from then on, also after a commit
    /// that ended unknown.
    ///
    /// # Errors
    /// [`EngineError`] where that cannot be read now.
    fn resolve(&self, requests: &[RequestId]) -> Result<BTreeMap<RequestId, Revision>, EngineError>;

    /// The epoch below which no writer may commit.
    ///
    /// # Errors
    /// [`EngineError`] where the disk fails.
    fn fence(&self) -> Result<u64, EngineError>;

    /// The largest record that it holds: a commit of a larger one is refused.
    fn limits(&self) -> RecordLimits;

    /// What it holds and did.
    fn stats(&self) -> EngineStats;
}
