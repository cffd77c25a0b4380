//! How a task waits for the store.

use jiff::Timestamp;
use strongroom_model::id::RequestId;
use strongroom_store::audit::{Actor, Requester};
use strongroom_store::vault::{Command, Meta, Store, StoreError};
use tokio::sync::{Semaphore, oneshot};

use super::requester::requester;
use super::{StoreFailure, store_time};

/// Reads at the same time. More would come no sooner, and each would have a thread of its own, with a stack
/// and a heap: those of a burst stay resident long after it.
const MAX_PARALLEL_READS: usize = 4;
static READING: Semaphore = Semaphore::const_new(MAX_PARALLEL_READS);

/// The store, for tasks. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct StoreHandle(Store);

impl StoreHandle {
    pub(crate) const fn new(store: Store) -> Self {
        Self(store)
    }

    /// The store itself, for threads that may wait for the disk.
    pub(crate) const fn blocking(&self) -> &Store {
        &self.0
    }

    /// Runs a read on the blocking pool.
    pub(crate) async fn read<T, E>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let store = self.0.clone();
        // It is never closed.
        let turn = READING.acquire().await;
        let done = tokio::task::spawn_blocking(move || read(&store)).await;
        drop(turn);
        // The process is ending.
        done.map_err(|_| StoreError::Closed)?
    }

    /// Runs a command on the writer, and waits until its outcome is certain and durable.
    pub(crate) async fn submit<C: Command>(
        &self,
        requester: Option<Requester>,
        command: C,
        meta: Meta,
    ) -> Result<C::Reply, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.0.submit_for(requester, command, meta, move |reply| {
            // Nobody waits any more: the process is ending.
            let _ = answer.send(reply);
        });
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs a command on behalf of an object of this kind, and of whoever wrote it where that is known
    /// ([`super::on_behalf_of`]).
    pub(super) async fn change<C: Command>(&self, kind: &str, command: C) -> Result<C::Reply, StoreFailure> {
        Ok(self.submit(requester(), command, meta(kind)?).await?)
    }
}

/// A controller of this kind asks, now.
pub(super) fn meta(kind: &str) -> Result<Meta, StoreFailure> {
    let request = RequestId::generate().map_err(|error| StoreFailure::Unavailable(error.to_string()))?;
    Ok(Meta {
        actor: Actor::Controller(kind.to_owned()),
        request,
        now: store_time(Timestamp::now()),
        asked: None,
    })
}
