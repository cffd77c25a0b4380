//! When the managers of products were last seen, as requests and the objects that they write tell. It is kept
//! in memory; the statuses of products keep what an earlier process saw.

use std::collections::HashMap;

use jiff::Timestamp;
use parking_lot::RwLock;

/// Times are told in steps of this: a status is written at most as often.
const STEP_SECONDS: i64 = 600;
/// Products of which something is kept; with one more, all is forgotten but that one.
const MAX_PRODUCTS: usize = 1_024;
/// Managers of one product of which something is kept, likewise: more than a product can have.
const MAX_MANAGERS: usize = 32;

/// Who was last seen when.
#[derive(Debug, Default)]
pub(crate) struct ManagerSightings {
    /// By the code of the product.
    seen: RwLock<HashMap<String, Vec<SeenManager>>>,
}

/// A manager of one product.
#[derive(Debug)]
struct SeenManager {
    namespace: String,
    /// Name of the ServiceAccount.
    account: String,
    last: Timestamp,
}

impl SeenManager {
    fn is(&self, (namespace, account): (&str, &str)) -> bool {
        self.namespace == namespace && self.account == account
    }
}

/// The step that a time is in.
fn step(time: Timestamp) -> Timestamp {
    let second = time.as_second();
    Timestamp::from_second(second - second.rem_euclid(STEP_SECONDS)).unwrap_or(time)
}

impl ManagerSightings {
    /// A manager, by namespace and name, acts for a product. It costs no more than a look while the step is
    /// the same.
    pub(crate) fn record(&self, code: &str, manager: (&str, &str), now: Timestamp) {
        let now = step(now);
        if self.last(code, manager).is_some_and(|last| last >= now) {
            return;
        }
        let mut seen = self.seen.write();
        if seen.len() >= MAX_PRODUCTS && !seen.contains_key(code) {
            seen.clear();
        }
        let managers = seen.entry(code.to_owned()).or_default();
        if let Some(known) = managers.iter_mut().find(|seen| seen.is(manager)) {
            known.last = known.last.max(now);
            return;
        }
        if managers.len() >= MAX_MANAGERS {
            managers.clear();
        }
        let (namespace, account) = manager;
        managers.push(SeenManager {
            namespace: namespace.to_owned(),
            account: account.to_owned(),
            last: now,
        });
    }

    /// The step in which a manager was last seen to act for a product; none: not by this process.
    pub(crate) fn last(&self, code: &str, manager: (&str, &str)) -> Option<Timestamp> {
        let seen = self.seen.read();
        let mut managers = seen.get(code)?.iter();
        managers.find(|seen| seen.is(manager)).map(|seen| seen.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANAGER: (&str, &str) = ("system", "pg");

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_manager_is_seen_to_ten_minutes_and_never_earlier_than_before() {
        let sightings = ManagerSightings::default();
        assert_eq!(sightings.last("pg", MANAGER), None);
        for (second, expected) in [
            (1_201, 1_200),
            (1_799, 1_200),
            (1_800, 1_800),
            // A clock that goes back.
            (900, 1_800),
            (7_205, 7_200),
        ] {
            sightings.record("pg", MANAGER, at(second));
            assert_eq!(sightings.last("pg", MANAGER), Some(at(expected)), "{second}");
        }
        for (code, manager) in [
            ("aigw", MANAGER),
            ("pg", ("system", "aigw")),
            ("pg", ("shop", "pg")),
        ] {
            assert_eq!(sightings.last(code, manager), None, "{code} {manager:?}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let sightings = ManagerSightings::default();
        for number in 0..3 * MAX_PRODUCTS {
            let code = format!("product-{number}");
            sightings.record(&code, MANAGER, at(0));
            assert_eq!(sightings.last(&code, MANAGER), Some(at(0)));
            assert!(sightings.seen.read().len() <= MAX_PRODUCTS);
        }
        for number in 0..3 * MAX_MANAGERS {
            let manager = ("system", &*format!("manager-{number}"));
            sightings.record("pg", manager, at(0));
            assert_eq!(sightings.last("pg", manager), Some(at(0)));
            assert!(sightings.seen.read()["pg"].len() <= MAX_MANAGERS);
        }
    }
}
