//! An open store: sends commands to its writer, and answers questions about its state.

use std::fmt;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use strongroom_model::id::StoreId;
use strongroom_model::time::Timestamp;

use super::anchor::Anchor;
use super::commands::Command;
use super::error::StoreError;
use super::group_stats::StoreStats;
use super::job::Job;
use super::shared::{PublishedState, Shared};
use super::types::Meta;
use super::view::View;
use crate::audit::{Requester, RetentionLimits};
use crate::crypto::PublicKey;

/// An open store.
#[derive(Clone)]
pub struct Store {
    pub(super) shared: Arc<Shared>,
    queue: Arc<Queue>,
}

/// The way to the writer thread; the last one to go closes the store.
struct Queue {
    sender: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    shared: Arc<Shared>,
}

impl Queue {
    fn close(&self) {
        drop(self.sender.lock().take());
        if let Some(thread) = self.thread.lock().take() {
            // A writer that panicked has nothing left to say.
            let _ = thread.join();
            self.shared.record.close();
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close();
    }
}

impl Store {
    /// A store whose writer takes from the other end of `sender` on `thread`.
    pub(super) fn new(shared: Arc<Shared>, sender: mpsc::Sender<Job>, thread: JoinHandle<()>) -> Self {
        let queue = Queue {
            sender: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
            shared: Arc::clone(&shared),
        };
        Self {
            shared,
            queue: Arc::new(queue),
        }
    }

    /// Reads on a snapshot of now.
    pub(super) fn with_view<T>(
        &self,
        read: impl FnOnce(&View<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        read(&View::new(&self.shared.keyring, snapshot.as_ref()))
    }

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

    /// When the root key was last replaced; what was made before may be known to whoever had the former one.
    #[must_use]
    pub fn rekeyed(&self) -> Option<Timestamp> {
        self.shared.rekeyed
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

    fn wait(&self, patience: Duration, enough: impl Fn(&PublishedState) -> bool) -> Option<PublishedState> {
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
        self.shared.caches.bound.limits
    }

    /// The number of the last record of the read chain that is on disk.
    #[must_use]
    pub fn read_head(&self) -> u64 {
        self.shared.reads().fsynced().sequence
    }

    /// Whether reads were recorded that no mutation record has seen: then a
    /// [`RecordCheckpoint`](super::commands::RecordCheckpoint) is due, once a second.
    #[must_use]
    pub fn checkpoint_due(&self) -> bool {
        self.shared.reads().fsynced().sequence > self.shared.published.lock().reads.sequence
    }

    /// What it holds and did.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let engine = self.shared.engine.stats();
        StoreStats {
            bytes: engine.bytes,
            secrets: self.shared.caches.names.count() as u64,
            namespace_full: self.shared.caches.quotas.refusals(),
            ..self.shared.stats.snapshot()
        }
    }

    /// Writes the sums of refusals whose minute is over; to be called every second or so.
    ///
    /// # Errors
    /// [`StoreError::Audit`] where they cannot be written; they are kept, and counted on.
    pub fn write_refusal_sums(&self, now: Timestamp) -> Result<(), StoreError> {
        let shared = &self.shared;
        let admit = || shared.caches.bound.admit(shared.reads().bytes());
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
