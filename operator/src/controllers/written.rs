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

/// A status that was written.
#[derive(Debug)]
pub(crate) struct Over<T> {
    /// The `resourceVersion` of the cached object that it was written over.
    pub(crate) version: Box<str>,
    /// The `resourceVersion` that came of it.
    pub(crate) became: Box<str>,
    /// The status.
    pub(crate) status: T,
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

    /// A status of the object was written.
    pub(crate) fn wrote(&self, uid: &str, over: Over<T>) {
        self.statuses().insert(uid.into(), over);
    }

    /// The status that the object has by now, if the cache still holds it at the `version` that was last written over.
    pub(crate) fn over(&self, uid: &str, version: &str) -> Option<T> {
        let mut statuses = self.statuses();
        if statuses.get(uid).is_some_and(|over| *over.version != *version) {
            statuses.remove(uid);
        }
        statuses.get(uid).map(|over| over.status.clone())
    }

    /// The object is seen at `version`, after the cache held it at `before`: what was written over another one has come back, or was written over
    /// by somebody else. Answers whether the step from `before` to `version` is our own write and nothing else.
    pub(crate) fn saw(&self, uid: &str, before: Option<&str>, version: &str) -> bool {
        let mut statuses = self.statuses();
        let Some(over) = statuses.get(uid) else {
            return false;
        };
        if *over.version == *version {
            return false;
        }
        let ours = *over.became == *version && before == Some(&*over.version);
        statuses.remove(uid);
        ours
    }

    /// The object is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.statuses().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(version: &str, became: &str) -> Over<&'static str> {
        Over {
            version: version.into(),
            became: became.into(),
            status: "ready",
        }
    }

    #[test]
    fn a_status_counts_until_the_object_is_seen_at_another_version() {
        let written = Written::default();
        assert_eq!(written.over("u", "1"), None);
        written.wrote("u", over("1", "2"));
        written.saw("u", Some("1"), "1");
        assert_eq!(written.over("u", "1"), Some("ready"));
        assert_eq!(written.over("v", "1"), None);
        written.saw("u", Some("1"), "2");
        assert_eq!(written.over("u", "1"), None);
        // The event may also come before the answer of the write.
        written.wrote("u", over("1", "2"));
        assert_eq!(written.over("u", "2"), None);
        written.wrote("u", over("2", "3"));
        written.forget("u");
        assert_eq!(written.over("u", "2"), None);
    }

    #[test]
    fn only_the_step_that_we_made_is_ours() {
        let written = Written::default();
        let step = |before, version| {
            written.wrote("u", over("1", "3"));
            written.saw("u", before, version)
        };
        assert!(step(Some("1"), "3"));
        // Once.
        assert!(!written.saw("u", Some("1"), "3"));
        // Somebody else's write, one of theirs before ours, a list in which the object is new, and no news at all.
        assert!(!step(Some("1"), "2"));
        assert!(!written.saw("u", Some("2"), "3"));
        assert!(!step(Some("2"), "3"));
        assert!(!step(None, "3"));
        assert!(!step(Some("1"), "1"));
        assert!(!Written::<()>::default().saw("u", Some("1"), "3"));
    }
}
