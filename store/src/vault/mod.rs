//! The vault: secrets, versions and keys on an engine, under the keyring, on record.
//!
//! A [`Store`] is cheap to clone. Changes are [`Command`]s: decided on a view, committed in groups by one
//! writer thread, answered once durable. Reads look at a snapshot, and are on record before a value leaves.
//!
//! Must not know Kubernetes, read the wall clock, or keep a value in memory.

mod anchor;
mod audit_bound;
mod audit_position;
mod backup;
mod check;
mod commands;
mod compact;
mod effect;
mod error;
mod indexed_record;
mod open;
mod quota;
mod read;
mod read_cache;
mod retain;
mod seal;
mod types;
mod view;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};

pub use anchor::{Anchor, MalformedAnchor};
pub use audit_position::AuditPosition;
pub use backup::{RestoreOptions, restore};
#[cfg(any(test, feature = "test-util"))]
pub(crate) use backup::{decode_part, encode_part};
pub use check::{CheckReport, check};
pub use commands::*;
pub use compact::{CompactionReport, compact};
pub use error::{Refusal, Retry, StoreError};
pub use open::{AnchorRule, CreateStoreOptions, OpenError, OpenStoreOptions, StrictAnchor, exists};
pub use quota::{HumanBytes, Quota, Usage};
pub use read::{AuditNote, GetValue};
pub use retain::{RetainError, RetentionReport};
pub use types::*;

use crate::audit::{
    AuditUnavailable, Durability, Entry, ReadChain, ReadHead, Recorder, Requester, RetentionLimits,
};
use crate::crypto::{Keyring, PublicKey};
use crate::engine::Engine;
use crate::format::StoreState;
use crate::id::{KeyId, NamespaceId, SecretId, StoreId};
use crate::name::SecretName;
use crate::time::Timestamp;
use writer::Job;

/// What the writer publishes after each commit.
#[derive(Clone, Copy, Debug)]
struct Published {
    state: StoreState,
    /// The read chain as the last mutation record saw it.
    reads: ReadHead,
}

/// Everything that the writer and the readers share.
struct Shared {
    engine: Box<dyn Engine>,
    keyring: Arc<Keyring>,
    record: Arc<Recorder>,
    epoch: u64,
    /// Names of secrets by namespace. The file shows none, so that a list needs this.
    names: RwLock<BTreeMap<(NamespaceId, SecretName), SecretId>>,
    published: Mutex<Published>,
    changed: Condvar,
    strict_anchor: Option<StrictAnchor>,
    /// When each customer's key was last used, by this process.
    uses: Mutex<BTreeMap<KeyId, Timestamp>>,
    stats: writer::GroupStats,
    read_cache: read_cache::ReadCache,
    bound: audit_bound::AuditBound,
    quotas: quota::NamespaceQuotas,
    /// INVARIANT: one at a time looks at the old end of the audit and cuts it.
    retaining: Mutex<()>,
    /// Held for the life of the store where it lies in a directory.
    directory: Option<open::StoreDirectory>,
}

impl Shared {
    /// A customer's key was used.
    fn used(&self, key: KeyId, now: Timestamp) {
        let mut uses = self.uses.lock();
        let last = uses.entry(key).or_insert(now);
        *last = now.max(*last);
    }

    /// Puts an entry into the read chain, unless the audit has reached its bound.
    fn append_audit(&self, entry: &Entry, durability: Durability) -> Result<(), AuditUnavailable> {
        self.record
            .append(entry, durability, || self.bound.admit(self.reads().bytes()))
    }

    /// The read chain.
    fn reads(&self) -> &dyn ReadChain {
        self.record.chain()
    }

    fn anchor(&self, state: &StoreState) -> Anchor {
        let store = self.keyring.store();
        Anchor {
            store,
            counter: state.counter,
            mac: self.keyring.anchor_mac(state.counter, &state.digest),
        }
    }
}

/// What the store did since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreStats {
    /// Bytes of the store file.
    pub bytes: u64,
    /// Commits of the writer; each takes a group of commands.
    pub commits: u64,
    /// Commands that those commits carried.
    pub commands: u64,
    /// Commands in the last commit.
    pub last_group: u64,
    /// Commands that wait for the writer.
    pub queued: u64,
    /// Secrets, those in a recovery window included.
    pub secrets: u64,
    /// Changes that were refused because their namespace is full.
    pub namespace_full: u64,
}

/// An open store.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
}

/// The way to the writer thread; the last one to go closes the store.
struct Queue {
    sender: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    record: Arc<Recorder>,
}

impl Queue {
    fn close(&self) {
        drop(self.sender.lock().take());
        if let Some(thread) = self.thread.lock().take() {
            // A writer that panicked has nothing left to say.
            let _ = thread.join();
            self.record.close();
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close();
    }
}

impl Store {
    /// Queues a command; `reply` is called from the writer thread once the outcome is certain and durable. It
    /// must not block.
    pub fn submit<C: Command>(
        &self,
        command: C,
        meta: Meta,
        reply: impl FnOnce(Result<C::Reply, StoreError>) + Send + 'static,
    ) {
        self.submit_for(None, command, meta, reply);
    }

    /// [`Self::submit`], because somebody wrote an object that asks for it: the records say who.
    pub fn submit_for<C: Command>(
        &self,
        requester: Option<Requester>,
        command: C,
        meta: Meta,
        reply: impl FnOnce(Result<C::Reply, StoreError>) + Send + 'static,
    ) {
        let job = Job::new(command, meta, requester, reply);
        let sender = self.queue.sender.lock().clone();
        match sender {
            Some(sender) => {
                self.shared.stats.queued();
                if let Err(mpsc::SendError(job)) = sender.send(job) {
                    self.shared.stats.taken(1);
                    job.refuse(StoreError::Closed);
                }
            }
            None => job.refuse(StoreError::Closed),
        }
    }

    /// Runs a command, and waits until its outcome is certain and durable.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn run<C: Command>(&self, command: C, meta: Meta) -> Result<C::Reply, StoreError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.submit(command, meta, move |reply| {
            // The caller waits below for as long as this lives.
            let _ = sender.send(reply);
        });
        receiver.recv().map_err(|_| StoreError::Closed)?
    }

    /// The store's id.
    #[must_use]
    pub fn id(&self) -> StoreId {
        self.shared.keyring.store()
    }

    /// The writer's epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shared.epoch
    }

    /// Verifies the audit chains; not a secret.
    #[must_use]
    pub fn audit_public_key(&self) -> PublicKey {
        self.shared.keyring.public_key()
    }

    /// What an anchor outside the store should hold now.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        let state = self.shared.published.lock().state;
        self.shared.anchor(&state)
    }

    /// Waits until something was committed after `counter`, or for so long; what the anchor should hold then.
    #[must_use]
    pub fn anchor_after(&self, counter: u64, patience: Duration) -> Option<Anchor> {
        self.wait(patience, |published| published.state.counter > counter)
            .map(|published| self.shared.anchor(&published.state))
    }

    /// The number of the last mutation record.
    #[must_use]
    pub fn mutation_head(&self) -> u64 {
        self.shared.published.lock().state.head.sequence
    }

    /// Waits until there is a mutation record after `sequence`, or for so long; the number of the last one.
    #[must_use]
    pub fn mutation_after(&self, sequence: u64, patience: Duration) -> Option<u64> {
        self.wait(patience, |published| published.state.head.sequence > sequence)
            .map(|published| published.state.head.sequence)
    }

    fn wait(&self, patience: Duration, enough: impl Fn(&Published) -> bool) -> Option<Published> {
        let deadline = Instant::now() + patience;
        let mut published = self.shared.published.lock();
        loop {
            if enough(&published) {
                return Some(*published);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            self.shared.changed.wait_for(&mut published, left);
        }
    }

    /// How much of the audit is kept.
    #[must_use]
    pub fn audit_limits(&self) -> RetentionLimits {
        self.shared.bound.limits
    }

    /// The number of the last record of the read chain that is on disk.
    #[must_use]
    pub fn read_head(&self) -> u64 {
        self.shared.reads().fsynced().sequence
    }

    /// Whether reads were recorded that no mutation record has seen: then [`RecordCheckpoint`] is due, once a
    /// second.
    #[must_use]
    pub fn checkpoint_due(&self) -> bool {
        self.shared.reads().fsynced().sequence > self.shared.published.lock().reads.sequence
    }

    /// What it holds and did.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let engine = self.shared.engine.stats();
        let names = self.shared.names.read().len();
        StoreStats {
            bytes: engine.bytes,
            secrets: names as u64,
            namespace_full: self.shared.quotas.refusals(),
            ..self.shared.stats.snapshot()
        }
    }

    /// Writes the sums of refusals whose minute is over; to be called every second or so.
    ///
    /// # Errors
    /// [`StoreError::Audit`] where they cannot be written; they are kept, and counted on.
    pub fn write_refusal_sums(&self, now: Timestamp) -> Result<(), StoreError> {
        let shared = &self.shared;
        let admit = || shared.bound.admit(shared.reads().bytes());
        Ok(shared.record.write_refusal_sums(now, admit)?)
    }

    /// Finishes what is queued, and closes. Later commands are refused with [`StoreError::Closed`].
    pub fn close(&self) {
        self.queue.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("id", &self.id())
            .field("epoch", &self.shared.epoch)
            .finish_non_exhaustive()
    }
}
