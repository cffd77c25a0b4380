//! The bound of the audit log: at so many bytes of both chains nothing more goes into the read chain, so that no value is read. A log that rolls
//! comes there only where its old end cannot go.
//!
//! Changes go on: their records are in their own commits. Must not cut anything; `retain` does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::audit::{AuditUnavailable, Limits, why};

/// How large the log is, and may be.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) limits: Limits,
    /// Bytes of the mutation chain's rows.
    changes: AtomicU64,
    /// What is said to those who are refused.
    why: RwLock<String>,
}

impl Bound {
    pub(super) fn new(limits: Limits, changes: u64) -> Self {
        Self {
            limits,
            changes: AtomicU64::new(changes),
            why: RwLock::new(why(&limits, &[], (0, 0))),
        }
    }

    /// Whether one more record may go into the read chain, which has so many bytes.
    pub(super) fn admit(&self, reads: u64) -> Result<(), AuditUnavailable> {
        if self.is_reached(reads) {
            let why = self.why.read().unwrap_or_else(PoisonError::into_inner);
            return Err(AuditUnavailable(why.clone()));
        }
        Ok(())
    }

    pub(super) fn is_reached(&self, reads: u64) -> bool {
        self.limits
            .stop()
            .is_some_and(|stop| self.changes().saturating_add(reads) >= stop)
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Rows of the mutation chain came and went.
    pub(super) fn moved(&self, came: u64, went: u64) {
        self.changes.fetch_add(came, Ordering::Relaxed);
        self.changes.fetch_sub(went, Ordering::Relaxed);
    }

    /// The rows were counted anew.
    pub(super) fn counted(&self, changes: u64) {
        self.changes.store(changes, Ordering::Relaxed);
    }

    pub(super) fn explain(&self, text: String) {
        *self.why.write().unwrap_or_else(PoisonError::into_inner) = text;
    }
}
