//! What is known of the certificates of `ManagedSecret`s, so that no value has to be opened to know when one
//! ends, and so that a change of an authority reaches the certificates that it signed. All of it is public; a
//! missing entry costs one read of the store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_rules::generate::Chain;

use super::cached_object::CachedObject;

/// References to objects that have to be looked at.
type Queue = UnboundedReceiver<ObjectRef<CachedObject<ManagedSecret>>>;
/// Namespace and name.
type Place = (Box<str>, Box<str>);

/// The certificates of all `ManagedSecret`s.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// When this process began.
    started: Timestamp,
    inner: Mutex<Inner>,
    touched: UnboundedSender<ObjectRef<CachedObject<ManagedSecret>>>,
    queue: Mutex<Option<Queue>>,
}

#[derive(Debug, Default)]
struct Inner {
    held: HashMap<Place, Arc<VersionCertificates>>,
    /// By their authority.
    leaves: HashMap<Place, BTreeMap<Box<str>, AuthorityLeaf>>,
    /// The authority of each leaf.
    authorities: HashMap<Place, Place>,
    /// Authorities whose new key everybody who is counted trusts.
    trusted: BTreeSet<Place>,
    /// The version that all counted consumers of a secret have.
    moved: HashMap<Place, Box<str>>,
}

/// The certificates in one version of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VersionCertificates {
    /// Id of the version.
    pub(crate) version: Box<str>,
    /// By the name of the x509 key: the key of this object, and those by which leaves name it as their CA.
    /// None: the value holds no such certificate.
    pub(crate) chains: BTreeMap<Box<str>, Option<Chain>>,
}

/// A secret with a certificate of an authority in another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthorityLeaf {
    /// The x509 key in the authority's secret.
    pub(crate) key: Box<str>,
    /// Where it stands.
    pub(crate) standing: LeafProgress,
}

/// How far a leaf has come after its authority got a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeafProgress {
    /// It does not trust the new key yet.
    Behind,
    /// It trusts the new key and is signed by an older one.
    Trusts,
    /// It is signed by the new key, or by none that the authority had.
    Done,
}

impl Certificates {
    /// Of a process that began then.
    pub(crate) fn new(started: Timestamp) -> Self {
        let (touched, queue) = unbounded();
        Self {
            started,
            inner: Mutex::default(),
            touched,
            queue: Mutex::new(Some(queue)),
        }
    }

    /// When this process began.
    pub(crate) fn started(&self) -> Timestamp {
        self.started
    }

    /// The objects to look at. It can be taken once.
    pub(crate) fn queue(&self) -> Option<Queue> {
        self.queue.lock().take()
    }

    fn touch(&self, (namespace, name): &Place) {
        // A closed channel means that the process ends.
        let _ = self
            .touched
            .unbounded_send(ObjectRef::new(name).within(namespace));
    }

    /// What is known of this secret.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<VersionCertificates>> {
        self.inner.lock().held.get(&place(namespace, name)).cloned()
    }

    /// The keys by which leaves name this secret as their authority.
    pub(crate) fn issuing(&self, namespace: &str, name: &str) -> BTreeSet<Box<str>> {
        let inner = self.inner.lock();
        let leaves = inner.leaves.get(&place(namespace, name));
        leaves
            .into_iter()
            .flat_map(BTreeMap::values)
            .map(|leaf| leaf.key.clone())
            .collect()
    }

    /// A version was opened. Leaves of this authority are looked at where what it gives them has changed.
    pub(crate) fn record(&self, namespace: &str, name: &str, held: VersionCertificates) {
        let place = place(namespace, name);
        let mut inner = self.inner.lock();
        let before = inner.held.insert(place.clone(), Arc::new(held.clone()));
        if before.is_some_and(|before| before.chains == held.chains) {
            return;
        }
        inner.trusted.remove(&place);
        for (name, leaf) in inner.leaves.get_mut(&place).into_iter().flatten() {
            // Until it says otherwise.
            leaf.standing = LeafProgress::Behind;
            self.touch(&(place.0.clone(), name.clone()));
        }
    }

    /// A leaf has this authority, and stands so. The authority is looked at where that is news.
    pub(crate) fn record_leaf(&self, namespace: &str, name: &str, authority: &str, leaf: AuthorityLeaf) {
        let (own, authority) = (place(namespace, name), place(namespace, authority));
        let mut inner = self.inner.lock();
        if inner
            .authorities
            .get(&own)
            .is_some_and(|before| *before != authority)
        {
            self.drop_leaf(&mut inner, &own);
        }
        inner.authorities.insert(own.clone(), authority.clone());
        let before = inner
            .leaves
            .entry(authority.clone())
            .or_default()
            .insert(own.1, leaf.clone());
        if before.as_ref() != Some(&leaf) {
            self.touch(&authority);
        }
    }

    fn drop_leaf(&self, inner: &mut Inner, own: &Place) {
        let Some(authority) = inner.authorities.remove(own) else {
            return;
        };
        if let Some(leaves) = inner.leaves.get_mut(&authority) {
            leaves.remove(&own.1);
            if leaves.is_empty() {
                inner.leaves.remove(&authority);
            }
        }
        self.touch(&authority);
    }

    /// The object has no authority any more.
    pub(crate) fn remove_leaf(&self, namespace: &str, name: &str) {
        let own = place(namespace, name);
        let mut inner = self.inner.lock();
        if inner.authorities.contains_key(&own) {
            self.drop_leaf(&mut inner, &own);
        }
    }

    /// The leaves of an authority.
    pub(crate) fn leaves(&self, namespace: &str, name: &str) -> BTreeMap<Box<str>, AuthorityLeaf> {
        let inner = self.inner.lock();
        inner
            .leaves
            .get(&place(namespace, name))
            .cloned()
            .unwrap_or_default()
    }

    /// How many leaves an authority has.
    pub(crate) fn count(&self, namespace: &str, name: &str) -> usize {
        self.inner
            .lock()
            .leaves
            .get(&place(namespace, name))
            .map_or(0, BTreeMap::len)
    }

    /// Whether everybody who is counted trusts the new key of this authority. Its leaves are looked at where
    /// that is news.
    pub(crate) fn set_trusted(&self, namespace: &str, name: &str, trusted: bool) {
        let place = place(namespace, name);
        let mut inner = self.inner.lock();
        if !trusted {
            inner.trusted.remove(&place);
        } else if inner.trusted.insert(place.clone()) {
            for leaf in inner.leaves.get(&place).into_iter().flat_map(BTreeMap::keys) {
                self.touch(&(place.0.clone(), leaf.clone()));
            }
        }
    }

    /// Whether [`Certificates::set_trusted`] was told so.
    pub(crate) fn is_trusted(&self, namespace: &str, name: &str) -> bool {
        self.inner.lock().trusted.contains(&place(namespace, name))
    }

    /// All consumers of this secret that are counted have this version, or not all of them its current one.
    /// The authority, or itself, is looked at where that is news.
    pub(crate) fn consumers_moved(&self, namespace: &str, name: &str, version: Option<&str>) {
        let own = place(namespace, name);
        let mut inner = self.inner.lock();
        if !inner.held.contains_key(&own) {
            return;
        }
        let before = match version {
            Some(version) => inner.moved.insert(own.clone(), version.into()),
            None => inner.moved.remove(&own),
        };
        if before.as_deref() != version {
            let authority = inner.authorities.get(&own).cloned();
            for concerned in [authority, inner.leaves.contains_key(&own).then_some(own)] {
                concerned.iter().for_each(|concerned| self.touch(concerned));
            }
        }
    }

    /// Whether all consumers of this secret that are counted have its current version.
    pub(crate) fn has_moved(&self, namespace: &str, name: &str) -> bool {
        let own = place(namespace, name);
        let inner = self.inner.lock();
        let held = inner.held.get(&own);
        held.is_some_and(|held| inner.moved.get(&own) == Some(&held.version))
    }

    /// The object holds no certificate that counts.
    pub(crate) fn forget(&self, namespace: &str, name: &str) {
        let own = place(namespace, name);
        let mut inner = self.inner.lock();
        if inner.held.is_empty() && inner.authorities.is_empty() {
            return;
        }
        let held = inner.held.remove(&own).is_some();
        inner.trusted.remove(&own);
        inner.moved.remove(&own);
        if inner.authorities.contains_key(&own) {
            self.drop_leaf(&mut inner, &own);
        }
        for leaf in inner
            .leaves
            .get(&own)
            .filter(|_| held)
            .into_iter()
            .flat_map(BTreeMap::keys)
        {
            self.touch(&(own.0.clone(), leaf.clone()));
        }
    }

    /// Forgets the objects that are not there any more: what went while no watch ran.
    pub(crate) fn listed(&self, is_there: impl Fn(&str, &str) -> bool) {
        let gone: Vec<Place> = {
            let inner = self.inner.lock();
            let all = inner.held.keys().chain(inner.authorities.keys());
            all.filter(|(namespace, name)| !is_there(namespace, name))
                .cloned()
                .collect()
        };
        for (namespace, name) in gone {
            self.forget(&namespace, &name);
        }
    }
}

#[cfg(test)]
impl Certificates {
    /// The objects that are queued now, by namespace and name.
    pub(crate) fn take_touched(&self) -> Vec<(String, String)> {
        let mut queue = self.queue.lock();
        let mut touched = Vec::new();
        while let Some(Ok(object)) = queue.as_mut().map(UnboundedReceiver::try_recv) {
            touched.push((object.namespace.unwrap_or_default(), object.name));
        }
        touched.sort();
        touched
    }
}

fn place(namespace: &str, name: &str) -> Place {
    (namespace.into(), name.into())
}
