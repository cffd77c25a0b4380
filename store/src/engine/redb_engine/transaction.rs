//! One commit inside of redb: preconditions, changes, the requests that it answers, the counters.

use redb::Database;

use super::database::{
    COUNTERS, Counters, ENGINE, REQUEST_ORDER, REQUESTS, commit_error, definition, durable,
};
use crate::engine::{Batch, CommitOutcome, EngineError, Precondition, REMEMBERED_REQUESTS, Revision, Table};

/// Commits a batch. An error says whether the outcome is undecided: once redb began to commit, it is.
pub(super) fn commit(database: &Database, batch: &Batch) -> Result<CommitOutcome, (EngineError, bool)> {
    let before = |error: EngineError| (error, false);
    let mut transaction = database.begin_write().map_err(|error| before(error.into()))?;
    durable(&mut transaction).map_err(before)?;
    match stage(&transaction, batch) {
        Ok(StagedCommit::Conflict(index)) => {
            transaction.abort().map_err(|error| before(error.into()))?;
            Ok(CommitOutcome::Conflict(index))
        }
        Ok(StagedCommit::Ready(counters)) => match transaction.commit() {
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

/// What a transaction came to, before it is committed.
enum StagedCommit {
    Ready(Counters),
    Conflict(usize),
}

/// Checks the preconditions and makes the changes inside `transaction`.
fn stage(transaction: &redb::WriteTransaction, batch: &Batch) -> Result<StagedCommit, EngineError> {
    let mut engine = transaction.open_table(ENGINE)?;
    let mut counters = Counters::read(&engine)?;
    for (index, precondition) in batch.preconditions.iter().enumerate() {
        let holds = match precondition {
            Precondition::Revision(revision) => counters.revision == revision.0,
            Precondition::Epoch(epoch) => counters.fence == *epoch,
        };
        if !holds {
            return Ok(StagedCommit::Conflict(index));
        }
    }
    if let Some(epoch) = batch.raise_fence {
        if epoch <= counters.fence {
            return Ok(StagedCommit::Conflict(batch.preconditions.len()));
        }
        counters.fence = epoch;
    }
    for table in Table::ALL {
        let mut changes = batch
            .changes
            .iter()
            .filter(|change| change.table() == table)
            .peekable();
        if changes.peek().is_none() {
            continue;
        }
        let mut open = transaction.open_table(definition(table))?;
        for change in changes {
            match change.value() {
                Some(value) => drop(open.insert(change.key(), value)?),
                None => drop(open.remove(change.key())?),
            }
        }
    }
    counters.revision += 1;
    remember(transaction, batch, &mut counters)?;
    engine.insert(COUNTERS, counters.encode().as_slice())?;
    Ok(StagedCommit::Ready(counters))
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
