//! The subscriptions and their results. No I/O and no clock: messages and commands go in, messages and
//! answers come out.
//!
//! The state does not know what a volume shows: the volume is told that something changed, and reads
//! everything when it is ready to write. So any number of changes during one write lead to one more write.

mod receive;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_api::stream::proto::{
    Applied, AppliedSecret, Fetch, Heartbeat, HeldValue, Journal, JournalEntry, NodeMessage, NoticeResult,
    PodAddressRequest, Refusal, RenewToken, RequestedSecret, Subscribe, Unsubscribe, Welcome,
};
use strongroom_api::stream::{DeliveredValue, Token};
use tokio::sync::{oneshot, watch};

use super::value_cache::{ValueCache, ValueKey};

/// Why a subscription has no values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionDenial {
    /// As the gateway refused it.
    pub code: Refusal,
    /// What to do, for the pod's event.
    pub message: String,
    /// Whether files that are there must go.
    pub wipe: bool,
}

impl SubscriptionDenial {
    /// Whether what was there before is taken away by it. A gateway that cannot say now takes nothing away.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        match self.code {
            Refusal::Policy | Refusal::NotFound | Refusal::NotReadable => true,
            Refusal::Unspecified
            | Refusal::Invalid
            | Refusal::Unauthenticated
            | Refusal::OtherNode
            | Refusal::TooMany
            | Refusal::Unavailable => false,
        }
    }
}

/// Everything that a volume may show now.
#[derive(Debug)]
pub struct SubscriptionSnapshot {
    /// In the order of the subscription.
    pub secrets: Vec<GrantedSecret>,
    /// Whether the files must go: access to one of the secrets ended, and its owner said so.
    pub wipe: bool,
    /// Whether it comes from the node's cache.
    pub offline: bool,
    /// The number of the last change that is in it, as the subscription's channel tells it.
    pub change: u64,
}

/// What a volume wants.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionSpec {
    /// UID of its pod, as kubelet says; empty where that is not known.
    pub pod_uid: String,
    /// What it is to show, in the order that the answers have too.
    pub secrets: Vec<RequestedSecret>,
}

/// A secret that a volume may show.
#[derive(Clone, Debug)]
pub struct GrantedSecret {
    /// Version, type and keys, as the gateway sent them.
    pub delivered: Arc<DeliveredValue>,
    /// Whether access to it has ended, and its files stay.
    pub ended: bool,
    /// For how long it may be served without a gateway, from now on.
    pub offline: Duration,
}

/// Answers a reader.
pub(super) type Reader = oneshot::Sender<Result<SubscriptionSnapshot, SubscriptionDenial>>;

/// What the gateway said of a subscription.
#[derive(Debug)]
enum SubscriptionStatus {
    /// Nothing since it was asked, or it was not asked yet.
    Waiting,
    /// It may have these.
    Granted(Vec<GrantedVersion>),
    /// It may not. What it was granted before, and shows, is ended: so it is whether the stream was there to
    /// bring a Tombstone or not.
    Denied(SubscriptionDenial, Vec<GrantedVersion>),
}

#[derive(Clone, Debug)]
struct GrantedVersion {
    key: ValueKey,
    revision: u64,
    /// [`SubscriptionState::counting`] when it was told: revisions of another counting are not compared.
    counting: u64,
    ended: bool,
    wipe: bool,
    fetching: bool,
    offline: Duration,
}

#[derive(Debug)]
struct Subscription {
    token: Option<Token>,
    pod_uid: String,
    wanted: Vec<RequestedSecret>,
    status: SubscriptionStatus,
    /// Whether this very connection granted it: before that the gateway knows nothing to fetch for it.
    confirmed: bool,
    changes: watch::Sender<u64>,
    readers: Vec<Reader>,
    /// Who waits to hear where its pod is.
    address_waiter: Option<oneshot::Sender<String>>,
}

/// The subscriptions, the values in memory, and what is to be sent.
#[derive(Debug)]
pub struct SubscriptionState {
    subscriptions: BTreeMap<String, Subscription>,
    held: ValueCache,
    outbox: VecDeque<NodeMessage>,
    connected: bool,
    store_id: Vec<u8>,
    epoch: u64,
    /// Grows with each Welcome of another store or epoch than before.
    counting: u64,
}

impl SubscriptionState {
    /// Without subscriptions; holds at most so many bytes of values.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            subscriptions: BTreeMap::new(),
            held: ValueCache::new(most),
            outbox: VecDeque::new(),
            connected: false,
            store_id: Vec::new(),
            epoch: 0,
            counting: 0,
        }
    }

    /// Subscribes a volume to secrets. The same volume again starts anew. Returns a channel that signals each
    /// change.
    pub fn subscribe(
        &mut self,
        volume: &str,
        token: Option<Token>,
        wants: impl Into<SubscriptionSpec>,
    ) -> watch::Receiver<u64> {
        let (changes, receiver) = watch::channel(0);
        let wants = wants.into();
        let subscription = Subscription {
            token,
            pod_uid: wants.pod_uid,
            wanted: wants.secrets,
            status: SubscriptionStatus::Waiting,
            confirmed: false,
            changes,
            readers: Vec::new(),
            address_waiter: None,
        };
        self.subscriptions.insert(volume.to_owned(), subscription);
        self.send_subscribe(volume);
        receiver
    }

    /// A newer token of a volume's pod. A subscription that waits for one, or was refused, is asked for
    /// again.
    pub fn renew(&mut self, volume: &str, token: Token) {
        let Some(subscription) = self.subscriptions.get_mut(volume) else {
            return;
        };
        let before = subscription.token.replace(token.clone());
        match &subscription.status {
            SubscriptionStatus::Waiting if before.is_some() => {}
            SubscriptionStatus::Waiting => self.send_subscribe(volume),
            SubscriptionStatus::Denied(..) => {
                subscription.status = SubscriptionStatus::Waiting;
                self.send_subscribe(volume);
            }
            SubscriptionStatus::Granted(_) => {
                if before.as_ref() != Some(&token) {
                    let renew = RenewToken {
                        subscription: volume.to_owned(),
                        token: token.expose().to_owned(),
                    };
                    self.send(FromNode::RenewToken(renew));
                }
            }
        }
    }

    /// A volume could not be updated: the change is signalled to it again.
    pub fn notify_change(&mut self, volume: &str) {
        if let Some(subscription) = self.subscriptions.get_mut(volume) {
            subscription.changes.send_modify(|changes| *changes += 1);
        }
    }

    /// A volume is gone.
    pub fn unsubscribe(&mut self, volume: &str) {
        if self.subscriptions.remove(volume).is_some() {
            self.send(FromNode::Unsubscribe(Unsubscribe {
                subscription: volume.to_owned(),
            }));
            self.prune();
        }
    }

    /// Answers once everything that a volume may show is here, or that it may not.
    pub fn read(&mut self, volume: &str, reader: Reader) {
        let Some(subscription) = self.subscriptions.get_mut(volume) else {
            return;
        };
        // Whoever waits no more, waits for nothing.
        subscription.readers.retain(|reader| !reader.is_closed());
        subscription.readers.push(reader);
        self.answer_readers(volume);
    }

    /// What a volume shows now.
    pub fn applied(&mut self, volume: &str, secrets: Vec<AppliedSecret>) {
        use strongroom_api::stream::proto::applied_secret::Outcome;
        let Some(subscription) = self.subscriptions.get_mut(volume) else {
            return;
        };
        for shown in &secrets {
            let wanted = usize::try_from(shown.secret)
                .ok()
                .and_then(|index| subscription.wanted.get_mut(index));
            let Some(wanted) = wanted else { continue };
            match &shown.outcome {
                Some(Outcome::VersionId(version)) => {
                    wanted.applied_version_id.clone_from(version);
                    if wanted.at_start && wanted.first_version_id.is_empty() {
                        wanted.first_version_id.clone_from(version);
                    }
                }
                Some(Outcome::Wiped(_)) => wanted.applied_version_id.clear(),
                Some(Outcome::NotApplied(_)) | None => {}
            }
        }
        self.send(FromNode::Applied(Applied {
            subscription: volume.to_owned(),
            secrets,
        }));
    }

    /// Asks where a volume's pod is. Whoever asks again asks in the place of who asked before; without a
    /// gateway nobody is answered.
    pub fn pod_address(&mut self, volume: &str, answer: oneshot::Sender<String>) {
        if !self.connected {
            return;
        }
        if let Some(subscription) = self.subscriptions.get_mut(volume) {
            subscription.address_waiter = Some(answer);
            self.send(FromNode::Whereabouts(PodAddressRequest {
                subscription: volume.to_owned(),
            }));
        }
    }

    /// The result of notifying a volume's pod of a change.
    pub fn noticed(&mut self, noticed: NoticeResult) {
        self.send(FromNode::Noticed(noticed));
    }

    /// What Hello says of the values here.
    #[must_use]
    pub fn held_versions(&self) -> Vec<HeldValue> {
        let message = |(secret, version): &ValueKey| HeldValue {
            secret_id: secret.to_bytes(),
            version_id: version.clone(),
        };
        self.held.keys().map(message).collect()
    }

    /// The gateway took the node in: everything is asked for again.
    pub fn welcome(&mut self, welcome: &Welcome) {
        if self.store_id != welcome.store_id || self.epoch != welcome.epoch {
            self.counting += 1;
        }
        if self.store_id != welcome.store_id {
            // Values of another store are none of this one's. What volumes show stays until they are granted
            // anew.
            if !self.store_id.is_empty() {
                self.held.clear();
            }
            self.store_id.clone_from(&welcome.store_id);
        }
        self.epoch = welcome.epoch;
        self.connected = true;
        self.outbox.clear();
        let volumes: Vec<String> = self.subscriptions.keys().cloned().collect();
        for volume in volumes {
            if let Some(subscription) = self.subscriptions.get_mut(&volume)
                && matches!(subscription.status, SubscriptionStatus::Denied(..))
            {
                subscription.status = SubscriptionStatus::Waiting;
            }
            self.send_subscribe(&volume);
        }
    }

    /// The connection is gone. What was granted stays granted: running volumes keep what they have.
    pub fn disconnected(&mut self) {
        self.connected = false;
        self.outbox.clear();
        for subscription in self.subscriptions.values_mut() {
            subscription.confirmed = false;
            subscription.address_waiter = None;
            if let SubscriptionStatus::Granted(items) = &mut subscription.status {
                for item in items {
                    item.fetching = false;
                }
            }
        }
        // A pointer comes on the stream that its value came on, or never.
        self.held.drop_unclaimed();
    }

    /// Says what was served without a gateway.
    pub fn journal(&mut self, entries: Vec<JournalEntry>) {
        if !entries.is_empty() {
            self.send(FromNode::Journal(Journal { entries }));
        }
    }

    /// Says that the node lives.
    pub fn heartbeat(&mut self) {
        self.send(FromNode::Heartbeat(Heartbeat {}));
    }

    /// The next message to send.
    pub fn take_next(&mut self) -> Option<NodeMessage> {
        self.outbox.pop_front()
    }

    /// Whether there is one.
    #[must_use]
    pub fn has_next(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Subscriptions, and bytes of values in memory.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.subscriptions.len(), self.held.bytes())
    }

    fn send(&mut self, message: FromNode) {
        if self.connected {
            self.outbox.push_back(NodeMessage {
                message: Some(message),
            });
        }
    }

    /// Sends a subscription that has a token. One without waits for kubelet to bring it.
    fn send_subscribe(&mut self, volume: &str) {
        let Some(subscription) = self.subscriptions.get(volume) else {
            return;
        };
        let Some(token) = &subscription.token else { return };
        self.send(FromNode::Subscribe(Subscribe {
            subscription: volume.to_owned(),
            token: token.expose().to_owned(),
            secrets: subscription.wanted.clone(),
            pod_uid: subscription.pod_uid.clone(),
        }));
    }

    /// A value came: whoever waited for it may be answered.
    fn answer_waiting(&mut self) {
        let waiting: Vec<String> = self
            .subscriptions
            .iter()
            .filter(|(_, subscription)| !subscription.readers.is_empty())
            .map(|(volume, _)| volume.clone())
            .collect();
        for volume in waiting {
            self.answer_readers(&volume);
        }
        self.prune();
    }

    /// Answers the readers of a volume if it can be, and asks for values that are missing.
    fn answer_readers(&mut self, volume: &str) {
        let Some(subscription) = self.subscriptions.get_mut(volume) else {
            return;
        };
        if subscription.readers.is_empty() {
            return;
        }
        let items = match &mut subscription.status {
            SubscriptionStatus::Waiting => return,
            SubscriptionStatus::Denied(_, shown)
                if !shown.is_empty() && shown.iter().all(|item| self.held.has(&item.key)) =>
            {
                shown
            }
            SubscriptionStatus::Denied(refused, _) => {
                let refused = refused.clone();
                for reader in subscription.readers.drain(..) {
                    let _ = reader.send(Err(refused.clone()));
                }
                return;
            }
            SubscriptionStatus::Granted(items) => items,
        };
        let wipe = items.iter().any(|item| item.ended && item.wipe);
        // After a restart of this process: the value was given back, and cannot be had again. The files stay
        // as they are.
        if !wipe && items.iter().any(|item| item.ended && !self.held.has(&item.key)) {
            for reader in subscription.readers.drain(..) {
                let _ = reader.send(Err(SubscriptionDenial {
                    code: Refusal::Policy,
                    message: "access to a secret of the volume has ended".to_owned(),
                    wipe: false,
                }));
            }
            return;
        }
        let mut missing = Vec::new();
        let may_fetch = subscription.confirmed && !wipe;
        for (index, item) in (0_u32..).zip(items.iter_mut()) {
            if may_fetch && !self.held.has(&item.key) && !item.fetching && !item.ended {
                item.fetching = true;
                missing.push(index);
            }
        }
        let whole = wipe || items.iter().all(|item| self.held.has(&item.key));
        if whole {
            for reader in subscription.readers.drain(..) {
                let secrets = items.iter().filter_map(|item| {
                    let delivered = self.held.take(&item.key)?;
                    Some(GrantedSecret {
                        delivered,
                        ended: item.ended,
                        offline: item.offline,
                    })
                });
                let secrets = if wipe { Vec::new() } else { secrets.collect() };
                let change = *subscription.changes.borrow();
                let _ = reader.send(Ok(SubscriptionSnapshot {
                    secrets,
                    wipe,
                    offline: false,
                    change,
                }));
            }
        }
        for secret in missing {
            self.send(FromNode::Fetch(Fetch {
                subscription: volume.to_owned(),
                secret,
            }));
        }
    }

    fn prune(&mut self) {
        let (mut pointed, mut awaited) = (BTreeSet::new(), BTreeSet::new());
        for subscription in self.subscriptions.values() {
            if let SubscriptionStatus::Granted(items) | SubscriptionStatus::Denied(_, items) =
                &subscription.status
            {
                let keys = || items.iter().map(|item| item.key.clone());
                pointed.extend(keys());
                if !subscription.readers.is_empty() {
                    awaited.extend(keys());
                }
            }
        }
        self.held.prune(&pointed, &awaited);
    }
}

#[cfg(test)]
mod tests;
