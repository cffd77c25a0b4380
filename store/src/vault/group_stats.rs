//! What a store did, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

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

    pub(super) fn committed(&self, commands: u64) {
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
