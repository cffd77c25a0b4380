//! Appends to the read chain: requests that were carried out one by one, refusals of callers as sums.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use strongroom_model::time::Timestamp;

use super::refusals::{Disposition, RefusalSums, is_summed};
use super::{AuditUnavailable, Durability, Entry, ReadChain};

/// Writes records of reads and refusals.
pub(crate) struct Recorder {
    chain: Arc<dyn ReadChain>,
    refusals: Mutex<RefusalSums>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    pub(crate) fn new(chain: Arc<dyn ReadChain>) -> Self {
        Self {
            chain,
            refusals: Mutex::default(),
        }
    }

    /// Where the records go.
    pub(crate) fn chain(&self) -> &dyn ReadChain {
        self.chain.as_ref()
    }

    /// Records an entry, or counts it. `admit` says whether one more record may be written.
    ///
    /// # Errors
    /// [`AuditUnavailable`] where it is a record of its own and cannot be written; a refusal is counted then.
    pub(crate) fn append(
        &self,
        entry: &Entry,
        durability: Durability,
        admit: impl Fn() -> Result<(), AuditUnavailable>,
    ) -> Result<(), AuditUnavailable> {
        let write = || {
            admit()?;
            self.chain.append(entry, durability)
        };
        if !is_summed(entry) {
            return write();
        }
        let taken = {
            let mut refusals = self.refusals.lock();
            refusals.close_if_due(entry.time);
            // What is not written stays, and does not keep this one back.
            let _ = self.write_closed(&mut refusals, &admit);
            refusals.add(entry)
        };
        match taken {
            Disposition::Counted => Ok(()),
            Disposition::Whole => write().inspect_err(|_| self.refusals.lock().count_unwritten(entry)),
        }
    }

    /// Writes the sums of the minutes that are over.
    ///
    /// # Errors
    /// [`AuditUnavailable`]; what is not written stays.
    pub(crate) fn write_refusal_sums(
        &self,
        now: Timestamp,
        admit: impl Fn() -> Result<(), AuditUnavailable>,
    ) -> Result<(), AuditUnavailable> {
        let mut refusals = self.refusals.lock();
        refusals.close(now);
        self.write_closed(&mut refusals, &admit)
    }

    /// Writes all sums, and marks a clean end.
    pub(crate) fn close(&self) {
        let mut refusals = self.refusals.lock();
        // A log that takes nothing at its end has said why before.
        if self.write_closed(&mut refusals, &|| Ok(())).is_ok() {
            refusals.close_all();
            let _ = self.write_closed(&mut refusals, &|| Ok(()));
        }
        drop(refusals);
        self.chain.close();
    }

    fn write_closed(
        &self,
        refusals: &mut RefusalSums,
        admit: &impl Fn() -> Result<(), AuditUnavailable>,
    ) -> Result<(), AuditUnavailable> {
        let closed = refusals.closed();
        while let Some(entry) = closed.front() {
            admit()?;
            self.chain.append(entry, Durability::Batched)?;
            closed.pop_front();
        }
        Ok(())
    }
}
