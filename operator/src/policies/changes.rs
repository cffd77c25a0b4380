//! Whose statements have changed, for whoever follows what is in force: a node looks at no volume that
//! statements of another namespace have no say in, however often these change.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

/// Changes that are remembered; for whoever is further behind everything may have changed.
const MAX_REMEMBERED: usize = 1_024;

/// The latest changes, and how many there were.
#[derive(Debug, Default)]
pub(super) struct PolicyChanges {
    count: watch::Sender<u64>,
    /// The namespaces of the latest ones, the last at the end.
    latest: Mutex<VecDeque<Arc<str>>>,
}

impl PolicyChanges {
    /// What is in force of a namespace has changed.
    pub(super) fn notify(&self, namespace: &str) {
        let mut latest = self.latest.lock();
        if latest.len() >= MAX_REMEMBERED {
            latest.pop_front();
        }
        latest.push_back(namespace.into());
        // Under the lock: nobody sees a count whose namespace is not there.
        self.count.send_modify(|count| *count += 1);
    }

    /// Counts the changes.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    /// How many there are by now, and the namespaces of those after so many; none where that is not known.
    pub(super) fn since(&self, seen: u64) -> (u64, Option<BTreeSet<Arc<str>>>) {
        let latest = self.latest.lock();
        let count = *self.count.borrow();
        let missed = usize::try_from(count.saturating_sub(seen)).unwrap_or(usize::MAX);
        let known = missed <= latest.len();
        let namespaces = known.then(|| latest.iter().rev().take(missed).cloned().collect());
        (count, namespaces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Option<BTreeSet<Arc<str>>> {
        Some(names.iter().map(|name| Arc::from(*name)).collect())
    }

    #[test]
    fn whoever_follows_is_told_the_namespaces_that_it_has_not_seen() {
        let changes = PolicyChanges::default();
        let followed = changes.subscribe();
        assert_eq!(changes.since(0), (0, names(&[])));
        for namespace in ["shop", "pay", "shop"] {
            changes.notify(namespace);
        }
        assert!(followed.has_changed().unwrap());
        assert_eq!(changes.since(0), (3, names(&["pay", "shop"])));
        assert_eq!(changes.since(2), (3, names(&["shop"])));
        assert_eq!(changes.since(3), (3, names(&[])));
    }

    #[test]
    fn whoever_is_far_behind_has_to_look_at_everything() {
        let changes = PolicyChanges::default();
        changes.notify("pay");
        for _ in 0..MAX_REMEMBERED {
            changes.notify("shop");
        }
        let count = u64::try_from(MAX_REMEMBERED).unwrap() + 1;
        assert_eq!(changes.since(0), (count, None));
        assert_eq!(changes.since(1), (count, names(&["shop"])));
        assert_eq!(changes.latest.lock().len(), MAX_REMEMBERED);
    }
}
