//! A read chain in memory, for tests. Must not be used where a record has to last.

use parking_lot::Mutex;

use super::{AuditUnavailable, Durability, Entry, ReadChain, ReadHead};

/// Entries in memory; can be told to refuse.
#[derive(Debug, Default)]
pub struct MemoryReads {
    entries: Mutex<Vec<Entry>>,
    refuse: std::sync::atomic::AtomicBool,
}

impl MemoryReads {
    /// What was recorded.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().clone()
    }

    /// From now on nothing can be recorded, or again everything.
    pub fn refuse(&self, refuse: bool) {
        self.refuse.store(refuse, std::sync::atomic::Ordering::SeqCst);
    }
}

impl ReadChain for MemoryReads {
    fn append(&self, entry: &Entry, _durability: Durability) -> Result<(), AuditUnavailable> {
        if self.refuse.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(AuditUnavailable("told to refuse".to_owned()));
        }
        self.entries.lock().push(entry.clone());
        Ok(())
    }

    fn fsynced(&self) -> ReadHead {
        let sequence = self.entries.lock().len() as u64;
        ReadHead {
            sequence,
            hash: [0; 32],
        }
    }

    fn close(&self) {}
}
