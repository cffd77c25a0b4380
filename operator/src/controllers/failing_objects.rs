//! Which objects fail. Each cause is logged once and counted in a metric until the object recovers, instead
//! of being logged with every attempt.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use parking_lot::Mutex;

/// Causes of one object that are told until it is well again: a cause that changes with every attempt does
/// not fill the log either.
const MAX_CAUSES: usize = 8;

/// An object: its kind, namespace and name.
type Place = (&'static str, String, String);

/// What fails now, with the causes that were told: each is logged once.
#[derive(Debug, Default)]
pub(super) struct FailingObjects(Mutex<HashMap<Place, HashSet<u64>>>);

impl FailingObjects {
    /// An attempt failed. Answers whether this cause is news, and how many objects of the kind fail now.
    pub(super) fn failed(
        &self,
        kind: &'static str,
        namespace: &str,
        name: &str,
        cause: &str,
    ) -> (bool, usize) {
        let mut hasher = DefaultHasher::new();
        cause.hash(&mut hasher);
        let mut objects = self.0.lock();
        let causes = objects
            .entry((kind, namespace.to_owned(), name.to_owned()))
            .or_default();
        let news = causes.len() < MAX_CAUSES && causes.insert(hasher.finish());
        (news, of_kind(&objects, kind))
    }

    /// The object is well, or gone. Answers how many of the kind fail now, where it was one of them.
    pub(super) fn recovered(&self, kind: &'static str, namespace: &str, name: &str) -> Option<usize> {
        let mut objects = self.0.lock();
        objects.remove(&(kind, namespace.to_owned(), name.to_owned()))?;
        Some(of_kind(&objects, kind))
    }

    /// How many objects fail now, by kind.
    pub(super) fn by_kind(&self) -> BTreeMap<&'static str, u64> {
        let mut kinds: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (kind, ..) in self.0.lock().keys() {
            *kinds.entry(*kind).or_default() += 1;
        }
        kinds
    }
}

fn of_kind(objects: &HashMap<Place, HashSet<u64>>, kind: &str) -> usize {
    objects.keys().filter(|(of, ..)| *of == kind).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "ManagedSecret";

    #[test]
    fn a_cause_is_told_once_until_the_object_is_well() {
        let failing = FailingObjects::default();
        let fails = |cause: &str| failing.failed(KIND, "shop", "db", cause);
        assert_eq!(fails("a"), (true, 1));
        for _ in 0..100 {
            assert_eq!(fails("a"), (false, 1));
        }
        assert_eq!(fails("b"), (true, 1));
        assert_eq!(fails("a"), (false, 1), "two causes that take turns");
        assert_eq!(failing.failed(KIND, "shop", "mail", "a"), (true, 2));
        assert_eq!(failing.failed("SecretPolicy", "shop", "db", "a"), (true, 1));
        let by_kind = BTreeMap::from([(KIND, 2), ("SecretPolicy", 1)]);
        assert_eq!(failing.by_kind(), by_kind);
        assert_eq!(failing.recovered(KIND, "shop", "db"), Some(1));
        assert_eq!(failing.recovered(KIND, "shop", "db"), None);
        assert_eq!(fails("a"), (true, 2));
    }

    #[test]
    fn a_cause_that_always_changes_does_not_fill_the_log() {
        let failing = FailingObjects::default();
        let told = (0..1_000).filter(|number| failing.failed(KIND, "shop", "db", &number.to_string()).0);
        assert_eq!(told.count(), MAX_CAUSES);
    }
}
