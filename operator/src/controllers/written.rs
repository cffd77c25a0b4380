//! What was written to a status and has not come back through the watch yet.
//!
//! A reconcile compares with the object in the cache, and between a write and its event the cache holds the older one: a second reconcile in
//! between, which the event of a native Secret easily starts, would write the same again. Nothing here is a proof: a forgotten entry costs one
//! write that says nothing new. It never decides what a status says.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Statuses of type `T`, by the UID of their object.
#[derive(Debug)]
pub(crate) struct Written<T> {
    statuses: Mutex<HashMap<Box<str>, Over<T>>>,
}

/// A status, and the `resourceVersion` of the cached object that it was written over.
#[derive(Debug)]
struct Over<T> {
    version: Box<str>,
    status: T,
}

impl<T> Default for Written<T> {
    fn default() -> Self {
        Self {
            statuses: Mutex::default(),
        }
    }
}

impl<T: Clone> Written<T> {
    fn statuses(&self) -> MutexGuard<'_, HashMap<Box<str>, Over<T>>> {
        // A panic while the lock was held leaves at worst a missing entry.
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The status was written while the cache held the object at `version`.
    pub(crate) fn wrote(&self, uid: &str, version: &str, status: T) {
        let over = Over {
            version: version.into(),
            status,
        };
        self.statuses().insert(uid.into(), over);
    }

    /// The status that the object has by now, if the cache still holds it at the `version` that was last written over.
    pub(crate) fn over(&self, uid: &str, version: &str) -> Option<T> {
        self.saw(uid, version);
        self.statuses().get(uid).map(|over| over.status.clone())
    }

    /// The object was seen at `version`: what was written over another one has come back, or was written over by somebody else.
    pub(crate) fn saw(&self, uid: &str, version: &str) {
        let mut statuses = self.statuses();
        if statuses.get(uid).is_some_and(|over| *over.version != *version) {
            statuses.remove(uid);
        }
    }

    /// The object is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.statuses().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_counts_until_the_object_is_seen_at_another_version() {
        let written = Written::default();
        assert_eq!(written.over("u", "1"), None);
        written.wrote("u", "1", "ready");
        written.saw("u", "1");
        assert_eq!(written.over("u", "1"), Some("ready"));
        assert_eq!(written.over("v", "1"), None);
        written.saw("u", "2");
        assert_eq!(written.over("u", "1"), None);
        // The event may also come before the answer of the write.
        written.wrote("u", "1", "ready");
        assert_eq!(written.over("u", "2"), None);
        written.wrote("u", "2", "ready");
        written.forget("u");
        assert_eq!(written.over("u", "2"), None);
    }
}
