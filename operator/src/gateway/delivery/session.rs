//! One node's stream between its Hello and its end: what comes from either side, and when it is looked at.

mod open;
mod reviews;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use strongroom_api::stream::proto::gateway_message::Message as ToNode;
use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_api::stream::proto::{
    Applied, GatewayMessage, Heartbeat, JournalTaken, NodeMessage, Refusal, Subscribe,
};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tonic::Status;
use zeroize::Zeroizing;

pub(in crate::gateway) use self::open::run;
use self::reviews::{PendingReview, ReviewOutcome};
use super::authenticate_pod::{self, MAX_VOLUME_ID_BYTES, StreamOrigin};
use super::diff::DeliveryRefusal;
use super::dispatch::{denied, dispatch};
use super::handshake::NodePlugin;
use super::journal::{PendingJournal, record_entries};
use super::node_view::{MAX_SUBSCRIPTIONS, NodeView};
use super::pod_events::{EventThrottle, PodEvent};
use super::presence::{GoneQueue, is_gone};
use crate::consumers::volumes as consumers;
use crate::gateway::authenticate::Caller;
use crate::gateway::changes::StoreChange;
use crate::gateway::{Gateway, blocking};
use crate::store_handle::store_time;

/// Each side says that it lives when it was silent for so long.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// A side that was silent for so long is given up.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(15);
/// How often what waits is looked at again, and tokens for their end.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often everything is looked at again: policies may depend on the time.
const FULL_CHECK_INTERVAL: Duration = Duration::from_secs(15);
/// How soon after a change of a policy is looked what it means: policies mostly change several at a time.
const POLICY_DEBOUNCE: Duration = Duration::from_millis(20);
/// Subscriptions that are looked at in one go.
const DISPATCH_BATCH: usize = 32;

/// Where messages to the node go.
type Outgoing = mpsc::Sender<Result<GatewayMessage, Status>>;

struct Session {
    gateway: Arc<Gateway>,
    origin: StreamOrigin,
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
    last_sent: Instant,
}

impl Session {
    async fn say(&mut self, message: ToNode) -> Result<(), Status> {
        let message = GatewayMessage {
            message: Some(message),
        };
        self.last_sent = Instant::now();
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
        let (mut policies_seen, mut policies_due) = (*policies.borrow_and_update(), None);
        let mut products = self.gateway.products.changes();
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
            let silent = self.last_sent + HEARTBEAT_INTERVAL;
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
                        Ok(StoreChange::Namespace(namespace)) => view.touch_namespace(&namespace),
                        Ok(StoreChange::All) | Err(RecvError::Lagged(_)) => view.touch_all(),
                        Err(RecvError::Closed) => return Ok(Some("the gateway stops")),
                    }
                }
                changed = policies.changed() => {
                    if changed.is_err() {
                        return Ok(Some("the gateway stops"));
                    }
                    policies_due.get_or_insert_with(|| Instant::now() + POLICY_DEBOUNCE);
                }
                () = sleep_until(policies_due.unwrap_or(all)), if policies_due.is_some() => {
                    policies_due = None;
                    let (seen, namespaces) = self.gateway.policies.changed_since(policies_seen);
                    policies_seen = seen;
                    match namespaces {
                        Some(namespaces) => self.view()?.touch_namespaces(&namespaces),
                        None => self.view()?.touch_all(),
                    }
                }
                changed = products.changed() => {
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
        if self.gateway.policies.any_asks_labels() {
            // A request to the API server is a large future.
            Box::pin(refresh_labels(&self.gateway, &mut view)).await;
        }
        let gateway = Arc::clone(&self.gateway);
        let permit = self.gateway.nodes.dispatch_permit().await;
        let worked = blocking(move || {
            let messages = dispatch(&gateway, &mut view, DISPATCH_BATCH);
            Ok((view, messages))
        });
        let (view, messages) = worked
            .await
            .map_err(|problem| Status::unavailable(problem.detail()))?;
        drop(permit);
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
        let node = self.origin.node.clone();
        if let Some(subscription) = self.view()?.get(volume) {
            for sent in subscription.sent.iter().flatten() {
                gateway.nodes.record_grant(&node, sent.key.0);
            }
            let sent = subscription.sent.iter().flatten().zip(&subscription.secrets);
            let sent = sent.map(|(sent, subscribed)| consumers::VolumeSecret {
                secret: sent.key.0,
                namespace: subscribed.path.namespace().name(),
                which: &subscribed.which,
                shown: subscribed.shown.as_deref(),
                at_start: subscribed.at_start.as_ref().map(Option::as_deref),
            });
            let news = gateway.consumers.volumes().secrets_sent(&node, volume, sent);
            gateway.consumers.changed(news);
        }
        Ok(())
    }

    /// Nobody has a volume any more.
    fn gone(&self, volume: &str) {
        let consumers = &self.gateway.consumers;
        consumers.changed(consumers.volumes().unsubscribed(&self.origin.node, volume));
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
                    .map(|subscription| subscription.request.id());
                if let Some(id) = known.filter(|_| self.queued.len() < MAX_SUBSCRIPTIONS) {
                    self.review(PendingReview::Renew(volume, id, token));
                }
            }
            FromNode::Fetch(fetch) => {
                let view = self.view()?;
                if let (Some(subscription), Ok(place)) =
                    (view.get_mut(&fetch.subscription), usize::try_from(fetch.secret))
                {
                    subscription.fetch.insert(place);
                    let reader = Arc::clone(subscription.request.caller());
                    // A value more is a read more, with its record: beyond the reader's rate it comes with
                    // the next look.
                    if self.gateway.shared().limits.take_read(&reader).is_ok() {
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
        let granted = subscription.filter(|subscription| subscription.sent.is_some());
        Ok(granted.map(|subscription| Arc::clone(subscription.request.caller())))
    }

    /// Looks where the pod of a volume is.
    fn pod_address(&mut self, volume: String) -> Result<(), Status> {
        let waiting = self.queued.len();
        if let Some(caller) = self.granted(&volume)?.filter(|_| waiting < MAX_SUBSCRIPTIONS) {
            self.review(PendingReview::PodAddress(volume, caller));
        }
        Ok(())
    }

    /// Writes an event of a pod with the result of a notice. Nobody waits for it.
    fn publish_event(&mut self, volume: &str, caller: Arc<Caller>, event: PodEvent) {
        if self.throttle.admits(volume, event, std::time::Instant::now()) {
            let pods = self.gateway.pods.clone();
            tokio::spawn(async move { pods.publish_event(&caller, event.message()).await });
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

    /// Records what the node served without a gateway, or lets it wait where that is more than the node may.
    async fn record_journal(&mut self) -> Result<(), Status> {
        let Some(mut journal) = self.journal.take() else {
            return Ok(());
        };
        let may = |entries| self.gateway.nodes.may_record(&self.origin.node, entries);
        if !journal.size().is_none_or(may) {
            journal.wait();
            self.journal = Some(journal);
            return Ok(());
        }
        let (gateway, origin) = (Arc::clone(&self.gateway), self.origin.clone());
        let known = gateway.nodes.journal(&origin.node);
        let recorded = blocking(move || {
            let last = record_entries(&gateway, &origin, known, &journal.entries())?;
            gateway.nodes.journal_recorded(&origin.node, last);
            Ok(last)
        });
        match recorded.await {
            Ok(sequence) => self.say(ToNode::JournalTaken(JournalTaken { sequence })).await,
            // It is told again by the next stream.
            Err(problem) => Err(Status::unavailable(problem.detail())),
        }
    }

    fn applied(&mut self, applied: &Applied) -> Result<(), Status> {
        let node = self.origin.node.clone();
        let Some(subscription) = self.view()?.get_mut(&applied.subscription) else {
            return Ok(());
        };
        let shown = subscription.shown(applied);
        let sent = subscription.sent.clone();
        let now = store_time(jiff::Timestamp::now());
        for since in shown {
            let took = now.since(since);
            self.gateway.metrics.delivery.seconds.observe(took.as_secs_f64());
        }
        if let Some(sent) = sent {
            let consumers = &self.gateway.consumers;
            let at = |place: usize| sent.get(place).map(|sent| sent.key.0);
            consumers.changed(consumers.volumes().applied(&node, applied, at));
        }
        Ok(())
    }
}

/// Looks up the labels of those that are due, where a policy of their namespaces asks for them.
async fn refresh_labels(gateway: &Gateway, view: &mut NodeView) {
    for volume in view.first_due(DISPATCH_BATCH) {
        let Some(subscription) = view.get_mut(&volume) else {
            continue;
        };
        if gateway.policies.asks_labels(subscription.namespaces()) {
            subscription.request.look_up_labels(&gateway.labels).await;
        }
    }
}
