//! The statements in force, stored separately for each namespace, so that none waits for another.
//!
//! INVARIANT: a lock that a decision takes is held to clone a pointer, or for a change of one namespace that
//! compiles and copies nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use strongroom_rules::policy::NamespacePolicies;

/// The statements in force, by namespace.
#[derive(Debug, Default)]
pub(super) struct PoliciesByNamespace {
    namespaces: RwLock<HashMap<String, Arc<NamespaceEntry>>>,
    /// How many sources ask for labels of a pod or a node.
    asking: AtomicUsize,
}

/// What is in force in a namespace, and the lock of who changes it.
#[derive(Debug, Default)]
struct NamespaceEntry {
    /// Held by whoever changes it: one after the other.
    changing: Mutex<()>,
    now: RwLock<Arc<NamespacePolicies>>,
}

impl NamespaceEntry {
    fn now(&self) -> Arc<NamespacePolicies> {
        Arc::clone(&self.now.read())
    }

    /// Changes the statements. Where a decision looks at them just now, a copy is changed and takes their
    /// place.
    fn change<T>(&self, change: impl FnOnce(&mut NamespacePolicies) -> T) -> T {
        // A panic inside would leave statements half changed; there is none, since this crate and the rules
        // have no panicking calls.
        {
            let mut now = self.now.write();
            if let Some(alone) = Arc::get_mut(&mut now) {
                return change(alone);
            }
        }
        let mut copy = NamespacePolicies::clone(&self.now());
        let changed = change(&mut copy);
        *self.now.write() = Arc::new(copy);
        changed
    }
}

impl PoliciesByNamespace {
    fn place(&self, namespace: &str) -> Option<Arc<NamespaceEntry>> {
        let namespaces = self.namespaces.read();
        namespaces.get(namespace).cloned()
    }

    /// What is in force in a namespace now; none where nothing is.
    pub(super) fn get(&self, namespace: &str) -> Option<Arc<NamespacePolicies>> {
        Some(self.place(namespace)?.now())
    }

    /// Changes what is in force in a namespace.
    pub(super) fn change<T>(&self, namespace: &str, change: impl FnOnce(&mut NamespacePolicies) -> T) -> T {
        let place = self.place(namespace).unwrap_or_else(|| {
            let mut namespaces = self.namespaces.write();
            Arc::clone(namespaces.entry(namespace.to_owned()).or_default())
        });
        let changing = place.changing.lock();
        let (changed, before, after, empty) = place.change(|policies| {
            let before = policies.sources_with_labels();
            let changed = change(policies);
            (
                changed,
                before,
                policies.sources_with_labels(),
                policies.is_empty(),
            )
        });
        self.asking.fetch_add(after, Ordering::AcqRel);
        self.asking.fetch_sub(before, Ordering::AcqRel);
        drop(changing);
        if empty {
            self.leave(namespace, place);
        }
        changed
    }

    /// Gives up the place of a namespace in which nothing is in force, unless somebody is about to change it.
    fn leave(&self, namespace: &str, place: Arc<NamespaceEntry>) {
        let mut namespaces = self.namespaces.write();
        let same = namespaces
            .get(namespace)
            .is_some_and(|known| Arc::ptr_eq(known, &place));
        // One is ours and one the map's: whoever has a third found it before, and nobody finds it now.
        if same && Arc::strong_count(&place) == 2 && place.now().is_empty() {
            namespaces.remove(namespace);
        }
    }

    /// The namespaces that have a place.
    pub(super) fn namespaces(&self) -> Vec<String> {
        let namespaces = self.namespaces.read();
        namespaces.keys().cloned().collect()
    }

    /// Whether any statement asks for labels of a pod or a node.
    pub(super) fn any_asks_labels(&self) -> bool {
        self.asking.load(Ordering::Acquire) > 0
    }

    /// Whether a statement of one of these namespaces does.
    pub(super) fn ask_labels<'a>(&self, namespaces: impl IntoIterator<Item = &'a str>) -> bool {
        // Mostly nobody asks, and no namespace is looked up.
        self.any_asks_labels()
            && namespaces.into_iter().any(|namespace| {
                self.get(namespace)
                    .is_some_and(|now| now.sources_with_labels() > 0)
            })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use strongroom_rules::policy::{PolicySource, SharedStatements, compile, readers_policy};

    use super::*;

    /// A change of one namespace that does not come to its end keeps nobody of another waiting, nor does a
    /// decision that does not end keep a change.
    #[test]
    fn no_namespace_waits_for_another() {
        let places = Arc::new(PoliciesByNamespace::default());
        let shared = SharedStatements::default();
        let readers = || compile("a", &readers_policy("db", &["app".to_owned()]), &shared).unwrap();
        let source = PolicySource::Readers("db".to_owned());
        places.change("a", |policies| policies.put(source.clone(), readers()));
        let ((began, begins), (end, ends)) = (channel(), channel::<()>());
        let changing = {
            let places = Arc::clone(&places);
            std::thread::spawn(move || {
                places.change("b", |_| {
                    began.send(()).unwrap();
                    ends.recv().unwrap();
                });
            })
        };
        begins.recv().unwrap();
        // Somebody decides by what is in force while it changes.
        let held = places.get("a").unwrap();
        let (done, does) = channel();
        let other = {
            let (places, source) = (Arc::clone(&places), source.clone());
            std::thread::spawn(move || {
                places.change("a", |policies| policies.remove(&source));
                done.send(places.get("a").is_some_and(|now| now.has(&source)))
                    .unwrap();
            })
        };
        let answer = does.recv_timeout(Duration::from_secs(30));
        assert_eq!(answer, Ok(false), "a change of `b` keeps `a` waiting");
        assert!(held.has(&source));
        end.send(()).unwrap();
        changing.join().unwrap();
        other.join().unwrap();
        assert!(places.namespaces().is_empty(), "{:?}", places.namespaces());
    }
}
