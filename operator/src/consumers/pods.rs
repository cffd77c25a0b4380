//! Pods with a native Secret: how each uses it (`spec`), kept by the watch of pods, and which version it
//! therefore has (`strongroom_rules::consumers`).

pub(crate) mod spec;

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use kube::ResourceExt;
use parking_lot::Mutex;
use strongroom_model::id::SecretId;
use strongroom_rules::consumers::{ReplacedVersion, SecretUse, settles, version};

use self::spec::PartialPod;
use super::ConsumerChange;
use crate::kube::watch::WatchChange;

/// Which pods use native Secrets of ours, and which version each has.
#[derive(Debug, Default)]
pub(crate) struct PodTracker(Mutex<TrackedPods>);

#[derive(Debug, Default)]
struct TrackedPods {
    /// By namespace and name of the native Secret, then by pod.
    uses: BTreeMap<ObjectKey, BTreeMap<String, PodUse>>,
    /// The Secrets of each pod that has any, by namespace and name of the pod.
    of_pod: HashMap<ObjectKey, Vec<String>>,
    /// Whether a list was complete.
    listed: bool,
    natives: HashMap<SecretId, NativeSecretHistory>,
    /// Pods whose volumes stay as they were, by namespace and name: since when (`PartialPod::pinned`).
    pinned: HashMap<ObjectKey, Timestamp>,
}

/// Namespace and name.
type ObjectKey = (String, String);

#[derive(Clone, Debug, PartialEq, Eq)]
struct PodUse {
    account: String,
    node: String,
    used: SecretUse,
}

/// A native Secret that some pod uses, and what it holds and held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NativeSecretHistory {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) current: String,
    /// The newest first.
    pub(crate) former: Vec<ReplacedVersion>,
    /// kubelet looks at it once, for all pods of a node.
    pub(crate) immutable: bool,
}

/// One pod that has a native Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodConsumer {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    /// As policies name it.
    pub(crate) account: String,
    pub(crate) node: String,
    pub(crate) native: String,
    /// It has what was there when its container started, and keeps it.
    pub(crate) at_start: bool,
    pub(crate) version: String,
    /// When it has another one without anything being told.
    pub(crate) settles: Option<Timestamp>,
}

impl PodTracker {
    /// Takes in what the watch of pods says, of one namespace or all.
    #[must_use]
    pub(crate) fn change(
        &self,
        scope: Option<&str>,
        change: &WatchChange<PartialPod>,
    ) -> Vec<ConsumerChange> {
        let mut known = self.0.lock();
        match change {
            WatchChange::Applied { object: pod, .. } => known.saw(pod),
            WatchChange::Deleted(pod) => known.gone(&place(pod)),
            WatchChange::Listed(listed) => {
                known.listed = true;
                let is_gone = |(namespace, name): &&ObjectKey| {
                    scope.is_none_or(|scope| scope == namespace) && !listed.contains(namespace, name)
                };
                let all = known.of_pod.keys().chain(known.pinned.keys());
                let gone: HashSet<ObjectKey> = all.filter(is_gone).cloned().collect();
                gone.iter().flat_map(|pod| known.gone(pod)).collect()
            }
        }
    }

    /// Whether all pods were seen once.
    pub(crate) fn listed(&self) -> bool {
        self.0.lock().listed
    }

    /// A secret is materialized like this; none: it is not. Where no pod uses it, nothing is kept.
    pub(crate) fn native(&self, secret: SecretId, native: Option<NativeSecretHistory>) {
        let mut known = self.0.lock();
        let used = |native: &NativeSecretHistory| {
            let place = (native.namespace.clone(), native.name.clone());
            known.uses.contains_key(&place)
        };
        match native.filter(used) {
            Some(native) => known.natives.insert(secret, native),
            None => known.natives.remove(&secret),
        };
    }

    /// The pods that have a secret by its native Secret, in order of their names.
    pub(crate) fn for_secret(&self, secret: SecretId, now: Timestamp) -> Vec<PodConsumer> {
        let known = self.0.lock();
        let Some(native) = known.natives.get(&secret) else {
            return Vec::new();
        };
        let place = (native.namespace.clone(), native.name.clone());
        let uses = || known.uses.get(&place).into_iter().flatten();
        // Kubelet keeps what it read of an immutable Secret for as long as a pod of its node uses it, also
        // where that was made anew under its name (kubernetes/kubernetes#131589): a pod has what the oldest
        // on its node began with.
        let first = |node: &str| {
            let there = uses().filter(|(_, it)| it.node == node);
            there.map(|(_, it)| it.used.since()).min()
        };
        let used = |it: &PodUse| match first(&it.node) {
            Some(first) if native.immutable => SecretUse::AtStart(first),
            _ => it.used,
        };
        uses()
            .map(|(pod, it)| (pod, it, used(it)))
            .map(|(pod, it, used)| PodConsumer {
                namespace: native.namespace.clone(),
                pod: pod.clone(),
                account: it.account.clone(),
                node: it.node.clone(),
                native: native.name.clone(),
                at_start: matches!(used, SecretUse::AtStart(_)),
                version: version(&native.current, &native.former, used, now).to_owned(),
                settles: settles(&native.former, used, now),
            })
            .collect()
    }

    /// Since when the files of a pod's volumes are what they were then; none: they follow.
    pub(crate) fn pinned(&self, namespace: &str, pod: &str) -> Option<Timestamp> {
        let place = (namespace.to_owned(), pod.to_owned());
        self.0.lock().pinned.get(&place).copied()
    }
}

impl TrackedPods {
    fn saw(&mut self, pod: &PartialPod) -> Vec<ConsumerChange> {
        let at = place(pod);
        let uses = pod.uses();
        let mut news = Vec::new();
        let pinned = pod.pinned();
        let before = match pinned {
            Some(since) => self.pinned.insert(at.clone(), since),
            None => self.pinned.remove(&at),
        };
        if before != pinned {
            news.push(ConsumerChange::Pod(at.0.clone(), at.1.clone()));
        }
        for name in self.of_pod.remove(&at).unwrap_or_default() {
            if !uses.contains_key(&name) {
                news.extend(self.drop_use(&at, &name));
            }
        }
        if uses.is_empty() {
            return news;
        }
        self.of_pod.insert(at.clone(), uses.keys().cloned().collect());
        for (name, used) in uses {
            let it = PodUse {
                account: format!("serviceaccount {}/{}", at.0, pod.account()),
                node: pod.node().to_owned(),
                used,
            };
            let native = (at.0.clone(), name);
            let pods = self.uses.entry(native.clone()).or_default();
            if pods.insert(at.1.clone(), it.clone()) != Some(it) {
                news.push(ConsumerChange::Native(native.0, native.1));
            }
        }
        news
    }

    fn gone(&mut self, at: &ObjectKey) -> Vec<ConsumerChange> {
        // Its volumes go with it, and their node says so.
        self.pinned.remove(at);
        let names = self.of_pod.remove(at).unwrap_or_default();
        names.iter().filter_map(|name| self.drop_use(at, name)).collect()
    }

    fn drop_use(&mut self, at: &ObjectKey, name: &str) -> Option<ConsumerChange> {
        let native = (at.0.clone(), name.to_owned());
        let pods = self.uses.get_mut(&native)?;
        pods.remove(&at.1)?;
        if pods.is_empty() {
            self.uses.remove(&native);
        }
        Some(ConsumerChange::Native(native.0, native.1))
    }
}

fn place(pod: &PartialPod) -> ObjectKey {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, secret: &str, started: &str) -> PartialPod {
        let pod = json!({
            "metadata": {"namespace": "shop", "name": name},
            "spec": {"nodeName": "n", "serviceAccountName": "app", "containers": [
                {"name": "c", "envFrom": [{"secretRef": {"name": secret}}]}]},
            "status": {"containerStatuses": [{"name": "c", "state": {"running": {"startedAt": started}}}]},
        });
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn pods_count_for_the_version_that_was_there_when_they_started() {
        let pods = PodTracker::default();
        let secret = SecretId::from_bytes([1; 16]);
        let news = |name: &str| [ConsumerChange::Native("shop".to_owned(), name.to_owned())];
        let apply =
            |name: &str, of: &str, at: &str| pods.change(None, &WatchChange::applied(pod(name, of, at)));
        assert_eq!(apply("old", "db", "2026-01-01T00:00:00Z"), news("db"));
        assert_eq!(apply("old", "db", "2026-01-01T00:00:00Z"), []);
        assert_eq!(apply("new", "db", "2026-01-03T00:00:00Z"), news("db"));
        assert_eq!(apply("other", "api", "2026-01-01T00:00:00Z"), news("api"));
        let now = "2026-01-04T00:00:00Z".parse().unwrap();
        assert_eq!(pods.for_secret(secret, now), []);
        let native = |name: &str| NativeSecretHistory {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            current: "v-2".to_owned(),
            former: vec![ReplacedVersion {
                version: "v-1".to_owned(),
                until: "2026-01-02T00:00:00Z".parse().unwrap(),
            }],
            immutable: name == "fixed",
        };
        pods.native(secret, Some(native("unused")));
        assert_eq!(pods.0.lock().natives.len(), 0);
        pods.native(secret, Some(native("db")));
        let of = || {
            let of = pods.for_secret(secret, now).into_iter();
            of.map(|pod| (pod.pod, pod.version)).collect::<Vec<_>>()
        };
        let is = |pod: &str, version: &str| (pod.to_owned(), version.to_owned());
        assert_eq!(of(), [is("new", "v-2"), is("old", "v-1")]);
        // Of an immutable one both have what the older of their node has.
        let _ = (
            apply("old", "fixed", "2026-01-01T00:00:00Z"),
            apply("new", "fixed", "2026-01-03T00:00:00Z"),
        );
        pods.native(secret, Some(native("fixed")));
        assert_eq!(of(), [is("new", "v-1"), is("old", "v-1")]);
        let _ = (
            apply("old", "db", "2026-01-01T00:00:00Z"),
            apply("new", "db", "2026-01-03T00:00:00Z"),
        );
        pods.native(secret, Some(native("db")));

        assert_eq!(apply("old", "api", "2026-01-03T00:00:00Z").len(), 2);
        assert_eq!(of(), [is("new", "v-2")]);
        let gone = WatchChange::Deleted(pod("new", "db", ""));
        assert_eq!(pods.change(None, &gone), news("db"));
        assert_eq!(of(), []);
    }

    #[test]
    fn what_a_complete_list_lacks_is_gone() {
        let pods = PodTracker::default();
        let list = |of: &[&str]| {
            let pods_of = |name: &&str| pod(name, "db", "2026-01-01T00:00:00Z");
            let listed: Vec<PartialPod> = of.iter().map(pods_of).collect();
            let complete = WatchChange::Listed(listed.iter().collect());
            let there = listed
                .into_iter()
                .map(|object| WatchChange::Applied { object, listed: true });
            let changes = there.chain([complete]);
            changes
                .map(|change| pods.change(Some("shop"), &change).len())
                .sum::<usize>()
        };
        assert!(!pods.listed());
        assert_eq!(list(&["a", "b"]), 2);
        assert!(pods.listed());
        assert_eq!(list(&["a", "b"]), 0);
        assert_eq!(list(&["b"]), 1);
        assert_eq!(pods.0.lock().of_pod.len(), 1);
    }
}
