//! What the watches tell the search for deleted objects.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What the watches tell the search for absences.
#[derive(Debug, Default)]
pub(crate) struct DeletionSignals {
    pub(super) wake: Notify,
    /// UIDs of objects seen since the CRD, as it is now, was made.
    seen: Mutex<HashSet<Box<str>>>,
    /// Namespace and name of the objects that were away at the last look, and whether one was there since.
    away: Mutex<BTreeMap<(String, String), bool>>,
}

impl DeletionSignals {
    /// Something may be gone.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// An object of this name and UID exists.
    pub(crate) fn saw(&self, namespace: &str, name: &str, uid: &str) {
        self.seen.lock().insert(uid.into());
        let mut away = self.away.lock();
        if !away.is_empty()
            && let Some(back) = away.get_mut(&(namespace.to_owned(), name.to_owned()))
        {
            *back = true;
        }
    }

    /// Objects of these UIDs exist.
    pub(super) fn saw_all(&self, uids: Vec<String>) {
        self.seen.lock().extend(uids.into_iter().map(Into::into));
    }

    pub(super) fn has_seen(&self, uid: &str) -> bool {
        self.seen.lock().contains(uid)
    }

    pub(super) fn forget(&self) {
        self.seen.lock().clear();
    }

    /// Takes down what is away now. Answers with what was away at the last look and came back since: the look
    /// itself cannot tell of an object that came and went between two looks.
    pub(super) fn look_out_for(&self, now: BTreeMap<(String, String), bool>) -> BTreeSet<(String, String)> {
        let before = std::mem::replace(&mut *self.away.lock(), now);
        before
            .into_iter()
            .filter_map(|(place, back)| back.then_some(place))
            .collect()
    }
}
