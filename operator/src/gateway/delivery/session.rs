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
use strongroom_model::id::RequestId;
use strongroom_rules::policy::Identity;
use strongroom_rules::request::token::end_of;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tonic::Status;
use zeroize::Zeroizing;

use super::authenticate_pod::{self, MAX_VOLUME_ID_BYTES, StreamOrigin};
use super::diff::DeliveryRefusal;
use super::dispatch::{denied, dispatch};
use super::handshake::{NodePlugin, StreamPeer, handshake, held_values};
use super::journal::{PendingJournal, record_entries};
use super::node_view::{MAX_SUBSCRIPTIONS, NodeView, Subscription};
use super::pod_address::PodAddressError;
use super::pod_events::{EventThrottle, PodEvent};
use super::presence::{GoneQueue, HolderKind, HolderRef, is_gone};
use crate::consumers::volumes as consumers;
use crate::gateway::authenticate::Caller;
use crate::gateway::changes::StoreChange;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::request::{LimitScope, LimitedResource, RefusalReason, RequestContext};
use crate::gateway::{Gateway, blocking};
use crate::store_handle::store_time;

/// How long a node may take for its first message.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Each side says that it lives when it was silent for so long.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// A side that was silent for so long is given up.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(15);
/// How often what waits is looked at again, and tokens for their end.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often everything is looked at again: policies may depend on the time.
const FULL_CHECK_INTERVAL: Duration = Duration::from_secs(15);
/// How soon after a change of a policy everything is looked at: policies mostly change several at a time.
const POLICY_DEBOUNCE: Duration = Duration::from_millis(20);
/// Subscriptions that are looked at in one go.
const DISPATCH_BATCH: usize = 32;
/// Tokens that are reviewed at the same time.
const MAX_REVIEWS: usize = 4;
/// Within which time nodes come back after a process has ended.
const RECONNECT_WITHIN_MS: u32 = 2_000;

/// Where messages to the node go.
type Outgoing = mpsc::Sender<Result<GatewayMessage, Status>>;

/// Serves one stream to its end. `plugin` is none where its token is still to come, in the Hello.
pub(in crate::gateway) async fn run(
    gateway: Arc<Gateway>,
    visitor: StreamPeer,
    plugin: Option<NodePlugin>,
    incoming: impl Stream<Item = Result<NodeMessage, Status>> + Send + Unpin,
    outgoing: Outgoing,
) {
    let mut incoming = incoming;
    if let Err(status) = serve(&gateway, &visitor, plugin, &mut incoming, &outgoing).await {
        // A node that is gone hears nothing.
        let _ = outgoing.send_timeout(Err(status), SILENCE_TIMEOUT).await;
    }
}

async fn serve(
    gateway: &Arc<Gateway>,
    visitor: &StreamPeer,
    plugin: Option<NodePlugin>,
    incoming: &mut (impl Stream<Item = Result<NodeMessage, Status>> + Send + Unpin),
    outgoing: &Outgoing,
) -> Result<(), Status> {
    let first = timeout(HELLO_TIMEOUT, incoming.next()).await.map_err(|_| {
        let whose = if plugin.is_some() {
            LimitScope::Node
        } else {
            LimitScope::Address
        };
        gateway
            .capacity
            .refusals()
            .refused(LimitedResource::Node, whose, RefusalReason::Late);
        Status::invalid_argument("no Hello came")
    })?;
    let Some(FromNode::Hello(mut hello)) = first.transpose()?.and_then(|message| message.message) else {
        return Err(Status::invalid_argument("Hello comes first"));
    };
    if !hello.protocol_versions.contains(&PROTOCOL_VERSION) {
        let message = format!("this gateway supports only version {PROTOCOL_VERSION} of the protocol");
        return Err(Status::failed_precondition(message));
    }
    let token = Zeroizing::new(std::mem::take(&mut hello.token));
    let (held, window) = held_values(&hello);
    drop(hello);
    let (plugin, _earlier) = match plugin {
        Some(plugin) => (plugin, None),
        // A plugin of an earlier version.
        None => {
            let plugin = handshake(gateway, visitor, token).await?;
            (plugin, Some(gateway.capacity.refusals().token_in_hello()))
        }
    };
    let peer = visitor.peer;
    let node = plugin.node.clone();
    let attached = gateway.nodes.attach(&node);
    gateway.consumers.volumes().attached(&node);
    let (tx, reviews) = (outgoing.clone(), FuturesUnordered::new());
    let mut session = Session {
        gateway: Arc::clone(gateway),
        whence: StreamOrigin { peer, node },
        plugin,
        outgoing: tx,
        view: Some(NodeView::new(window, held)),
        reviews,
        queued: VecDeque::new(),
        asked: HashMap::new(),
        subscribes: 0,
        journal: None,
        again: None,
        ends: Arc::default(),
        throttle: EventThrottle::default(),
        said: Instant::now(),
    };
    session.hold_plugin();
    session
        .say(ToNode::Welcome(Welcome {
            protocol_version: PROTOCOL_VERSION,
            store_id: gateway.store.id().as_bytes().to_vec(),
            epoch: gateway.store.epoch(),
            heartbeat_ms: u32::try_from(HEARTBEAT_INTERVAL.as_millis()).unwrap_or(u32::MAX),
        }))
        .await?;
    tracing::info!(node = attached.node(), source = %peer.address, "node stream opened");
    let ended = tokio::select! {
        ended = session.serve(incoming) => ended,
        () = attached.superseded() => Ok(Some("the node has another stream")),
    };
    // Where there is a newer stream, the volumes are its.
    if attached.is_newest() {
        gateway.consumers.volumes().detached(attached.node());
    }
    match &ended {
        Ok(_) => tracing::info!(node = attached.node(), "node stream closed"),
        Err(status) => {
            tracing::warn!(
                node = attached.node(),
                error = status.message(),
                "node stream failed"
            );
        }
    }
    if let Some(reason) = ended? {
        session
            .say(ToNode::Goodbye(Goodbye {
                reason: reason.to_owned(),
                reconnect_within_ms: RECONNECT_WITHIN_MS,
            }))
            .await?;
    }
    Ok(())
}

/// What became of a token.
enum ReviewOutcome {
    /// Of a volume, and the how manieth Subscribe it was.
    Subscribed(String, u64, Result<Subscription, DeliveryRefusal>),
    Renewed(
        String,
        Option<i64>,
        Zeroizing<String>,
        Result<RequestContext, DeliveryRefusal>,
    ),
    /// The token of a volume, once more; none: the plugin's own.
    Again(Option<String>, Result<Arc<Caller>, Problem>),
    /// Where the pod of a volume is.
    PodAddress(String, Arc<Caller>, Result<IpAddr, PodAddressError>),
}

/// What waits for its review. A review under way takes many times the memory of what it is about.
enum PendingReview {
    Subscribe(u64, Subscribe),
    Renew(String, RequestId, Zeroizing<String>),
    Again(Option<String>, Zeroizing<String>),
    PodAddress(String, Arc<Caller>),
}

struct Session {
    gateway: Arc<Gateway>,
    whence: StreamOrigin,
    /// Whose stream it is.
    plugin: NodePlugin,
    outgoing: Outgoing,
    /// None only while it is worked on elsewhere.
    view: Option<NodeView>,
    reviews: FuturesUnordered<BoxFuture<'static, ReviewOutcome>>,
    /// Those that wait for their review, because enough are under way.
    queued: VecDeque<PendingReview>,
    /// The newest Subscribe of each volume that is not answered yet: what became of an older one is nobody's
    /// business.
    asked: HashMap<String, u64>,
    subscribes: u64,
    /// The journal that is not answered yet.
    journal: Option<PendingJournal>,
    /// When a token was asked about once more whose review is under way.
    again: Option<Instant>,
    /// Where it hears whose pods, ServiceAccounts and node are gone.
    ends: Arc<GoneQueue>,
    throttle: EventThrottle,
    said: Instant,
}

impl Session {
    async fn say(&mut self, message: ToNode) -> Result<(), Status> {
        let message = GatewayMessage {
            message: Some(message),
        };
        self.said = Instant::now();
        self.outgoing
            .send_timeout(Ok(message), SILENCE_TIMEOUT)
            .await
            .map_err(|_| Status::unavailable("the node does not read its stream"))
    }

    fn view(&mut self) -> Result<&mut NodeView, Status> {
        self.view
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
        let mut look = interval(CHECK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut all = Instant::now() + FULL_CHECK_INTERVAL;
        let mut heard = Instant::now();
        loop {
            let due = self.view()?.has_due();
            let answered = !due && self.asked.is_empty();
            let journal = self.journal.as_ref().is_some_and(|it| it.is_due(answered));
            let silent = self.said + HEARTBEAT_INTERVAL;
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
                    let view = self.view()?;
                    match change {
                        Ok(StoreChange::Secret(secret, at)) => view.touch_secret(secret, at),
                        Ok(StoreChange::Other) | Err(RecvError::Lagged(_)) => view.touch_all(),
                        Err(RecvError::Closed) => return Ok(Some("the gateway stops")),
                    }
                }
                changed = policies.changed() => {
                    if changed.is_err() {
                        return Ok(Some("the gateway stops"));
                    }
                    all = all.min(Instant::now() + POLICY_DEBOUNCE);
                }
                () = sleep_until(all) => {
                    all = Instant::now() + FULL_CHECK_INTERVAL;
                    self.view()?.touch_all();
                }
                _ = look.tick() => {
                    if heard.elapsed() > SILENCE_TIMEOUT {
                        return Err(Status::unavailable("the node was silent for too long"));
                    }
                    let view = self.view()?;
                    view.touch_waiting();
                    view.touch_expired(jiff::Timestamp::now().as_second());
                    self.review_again()?;
                }
                gone = ends.next() => {
                    for gone in gone {
                        if is_gone(&self.plugin.caller, &gone) {
                            return Err(Status::unauthenticated("the node or its plugin is gone"));
                        }
                        self.view()?.end_subscriptions_of(&gone);
                    }
                }
                () = sleep_until(silent) => self.say(ToNode::Heartbeat(Heartbeat {})).await?,
                () = std::future::ready(()), if due => self.dispatch().await?,
                () = std::future::ready(()), if journal => self.record_journal().await?,
            }
        }
    }

    /// Works off some of what is due.
    async fn dispatch(&mut self) -> Result<(), Status> {
        let mut view = self
            .view
            .take()
            .ok_or_else(|| Status::unavailable("the process is ending"))?;
        if self.gateway.policies.asks_labels() {
            // A request to the API server is a large future.
            Box::pin(refresh_labels(&self.gateway, &mut view)).await;
        }
        let gateway = Arc::clone(&self.gateway);
        let turn = self.gateway.nodes.dispatch_permit().await;
        let worked = blocking(move || {
            let messages = dispatch(&gateway, &mut view, DISPATCH_BATCH);
            Ok((view, messages))
        });
        let (view, messages) = worked
            .await
            .map_err(|problem| Status::unavailable(problem.detail()))?;
        drop(turn);
        self.view = Some(view);
        for message in messages {
            self.record_consumers(&message)?;
            self.say(message).await?;
        }
        Ok(())
    }

    /// Keeps who has what.
    fn record_consumers(&mut self, message: &ToNode) -> Result<(), Status> {
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
        if let Some(subscription) = self.view()?.get(volume) {
            for told in subscription.told.iter().flatten() {
                gateway.nodes.record_grant(&node, told.key.0);
            }
            let told = subscription.told.iter().flatten().zip(&subscription.wanted);
            let told = told.map(|(told, want)| consumers::VolumeSecret {
                secret: told.key.0,
                namespace: want.path.namespace().name(),
                which: &want.which,
                shown: want.shown.as_deref(),
                at_start: want.at_start.as_ref().map(Option::as_deref),
            });
            let news = gateway.consumers.volumes().secrets_sent(&node, volume, told);
            gateway.consumers.changed(news);
        }
        Ok(())
    }

    /// Nobody has a volume any more.
    fn gone(&self, volume: &str) {
        let consumers = &self.gateway.consumers;
        consumers.changed(consumers.volumes().unsubscribed(&self.whence.node, volume));
    }

    async fn receive(&mut self, message: FromNode) -> Result<(), Status> {
        match message {
            FromNode::Hello(_) => return Err(Status::invalid_argument("Hello comes once")),
            FromNode::Subscribe(message) => self.subscribe(message).await?,
            FromNode::Unsubscribe(message) => {
                self.asked.remove(&message.subscription);
                self.throttle.remove(&message.subscription);
                self.view()?.remove(&message.subscription);
                self.gone(&message.subscription);
            }
            FromNode::RenewToken(mut message) => {
                let token = Zeroizing::new(std::mem::take(&mut message.token));
                let volume = std::mem::take(&mut message.subscription);
                let known = self
                    .view()?
                    .get(&volume)
                    .map(|subscription| subscription.asking.request);
                if let Some(request) = known.filter(|_| self.queued.len() < MAX_SUBSCRIPTIONS) {
                    self.review(PendingReview::Renew(volume, request, token));
                }
            }
            FromNode::Fetch(fetch) => {
                let view = self.view()?;
                if let (Some(subscription), Ok(place)) =
                    (view.get_mut(&fetch.subscription), usize::try_from(fetch.secret))
                {
                    subscription.fetch.insert(place);
                    let reader = Arc::clone(&subscription.asking.caller);
                    // A value more is a read more, with its record: beyond the reader's rate it comes with
                    // the next look.
                    if self.gateway.limits.take_read(&reader.principal.identity).is_ok() {
                        self.view()?.touch(&fetch.subscription);
                    } else {
                        self.view()?.wait(&fetch.subscription);
                    }
                }
            }
            FromNode::Applied(applied) => self.applied(&applied)?,
            FromNode::Credit(credit) => {
                let bytes = usize::try_from(credit.bytes).unwrap_or(usize::MAX);
                self.view()?.credit(bytes);
            }
            FromNode::Heartbeat(_) => {}
            FromNode::Journal(journal) => {
                self.journal = Some(PendingJournal::new(self.journal.as_ref(), journal)?);
            }
            FromNode::Whereabouts(asked) => self.pod_address(asked.subscription)?,
            FromNode::Noticed(noticed) => {
                let caller = self.granted(&noticed.subscription)?;
                if let (Some(caller), Some(event)) = (caller, PodEvent::from_result(&noticed)) {
                    self.publish_event(&noticed.subscription, caller, event);
                }
            }
        }
        Ok(())
    }

    /// Whose volume this is, where it is granted.
    fn granted(&mut self, volume: &str) -> Result<Option<Arc<Caller>>, Status> {
        let subscription = self.view()?.get(volume);
        let granted = subscription.filter(|subscription| subscription.told.is_some());
        Ok(granted.map(|subscription| Arc::clone(&subscription.asking.caller)))
    }

    /// Looks where the pod of a volume is.
    fn pod_address(&mut self, volume: String) -> Result<(), Status> {
        let waiting = self.queued.len();
        if let Some(caller) = self.granted(&volume)?.filter(|_| waiting < MAX_SUBSCRIPTIONS) {
            self.review(PendingReview::PodAddress(volume, caller));
        }
        Ok(())
    }

    /// Says in an event of a pod what came of a notice. Nobody waits for it.
    fn publish_event(&mut self, volume: &str, caller: Arc<Caller>, event: PodEvent) {
        if self.throttle.admits(volume, event, std::time::Instant::now()) {
            let pods = self.gateway.pods.clone();
            tokio::spawn(async move { pods.publish_event(&caller, event.message()).await });
        }
    }

    fn review(&mut self, it: PendingReview) {
        if self.reviews.len() >= MAX_REVIEWS {
            self.queued.push_back(it);
            return;
        }
        let (gateway, whence) = (Arc::clone(&self.gateway), self.whence.clone());
        let review = async move {
            match it {
                PendingReview::Subscribe(number, message) => {
                    let volume = message.subscription.clone();
                    let subscription = authenticate_pod::subscribe(&gateway, &whence, message).await;
                    ReviewOutcome::Subscribed(volume, number, subscription)
                }
                PendingReview::Renew(volume, request, token) => {
                    let asking = authenticate_pod::authenticate_pod(&gateway, &whence, &token, request).await;
                    ReviewOutcome::Renewed(volume, end_of(&token), token, asking)
                }
                PendingReview::Again(volume, token) => {
                    let caller = gateway.authenticator.review_again(&token).await;
                    ReviewOutcome::Again(volume, caller)
                }
                PendingReview::PodAddress(volume, caller) => {
                    let found = gateway.pods.address(&caller, &whence.node).await;
                    ReviewOutcome::PodAddress(volume, caller, found)
                }
            }
        };
        self.reviews.push(review.boxed());
    }

    /// Asks about the plugin's token, or the volume's that was reviewed longest ago, where that is long ago.
    /// One at a time: all nodes together have a pace.
    fn review_again(&mut self) -> Result<(), Status> {
        let age = self.gateway.nodes.review_again();
        if self.again.is_some_and(|at| at.elapsed() < age) || !self.queued.is_empty() {
            return Ok(());
        }
        let plugin = (self.plugin.reviewed, None, self.plugin.token.clone());
        let view = self.view()?;
        let volume = view.to_review(age, 1).pop();
        let volume = volume.and_then(|volume| {
            let subscription = view.get(&volume)?;
            Some((subscription.reviewed, Some(volume), subscription.token.clone()))
        });
        let is_old = |reviewed: std::time::Instant| reviewed.elapsed() >= age;
        let oldest = [Some(plugin), volume].into_iter().flatten();
        let oldest = oldest.min_by_key(|(reviewed, ..)| *reviewed);
        let Some((_, volume, token)) = oldest.filter(|(reviewed, ..)| is_old(*reviewed)) else {
            return Ok(());
        };
        self.again = Some(Instant::now());
        self.review(PendingReview::Again(volume, token));
        Ok(())
    }

    /// Hears from now on when the node, or the pod or the ServiceAccount of its plugin, is gone.
    fn hold_plugin(&self) {
        let node = HolderRef {
            kind: HolderKind::Node,
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
        let place = |kind, name: &str| HolderRef {
            kind,
            namespace: namespace.clone(),
            name: name.to_owned(),
        };
        let presence = self.gateway.nodes.presence();
        presence.hold(place(HolderKind::ServiceAccount, name), None, &self.ends);
        if let Some((pod, uid)) = &caller.pod {
            presence.hold(place(HolderKind::Pod, pod), Some(uid), &self.ends);
        }
    }

    async fn subscribe(&mut self, message: Subscribe) -> Result<(), Status> {
        let volume = message.subscription.clone();
        if volume.is_empty() || volume.len() > MAX_VOLUME_ID_BYTES {
            return Err(Status::invalid_argument(
                "a subscription id must have 1 to 128 bytes",
            ));
        }
        let waiting = self.queued.len();
        let view = self.view()?;
        if !view.has_room(&volume) || waiting >= MAX_SUBSCRIPTIONS {
            let refused = DeliveryRefusal {
                code: Refusal::TooMany,
                ..authenticate_pod::invalid("the node has too many volumes")
            };
            self.gateway.metrics.delivery.refused(refused.record);
            return self.say(ToNode::Denied(denied(&volume, None, refused))).await;
        }
        self.subscribes += 1;
        let number = self.subscribes;
        self.asked.insert(volume, number);
        self.review(PendingReview::Subscribe(number, message));
        Ok(())
    }

    async fn reviewed(&mut self, reviewed: ReviewOutcome) -> Result<(), Status> {
        if let ReviewOutcome::Subscribed(volume, number, _) = &reviewed {
            if self.asked.get(volume) != Some(number) {
                return Ok(());
            }
            self.asked.remove(volume);
        }
        match reviewed {
            ReviewOutcome::Subscribed(volume, _, Ok(subscription)) => {
                let caller = &subscription.asking.caller;
                let whose = consumers::VolumeOwner {
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
                self.view()?.put(&volume, subscription);
            }
            ReviewOutcome::Subscribed(volume, _, Err(refused)) => {
                self.view()?.remove(&volume);
                self.gateway.metrics.delivery.refused(refused.record);
                self.say(ToNode::Denied(denied(&volume, None, refused))).await?;
            }
            ReviewOutcome::Again(volume, caller) => {
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
                        return Err(Status::unauthenticated(
                            "the plugin's token is no longer accepted",
                        ));
                    }
                    (Some(volume), true) => self.view()?.end(&volume),
                    (Some(volume), false) => {
                        if let Some(subscription) = self.view()?.get_mut(&volume) {
                            subscription.reviewed = now;
                        }
                    }
                }
            }
            ReviewOutcome::Renewed(volume, ends, token, Ok(asking)) => {
                let view = self.view()?;
                if let Some(subscription) = view.get_mut(&volume) {
                    // A token of another pod is no newer token of this one.
                    if subscription.asking.caller.pod == asking.caller.pod {
                        let request = subscription.asking.request;
                        subscription.asking = RequestContext { request, ..asking };
                        subscription.ends = ends;
                        subscription.token = token;
                        subscription.reviewed = std::time::Instant::now();
                        view.touch(&volume);
                    }
                }
            }
            ReviewOutcome::PodAddress(volume, caller, found) => {
                if let Err(why) = found {
                    self.publish_event(&volume, caller, PodEvent::NoAddress(why));
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
            ReviewOutcome::Renewed(volume, _, _, Err(refused)) => {
                tracing::debug!(volume, code = refused.record.as_str(), "token refused");
            }
        }
        Ok(())
    }

    /// Puts on record what the node served without a gateway, or lets it wait where that is more than the
    /// node may.
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
            let last = record_entries(&gateway, &whence, known, &journal.entries())?;
            gateway.nodes.journal_recorded(&whence.node, last);
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
        let Some(subscription) = self.view()?.get_mut(&applied.subscription) else {
            return Ok(());
        };
        let shown = subscription.shown(applied);
        let told = subscription.told.clone();
        let now = store_time(jiff::Timestamp::now());
        for since in shown {
            let took = now.since(since);
            self.gateway.metrics.delivery.seconds.observe(took.as_secs_f64());
        }
        if let Some(told) = told {
            let consumers = &self.gateway.consumers;
            let at = |place: usize| told.get(place).map(|told| told.key.0);
            consumers.changed(consumers.volumes().applied(&node, applied, at));
        }
        Ok(())
    }
}

/// Looks up the labels of those that are due, which some policy asks for.
async fn refresh_labels(gateway: &Gateway, view: &mut NodeView) {
    for volume in view.first_due(DISPATCH_BATCH) {
        if let Some(subscription) = view.get_mut(&volume) {
            let asking = &mut subscription.asking;
            (asking.pod_labels, asking.node_labels) = gateway.labels.for_caller(&asking.caller).await;
        }
    }
}
