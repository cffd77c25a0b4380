//! Tells watchers which revisions were committed. Must not block a commit: a watcher that is too slow is told
//! so.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Revision, Table};

/// Revisions and changed records that are remembered for watchers. Both count, because a revision can change
/// hundreds of records: by the number of revisions alone, a burst would leave tens of megabytes here.
const MAX_REMEMBERED_CHANGES: usize = 4_096;

/// What a watcher learns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommitEvent {
    /// This revision changed these records.
    Committed {
        /// The commit that it was.
        revision: Revision,
        /// Table and key of each record, in the order of the changes.
        keys: Keys,
    },
    /// Revisions that the watcher has not seen are no longer remembered: read everything anew.
    Compacted,
}

/// Table and key of each change of one revision.
type Keys = Arc<[(Table, Vec<u8>)]>;

#[derive(Default)]
struct Log {
    entries: VecDeque<(Revision, Keys)>,
    /// Revisions and records in `entries`.
    weight: usize,
    last: Revision,
}

impl Log {
    fn push(&mut self, revision: Revision, keys: Keys) {
        self.weight += weight(&keys);
        self.entries.push_back((revision, keys));
        self.last = revision;
        // The newest one stays, whatever its size: whoever waits for it shall see it.
        while self.weight > MAX_REMEMBERED_CHANGES && self.entries.len() > 1 {
            let Some((_, oldest)) = self.entries.pop_front() else {
                break;
            };
            self.weight -= weight(&oldest);
        }
    }
}

fn weight(keys: &Keys) -> usize {
    1 + keys.len()
}

/// The commits of one engine since it was opened.
#[derive(Default)]
pub(super) struct CommitLog {
    log: Mutex<Log>,
    grown: Condvar,
}

impl CommitLog {
    /// Nothing that came before `revision` is known.
    pub(super) fn starting_at(revision: Revision) -> Arc<Self> {
        let commits = Self::default();
        commits.lock().last = revision;
        Arc::new(commits)
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn append(&self, revision: Revision, keys: Vec<(Table, Vec<u8>)>) {
        self.lock().push(revision, keys.into());
        self.grown.notify_all();
    }
}

/// Waits for revisions.
pub struct Watch {
    commits: Arc<CommitLog>,
    seen: Revision,
}

impl Watch {
    pub(super) const fn new(commits: Arc<CommitLog>, from: Revision) -> Self {
        Self { commits, seen: from }
    }

    /// The next notice, or none where nothing happened for so long.
    pub fn next(&mut self, patience: Duration) -> Option<CommitEvent> {
        let deadline = Instant::now() + patience;
        let mut log = self.commits.lock();
        loop {
            if self.seen < log.last {
                let next = log.entries.iter().find(|(revision, _)| *revision > self.seen);
                return Some(match next {
                    Some((revision, keys)) if revision.0 == self.seen.0 + 1 => {
                        self.seen = *revision;
                        CommitEvent::Committed {
                            revision: *revision,
                            keys: Arc::clone(keys),
                        }
                    }
                    _ => {
                        self.seen = log.last;
                        CommitEvent::Compacted
                    }
                });
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            log = self
                .commits
                .grown
                .wait_timeout(log, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_revision_once_and_in_order() {
        let commits = CommitLog::starting_at(Revision(4));
        let mut watch = Watch::new(Arc::clone(&commits), Revision(4));
        assert_eq!(watch.next(Duration::ZERO), None);
        commits.append(Revision(5), vec![]);
        commits.append(Revision(6), vec![]);
        for expected in [5, 6] {
            assert!(
                matches!(watch.next(Duration::ZERO), Some(CommitEvent::Committed { revision, .. }) if revision.0 == expected)
            );
        }
        assert_eq!(watch.next(Duration::ZERO), None);
    }

    #[test]
    fn a_gap_is_said() {
        let commits = CommitLog::starting_at(Revision(4));
        let mut early = Watch::new(Arc::clone(&commits), Revision(2));
        assert_eq!(early.next(Duration::ZERO), Some(CommitEvent::Compacted));
        let mut slow = Watch::new(Arc::clone(&commits), Revision(4));
        for revision in 5..=(5 + MAX_REMEMBERED_CHANGES as u64) {
            commits.append(Revision(revision), vec![]);
        }
        assert_eq!(slow.next(Duration::ZERO), Some(CommitEvent::Compacted));
        assert_eq!(slow.next(Duration::ZERO), None);
    }

    #[test]
    fn revisions_of_many_records_are_forgotten_sooner_and_the_newest_never() {
        let commits = CommitLog::starting_at(Revision(0));
        let many = |count: usize| vec![(Table::Head, vec![0; 16]); count];
        let mut watch = Watch::new(Arc::clone(&commits), Revision(0));
        for revision in 1..=9 {
            commits.append(Revision(revision), many(MAX_REMEMBERED_CHANGES / 8));
        }
        assert!(commits.lock().weight <= MAX_REMEMBERED_CHANGES);
        assert_eq!(watch.next(Duration::ZERO), Some(CommitEvent::Compacted));
        commits.append(Revision(10), many(MAX_REMEMBERED_CHANGES * 2));
        assert_eq!(commits.lock().entries.len(), 1);
        assert!(
            matches!(watch.next(Duration::ZERO), Some(CommitEvent::Committed { revision, .. }) if revision.0 == 10)
        );
    }
}
