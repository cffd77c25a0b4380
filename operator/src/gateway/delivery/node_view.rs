//! What was sent to a node, and what may have to be sent. No I/O.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_api::stream::proto::Applied;
use strongroom_api::stream::proto::applied_secret::Outcome;
use strongroom_model::id::SecretId;
use strongroom_model::name::VersionId;
use strongroom_model::time::Timestamp;
use zeroize::Zeroizing;

use super::presence::{GoneHolder, is_gone};
use super::unshown_changes::UnshownChanges;
use crate::consumers::volumes::FollowedVersion;
use crate::delivery_policy::DeliveryPolicy;
use crate::gateway::request::{RequestContext, SecretPath};

/// Subscriptions of one node.
pub(super) const MAX_SUBSCRIPTIONS: usize = 4_096;
/// The largest value, in bytes. A window has room for one.
pub(super) const VALUE_BYTES: usize = 65_536;

/// A version of a secret.
pub(super) type ValueKey = (SecretId, VersionId);

/// A secret that a volume subscribes to.
#[derive(Clone, Debug)]
pub(super) struct SubscribedSecret {
    /// Where it is, with the namespace as it was when the volume asked.
    pub(super) path: SecretPath,
    /// Which version.
    pub(super) which: FollowedVersion,
    /// The version that the volume shows already.
    pub(super) shown: Option<String>,
    /// Its files are read once; inside, the version that they had first.
    pub(super) at_start: Option<Option<String>>,
}

/// What was sent to a volume of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SentPointer {
    /// Secret and version.
    pub(super) key: ValueKey,
    /// On which terms.
    pub(super) terms: DeliveryPolicy,
    /// Access has ended; inside, whether files had to go.
    pub(super) ended: Option<bool>,
}

/// What one volume subscribes to.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Who asks.
    pub(super) request: RequestContext,
    /// The pod's token, to be reviewed again.
    pub(super) token: Zeroizing<String>,
    /// When it was reviewed last.
    pub(super) reviewed: Instant,
    /// The pod, its ServiceAccount or its node is gone, or the token is refused by now.
    pub(super) gone: bool,
    /// When the pod's token ends, in seconds since the Unix epoch.
    pub(super) ends: Option<i64>,
    /// The secrets of its volume, in the order in which it named them.
    pub(super) secrets: Vec<SubscribedSecret>,
    /// What it was sent, for each secret; none: it is not answered yet.
    pub(super) sent: Option<Vec<SentPointer>>,
    /// What it has still to show of that.
    pub(super) unshown: UnshownChanges,
    /// Places of secrets whose value is needed again.
    pub(super) fetch: BTreeSet<usize>,
}

impl Subscription {
    /// Whether the pod's token has ended.
    pub(super) fn expired(&self, now: i64) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }

    /// The namespaces whose policies have a say: the pod's, and those of its secrets.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = &str> {
        let own = self.request.caller().principal.identity.namespace();
        let secrets = self.secrets.iter();
        own.into_iter()
            .chain(secrets.map(|secret| secret.path.namespace().name()))
    }

    /// Its node acknowledges what its files show. Answers since when they should have shown it, for each
    /// secret that they were late with.
    pub(super) fn shown(&mut self, applied: &Applied) -> Vec<Timestamp> {
        let (sent, unshown) = (self.sent.as_deref().unwrap_or_default(), &mut self.unshown);
        let shown = applied.secrets.iter().filter_map(|shown| {
            let place = usize::try_from(shown.secret).ok()?;
            let sent = sent.get(place)?;
            match &shown.outcome {
                Some(Outcome::VersionId(version)) if version == sent.key.1.as_str() => unshown.shown(place),
                _ => None,
            }
        });
        shown.collect()
    }
}

/// What one node subscribes to, was sent, and has.
#[derive(Debug)]
pub(super) struct NodeView {
    subscriptions: BTreeMap<String, Subscription>,
    due: VecDeque<String>,
    /// Those among `due`.
    queued: BTreeSet<String>,
    /// Those that wait for a time or for credit.
    waiting: BTreeSet<String>,
    /// Values that the node has or gets.
    sent: BTreeSet<ValueKey>,
    window: usize,
    under_way: usize,
}

impl NodeView {
    /// Of a node that holds these values, with so many bytes of values under way at most.
    pub(super) fn new(window: usize, held: impl IntoIterator<Item = ValueKey>) -> Self {
        Self {
            subscriptions: BTreeMap::new(),
            due: VecDeque::new(),
            queued: BTreeSet::new(),
            waiting: BTreeSet::new(),
            sent: held.into_iter().collect(),
            window: window.max(VALUE_BYTES),
            under_way: 0,
        }
    }

    /// A volume subscribes to this, in place of what it had before.
    pub(super) fn put(&mut self, volume: &str, subscription: Subscription) {
        self.remove(volume);
        self.subscriptions.insert(volume.to_owned(), subscription);
        self.touch(volume);
    }

    /// The volume is gone, or refused.
    pub(super) fn remove(&mut self, volume: &str) {
        if let Some(gone) = self.subscriptions.remove(volume) {
            for sent in gone.sent.into_iter().flatten() {
                self.unsent(&sent.key);
            }
        }
        self.waiting.remove(volume);
    }

    /// Whether one more volume may be subscribed.
    pub(super) fn has_room(&self, volume: &str) -> bool {
        self.subscriptions.len() < MAX_SUBSCRIPTIONS || self.subscriptions.contains_key(volume)
    }

    pub(super) fn get(&self, volume: &str) -> Option<&Subscription> {
        self.subscriptions.get(volume)
    }

    pub(super) fn get_mut(&mut self, volume: &str) -> Option<&mut Subscription> {
        self.subscriptions.get_mut(volume)
    }

    /// The volume has to be looked at.
    pub(super) fn touch(&mut self, volume: &str) {
        self.waiting.remove(volume);
        if self.queued.insert(volume.to_owned()) {
            self.due.push_back(volume.to_owned());
        }
    }

    /// The volumes of a secret have to be looked at: it changed then.
    pub(super) fn touch_secret(&mut self, secret: SecretId, at: Timestamp) {
        let has = |subscription: &Subscription| {
            subscription
                .sent
                .iter()
                .flatten()
                .any(|sent| sent.key.0 == secret)
        };
        for subscription in self.subscriptions.values_mut().filter(|it| has(it)) {
            subscription.unshown.notice(at);
        }
        self.touch_where(has);
    }

    /// All have to be looked at.
    pub(super) fn touch_all(&mut self) {
        self.touch_where(|_| true);
    }

    /// Those in which one of these namespaces has a say have to be looked at.
    pub(super) fn touch_namespaces(&mut self, namespaces: &BTreeSet<Arc<str>>) {
        self.touch_where(|subscription| subscription.namespaces().any(|name| namespaces.contains(name)));
    }

    /// Those in which this namespace has a say have to be looked at.
    pub(super) fn touch_namespace(&mut self, namespace: &str) {
        self.touch_where(|subscription| subscription.namespaces().any(|name| name == namespace));
    }

    /// Those whose token has ended by `now`, in seconds since the Unix epoch, have to be looked at.
    pub(super) fn touch_expired(&mut self, now: i64) {
        self.touch_where(|subscription| {
            let live = subscription
                .sent
                .iter()
                .flatten()
                .any(|sent| sent.ended.is_none());
            live && subscription.expired(now)
        });
    }

    /// Those of what is gone have to be looked at, and get nothing more.
    pub(super) fn end_subscriptions_of(&mut self, gone: &GoneHolder) {
        for subscription in self.subscriptions.values_mut() {
            subscription.gone |= is_gone(subscription.request.caller(), gone);
        }
        self.touch_where(|subscription| subscription.gone);
    }

    /// The token of a volume is refused by now.
    pub(super) fn end(&mut self, volume: &str) {
        if let Some(subscription) = self.subscriptions.get_mut(volume) {
            subscription.gone = true;
            self.touch(volume);
        }
    }

    /// Volumes whose tokens were reviewed longer ago than that, the longest ago first, at most so many.
    pub(super) fn to_review(&self, age: Duration, most: usize) -> Vec<String> {
        let mut old: Vec<(Instant, &String)> = self
            .subscriptions
            .iter()
            .filter(|(_, subscription)| !subscription.gone && subscription.reviewed.elapsed() >= age)
            .map(|(volume, subscription)| (subscription.reviewed, volume))
            .collect();
        old.sort();
        old.into_iter()
            .take(most)
            .map(|(_, volume)| volume.clone())
            .collect()
    }

    fn touch_where(&mut self, which: impl Fn(&Subscription) -> bool) {
        let volumes: Vec<String> = self
            .subscriptions
            .iter()
            .filter(|(_, subscription)| which(subscription))
            .map(|(volume, _)| volume.clone())
            .collect();
        for volume in volumes {
            self.touch(&volume);
        }
    }

    /// The volume cannot be answered before something else happens.
    pub(super) fn wait(&mut self, volume: &str) {
        if self.subscriptions.contains_key(volume) {
            self.waiting.insert(volume.to_owned());
        }
    }

    /// Those that wait are looked at again.
    pub(super) fn touch_waiting(&mut self) {
        for volume in std::mem::take(&mut self.waiting) {
            self.touch(&volume);
        }
    }

    /// The next that has to be looked at.
    pub(super) fn take_due(&mut self) -> Option<String> {
        loop {
            let volume = self.due.pop_front()?;
            self.queued.remove(&volume);
            if self.subscriptions.contains_key(&volume) {
                return Some(volume);
            }
        }
    }

    /// The first few that have to be looked at.
    pub(super) fn first_due(&self, most: usize) -> Vec<String> {
        self.due.iter().take(most).cloned().collect()
    }

    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Whether the node has this value, or gets it.
    pub(super) fn has_sent(&self, key: &ValueKey) -> bool {
        self.sent.contains(key)
    }

    /// Whether there is room for a value of any size.
    pub(super) const fn may_send(&self) -> bool {
        self.under_way == 0 || self.window - self.under_way >= VALUE_BYTES
    }

    /// A value goes out.
    pub(super) fn send(&mut self, key: ValueKey, bytes: usize) {
        self.sent.insert(key);
        self.under_way = (self.under_way + bytes).min(self.window);
    }

    /// The node took so many bytes of values in. Whoever waited for that is looked at again.
    pub(super) fn credit(&mut self, bytes: usize) {
        let full = !self.may_send();
        self.under_way = self.under_way.saturating_sub(bytes);
        if full && self.may_send() {
            self.touch_waiting();
        }
    }

    /// Forgets that the node has a value that no volume points at: the node drops it likewise, and asks again
    /// for what it dropped too early.
    pub(super) fn unsent(&mut self, key: &ValueKey) {
        let pointed = self
            .subscriptions
            .values()
            .flat_map(|subscription| subscription.sent.iter().flatten())
            .any(|sent| sent.key == *key);
        if !pointed {
            self.sent.remove(key);
        }
    }
}
