//! How far somebody has read of the audit log.

use super::store::Store;

/// A place in both chains: the last record that was told, of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditPosition {
    /// In the mutation chain.
    pub changes: u64,
    /// In the read chain.
    pub reads: u64,
}

impl AuditPosition {
    /// Whether there is nothing after it. To be asked first: a look at what comes after reads a whole
    /// segment.
    #[must_use]
    pub fn is_end(self, store: &Store) -> bool {
        store.mutation_head() <= self.changes && store.read_head() <= self.reads
    }
}
