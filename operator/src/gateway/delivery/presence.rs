//! Whether the pods, ServiceAccounts and nodes that hold a stream are still there.
//!
//! Only UID and name of those that hold a stream are kept of what the watches report. If one is deleted, or
//! exists again under another UID, its session is told. Pure but for the lock; [`mod@super::watch`] has the
//! watches. Must not end anything by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use strongroom_rules::policy::Identity;
use tokio::sync::Notify;

use crate::gateway::authenticate::Caller;
use crate::kube::watch::ListedObjects;

/// What a token is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::gateway) enum HolderKind {
    Pod,
    ServiceAccount,
    Node,
}

impl HolderKind {
    const ALL: [Self; 3] = [Self::Pod, Self::ServiceAccount, Self::Node];
}

/// One of them by name; a node has no namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HolderRef {
    pub(super) kind: HolderKind,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// What a watch tells.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) enum PresenceEvent<'a> {
    /// An object was listed or changed.
    Present {
        namespace: &'a str,
        name: &'a str,
        uid: &'a str,
    },
    /// An object was deleted.
    Gone { namespace: &'a str, name: &'a str },
    /// A list is complete: whatever else was held for before it began does not exist.
    Listed(&'a ListedObjects),
    /// The watch broke off; it begins again with a list.
    WatchBroken,
}

/// Who is gone, but for the one of this UID, which has the name now.
pub(super) type GoneHolder = (HolderRef, Option<String>);

/// Whether somebody is what is gone: the pod or the ServiceAccount of that name, but for the pod that has the
/// name now, or on the node.
pub(super) fn is_gone(caller: &Caller, (place, but): &GoneHolder) -> bool {
    match (&caller.principal.identity, place.kind) {
        (Identity::ServiceAccount { namespace, name }, HolderKind::ServiceAccount) => {
            *namespace == place.namespace && *name == place.name
        }
        (Identity::ServiceAccount { namespace, .. }, HolderKind::Pod) => {
            caller.pod.as_ref().is_some_and(|(name, uid)| {
                *namespace == place.namespace && *name == place.name && Some(uid) != but.as_ref()
            })
        }
        (_, HolderKind::Node) => caller.node.as_ref() == Some(&place.name),
        _ => false,
    }
}

/// Where a session hears who is gone.
#[derive(Debug, Default)]
pub(super) struct GoneQueue {
    gone: Mutex<BTreeSet<GoneHolder>>,
    news: Notify,
}

impl GoneQueue {
    /// Waits until somebody is gone, and who.
    pub(super) async fn next(&self) -> BTreeSet<GoneHolder> {
        loop {
            let heard = self.news.notified();
            let gone = std::mem::take(&mut *self.gone.lock());
            if !gone.is_empty() {
                return gone;
            }
            heard.await;
        }
    }

    fn tell(&self, place: &HolderRef, but: Option<&str>) {
        self.gone.lock().insert((place.clone(), but.map(str::to_owned)));
        self.news.notify_one();
    }
}

#[derive(Debug)]
struct Holder {
    uid: Option<String>,
    /// A complete list that lacks it counts only if it began later.
    since: Instant,
    sessions: Vec<Weak<GoneQueue>>,
}

#[derive(Debug, Default)]
struct State {
    holders: BTreeMap<HolderRef, Holder>,
    /// Kinds whose watch is whole now.
    whole: BTreeSet<HolderKind>,
    /// Whether anybody watches at all.
    watched: bool,
}

/// All that hold a stream.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Presence(Mutex<State>);

impl Presence {
    /// A session holds for one of them; its UID where the token says it.
    pub(super) fn hold(&self, place: HolderRef, uid: Option<&str>, ends: &Arc<GoneQueue>) {
        let mut state = self.0.lock();
        let replaced = state
            .holders
            .get(&place)
            .and_then(|holder| holder.uid.as_deref())
            .zip(uid)
            .is_some_and(|(known, uid)| known != uid);
        if replaced {
            // The sessions of the former one are told here, before the watch reports it.
            state.gone(&place, uid);
        }
        let holder = state.holders.entry(place).or_insert_with(|| Holder {
            uid: None,
            since: Instant::now(),
            sessions: Vec::new(),
        });
        holder.uid = holder.uid.take().or_else(|| uid.map(str::to_owned));
        holder.sessions.retain(|session| session.strong_count() > 0);
        if !holder
            .sessions
            .iter()
            .any(|session| session.as_ptr() == Arc::as_ptr(ends))
        {
            holder.sessions.push(Arc::downgrade(ends));
        }
    }

    /// Somebody will watch: until each kind is complete once, the watch counts as broken.
    pub(in crate::gateway) fn set_watched(&self) {
        self.0.lock().watched = true;
    }

    /// Whether those that are gone may not be known.
    pub(super) fn is_broken(&self) -> bool {
        let state = self.0.lock();
        state.watched && state.whole.len() < HolderKind::ALL.len()
    }

    /// Takes in what a watch tells.
    pub(in crate::gateway) fn observe(&self, kind: HolderKind, event: &PresenceEvent<'_>) {
        let mut state = self.0.lock();
        let place = |namespace: &str, name: &str| HolderRef {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        match event {
            PresenceEvent::Present { namespace, name, uid } => {
                let place = place(namespace, name);
                let Some(holder) = state.holders.get_mut(&place) else {
                    return;
                };
                match &holder.uid {
                    Some(known) if known != uid => state.gone(&place, Some(uid)),
                    Some(_) => {}
                    None => holder.uid = Some((*uid).to_owned()),
                }
            }
            PresenceEvent::Gone { namespace, name } => state.gone(&place(namespace, name), None),
            PresenceEvent::Listed(listed) => {
                let lacking = |(place, holder): (&HolderRef, &Holder)| {
                    let lacks = || !listed.contains(&place.namespace, &place.name);
                    (place.kind == kind && holder.since < listed.began() && lacks()).then(|| place.clone())
                };
                let gone: Vec<HolderRef> = state.holders.iter().filter_map(lacking).collect();
                for place in gone {
                    state.gone(&place, None);
                }
                state.whole.insert(kind);
            }
            PresenceEvent::WatchBroken => {
                state.whole.remove(&kind);
            }
        }
    }

    /// Forgets those for whom no session holds any more.
    pub(in crate::gateway) fn forget(&self) {
        self.0
            .lock()
            .holders
            .retain(|_, holder| holder.sessions.iter().any(|session| session.strong_count() > 0));
    }
}

impl State {
    fn gone(&mut self, place: &HolderRef, but: Option<&str>) {
        let Some(holder) = self.holders.remove(place) else {
            return;
        };
        for session in holder.sessions.iter().filter_map(Weak::upgrade) {
            session.tell(place, but);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use k8s_openapi::api::core::v1::Pod;
    use kube::core::PartialObjectMeta;

    use super::*;

    fn pod(name: &str) -> HolderRef {
        HolderRef {
            kind: HolderKind::Pod,
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        }
    }

    fn there<'a>(name: &'a str, uid: &'a str) -> PresenceEvent<'a> {
        PresenceEvent::Present {
            namespace: "shop",
            name,
            uid,
        }
    }

    /// Who is gone by now.
    fn gone(ends: &GoneQueue) -> Vec<HolderRef> {
        let gone = ends.next().now_or_never().into_iter().flatten();
        gone.map(|(place, _)| place).collect()
    }

    /// A list that begins now, and has these pods.
    fn listed(names: &[&str]) -> ListedObjects {
        let pods: Vec<PartialObjectMeta<Pod>> = names
            .iter()
            .map(|name| {
                let metadata = serde_json::json!({"name": name, "namespace": "shop"});
                serde_json::from_value(serde_json::json!({"metadata": metadata})).unwrap()
            })
            .collect();
        pods.iter().collect()
    }

    fn told(presence: &Presence, all: &[PresenceEvent<'_>]) {
        for one in all {
            presence.observe(HolderKind::Pod, one);
        }
    }

    #[test]
    fn a_deletion_and_another_uid_are_told_to_whoever_holds_and_nobody_else() {
        let (presence, mine, others) = (Presence::default(), Arc::default(), Arc::default());
        presence.hold(pod("a"), Some("u-1"), &mine);
        presence.hold(pod("b"), Some("u-2"), &mine);
        presence.hold(pod("c"), Some("u-3"), &others);
        told(
            &presence,
            &[there("a", "u-1"), there("b", "u-2"), there("x", "u-9")],
        );
        assert_eq!(gone(&mine), []);
        let deleted = PresenceEvent::Gone {
            namespace: "shop",
            name: "a",
        };
        told(&presence, &[deleted, there("b", "u-7")]);
        assert_eq!(gone(&mine), [pod("a"), pod("b")]);
        assert_eq!(gone(&others), []);
        assert_eq!(
            presence.0.lock().holders.len(),
            1,
            "who is gone is not kept, nor who holds nothing"
        );
        drop(others);
        presence.forget();
        assert!(presence.0.lock().holders.is_empty());
    }

    #[test]
    fn who_went_while_the_watch_was_broken_is_missing_from_the_next_list() {
        let (presence, ends) = (Presence::default(), Arc::default());
        presence.hold(pod("a"), Some("u-1"), &ends);
        presence.hold(pod("b"), Some("u-2"), &ends);
        let listed = listed(&["b"]);
        told(&presence, &[there("b", "u-2")]);
        // It came after the list began: a page that is past does not have it.
        presence.hold(pod("c"), Some("u-3"), &ends);
        told(&presence, &[PresenceEvent::Listed(&listed)]);
        assert_eq!(gone(&ends), [pod("a")]);
        let listed = self::listed(&["b"]);
        told(&presence, &[there("b", "u-2"), PresenceEvent::Listed(&listed)]);
        assert_eq!(gone(&ends), [pod("c")]);
    }

    #[test]
    fn a_watch_is_whole_once_every_kind_is_complete_and_until_one_breaks() {
        let presence = Presence::default();
        assert!(!presence.is_broken(), "nobody watches where there are no nodes");
        presence.set_watched();
        assert!(presence.is_broken());
        for kind in HolderKind::ALL {
            assert!(presence.is_broken());
            presence.observe(kind, &PresenceEvent::Listed(&listed(&[])));
        }
        assert!(!presence.is_broken());
        presence.observe(HolderKind::Node, &PresenceEvent::WatchBroken);
        assert!(presence.is_broken());
    }

    #[test]
    fn a_pod_that_subscribes_under_another_uid_ends_the_former_one() {
        let (presence, ends) = (Presence::default(), Arc::default());
        presence.hold(pod("a"), Some("u-1"), &ends);
        presence.hold(pod("a"), Some("u-2"), &ends);
        let gone: Vec<GoneHolder> = ends.next().now_or_never().into_iter().flatten().collect();
        assert_eq!(gone, [(pod("a"), Some("u-2".to_owned()))]);
    }
}
