//! Native Secrets that somebody else keeps changing: how often each was put back lately, and which fields the
//! API server returned other than they were written. This is in memory only, while it lasts: after a restart
//! the count begins at zero.

use std::collections::HashMap;

use jiff::Timestamp;
use parking_lot::Mutex;
use strongroom_rules::native_secret::edits::DriftedKey;
use strongroom_rules::native_secret::repairs::Repairs;

/// All of them, by the UID of the ManagedSecret.
#[derive(Debug, Default)]
pub(crate) struct Contests(Mutex<HashMap<Box<str>, Contest>>);

/// A native Secret that others change too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contest {
    /// How often it was put back.
    pub(crate) repairs: Repairs,
    /// What was not as it was written.
    pub(crate) mutated: Vec<DriftedKey>,
}

impl Contests {
    /// What is remembered of one.
    pub(crate) fn get(&self, uid: &str) -> Option<Contest> {
        self.0.lock().get(uid).cloned()
    }

    /// One was put back, and came back with these keys other than they were written.
    pub(crate) fn repaired(&self, uid: &str, mutated: Vec<DriftedKey>, now: Timestamp) {
        let mut all = self.0.lock();
        all.retain(|_, contest| !contest.repairs.is_over(now));
        let before = all.get(uid).map(|contest| contest.repairs);
        let repairs = Repairs::one_more(before, now);
        all.insert(uid.into(), Contest { repairs, mutated });
    }

    /// One was written and stands as it was written; that it was put back still counts.
    pub(crate) fn clear_mutations(&self, uid: &str) {
        if let Some(contest) = self.0.lock().get_mut(uid) {
            contest.mutated.clear();
        }
    }

    /// The ManagedSecret is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}
