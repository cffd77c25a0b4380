//! What the watches have seen of the cluster, besides the objects being reconciled: namespaces, and our
//! native Secrets.
//!
//! Nothing here is authoritative: a missing entry only means that the API server has to be asked. It never
//! holds a value.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::{Resource, ResourceExt};
use parking_lot::Mutex;
use strongroom_crds::annotation::ACCEPT_NAMESPACE;

use super::identity::Identity;
use crate::kube::keeps_nothing;
use crate::kube::watch::{ListedObjects, WatchChange};

/// How long an object that was found right is not read again without cause: a little less than a round of the
/// resync, so that each one reads.
const SETTLED_TRUST_PERIOD: SignedDuration =
    SignedDuration::from_secs(super::resync::PERIOD.as_secs().cast_signed() - 600);

/// What is remembered of the cluster.
#[derive(Debug, Default)]
pub(crate) struct ClusterCache {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    namespaces: HashMap<String, SeenNamespace>,
    natives: HashMap<Place, SeenNative>,
    settled: HashMap<String, SettledState>,
    /// The native Secret of another one that a ManagedSecret waits for, by the ManagedSecret's place.
    awaited: HashMap<Place, Box<str>>,
    /// Counts the events about native Secrets.
    native_events: u64,
}

/// Namespace and name.
type Place = (Box<str>, Box<str>);

/// A Namespace as last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenNamespace {
    /// `metadata.uid`.
    pub(crate) uid: String,
    /// It is being deleted.
    pub(crate) terminating: bool,
    /// Its annotation `strongroom.dev/accept-namespace`.
    pub(crate) accepts: Option<String>,
    /// Its label says that nothing of it is kept when it is deleted.
    pub(crate) keeps_nothing: bool,
}

impl SeenNamespace {
    /// What of a Namespace counts here.
    pub(crate) fn from_metadata(namespace: &PartialObjectMeta<Namespace>) -> Self {
        Self {
            uid: namespace.metadata.uid.clone().unwrap_or_default(),
            terminating: namespace.metadata.deletion_timestamp.is_some(),
            accepts: namespace.annotations().get(ACCEPT_NAMESPACE).cloned(),
            keeps_nothing: keeps_nothing(namespace),
        }
    }
}

/// A native Secret as last seen or written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SeenNative {
    revision: NativeRevision,
    /// Number of the event that brought it last.
    event: u64,
    /// Name of the ManagedSecret that it belongs to.
    owner: Box<str>,
}

/// One state of a native Secret: its UID and `resourceVersion`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NativeRevision {
    /// `metadata.uid`.
    pub(crate) uid: Box<str>,
    /// `metadata.resourceVersion`, opaque.
    pub(crate) version: Box<str>,
}

impl NativeRevision {
    /// A state that no object is in.
    fn unknown() -> Self {
        Self {
            uid: "".into(),
            version: "".into(),
        }
    }

    /// The state in which an object was read or written.
    pub(crate) fn from_object(object: &impl Resource) -> Self {
        let text = |field: &Option<String>| field.as_deref().unwrap_or_default().into();
        Self {
            uid: text(&object.meta().uid),
            version: text(&object.meta().resource_version),
        }
    }
}

/// The state in which an object was last found as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SettledState {
    /// `metadata.generation` of the ManagedSecret.
    pub(crate) generation: i64,
    /// The current version of its secret.
    pub(crate) version: Box<str>,
    /// Its native Secret.
    pub(crate) native: Option<NativeRevision>,
    /// Others made the native Secret: what the spec leaves open of it is known only by reading it.
    pub(crate) adopted: bool,
    /// When that was.
    pub(crate) at: Timestamp,
}

impl ClusterCache {
    /// The Namespace of this name, if it was seen.
    pub(crate) fn namespace(&self, name: &str) -> Option<SeenNamespace> {
        self.inner.lock().namespaces.get(name).cloned()
    }

    /// Takes in what the watch of Namespaces says. Answers with the names of those whose secrets have to be
    /// looked at.
    pub(crate) fn namespace_change(&self, change: &WatchChange<PartialObjectMeta<Namespace>>) -> Vec<String> {
        let mut inner = self.inner.lock();
        match change {
            WatchChange::Applied { object, .. } => {
                let (name, seen) = (object.name_any(), SeenNamespace::from_metadata(object));
                let before = inner.namespaces.insert(name.clone(), seen.clone());
                if before.as_ref() == Some(&seen) {
                    Vec::new()
                } else {
                    vec![name]
                }
            }
            WatchChange::Deleted(namespace) => {
                inner.namespaces.remove(&namespace.name_any());
                vec![namespace.name_any()]
            }
            WatchChange::Listed(listed) => {
                let gone = |name: &String, _: &mut SeenNamespace| !listed.contains("", name);
                inner.namespaces.extract_if(gone).map(|(name, _)| name).collect()
            }
        }
    }

    /// Remembers a Namespace that was read.
    pub(crate) fn saw_namespace(&self, name: &str, seen: SeenNamespace) {
        self.inner.lock().namespaces.insert(name.to_owned(), seen);
    }

    /// Takes in what a watch of native Secrets says, which watches one namespace or all. Answers with the
    /// ManagedSecrets, by namespace and name, that have to look at theirs.
    pub(crate) fn native_change(
        &self,
        scope: Option<&str>,
        change: &WatchChange<PartialObjectMeta<Secret>>,
    ) -> Vec<(String, String)> {
        let mut inner = self.inner.lock();
        match change {
            WatchChange::Applied { object: secret, .. } => inner.native_changed(secret).into_iter().collect(),
            WatchChange::Deleted(secret) => {
                let mut owners: Vec<_> = inner.native_gone(secret).into_iter().collect();
                owners.extend(inner.no_longer_awaited(secret));
                owners
            }
            WatchChange::Listed(listed) => inner.natives_missing(scope, listed),
        }
    }

    /// Announces that a native Secret of `owner` is about to be read or written, so that events about it
    /// count from now on. The answer goes to [`Self::saw_native`]. While it is known as another one's, it
    /// stays that one's.
    pub(crate) fn announce_native(&self, namespace: &str, name: &str, owner: &str) -> u64 {
        let unknown = || SeenNative {
            revision: NativeRevision::unknown(),
            event: 0,
            owner: owner.into(),
        };
        let mut inner = self.inner.lock();
        let seen = inner
            .natives
            .entry(place(namespace, name))
            .or_insert_with(unknown);
        if seen.revision == NativeRevision::unknown() {
            seen.owner = owner.into();
        }
        seen.event
    }

    /// Remembers a native Secret of `owner` that was read or written after [`Self::announce_native`] answered
    /// `since`. If an event about another state has come since then, it may be the newer one: it stays, and
    /// with it the need to read again.
    pub(crate) fn saw_native(
        &self,
        namespace: &str,
        name: &str,
        (owner, since): (&str, u64),
        revision: NativeRevision,
    ) {
        if let Some(seen) = self.inner.lock().natives.get_mut(&place(namespace, name))
            && seen.event == since
        {
            seen.revision = revision;
            seen.owner = owner.into();
        }
    }

    /// A ManagedSecret waits until the native Secret of another one is deleted, and is reconciled then. Each
    /// waits for one at a time.
    pub(crate) fn await_native(&self, namespace: &str, waiter: &str, name: &str) {
        self.inner
            .lock()
            .awaited
            .insert(place(namespace, waiter), name.into());
    }

    /// A ManagedSecret waits for no native Secret.
    pub(crate) fn stop_awaiting_native(&self, namespace: &str, waiter: &str) {
        self.inner.lock().awaited.remove(&place(namespace, waiter));
    }

    /// The name of the ManagedSecret that a native Secret belongs to.
    pub(crate) fn owner_of_native(&self, namespace: &str, name: &str) -> Option<String> {
        let inner = self.inner.lock();
        let seen = inner.natives.get(&place(namespace, name))?;
        Some(seen.owner.to_string())
    }

    /// Forgets a native Secret that was removed.
    pub(crate) fn forget_native(&self, namespace: &str, name: &str) {
        self.inner.lock().natives.remove(&place(namespace, name));
    }

    /// Forgets a native Secret that was taken for `owner`'s and is not.
    pub(crate) fn forget_native_of(&self, namespace: &str, name: &str, owner: &str) {
        let mut inner = self.inner.lock();
        let place = place(namespace, name);
        if inner
            .natives
            .get(&place)
            .is_some_and(|seen| *seen.owner == *owner)
        {
            inner.natives.remove(&place);
        }
    }

    /// The object was found as wanted.
    pub(crate) fn settle(&self, uid: &str, settled: SettledState) {
        self.inner.lock().settled.insert(uid.to_owned(), settled);
    }

    /// The object has to be looked at anew.
    pub(crate) fn unsettle(&self, uid: &str) {
        self.inner.lock().settled.remove(uid);
    }

    /// Whether this spec of the object was found right with this version, whatever happened since.
    pub(crate) fn was_settled(&self, identity: &Identity, version: Option<&str>) -> bool {
        let inner = self.inner.lock();
        inner.settled.get(&identity.uid).is_some_and(|settled| {
            settled.generation == identity.generation && Some(&*settled.version) == version
        })
    }

    /// Whether the object is still as it was when it was last found right: same generation, same current
    /// version, and no word of a change of the native Secret at `native`.
    pub(crate) fn is_settled(
        &self,
        uid: &str,
        generation: i64,
        version: &str,
        native: Option<(&str, &str)>,
        now: Timestamp,
    ) -> Option<SettledState> {
        let settled = self.unchanged(uid, generation, native, now)?;
        (*settled.version == *version).then_some(settled)
    }

    /// As [`Self::is_settled`], whichever version is current by now: the state of the object when it was last
    /// found correct, if only the stored secret can have changed since.
    pub(crate) fn unchanged(
        &self,
        uid: &str,
        generation: i64,
        native: Option<(&str, &str)>,
        now: Timestamp,
    ) -> Option<SettledState> {
        let inner = self.inner.lock();
        let settled = inner.settled.get(uid)?;
        let same_native = match (&settled.native, native) {
            (None, None) => true,
            (Some(was), Some((namespace, name))) => inner
                .natives
                .get(&place(namespace, name))
                .is_some_and(|seen| seen.revision == *was),
            _ => false,
        };
        let fresh = now.duration_since(settled.at) < SETTLED_TRUST_PERIOD;
        (settled.generation == generation && same_native && fresh).then(|| settled.clone())
    }
}

impl Inner {
    /// A native Secret is in this state now. `Some` when that is news.
    fn native_changed(&mut self, secret: &PartialObjectMeta<Secret>) -> Option<(String, String)> {
        let namespace = secret.namespace().unwrap_or_default();
        self.native_events += 1;
        let seen = self.natives.get_mut(&place(&namespace, &secret.name_any()))?;
        let revision = NativeRevision::from_object(secret);
        if seen.revision == revision {
            return None;
        }
        seen.revision = revision;
        seen.event = self.native_events;
        Some((namespace, seen.owner.to_string()))
    }

    /// A native Secret is gone, or lost its label. `Some` when it is the one that we know.
    fn native_gone(&mut self, secret: &PartialObjectMeta<Secret>) -> Option<(String, String)> {
        let namespace = secret.namespace().unwrap_or_default();
        self.native_events += 1;
        let seen = self.natives.get_mut(&place(&namespace, &secret.name_any()))?;
        // Otherwise an older Secret of this name: the one that we know was made after it. While ours is not
        // known yet it may be ours.
        if seen.revision.uid != NativeRevision::from_object(secret).uid
            && seen.revision != NativeRevision::unknown()
        {
            return None;
        }
        seen.revision = NativeRevision::unknown();
        seen.event = self.native_events;
        Some((namespace, seen.owner.to_string()))
    }

    /// Those who wait for this Secret to go, which went.
    fn no_longer_awaited(&mut self, secret: &PartialObjectMeta<Secret>) -> Vec<(String, String)> {
        let (namespace, name) = (secret.namespace().unwrap_or_default(), secret.name_any());
        let gone = |waiter: &Place, awaited: &str| *waiter.0 == *namespace && *awaited == *name;
        self.awaited
            .extract_if(|waiter, awaited| gone(waiter, awaited))
            .map(|(waiter, _)| (waiter.0.into_string(), waiter.1.into_string()))
            .collect()
    }

    /// A complete list did not have them. Answers with their owners.
    fn natives_missing(&mut self, scope: Option<&str>, listed: &ListedObjects) -> Vec<(String, String)> {
        self.native_events += 1;
        let event = self.native_events;
        let in_scope = |place: &Place| scope.is_none_or(|scope| *place.0 == *scope);
        let missing = self
            .natives
            .iter_mut()
            .filter(|(place, _)| in_scope(place) && !listed.contains(&place.0, &place.1));
        missing
            .map(|(place, seen)| {
                seen.revision = NativeRevision::unknown();
                seen.event = event;
                (place.0.to_string(), seen.owner.to_string())
            })
            .collect()
    }
}

fn place(namespace: &str, name: &str) -> Place {
    (namespace.into(), name.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(uid: &str, version: &str) -> PartialObjectMeta<Secret> {
        let metadata = json!({"name": "db", "namespace": "shop", "uid": uid, "resourceVersion": version});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A cluster in which the native Secret was written as version 5, and the object found right.
    fn settled() -> ClusterCache {
        let cluster = ClusterCache::default();
        write(&cluster, |_| {});
        cluster
    }

    /// Writes version 5, with `meanwhile` between the write and its bookkeeping.
    fn write(cluster: &ClusterCache, meanwhile: impl FnOnce(&ClusterCache)) {
        let since = cluster.announce_native("shop", "db", "owner");
        meanwhile(cluster);
        let written = NativeRevision::from_object(&secret("u", "5"));
        cluster.saw_native("shop", "db", ("owner", since), written.clone());
        let settled = SettledState {
            generation: 1,
            version: "v".into(),
            native: Some(written),
            adopted: false,
            at: at(0),
        };
        cluster.settle("object", settled);
    }

    fn is_settled(cluster: &ClusterCache) -> bool {
        cluster
            .is_settled("object", 1, "v", Some(("shop", "db")), at(1))
            .is_some()
    }

    fn told(cluster: &ClusterCache, change: &WatchChange<PartialObjectMeta<Secret>>) -> usize {
        cluster.native_change(None, change).len()
    }

    #[test]
    fn our_own_write_is_no_news() {
        let cluster = settled();
        assert_eq!(told(&cluster, &WatchChange::applied(secret("u", "5"))), 0);
        assert!(is_settled(&cluster));
    }

    #[test]
    fn a_change_is_news_and_unsettles() {
        for event in [
            WatchChange::applied(secret("u", "6")),
            WatchChange::Applied {
                object: secret("u", "6"),
                listed: true,
            },
            WatchChange::Deleted(secret("u", "6")),
        ] {
            let cluster = settled();
            assert_eq!(told(&cluster, &event), 1, "{event:?}");
            assert!(!is_settled(&cluster), "{event:?}");
        }
    }

    #[test]
    fn an_older_secret_of_the_name_may_go() {
        let cluster = settled();
        assert_eq!(told(&cluster, &WatchChange::Deleted(secret("older", "4"))), 0);
        assert!(is_settled(&cluster));
    }

    #[test]
    fn a_change_between_a_write_and_its_bookkeeping_is_not_overtaken() {
        for event in [
            WatchChange::applied(secret("u", "6")),
            WatchChange::Deleted(secret("u", "6")),
        ] {
            let cluster = ClusterCache::default();
            write(&cluster, |cluster| assert_eq!(told(cluster, &event), 1));
            assert!(!is_settled(&cluster), "{event:?}");
        }
        // Our own event in between is what we wrote.
        let cluster = ClusterCache::default();
        write(&cluster, |cluster| {
            assert_eq!(told(cluster, &WatchChange::applied(secret("u", "5"))), 1)
        });
        assert!(is_settled(&cluster));
    }

    #[test]
    fn who_waits_for_a_secret_to_go_is_told_and_does_not_take_it_before() {
        let cluster = settled();
        let since = cluster.announce_native("shop", "db", "other");
        cluster.await_native("shop", "other", "db");
        cluster.forget_native_of("shop", "db", "other");
        assert_eq!(cluster.owner_of_native("shop", "db").unwrap(), "owner");
        assert!(is_settled(&cluster));
        let told = cluster.native_change(None, &WatchChange::Deleted(secret("u", "5")));
        let both = ["owner", "other"].map(|name| ("shop".to_owned(), name.to_owned()));
        assert_eq!(told, both);
        // Once.
        let again = cluster.native_change(None, &WatchChange::Deleted(secret("u", "5")));
        assert!(!again.contains(&both[1]));
        cluster.saw_native(
            "shop",
            "db",
            ("other", since),
            NativeRevision::from_object(&secret("v", "7")),
        );
        let newer = cluster.announce_native("shop", "db", "other");
        cluster.saw_native(
            "shop",
            "db",
            ("other", newer),
            NativeRevision::from_object(&secret("v", "7")),
        );
        assert_eq!(cluster.owner_of_native("shop", "db").unwrap(), "other");
    }

    #[test]
    fn what_a_complete_list_lacks_is_gone() {
        let cluster = settled();
        let there = secret("u", "5");
        let complete = WatchChange::Listed([&there].into_iter().collect());
        let listed = WatchChange::Applied {
            object: there.clone(),
            listed: true,
        };
        assert_eq!(told(&cluster, &listed), 0);
        assert_eq!(told(&cluster, &complete), 0);
        assert!(is_settled(&cluster));
        assert_eq!(
            cluster.native_change(None, &WatchChange::Listed(ListedObjects::default())),
            [("shop".to_owned(), "owner".to_owned())]
        );
        assert!(!is_settled(&cluster));
    }

    #[test]
    fn trust_ends() {
        let cluster = settled();
        let late = at(SETTLED_TRUST_PERIOD.as_secs());
        assert!(
            cluster
                .is_settled("object", 1, "v", Some(("shop", "db")), late)
                .is_none()
        );
        assert!(
            cluster
                .is_settled("object", 2, "v", Some(("shop", "db")), at(1))
                .is_none()
        );
        assert!(
            cluster
                .is_settled("object", 1, "w", Some(("shop", "db")), at(1))
                .is_none()
        );
        // Of which version the content is, is known all the same.
        let unchanged = |generation| cluster.unchanged("object", generation, Some(("shop", "db")), at(1));
        assert_eq!(&*unchanged(1).unwrap().version, "v");
        assert_eq!(unchanged(2), None);
        assert!(cluster.is_settled("object", 1, "v", None, at(1)).is_none());
    }
}
