//! An engine that answers as a lost connection or a busy rival makes one answer: by order, once each.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use strongroom_model::id::RequestId;
use strongroom_store::engine::*;

/// What the next commit comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It is durable, and nobody hears of it.
    UnknownButCommitted,
    /// It never happened, and nobody hears of it.
    UnknownAndLost,
    /// Somebody else was first.
    Conflict,
    /// There is no room for it.
    OutOfSpace,
}

#[derive(Debug, Default)]
struct Orders {
    next: Option<Fault>,
    /// How often nobody can say what became of a commit.
    deaf: u32,
    hits: u64,
}

/// Gives the orders.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Orders>>);

impl Faults {
    /// The next commit fails so; where its outcome is unknown, it stays so for as many questions.
    pub fn order(&self, fault: Fault, deaf: u32) {
        let mut orders = self.0.lock();
        orders.next = Some(fault);
        orders.deaf = deaf;
    }

    /// Everything works again.
    pub fn clear(&self) {
        let mut orders = self.0.lock();
        orders.next = None;
        orders.deaf = 0;
    }

    /// How many commits met their fault.
    pub fn hits(&self) -> u64 {
        self.0.lock().hits
    }
}

/// An engine under orders.
pub struct FaultyEngine {
    inner: Arc<dyn Engine>,
    faults: Faults,
    /// The largest record that it says to hold.
    pub limits: RecordLimits,
    /// Set once an outcome is unknown: from then on questions may go unanswered.
    unknown: Mutex<bool>,
}

impl FaultyEngine {
    pub fn new(inner: Arc<dyn Engine>, faults: Faults) -> Self {
        Self {
            limits: inner.limits(),
            inner,
            faults,
            unknown: Mutex::new(false),
        }
    }
}

impl Engine for FaultyEngine {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
        self.inner.snapshot()
    }

    fn commit(&self, batch: &Batch) -> Result<CommitOutcome, EngineError> {
        let fault = {
            let mut orders = self.faults.0.lock();
            let fault = orders.next.take();
            orders.hits += u64::from(fault.is_some());
            fault
        };
        match fault {
            None => self.inner.commit(batch),
            Some(Fault::UnknownButCommitted) => {
                let outcome = self.inner.commit(batch)?;
                *self.unknown.lock() = true;
                Ok(match outcome {
                    CommitOutcome::Committed(_) => CommitOutcome::Unknown,
                    other => other,
                })
            }
            Some(Fault::UnknownAndLost) => {
                *self.unknown.lock() = true;
                Ok(CommitOutcome::Unknown)
            }
            Some(Fault::Conflict) => Ok(CommitOutcome::Conflict(0)),
            Some(Fault::OutOfSpace) => Err(EngineError::OutOfSpace),
        }
    }

    fn resolve(&self, requests: &[RequestId]) -> Result<BTreeMap<RequestId, Revision>, EngineError> {
        let mut orders = self.faults.0.lock();
        if *self.unknown.lock() && orders.deaf > 0 {
            orders.deaf -= 1;
            return Err(EngineError::Io(std::io::Error::other("nobody answers")));
        }
        drop(orders);
        self.inner.resolve(requests)
    }

    fn fence(&self) -> Result<u64, EngineError> {
        self.inner.fence()
    }

    fn limits(&self) -> RecordLimits {
        self.limits
    }

    fn stats(&self) -> EngineStats {
        self.inner.stats()
    }
}
