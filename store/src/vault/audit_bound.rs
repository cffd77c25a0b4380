//! The bound of the audit log: once both chains have that many bytes, nothing more is appended to the read
//! chain, so no value is read. A log that rolls reaches it only if its old end cannot be cut.
//!
//! Changes go on: their records are in their own commits. Must not cut anything; `retain` does.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::commit_changes::CommitChanges;
use crate::audit::{AuditUnavailable, RetentionLimits, full_reason, row_bytes};
use crate::engine::Table;

/// How large the log is, and may be.
#[derive(Debug)]
pub(super) struct AuditBound {
    pub(super) limits: RetentionLimits,
    /// Bytes of the mutation chain's rows.
    changes: AtomicU64,
    /// What is said to those who are refused.
    why: RwLock<String>,
}

impl AuditBound {
    pub(super) fn new(limits: RetentionLimits, changes: u64) -> Self {
        Self {
            limits,
            changes: AtomicU64::new(changes),
            why: RwLock::new(full_reason(&limits, &[], (0, 0))),
        }
    }

    /// Whether one more record may go into the read chain, which has so many bytes.
    pub(super) fn admit(&self, reads: u64) -> Result<(), AuditUnavailable> {
        if self.is_reached(reads) {
            let why = self.why.read();
            return Err(AuditUnavailable(why.clone()));
        }
        Ok(())
    }

    pub(super) fn is_reached(&self, reads: u64) -> bool {
        self.limits
            .stop_bytes()
            .is_some_and(|stop| self.changes().saturating_add(reads) >= stop)
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// A commit happened: rows of the mutation chain came and went.
    pub(super) fn absorb(&self, commit: &CommitChanges<'_>) {
        for row in commit.rows().filter(|row| row.table == Table::Audit) {
            let bytes = |value: Option<&[u8]>| value.map_or(0, |value| row_bytes(row.key, value));
            self.changes.fetch_add(bytes(row.after), Ordering::Relaxed);
            self.changes.fetch_sub(bytes(row.before), Ordering::Relaxed);
        }
    }

    /// The rows were counted anew.
    pub(super) fn reset(&self, changes: u64) {
        self.changes.store(changes, Ordering::Relaxed);
    }

    pub(super) fn set_reason(&self, text: String) {
        *self.why.write() = text;
    }
}
