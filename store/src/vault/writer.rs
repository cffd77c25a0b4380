//! The one writer: takes what is queued, decides each command on the changes of those before it, and commits
//! them together with their audit records, the counter, the digest and a signed checkpoint.
//!
//! INVARIANT: nobody is answered before the commit that their answer rests on is durable, refusals included:
//! a refusal may rest on a change of the same group.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use super::commands::{Command, Decision, EntryDraft};
use super::error::{Refusal, StoreError};
use super::quota::{self, UsageChange};
use super::types::Meta;
use super::view::{PendingChanges, View};
use super::{Published, Shared, StoreStats};
use crate::audit::{self, Action, Actor, AuditOutcome, ChainHead, Checkpoint, Entry, ReadHead, Requester};
use crate::crypto::{Context, CryptoError};
use crate::engine::{Batch, Change, CommitOutcome, EngineError, Precondition, Resolution, Revision, Table};
use crate::format::{Head, StoreState, meta};
use crate::id::{NamespaceId, RequestId, SecretId};
use crate::time::Timestamp;

/// Most commands in one commit.
const MAX_COMMANDS_PER_COMMIT: usize = 64;

/// Counts what the writer did.
#[derive(Default)]
pub(super) struct GroupStats {
    commits: AtomicU64,
    commands: AtomicU64,
    last_group: AtomicU64,
    queue: AtomicU64,
}

impl GroupStats {
    pub(super) fn queued(&self) {
        self.queue.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn taken(&self, count: u64) {
        self.queue.fetch_sub(count, Ordering::Relaxed);
    }

    fn committed(&self, commands: u64) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.commands.fetch_add(commands, Ordering::Relaxed);
        self.last_group.store(commands, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> StoreStats {
        StoreStats {
            commits: self.commits.load(Ordering::Relaxed),
            commands: self.commands.load(Ordering::Relaxed),
            last_group: self.last_group.load(Ordering::Relaxed),
            queued: self.queue.load(Ordering::Relaxed),
            ..StoreStats::default()
        }
    }
}

/// Answers one caller once the group's outcome is known.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What a job came to on the view.
struct DecidedJob {
    entries: Vec<Entry>,
    refused: Option<Entry>,
    answer: Answer,
}

impl DecidedJob {
    /// Whether it changed something that is put on record.
    fn changes(&self) -> bool {
        !self.entries.is_empty()
    }
}

/// A queued command, whatever its type.
pub(super) struct Job {
    request: RequestId,
    run: Box<dyn FnOnce(JobInput<'_, '_>) -> Option<DecidedJob> + Send>,
}

/// A job is either carried out, or turned away.
enum JobInput<'v, 'a> {
    Run(&'v mut View<'a>),
    /// The request was carried out before.
    Repeat(&'v mut View<'a>),
    Refuse(StoreError),
}

impl Job {
    pub(super) fn new<C: Command>(
        command: C,
        meta: Meta,
        requester: Option<Requester>,
        reply: impl FnOnce(Result<C::Reply, StoreError>) + Send + 'static,
    ) -> Self {
        let request = meta.request;
        let meta = (meta, requester);
        let run = Box::new(move |input: JobInput<'_, '_>| match input {
            JobInput::Refuse(error) => {
                reply(Err(error));
                None
            }
            JobInput::Run(view) => Some(carry_out(command, C::decide, &meta, view, reply)),
            JobInput::Repeat(view) => Some(carry_out(command, C::repeated, &meta, view, reply)),
        });
        Self { request, run }
    }

    pub(super) fn refuse(self, error: StoreError) {
        (self.run)(JobInput::Refuse(error));
    }
}

/// What a command comes to, the first time or again.
type Decide<C> = fn(C, &View<'_>, Timestamp) -> Result<Decision<<C as Command>::Reply>, StoreError>;

fn carry_out<C: Command>(
    command: C,
    decide: Decide<C>,
    (meta, requester): &(Meta, Option<Requester>),
    view: &mut View<'_>,
    reply: impl FnOnce(Result<C::Reply, StoreError>) + Send + 'static,
) -> DecidedJob {
    let subject = command.subject();
    let decided = decide(command, view, meta.now).and_then(|decision| {
        view.apply(decision.effects)?;
        if let Some((namespace, usage)) = decision.takes {
            view.reserve(namespace, usage);
        }
        Ok((decision.entries, decision.reply))
    });
    match decided {
        Ok((entries, value)) => DecidedJob {
            entries: entries
                .into_iter()
                .map(|about| with_requester(about.entry(meta), requester))
                .collect(),
            refused: None,
            answer: Box::new(move |outcome| reply(outcome.map(|()| value))),
        },
        Err(error) => {
            if let (StoreError::Refused(Refusal::NamespaceFull { .. }), Some(quotas)) = (&error, view.quotas)
            {
                quotas.count_refusal();
            }
            let refused = with_requester(refusal(view, C::ACTION, subject, meta, &error), requester);
            DecidedJob {
                entries: Vec::new(),
                refused: Some(refused),
                answer: Box::new(move |outcome| reply(Err(outcome.err().unwrap_or(error)))),
            }
        }
    }
}

/// The record, with who asked for it, unless it says that by itself.
fn with_requester(entry: Entry, requester: &Option<Requester>) -> Entry {
    Entry {
        requester: entry.requester.clone().or_else(|| requester.clone()),
        ..entry
    }
}

/// The record of a refusal or failure.
pub(super) fn refusal(
    view: &View<'_>,
    action: Action,
    subject: Option<SecretId>,
    meta: &Meta,
    error: &StoreError,
) -> Entry {
    let mut about = EntryDraft::new(action);
    if let Some(id) = subject {
        about = about.with(|entry| entry.secret_id = Some(id));
        if let Ok(Some(head)) = view.head(&id) {
            let namespace = view
                .namespace(&head.namespace)
                .map(|namespace| namespace.name)
                .ok();
            about = about.with(|entry| {
                entry.secret = Some(head.name);
                entry.namespace = namespace;
            });
        }
    }
    about
        .with(|entry| entry.outcome = AuditOutcome::Refused(error.code().to_owned()))
        .entry(meta)
}

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
    pub(super) const fn new(shared: Arc<Shared>, state: StoreState, fence_raised: bool) -> Self {
        Self {
            shared,
            state,
            fence_raised,
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
        if let Err(code) = self.settle() {
            for job in group {
                let request = job.request;
                job.refuse(code.for_request(request));
            }
            return;
        }
        let shared = Arc::clone(&self.shared);
        let snapshot = match shared.engine.snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => {
                let failure = Failure::from(error);
                for job in group {
                    let request = job.request;
                    job.refuse(failure.for_request(request));
                }
                return;
            }
        };
        let mut view = View::new(&shared.keyring, snapshot.as_ref()).with_quotas(&shared.quotas);
        let mut steps = Vec::with_capacity(group.len());
        let mut carried_out = BTreeSet::new();
        for job in group {
            let request = job.request;
            let before = match shared.engine.resolve(request) {
                Ok(resolution) => matches!(resolution, Resolution::Committed(_)),
                Err(error) => {
                    job.refuse(Failure::from(error).for_request(request));
                    continue;
                }
            };
            let input = if before || carried_out.contains(&request) {
                JobInput::Repeat(&mut view)
            } else {
                JobInput::Run(&mut view)
            };
            if let Some(step) = (job.run)(input) {
                if step.changes() {
                    carried_out.insert(request);
                }
                steps.push((request, step));
            }
        }
        let outcome = self.commit(&mut view, &mut steps);
        for (request, step) in steps {
            let refused = match step.refused {
                // A refusal leaves only once it is on record, as a value does.
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
    fn settle(&mut self) -> Result<(), Failure> {
        let Some(request) = self.undecided else {
            return Ok(());
        };
        let resolution = self
            .shared
            .engine
            .resolve(request)
            .map_err(|_| Failure::Unknown)?;
        self.reload()?;
        // Every commit of ours has the epoch in it.
        self.fence_raised |= matches!(resolution, Resolution::Committed(_));
        self.undecided = None;
        Ok(())
    }

    /// Takes the state from the engine anew.
    fn reload(&mut self) -> Result<(), Failure> {
        let snapshot = self.shared.engine.snapshot().map_err(Failure::from)?;
        let opened =
            super::open::read_state(&self.shared.keyring, snapshot.as_ref()).map_err(|_| Failure::Unknown)?;
        let names =
            super::open::read_names(&self.shared.keyring, snapshot.as_ref()).map_err(|_| Failure::Unknown)?;
        *self.shared.names.write() = names;
        let changes = audit::mutation_bytes(snapshot.as_ref()).map_err(Failure::from)?;
        self.shared.bound.reset(changes);
        let used = quota::count(&self.shared.keyring, snapshot.as_ref()).map_err(|_| Failure::Unknown)?;
        self.shared.quotas.reset(used);
        let reads = self.shared.published.lock().reads;
        self.publish(opened, reads);
        Ok(())
    }

    fn publish(&mut self, state: StoreState, reads: ReadHead) {
        self.state = state;
        *self.shared.published.lock() = Published { state, reads };
        self.shared.changed.notify_all();
    }

    /// Commits what the group changed; nothing, where it changed nothing.
    fn commit(&mut self, view: &mut View<'_>, steps: &mut [(RequestId, DecidedJob)]) -> Result<(), Failure> {
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
        if let Some(allowances) = shared.quotas.unsaved() {
            let sealed = shared
                .keyring
                .seal(&Context::Meta("allowances"), &allowances.encode())
                .map_err(Failure::from)?;
            view.pending
                .insert((Table::Meta, meta::ALLOWANCES.to_vec()), Some(sealed));
        }
        let head = self.record(view, entries, reads, time).map_err(Failure::from)?;
        let (state, moved) = self.next_state(view, head).map_err(Failure::from)?;
        let group = RequestId::generate().map_err(|_| Failure::from(CryptoError::NoRandomness))?;
        requests.push(group);
        let sealed = shared
            .keyring
            .seal(&Context::Meta("state"), &state.encode())
            .map_err(Failure::from)?;
        view.pending
            .insert((Table::Meta, meta::STATE.to_vec()), Some(sealed));
        let pending = std::mem::take(&mut view.pending);
        let names = renamed(view, &pending);
        let mut preconditions = vec![Precondition::Revision(view.snapshot.revision())];
        if self.fence_raised {
            preconditions.push(Precondition::Epoch(shared.epoch));
        }
        let batch = Batch {
            requests,
            preconditions,
            changes: pending
                .into_iter()
                .map(|((table, key), value)| match value {
                    Some(value) => Change::Put { table, key, value },
                    None => Change::Delete { table, key },
                })
                .collect(),
            raise_fence: (!self.fence_raised).then_some(shared.epoch),
        };
        // INVARIANT: before anybody can see the commit.
        shared
            .read_cache
            .invalidate(&batch.changes, Revision(view.snapshot.revision().0 + 1));
        let outcome = shared.engine.commit(&batch);
        if !matches!(outcome, Ok(CommitOutcome::Committed(_))) {
            shared.read_cache.clear();
        }
        match outcome {
            Ok(CommitOutcome::Committed(_)) => {}
            Ok(CommitOutcome::Conflict(_)) => return Err(Failure::Fenced),
            Ok(CommitOutcome::Unknown) => match shared.engine.resolve(group) {
                Ok(Resolution::Committed(_)) => {}
                Ok(Resolution::NotCommitted) => return Err(Failure::NotCommitted),
                Err(_) => {
                    self.undecided = Some(group);
                    return Err(Failure::Unknown);
                }
            },
            Err(error) => return Err(error.into()),
        }
        self.fence_raised = true;
        shared.stats.committed(steps.len() as u64);
        {
            let mut index = shared.names.write();
            for change in names {
                match change {
                    (place, Some(id)) => index.insert(place, id),
                    (place, None) => index.remove(&place),
                };
            }
        }
        shared.bound.adjust(moved.audit_came, moved.audit_went);
        shared.quotas.apply(&moved.namespaces);
        shared.quotas.saved();
        self.publish(state, reads);
        match &shared.strict_anchor {
            Some(hook) => hook(&shared.anchor(&state)).map_err(Failure::Anchor),
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

    /// The counter and digest after the changes, and what comes and goes with them.
    fn next_state(&self, view: &View<'_>, head: ChainHead) -> Result<(StoreState, Rows), StoreError> {
        let mut digest = self.state.digest;
        let mut moved = Rows::default();
        for ((table, key), value) in &view.pending {
            let old = view.snapshot.value(*table, key)?;
            moved.row(view, *table, key, old.as_deref(), value.as_deref());
            if let Some(old) = old {
                digest = digest.minus(self.shared.keyring.record_term(table.code(), key, &old));
            }
            if let Some(new) = value {
                digest = digest.plus(self.shared.keyring.record_term(table.code(), key, new));
            }
        }
        let state = StoreState {
            counter: self.state.counter + 1,
            digest,
            head,
        };
        Ok((state, moved))
    }
}

/// Rows that come and go with a commit.
#[derive(Debug, Default)]
struct Rows {
    /// Bytes of the mutation chain.
    audit_came: u64,
    audit_went: u64,
    /// What namespaces have.
    namespaces: BTreeMap<NamespaceId, UsageChange>,
}

impl Rows {
    /// A row was `old`, and is `new`.
    fn row(&mut self, view: &View<'_>, table: Table, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        if table == Table::Audit {
            let bytes = |value: Option<&[u8]>| value.map_or(0, |value| audit::row_bytes(key, value));
            self.audit_came += bytes(new);
            self.audit_went += bytes(old);
        }
        let home = quota::secret_of_row(table, key).and_then(|secret| view.homes.get(&secret));
        let Some(home) = home else { return };
        let signed = |value: Option<&[u8]>| {
            let bytes = value.map_or(0, |value| quota::row_bytes(key, value));
            i64::try_from(bytes).unwrap_or(i64::MAX)
        };
        let moved = self.namespaces.entry(*home).or_default();
        moved.bytes += signed(new) - signed(old);
        if table == Table::Head {
            moved.secrets += i64::from(new.is_some()) - i64::from(old.is_some());
        }
    }
}

type NameChange = ((NamespaceId, crate::name::SecretName), Option<SecretId>);

/// How a group changes the index of names: heads that came and went.
fn renamed(view: &View<'_>, pending: &PendingChanges) -> Vec<NameChange> {
    let mut changes = Vec::new();
    let open = |id: &SecretId, bytes: &[u8]| -> Option<Head> {
        super::view::open_head(view.keyring, id, bytes).ok()
    };
    for ((table, key), value) in pending {
        if *table != Table::Head {
            continue;
        }
        let Ok(id) = <[u8; 16]>::try_from(key.as_slice()).map(SecretId::from_bytes) else {
            continue;
        };
        let before = view.snapshot.value(Table::Head, key).ok().flatten();
        match (before, value) {
            (None, Some(new)) => {
                changes.extend(open(&id, new).map(|head| ((head.namespace, head.name), Some(id))));
            }
            (Some(old), None) => {
                changes.extend(open(&id, &old).map(|head| ((head.namespace, head.name), None)))
            }
            _ => {}
        }
    }
    // A name that was freed and taken again in one group must end up taken.
    changes.sort_by_key(|(_, id)| id.is_some());
    changes
}

/// Why a whole group was not answered as decided. Errors cannot be cloned, so that each caller gets one made
/// from this.
#[derive(Debug)]
enum Failure {
    Fenced,
    Unknown,
    NotCommitted,
    Anchor(String),
    OutOfSpace,
    Poisoned,
    Damaged(String),
    Other(String),
}

impl Failure {
    fn for_request(&self, request: RequestId) -> StoreError {
        match self {
            Self::Fenced => StoreError::Fenced,
            Self::Unknown => StoreError::Unknown { request },
            Self::NotCommitted => StoreError::NotCommitted,
            Self::Anchor(why) => StoreError::AnchorUnavailable(why.clone()),
            Self::OutOfSpace => EngineError::OutOfSpace.into(),
            Self::Poisoned => EngineError::Poisoned.into(),
            Self::Damaged(record) => StoreError::Damaged {
                record: record.clone(),
            },
            Self::Other(why) => EngineError::Io(std::io::Error::other(why.clone())).into(),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::OutOfSpace => Self::OutOfSpace,
            EngineError::Poisoned => Self::Poisoned,
            EngineError::Damaged(record) => Self::Damaged(record),
            other @ (EngineError::Missing(_) | EngineError::Io(_)) => Self::Other(other.to_string()),
        }
    }
}

impl From<CryptoError> for Failure {
    fn from(error: CryptoError) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Engine(error) => error.into(),
            StoreError::Damaged { record } => Self::Damaged(record),
            other => Self::Other(other.to_string()),
        }
    }
}

/// Shows every head.
pub(super) fn each_head(
    keyring: &crate::crypto::Keyring,
    snapshot: &dyn crate::engine::Snapshot,
    mut visit: impl FnMut(Head) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    each_head_row(keyring, snapshot, |head, _| visit(head))
}

/// Shows every head, with the bytes of its row.
pub(super) fn each_head_row(
    keyring: &crate::crypto::Keyring,
    snapshot: &dyn crate::engine::Snapshot,
    mut visit: impl FnMut(Head, u64) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let mut failed = None;
    snapshot.visit(Table::Head, &mut |key, bytes| {
        let head = <[u8; 16]>::try_from(key)
            .map_err(|_| StoreError::Damaged {
                record: "a head".to_owned(),
            })
            .and_then(|id| super::view::open_head(keyring, &SecretId::from_bytes(id), bytes));
        match head {
            Ok(head) => visit(head, quota::row_bytes(key, bytes)),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failed.map_or(Ok(()), Err)
}
