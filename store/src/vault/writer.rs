//! The one writer: takes what is queued, decides each command on the changes of those before it, and commits
//! them together with their audit records, the counter, the digest and a signed checkpoint.
//!
//! INVARIANT: nobody is answered before the commit that their answer rests on is durable, refusals included:
//! a refusal may rest on a change of the same group.

use std::collections::BTreeSet;
use std::sync::{Arc, mpsc};

use strongroom_model::id::RequestId;
use strongroom_model::time::Timestamp;

use super::commit_changes::{CommitChanges, values_before};
use super::commit_failure::CommitFailure;
use super::error::StoreError;
use super::job::{DecidedJob, Job, JobInput};
use super::shared::{PublishedState, Shared};
use super::state::read_state;
use super::view::View;
use crate::audit::{self, Action, Actor, ChainHead, Checkpoint, Entry, ReadHead};
use crate::crypto::{Context, CryptoError};
use crate::engine::{Batch, Change, CommitOutcome, EngineError, Precondition, Revision, Table};
use crate::format::{StoreState, meta};

/// Most commands in one commit.
const MAX_COMMANDS_PER_COMMIT: usize = 64;

/// The writer thread's own state: what the last commit left.
pub(super) struct CommitWriter {
    shared: Arc<Shared>,
    state: StoreState,
    /// The epoch is written with the first commit.
    fence_raised: bool,
    /// A commit whose outcome is not known; nothing is written before it is.
    undecided: Option<RequestId>,
}

impl CommitWriter {
    pub(super) const fn new(shared: Arc<Shared>, state: StoreState) -> Self {
        Self {
            shared,
            state,
            fence_raised: false,
            undecided: None,
        }
    }

    /// Works until every way to it is gone.
    pub(super) fn run(mut self, queue: &mpsc::Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let mut group = vec![first];
            while group.len() < MAX_COMMANDS_PER_COMMIT
                && let Ok(next) = queue.try_recv()
            {
                group.push(next);
            }
            self.shared.stats.taken(group.len() as u64);
            self.group(group);
        }
    }

    fn group(&mut self, group: Vec<Job>) {
        let shared = Arc::clone(&self.shared);
        let requests: Vec<RequestId> = group.iter().map(|job| job.request).collect();
        let begun = self.settle().and_then(|()| {
            let snapshot = shared.engine.snapshot()?;
            Ok((snapshot, shared.engine.resolve(&requests)?))
        });
        let (snapshot, committed) = match begun {
            Ok(begun) => begun,
            Err(failure) => {
                for job in group {
                    let request = job.request;
                    job.refuse(failure.for_request(request));
                }
                return;
            }
        };
        let mut view = View::new(&shared.keyring, snapshot.as_ref())
            .with_quotas(&shared.caches.quotas, &shared.caches.products)
            .with_limits(shared.engine.limits());
        let mut steps = Vec::with_capacity(group.len());
        let mut carried_out: BTreeSet<RequestId> = committed.into_keys().collect();
        for job in group {
            let request = job.request;
            let input = if carried_out.contains(&request) {
                JobInput::Repeat(&mut view)
            } else {
                JobInput::Run(&mut view)
            };
            if let Some(step) = job.run(input) {
                if step.changes() {
                    carried_out.insert(request);
                }
                steps.push((request, step));
            }
        }
        let outcome = self.commit(&mut view, &mut steps);
        for (request, step) in steps {
            let refused = match step.refused {
                // A refusal leaves only once it is audited, as a value does.
                Some(entry) if outcome.is_ok() => shared
                    .append_audit(&entry, audit::Durability::Batched)
                    .map_err(StoreError::from),
                _ => Ok(()),
            };
            (step.answer)(match &outcome {
                Ok(()) => refused,
                Err(failure) => Err(failure.for_request(request)),
            });
        }
    }

    /// Finds out what became of a commit that ended unknown.
    fn settle(&mut self) -> Result<(), CommitFailure> {
        let Some(group) = self.undecided else {
            return Ok(());
        };
        let committed = self.is_committed(group).map_err(|_| CommitFailure::Unknown)?;
        self.reload()?;
        // Every commit of ours has the epoch in it.
        self.fence_raised |= committed;
        self.undecided = None;
        Ok(())
    }

    /// Whether the group of this id is committed.
    fn is_committed(&self, group: RequestId) -> Result<bool, EngineError> {
        let committed = self.shared.engine.resolve(&[group])?;
        Ok(committed.contains_key(&group))
    }

    /// Takes the state from the engine anew.
    fn reload(&mut self) -> Result<(), CommitFailure> {
        let shared = Arc::clone(&self.shared);
        let snapshot = shared.engine.snapshot()?;
        let opened = read_state(&shared.keyring, snapshot.as_ref()).map_err(|_| CommitFailure::Unknown)?;
        shared
            .caches
            .reload(&shared.keyring, snapshot.as_ref())
            .map_err(|_| CommitFailure::Unknown)?;
        let reads = shared.published.lock().reads;
        self.publish(opened, reads);
        Ok(())
    }

    fn publish(&mut self, state: StoreState, reads: ReadHead) {
        self.state = state;
        *self.shared.published.lock() = PublishedState { state, reads };
        self.shared.changed.notify_all();
    }

    /// Commits what the group changed; nothing, where it changed nothing.
    fn commit(
        &mut self,
        view: &mut View<'_>,
        steps: &mut [(RequestId, DecidedJob)],
    ) -> Result<(), CommitFailure> {
        // A refusal changed nothing: the same request may be tried again.
        let mut requests: Vec<RequestId> = steps
            .iter()
            .filter(|(_, step)| step.changes())
            .map(|(request, _)| *request)
            .collect();
        let entries: Vec<Entry> = steps
            .iter_mut()
            .flat_map(|(_, step)| std::mem::take(&mut step.entries))
            .collect();
        if view.pending.is_empty() && entries.is_empty() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let reads = shared.reads().fsynced();
        let time = entries.last().map_or_else(Timestamp::default, |entry| entry.time);
        if let Some(allowances) = shared.caches.quotas.unsaved() {
            let sealed = shared
                .keyring
                .seal(&Context::Meta("allowances"), &allowances.encode())?;
            view.pending
                .insert((Table::Meta, meta::ALLOWANCES.to_vec()), Some(sealed));
        }
        let head = self.record(view, entries, reads, time)?;
        // The group has an id of its own: a request of it may be one that was carried out before.
        let group = RequestId::generate().map_err(|_| CryptoError::NoRandomness)?;
        requests.push(group);
        let mut preconditions = vec![Precondition::Revision(view.snapshot.revision())];
        if self.fence_raised {
            preconditions.push(Precondition::Epoch(shared.epoch));
        }
        let mut changes = view.take_changes();
        let before = values_before(view.snapshot, &changes)?;
        let state = StoreState {
            counter: self.state.counter + 1,
            digest: CommitChanges::new(&changes, &before, &view.owners)
                .digest(&shared.keyring, self.state.digest),
            head,
        };
        changes.push(Change::Put {
            table: Table::Meta,
            key: meta::STATE.to_vec(),
            value: shared.keyring.seal(&Context::Meta("state"), &state.encode())?,
        });
        let batch = Batch {
            requests,
            preconditions,
            changes,
            raise_fence: (!self.fence_raised).then_some(shared.epoch),
        };
        let commit = CommitChanges::new(&batch.changes, &before, &view.owners);
        shared
            .caches
            .announce(&commit, Revision(view.snapshot.revision().0 + 1));
        let outcome = shared.engine.commit(&batch);
        if !matches!(outcome, Ok(CommitOutcome::Committed(_))) {
            shared.caches.distrust();
        }
        match outcome {
            Ok(CommitOutcome::Committed(_)) => {}
            Ok(CommitOutcome::Conflict(_)) => return Err(CommitFailure::Fenced),
            Ok(CommitOutcome::Unknown) => match self.is_committed(group) {
                Ok(true) => {}
                Ok(false) => return Err(CommitFailure::NotCommitted),
                Err(_) => {
                    self.undecided = Some(group);
                    return Err(CommitFailure::Unknown);
                }
            },
            Err(error) => return Err(error.into()),
        }
        self.fence_raised = true;
        shared.stats.committed(steps.len() as u64);
        shared.caches.absorb(&shared.keyring, &commit);
        self.publish(state, reads);
        match &shared.strict_anchor {
            Some(hook) => hook(&shared.anchor(&state)).map_err(CommitFailure::Anchor),
            None => Ok(()),
        }
    }

    /// Adds the audit records and the signed checkpoint to the changes.
    fn record(
        &self,
        view: &mut View<'_>,
        mut entries: Vec<Entry>,
        reads: ReadHead,
        time: Timestamp,
    ) -> Result<ChainHead, CryptoError> {
        let epoch = u32::try_from(self.shared.epoch).unwrap_or(u32::MAX);
        if !self.fence_raised && !entries.is_empty() {
            let mut opened = Entry::new(time, Actor::System, Action::OpenStore);
            opened.detail = format!("epoch {epoch}");
            entries.insert(0, opened);
        }
        let mut head = self.state.head;
        for entry in &entries {
            let (record, next) = audit::record(&self.shared.keyring, epoch, head, reads, entry)?;
            view.pending.insert(
                (Table::Audit, audit::encode_key(epoch, record.sequence)),
                Some(record.encode()),
            );
            head = next;
            if let (Action::GenerateDataKey, Some(key)) = (entry.action, entry.key) {
                self.shared.used(key, entry.time);
            }
        }
        if head.sequence > self.state.head.sequence {
            let keyring = &self.shared.keyring;
            let checkpoint = Checkpoint::sign(keyring.signer(), &keyring.store(), head, reads, time);
            view.pending.insert(
                (Table::Meta, meta::CHECKPOINT.to_vec()),
                Some(checkpoint.encode()),
            );
        }
        Ok(head)
    }
}
