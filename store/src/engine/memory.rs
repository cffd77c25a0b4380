//! An engine in memory, for tests and as the plainest statement of what an engine does. Must not pretend to
//! be durable.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use strongroom_model::id::RequestId;

use super::{
    Batch, Change, CommitOutcome, Engine, EngineError, EngineStats, KeyValue, Precondition,
    REMEMBERED_REQUESTS, RecordLimits, Revision, Snapshot, Table, Visitor,
};

type Tables = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

#[derive(Default)]
struct State {
    tables: Arc<Tables>,
    revision: Revision,
    fence: u64,
    requests: BTreeMap<RequestId, Revision>,
    order: VecDeque<RequestId>,
}

/// Tables in memory.
#[derive(Default)]
pub struct MemoryEngine {
    state: Mutex<State>,
}

impl MemoryEngine {
    /// No records, revision 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

struct MemorySnapshot {
    tables: Arc<Tables>,
    revision: Revision,
}

impl MemorySnapshot {
    fn from<'a>(
        &'a self,
        table: Table,
        start: Bound<&[u8]>,
    ) -> impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)> + use<'a> {
        let start = match start {
            Bound::Included(key) => Bound::Included((table, key.to_vec())),
            Bound::Excluded(key) => Bound::Excluded((table, key.to_vec())),
            Bound::Unbounded => Bound::Included((table, Vec::new())),
        };
        self.tables
            .range((start, Bound::Unbounded))
            .take_while(move |((of, _), _)| *of == table)
            .map(|((_, key), value)| (key, value))
    }
}

impl Snapshot for MemorySnapshot {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.tables.get(&(table, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<KeyValue>, EngineError> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        Ok(self
            .from(table, start)
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn visit(&self, table: Table, visitor: &mut Visitor<'_>) -> Result<(), EngineError> {
        for (key, value) in self.from(table, Bound::Unbounded) {
            if visitor(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Engine for MemoryEngine {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
        let state = self.lock();
        Ok(Box::new(MemorySnapshot {
            tables: Arc::clone(&state.tables),
            revision: state.revision,
        }))
    }

    fn commit(&self, batch: &Batch) -> Result<CommitOutcome, EngineError> {
        let mut state = self.lock();
        for (index, precondition) in batch.preconditions.iter().enumerate() {
            let holds = match precondition {
                Precondition::Revision(revision) => state.revision == *revision,
                Precondition::Epoch(epoch) => state.fence == *epoch,
            };
            if !holds {
                return Ok(CommitOutcome::Conflict(index));
            }
        }
        if batch.raise_fence.is_some_and(|epoch| epoch <= state.fence) {
            return Ok(CommitOutcome::Conflict(batch.preconditions.len()));
        }
        let mut tables = Arc::clone(&state.tables);
        let changed = Arc::make_mut(&mut tables);
        for change in &batch.changes {
            match change {
                Change::Put { table, key, value } => changed.insert((*table, key.clone()), value.clone()),
                Change::Delete { table, key } => changed.remove(&(*table, key.clone())),
            };
        }
        state.tables = tables;
        state.revision.0 += 1;
        state.fence = batch.raise_fence.unwrap_or(state.fence);
        let revision = state.revision;
        for request in &batch.requests {
            state.requests.insert(*request, revision);
            state.order.push_back(*request);
        }
        while state.order.len() as u64 > REMEMBERED_REQUESTS {
            if let Some(oldest) = state.order.pop_front() {
                state.requests.remove(&oldest);
            }
        }
        Ok(CommitOutcome::Committed(revision))
    }

    fn resolve(&self, requests: &[RequestId]) -> Result<BTreeMap<RequestId, Revision>, EngineError> {
        let state = self.lock();
        let found = requests
            .iter()
            .filter_map(|id| Some((*id, *state.requests.get(id)?)));
        Ok(found.collect())
    }

    fn fence(&self) -> Result<u64, EngineError> {
        Ok(self.lock().fence)
    }

    fn limits(&self) -> RecordLimits {
        RecordLimits::UNLIMITED
    }

    fn stats(&self) -> EngineStats {
        let state = self.lock();
        let bytes = state
            .tables
            .iter()
            .map(|((_, key), value)| (key.len() + value.len()) as u64)
            .sum();
        EngineStats {
            bytes,
            commits: state.revision.0,
            revision: state.revision,
        }
    }
}

impl fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEngine").finish_non_exhaustive()
    }
}
