//! What was written to a status and has not come back through the watch yet.
//!
//! A reconcile compares with the object in the cache, and between a write and its event the cache holds the
//! older one: a second reconcile in between, which the event of a native Secret easily starts, would write
//! the same again. Nothing here is a proof: a forgotten entry costs one write that says nothing new. It never
//! decides what a status says.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Statuses of type `T`, by the UID of their object.
#[derive(Debug)]
pub(crate) struct ExpectedStatus<T> {
    statuses: Mutex<HashMap<Box<str>, StatusWrite<T>>>,
}

/// A status that was written.
#[derive(Debug)]
pub(crate) struct StatusWrite<T> {
    /// The `resourceVersion` of the cached object that it was written over.
    pub(crate) version: Box<str>,
    pub(crate) status: T,
}

impl<T> Default for ExpectedStatus<T> {
    fn default() -> Self {
        Self {
            statuses: Mutex::default(),
        }
    }
}

impl<T: Clone + PartialEq> ExpectedStatus<T> {
    /// A status of the object is about to be written: its event may come before the answer. A write that does
    /// not happen has to be forgotten.
    pub(crate) fn record_write(&self, uid: &str, over: StatusWrite<T>) {
        self.statuses.lock().insert(uid.into(), over);
    }

    /// The status that the object has by now, if the cache still holds it at the `version` that was last
    /// written over.
    pub(crate) fn current(&self, uid: &str, version: &str) -> Option<T> {
        let mut statuses = self.statuses.lock();
        if statuses.get(uid).is_some_and(|over| *over.version != *version) {
            statuses.remove(uid);
        }
        statuses.get(uid).map(|over| over.status.clone())
    }

    /// The object is seen at `version`, after the cache held it at `before`: what was written over another
    /// one has come back, or was written over by somebody else. Answers whether the step from `before` to
    /// `version` is our own write and nothing else: then it brought that `status`, and a write of a status
    /// changes nothing beside it.
    pub(crate) fn observe(
        &self,
        uid: &str,
        before: Option<&str>,
        version: &str,
        status: impl FnOnce() -> Option<T>,
    ) -> bool {
        let mut statuses = self.statuses.lock();
        let Some(over) = statuses.get(uid) else {
            return false;
        };
        if *over.version == *version {
            return false;
        }
        let ours = before == Some(&*over.version) && status().as_ref() == Some(&over.status);
        statuses.remove(uid);
        ours
    }

    /// The object is gone, or the write did not happen.
    pub(crate) fn forget(&self, uid: &str) {
        self.statuses.lock().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(version: &str) -> StatusWrite<&'static str> {
        StatusWrite {
            version: version.into(),
            status: "ready",
        }
    }

    #[test]
    fn a_status_counts_until_the_object_is_seen_at_another_version() {
        let written = ExpectedStatus::default();
        let none = || None;
        assert_eq!(written.current("u", "1"), None);
        written.record_write("u", over("1"));
        written.observe("u", Some("1"), "1", none);
        assert_eq!(written.current("u", "1"), Some("ready"));
        assert_eq!(written.current("v", "1"), None);
        written.observe("u", Some("1"), "2", none);
        assert_eq!(written.current("u", "1"), None);
        written.record_write("u", over("1"));
        assert_eq!(written.current("u", "2"), None);
        written.record_write("u", over("2"));
        written.forget("u");
        assert_eq!(written.current("u", "2"), None);
    }

    #[test]
    fn only_the_step_that_we_made_is_ours() {
        let written = ExpectedStatus::default();
        let step = |before, status| {
            written.record_write("u", over("1"));
            written.observe("u", before, "3", || status)
        };
        assert!(step(Some("1"), Some("ready")));
        // Once.
        assert!(!written.observe("u", Some("1"), "3", || Some("ready")));
        // Something came in between, or it is another status.
        assert!(!step(Some("2"), Some("ready")));
        assert!(!step(None, Some("ready")));
        assert!(!step(Some("1"), Some("failed")));
        assert!(!step(Some("1"), None));
    }
}
