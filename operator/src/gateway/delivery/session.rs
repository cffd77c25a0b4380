//! One node's stream from Hello to its end.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt};
use strongroom_api::stream::PROTOCOL_VERSION;
use strongroom_api::stream::proto::gateway_message::Message as ToNode;
use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_api::stream::proto::{
    Applied, GatewayMessage, Goodbye, Heartbeat, JournalTaken, NodeMessage, PodAddress, Refusal, Subscribe,
    Welcome,
};
use strongroom_rules::policy::Identity;
use strongroom_rules::request::token::end_of;
use strongroom_store::id::RequestId;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tonic::Status;
use zeroize::Zeroizing;

use super::introduce::{Plugin, Visitor, holds, introduce};
use super::journal::{Pending, put_on_record};
use super::ledger::{Ledger, SUBSCRIPTIONS, Subscription};
use super::presence::{Ends, Kind, Place, is_gone};
use super::review::{self, VOLUME_BYTES, Whence};
use super::tidings::{Tiding, Tidings};
use super::turn::Refused;
use super::whereabouts::Nowhere;
use super::work::{denied, work};
use crate::consumers::volumes as consumers;
use crate::gateway::access::Asking;
use crate::gateway::authenticate::Caller;
use crate::gateway::changes::Change;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::request::{LimitScope, LimitedResource, RefusalReason};
use crate::gateway::{Gateway, blocking};

/// How long a node may take for its first message.
const HELLO: Duration = Duration::from_secs(5);
/// Each side says that it lives when it was silent for so long.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A side that was silent for so long is given up.
const SILENCE: Duration = Duration::from_secs(15);
/// How often what waits is looked at again, and tokens for their end.
const LOOK: Duration = Duration::from_secs(1);
/// How often everything is looked at again: policies may depend on the time.
const LOOK_AT_ALL: Duration = Duration::from_secs(15);
/// How soon after a change of a policy everything is looked at: policies mostly change several at a time.
const POLICIES: Duration = Duration::from_millis(20);
/// Subscriptions that are looked at in one go.
const BATCH: usize = 32;
/// Tokens that are reviewed at the same time.
const REVIEWS: usize = 4;
/// Within which time nodes come back after a process has ended.
const COME_BACK_MS: u32 = 2_000;

/// Where messages to the node go.
type Outgoing = mpsc::Sender<Result<GatewayMessage, Status>>;

/// Serves one stream to its end. `plugin` is none where its token is still to come, in the Hello.
pub(in crate::gateway) async fn run(
    gateway: Arc<Gateway>,
    visitor: Visitor,
    plugin: Option<Plugin>,
    incoming: impl Stream<Item = Result<NodeMessage, Status>> + Send + Unpin,
    outgoing: Outgoing,
) {
    let mut incoming = incoming;
    if let Err(status) = serve(&gateway, &visitor, plugin, &mut incoming, &outgoing).await {
        // A node that is gone hears nothing.
        let _ = outgoing.send_timeout(Err(status), SILENCE).await;
    }
}

async fn serve(
    gateway: &Arc<Gateway>,
    visitor: &Visitor,
    plugin: Option<Plugin>,
    incoming: &mut (impl Stream<Item = Result<NodeMessage, Status>> + Send + Unpin),
    outgoing: &Outgoing,
) -> Result<(), Status> {
    let first = timeout(HELLO, incoming.next()).await.map_err(|_| {
        let whose = if plugin.is_some() {
            LimitScope::Node
        } else {
            LimitScope::Address
        };
        gateway
            .room
            .refusals()
            .refused(LimitedResource::Node, whose, RefusalReason::Late);
        Status::invalid_argument("no Hello came")
    })?;
    let Some(FromNode::Hello(mut hello)) = first.transpose()?.and_then(|message| message.message) else {
        return Err(Status::invalid_argument("Hello comes first"));
    };
    if !hello.protocol_versions.contains(&PROTOCOL_VERSION) {
        let message = format!("this gateway speaks version {PROTOCOL_VERSION} of the protocol alone");
        return Err(Status::failed_precondition(message));
    }
    let token = Zeroizing::new(std::mem::take(&mut hello.token));
    let (held, window) = holds(&hello);
    drop(hello);
    let (plugin, _earlier) = match plugin {
        Some(plugin) => (plugin, None),
        // A plugin of an earlier version.
        None => {
            let plugin = introduce(gateway, visitor, token).await?;
            (plugin, Some(gateway.room.refusals().token_in_hello()))
        }
    };
    let peer = visitor.peer;
    let node = plugin.node.clone();
    let attached = gateway.nodes.attach(&node);
    gateway.consumers.volumes().attached(&node);
    let (tx, reviews) = (outgoing.clone(), FuturesUnordered::new());
    let mut session = Session {
        gateway: Arc::clone(gateway),
        whence: Whence { peer, node },
        plugin,
        outgoing: tx,
        ledger: Some(Ledger::new(window, held)),
        reviews,
        queued: VecDeque::new(),
        asked: HashMap::new(),
        subscribes: 0,
        journal: None,
        again: None,
        ends: Arc::default(),
        tidings: Tidings::default(),
        said: Instant::now(),
    };
    session.hold_plugin();
    session
        .say(ToNode::Welcome(Welcome {
            protocol_version: PROTOCOL_VERSION,
            store_id: gateway.store.id().as_bytes().to_vec(),
            epoch: gateway.store.epoch(),
            heartbeat_ms: u32::try_from(HEARTBEAT.as_millis()).unwrap_or(u32::MAX),
        }))
        .await?;
    tracing::info!(node = attached.node(), source = %peer.address, "a node's stream is open");
    let ended = tokio::select! {
        ended = session.serve(incoming) => ended,
        () = attached.superseded() => Ok(Some("the node has another stream")),
    };
    // Where there is a newer stream, the volumes are its.
    if attached.is_newest() {
        gateway.consumers.volumes().detached(attached.node());
    }
    match &ended {
        Ok(_) => tracing::info!(node = attached.node(), "a node's stream has ended"),
        Err(status) => {
            tracing::warn!(
                node = attached.node(),
                why = status.message(),
                "a node's stream broke"
            );
        }
    }
    if let Some(reason) = ended? {
        session
            .say(ToNode::Goodbye(Goodbye {
                reason: reason.to_owned(),
                reconnect_within_ms: COME_BACK_MS,
            }))
            .await?;
    }
    Ok(())
}

/// What became of a token.
enum Reviewed {
    /// Of a volume, and the how manieth Subscribe it was.
    Subscribed(String, u64, Result<Subscription, Refused>),
    Renewed(String, Option<i64>, Zeroizing<String>, Result<Asking, Refused>),
    /// The token of a volume, once more; none: the plugin's own.
    Again(Option<String>, Result<Arc<Caller>, Problem>),
    /// Where the pod of a volume is.
    Found(String, Arc<Caller>, Result<IpAddr, Nowhere>),
}

/// What waits for its review. A review under way takes many times the memory of what it is about.
enum ToReview {
    Subscribe(u64, Subscribe),
    Renew(String, RequestId, Zeroizing<String>),
    Again(Option<String>, Zeroizing<String>),
    Whereabouts(String, Arc<Caller>),
}

struct Session {
    gateway: Arc<Gateway>,
    whence: Whence,
    /// Whose stream it is.
    plugin: Plugin,
    outgoing: Outgoing,
    /// None only while it is worked on elsewhere.
    ledger: Option<Ledger>,
    reviews: FuturesUnordered<BoxFuture<'static, Reviewed>>,
    /// Those that wait for their review, because enough are under way.
    queued: VecDeque<ToReview>,
    /// The newest Subscribe of each volume that is not answered yet: what became of an older one is nobody's business.
    asked: HashMap<String, u64>,
    subscribes: u64,
    /// The journal that is not answered yet.
    journal: Option<Pending>,
    /// When a token was asked about once more whose review is under way.
    again: Option<Instant>,
    /// Where it hears whose pods, ServiceAccounts and node are gone.
    ends: Arc<Ends>,
    tidings: Tidings,
    said: Instant,
}

impl Session {
    async fn say(&mut self, message: ToNode) -> Result<(), Status> {
        let message = GatewayMessage {
            message: Some(message),
        };
        self.said = Instant::now();
        self.outgoing
            .send_timeout(Ok(message), SILENCE)
            .await
            .map_err(|_| Status::unavailable("the node takes nothing in"))
    }

    fn ledger(&mut self) -> Result<&mut Ledger, Status> {
        self.ledger
            .as_mut()
            .ok_or_else(|| Status::unavailable("the process is ending"))
    }

    /// Serves until the node ends the stream, or there is a reason to end it in order.
    async fn serve(
        &mut self,
        incoming: &mut (impl Stream<Item = Result<NodeMessage, Status>> + Send + Unpin),
    ) -> Result<Option<&'static str>, Status> {
        // From before the first look, so that nothing is missed in between.
        let mut changes = self.gateway.changes.subscribe();
        let mut policies = self.gateway.policies.changes();
        let ending = self.gateway.ending.clone();
        let ends = Arc::clone(&self.ends);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut all = Instant::now() + LOOK_AT_ALL;
        let mut heard = Instant::now();
        loop {
            let due = self.ledger()?.has_due();
            let answered = !due && self.asked.is_empty();
            let journal = self.journal.as_ref().is_some_and(|it| it.is_due(answered));
            let silent = self.said + HEARTBEAT;
            tokio::select! {
                () = ending.wait() => return Ok(Some("the gateway stops")),
                message = incoming.next() => {
                    let Some(message) = message.transpose()? else { return Ok(None) };
                    heard = Instant::now();
                    if let Some(message) = message.message {
                        self.receive(message).await?;
                    }
                }
                Some(reviewed) = self.reviews.next(), if !self.reviews.is_empty() => {
                    if let Some(next) = self.queued.pop_front() {
                        self.review(next);
                    }
                    self.reviewed(reviewed).await?;
                }
                change = changes.recv() => {
                    let ledger = self.ledger()?;
                    match change {
                        Ok(Change::Secret(secret)) => ledger.touch_secret(secret),
                        Ok(Change::Other) | Err(RecvError::Lagged(_)) => ledger.touch_all(),
                        Err(RecvError::Closed) => return Ok(Some("the gateway stops")),
                    }
                }
                changed = policies.changed() => {
                    if changed.is_err() {
                        return Ok(Some("the gateway stops"));
                    }
                    all = all.min(Instant::now() + POLICIES);
                }
                () = sleep_until(all) => {
                    all = Instant::now() + LOOK_AT_ALL;
                    self.ledger()?.touch_all();
                }
                _ = look.tick() => {
                    if heard.elapsed() > SILENCE {
                        return Err(Status::unavailable("the node was silent for too long"));
                    }
                    let ledger = self.ledger()?;
                    ledger.touch_waiting();
                    ledger.touch_expired(jiff::Timestamp::now().as_second());
                    self.review_again()?;
                }
                gone = ends.next() => {
                    for gone in gone {
                        if is_gone(&self.plugin.caller, &gone) {
                            return Err(Status::unauthenticated("the node or its plugin is gone"));
                        }
                        self.ledger()?.end_those_of(&gone);
                    }
                }
                () = sleep_until(silent) => self.say(ToNode::Heartbeat(Heartbeat {})).await?,
                () = std::future::ready(()), if due => self.work().await?,
                () = std::future::ready(()), if journal => self.record_journal().await?,
            }
        }
    }

    /// Works off some of what is due.
    async fn work(&mut self) -> Result<(), Status> {
        let mut ledger = self
            .ledger
            .take()
            .ok_or_else(|| Status::unavailable("the process is ending"))?;
        if self.gateway.policies.asks_labels() {
            // A request to the API server is a large future.
            Box::pin(label(&self.gateway, &mut ledger)).await;
        }
        let gateway = Arc::clone(&self.gateway);
        let turn = self.gateway.nodes.turn().await;
        let worked = blocking(move || {
            let messages = work(&gateway, &mut ledger, BATCH);
            Ok((ledger, messages))
        });
        let (ledger, messages) = worked
            .await
            .map_err(|problem| Status::unavailable(problem.detail()))?;
        drop(turn);
        self.ledger = Some(ledger);
        for message in messages {
            self.count(&message)?;
            self.say(message).await?;
        }
        Ok(())
    }

    /// Keeps who has what.
    fn count(&mut self, message: &ToNode) -> Result<(), Status> {
        let volume = match message {
            ToNode::Granted(granted) => &granted.subscription,
            ToNode::Moved(moved) => &moved.subscription,
            ToNode::Denied(denied) => {
                self.gone(&denied.subscription);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let gateway = Arc::clone(&self.gateway);
        let node = self.whence.node.clone();
        if let Some(subscription) = self.ledger()?.get(volume) {
            for told in subscription.told.iter().flatten() {
                gateway.nodes.has_granted(&node, told.key.0);
            }
            let told = subscription.told.iter().flatten().zip(&subscription.wanted);
            let told = told.map(|(told, want)| consumers::Told {
                secret: told.key.0,
                namespace: &want.place.name,
                which: &want.which,
                shown: want.shown.as_deref(),
                at_start: want.at_start.as_ref().map(Option::as_deref),
            });
            let news = gateway.consumers.volumes().told(&node, volume, told);
            gateway.consumers.changed(news);
        }
        Ok(())
    }

    /// Nobody has a volume any more.
    fn gone(&self, volume: &str) {
        let consumers = &self.gateway.consumers;
        consumers.changed(consumers.volumes().gone(&self.whence.node, volume));
    }

    async fn receive(&mut self, message: FromNode) -> Result<(), Status> {
        match message {
            FromNode::Hello(_) => return Err(Status::invalid_argument("Hello comes once")),
            FromNode::Subscribe(message) => self.subscribe(message).await?,
            FromNode::Unsubscribe(message) => {
                self.asked.remove(&message.subscription);
                self.tidings.gone(&message.subscription);
                self.ledger()?.remove(&message.subscription);
                self.gone(&message.subscription);
            }
            FromNode::RenewToken(mut message) => {
                let token = Zeroizing::new(std::mem::take(&mut message.token));
                let volume = std::mem::take(&mut message.subscription);
                let known = self
                    .ledger()?
                    .get(&volume)
                    .map(|subscription| subscription.asking.request);
                if let Some(request) = known.filter(|_| self.queued.len() < SUBSCRIPTIONS) {
                    self.review(ToReview::Renew(volume, request, token));
                }
            }
            FromNode::Fetch(fetch) => {
                let ledger = self.ledger()?;
                if let (Some(subscription), Ok(place)) =
                    (ledger.get_mut(&fetch.subscription), usize::try_from(fetch.secret))
                {
                    subscription.fetch.insert(place);
                    let reader = Arc::clone(&subscription.asking.caller);
                    // A value more is a read more, with its record: beyond the reader's rate it comes with the next look.
                    if self.gateway.limits.read(&reader.principal.identity).is_ok() {
                        self.ledger()?.touch(&fetch.subscription);
                    } else {
                        self.ledger()?.wait(&fetch.subscription);
                    }
                }
            }
            FromNode::Applied(applied) => self.applied(&applied)?,
            FromNode::Credit(credit) => {
                let bytes = usize::try_from(credit.bytes).unwrap_or(usize::MAX);
                self.ledger()?.credit(bytes);
            }
            FromNode::Heartbeat(_) => {}
            FromNode::Journal(journal) => {
                self.journal = Some(Pending::come(self.journal.as_ref(), journal)?);
            }
            FromNode::Whereabouts(asked) => self.whereabouts(asked.subscription)?,
            FromNode::Noticed(noticed) => {
                let caller = self.granted(&noticed.subscription)?;
                if let (Some(caller), Some(tiding)) = (caller, Tiding::of(&noticed)) {
                    self.tell(&noticed.subscription, caller, tiding);
                }
            }
        }
        Ok(())
    }

    /// Whose volume this is, where it is granted.
    fn granted(&mut self, volume: &str) -> Result<Option<Arc<Caller>>, Status> {
        let subscription = self.ledger()?.get(volume);
        let granted = subscription.filter(|subscription| subscription.told.is_some());
        Ok(granted.map(|subscription| Arc::clone(&subscription.asking.caller)))
    }

    /// Looks where the pod of a volume is.
    fn whereabouts(&mut self, volume: String) -> Result<(), Status> {
        let waiting = self.queued.len();
        if let Some(caller) = self.granted(&volume)?.filter(|_| waiting < SUBSCRIPTIONS) {
            self.review(ToReview::Whereabouts(volume, caller));
        }
        Ok(())
    }

    /// Says in an event of a pod what came of a notice. Nobody waits for it.
    fn tell(&mut self, volume: &str, caller: Arc<Caller>, tiding: Tiding) {
        if self.tidings.is_news(volume, tiding, std::time::Instant::now()) {
            let pods = self.gateway.pods.clone();
            tokio::spawn(async move { pods.say(&caller, tiding.event()).await });
        }
    }

    fn review(&mut self, it: ToReview) {
        if self.reviews.len() >= REVIEWS {
            self.queued.push_back(it);
            return;
        }
        let (gateway, whence) = (Arc::clone(&self.gateway), self.whence.clone());
        let review = async move {
            match it {
                ToReview::Subscribe(number, message) => {
                    let volume = message.subscription.clone();
                    let subscription = review::subscribe(&gateway, &whence, message).await;
                    Reviewed::Subscribed(volume, number, subscription)
                }
                ToReview::Renew(volume, request, token) => {
                    let asking = review::pod(&gateway, &whence, &token, request).await;
                    Reviewed::Renewed(volume, end_of(&token), token, asking)
                }
                ToReview::Again(volume, token) => {
                    let caller = gateway.authenticator.again(&token).await;
                    Reviewed::Again(volume, caller)
                }
                ToReview::Whereabouts(volume, caller) => {
                    let found = gateway.pods.address(&caller, &whence.node).await;
                    Reviewed::Found(volume, caller, found)
                }
            }
        };
        self.reviews.push(review.boxed());
    }

    /// Asks about the plugin's token, or the volume's that was reviewed longest ago, where that is long ago. One at a time: all nodes together
    /// have a pace.
    fn review_again(&mut self) -> Result<(), Status> {
        let age = self.gateway.nodes.review_again();
        if self.again.is_some_and(|at| at.elapsed() < age) || !self.queued.is_empty() {
            return Ok(());
        }
        let plugin = (self.plugin.reviewed, None, self.plugin.token.clone());
        let ledger = self.ledger()?;
        let volume = ledger.to_review(age, 1).pop();
        let volume = volume.and_then(|volume| {
            let subscription = ledger.get(&volume)?;
            Some((subscription.reviewed, Some(volume), subscription.token.clone()))
        });
        let is_old = |reviewed: std::time::Instant| reviewed.elapsed() >= age;
        let oldest = [Some(plugin), volume].into_iter().flatten();
        let oldest = oldest.min_by_key(|(reviewed, ..)| *reviewed);
        let Some((_, volume, token)) = oldest.filter(|(reviewed, ..)| is_old(*reviewed)) else {
            return Ok(());
        };
        self.again = Some(Instant::now());
        self.review(ToReview::Again(volume, token));
        Ok(())
    }

    /// Hears from now on when the node, or the pod or the ServiceAccount of its plugin, is gone.
    fn hold_plugin(&self) {
        let node = Place {
            kind: Kind::Node,
            namespace: String::new(),
            name: self.whence.node.clone(),
        };
        self.gateway.nodes.presence().hold(node, None, &self.ends);
        self.hold(&self.plugin.caller);
    }

    /// Hears from now on when the pod or its ServiceAccount is gone.
    fn hold(&self, caller: &Caller) {
        let Identity::ServiceAccount { namespace, name } = &caller.principal.identity else {
            return;
        };
        let place = |kind, name: &str| Place {
            kind,
            namespace: namespace.clone(),
            name: name.to_owned(),
        };
        let presence = self.gateway.nodes.presence();
        presence.hold(place(Kind::ServiceAccount, name), None, &self.ends);
        if let Some((pod, uid)) = &caller.pod {
            presence.hold(place(Kind::Pod, pod), Some(uid), &self.ends);
        }
    }

    async fn subscribe(&mut self, message: Subscribe) -> Result<(), Status> {
        let volume = message.subscription.clone();
        if volume.is_empty() || volume.len() > VOLUME_BYTES {
            return Err(Status::invalid_argument("a subscription's id has 1 to 128 bytes"));
        }
        let waiting = self.queued.len();
        let ledger = self.ledger()?;
        if !ledger.has_room(&volume) || waiting >= SUBSCRIPTIONS {
            let refused = Refused {
                code: Refusal::TooMany,
                ..review::invalid("the node has too many volumes")
            };
            return self.say(ToNode::Denied(denied(&volume, None, refused))).await;
        }
        self.subscribes += 1;
        let number = self.subscribes;
        self.asked.insert(volume, number);
        self.review(ToReview::Subscribe(number, message));
        Ok(())
    }

    async fn reviewed(&mut self, reviewed: Reviewed) -> Result<(), Status> {
        if let Reviewed::Subscribed(volume, number, _) = &reviewed {
            if self.asked.get(volume) != Some(number) {
                return Ok(());
            }
            self.asked.remove(volume);
        }
        match reviewed {
            Reviewed::Subscribed(volume, _, Ok(subscription)) => {
                let caller = &subscription.asking.caller;
                let whose = consumers::Whose {
                    namespace: caller.principal.identity.namespace().unwrap_or_default(),
                    pod: caller
                        .pod
                        .as_ref()
                        .map(|(name, _)| name.as_str())
                        .unwrap_or_default(),
                    account: &caller.principal.identity.to_string(),
                };
                self.gateway
                    .consumers
                    .volumes()
                    .subscribed(&self.whence.node, &volume, whose);
                self.hold(&subscription.asking.caller);
                self.ledger()?.put(&volume, subscription);
            }
            Reviewed::Subscribed(volume, _, Err(refused)) => {
                self.ledger()?.remove(&volume);
                self.say(ToNode::Denied(denied(&volume, None, refused))).await?;
            }
            Reviewed::Again(volume, caller) => {
                self.again = None;
                let refused = match caller {
                    Ok(_) => false,
                    Err(problem) if problem.code() == Code::Unauthenticated => true,
                    // Nobody knows: it is asked again in a while.
                    Err(_) => return Ok(()),
                };
                let now = std::time::Instant::now();
                match (volume, refused) {
                    (None, false) => self.plugin.reviewed = now,
                    (None, true) => {
                        return Err(Status::unauthenticated("the plugin's token is refused by now"));
                    }
                    (Some(volume), true) => self.ledger()?.end(&volume),
                    (Some(volume), false) => {
                        if let Some(subscription) = self.ledger()?.get_mut(&volume) {
                            subscription.reviewed = now;
                        }
                    }
                }
            }
            Reviewed::Renewed(volume, ends, token, Ok(asking)) => {
                let ledger = self.ledger()?;
                if let Some(subscription) = ledger.get_mut(&volume) {
                    // A token of another pod is no newer token of this one.
                    if subscription.asking.caller.pod == asking.caller.pod {
                        let request = subscription.asking.request;
                        subscription.asking = Asking { request, ..asking };
                        subscription.ends = ends;
                        subscription.token = token;
                        subscription.reviewed = std::time::Instant::now();
                        ledger.touch(&volume);
                    }
                }
            }
            Reviewed::Found(volume, caller, found) => {
                if let Err(why) = found {
                    self.tell(&volume, caller, Tiding::Nowhere(why));
                }
                let address = found.map(|address| address.to_string()).unwrap_or_default();
                let subscription = volume;
                self.say(ToNode::PodAddress(PodAddress {
                    subscription,
                    address,
                }))
                .await?;
            }
            // The one that it has counts until its own end.
            Reviewed::Renewed(volume, _, _, Err(refused)) => {
                tracing::debug!(volume, code = refused.record.as_str(), "a newer token is refused");
            }
        }
        Ok(())
    }

    /// Puts on record what the node served without a gateway, or lets it wait where that is more than the node may.
    async fn record_journal(&mut self) -> Result<(), Status> {
        let Some(mut journal) = self.journal.take() else {
            return Ok(());
        };
        let may = |entries| self.gateway.nodes.may_record(&self.whence.node, entries);
        if !journal.size().is_none_or(may) {
            journal.wait();
            self.journal = Some(journal);
            return Ok(());
        }
        let (gateway, whence) = (Arc::clone(&self.gateway), self.whence.clone());
        let known = gateway.nodes.journal(&whence.node);
        let recorded = blocking(move || {
            let last = put_on_record(&gateway, &whence, known, &journal.entries())?;
            gateway.nodes.has_journal(&whence.node, last);
            Ok(last)
        });
        match recorded.await {
            Ok(sequence) => self.say(ToNode::JournalTaken(JournalTaken { sequence })).await,
            // It is told again by the next stream.
            Err(problem) => Err(Status::unavailable(problem.detail())),
        }
    }

    fn applied(&mut self, applied: &Applied) -> Result<(), Status> {
        let node = self.whence.node.clone();
        let told = self
            .ledger()?
            .get(&applied.subscription)
            .and_then(|subscription| subscription.told.clone());
        if let Some(told) = told {
            let consumers = &self.gateway.consumers;
            let at = |place: usize| told.get(place).map(|told| told.key.0);
            consumers.changed(consumers.volumes().shows(&node, applied, at));
        }
        Ok(())
    }
}

/// Looks up the labels of those that are due, which some policy asks for.
async fn label(gateway: &Gateway, ledger: &mut Ledger) {
    for volume in ledger.first_due(BATCH) {
        if let Some(subscription) = ledger.get_mut(&volume) {
            let asking = &mut subscription.asking;
            (asking.pod_labels, asking.node_labels) = gateway.labels.of(&asking.caller).await;
        }
    }
}
