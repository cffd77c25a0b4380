//! Keeps the stream alive: connects, carries messages between the state and the connection, notices silence,
//! and connects again.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use strongroom_api::stream::proto::gateway_message::Message as FromGateway;
use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_api::stream::proto::{GatewayMessage, Hello, JournalEntry, NodeMessage, Welcome};
use strongroom_api::stream::{PROTOCOL_VERSION, Token};
use strongroom_process::Shutdown;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::backoff;
use super::connection::{ConnectionError, Endpoint};
use super::subscription_state::SubscriptionState;
use super::subscriptions::Commands;
use crate::metrics::Metrics;
use crate::offline::{Entry, Journal};

/// Messages of each direction between the state and the connection.
const QUEUE_CAPACITY: usize = 32;
/// How long the gateway may take to take the node in.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the plugin's own token is looked at.
const TOKEN_CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// Bounds of the heartbeat that a gateway may ask for.
const HEARTBEAT_BOUNDS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// Bytes of values that may be under way.
const WINDOW_BYTES: u32 = 1_048_576;

/// Entries of the journal in a message.
const MAX_JOURNAL_ENTRIES: usize = 64;

/// Why a connection was over.
enum SessionEnd {
    /// The process stops.
    Stop,
    /// The gateway said so, and when to come back.
    Goodbye(Duration),
    /// The plugin has a newer token, and comes back at once.
    NewToken,
    /// It broke.
    Broken(String),
}

/// What a stream works with.
#[derive(Debug)]
pub struct Stream {
    /// Where the gateway is.
    pub endpoint: Endpoint,
    /// The kernel's id of this boot: another one after each.
    pub boot_id: String,
    /// What was served without a gateway.
    pub journal: Arc<Journal>,
    /// Where it is said whether there is a connection.
    pub link: watch::Sender<bool>,
    /// The counters.
    pub metrics: Metrics,
    /// Tells when the process ends.
    pub shutdown: Shutdown,
}

/// Runs until the shutdown begins. Commands are carried out whether there is a connection or not.
pub async fn run(stream: Stream, mut state: SubscriptionState, mut commands: Commands) {
    let Stream {
        endpoint,
        boot_id,
        journal,
        link,
        metrics,
        shutdown,
    } = stream;
    let mut failures = 0;
    loop {
        let session = Session {
            endpoint: &endpoint,
            boot_id: &boot_id,
            journal: &journal,
            link: &link,
            metrics: &metrics,
            shutdown: &shutdown,
        };
        let over = session.run(&mut state, &mut commands).await;
        state.disconnected();
        metrics.connected(false);
        if link.send_replace(false) {
            failures = 0;
        }
        let chance = fastrand::f64();
        let wait = match over {
            SessionEnd::Stop => return,
            SessionEnd::NewToken => backoff::jitter(Duration::from_millis(100), chance),
            SessionEnd::Goodbye(within) => backoff::jitter(within, chance),
            SessionEnd::Broken(why) => {
                let wait = backoff::wait(failures, chance);
                failures = failures.saturating_add(1);
                metrics.broken();
                tracing::warn!(error = why, wait_ms = wait.as_millis(), "gateway stream failed");
                wait
            }
        };
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                () = sleep_until(until) => break,
                command = commands.0.recv() => match command {
                    Some(command) => {
                        command.apply_to(&mut state);
                        metrics.sizes(state.sizes());
                    }
                    None => return,
                },
            }
        }
    }
}

struct Session<'a> {
    endpoint: &'a Endpoint,
    boot_id: &'a str,
    journal: &'a Journal,
    link: &'a watch::Sender<bool>,
    metrics: &'a Metrics,
    shutdown: &'a Shutdown,
}

impl Session<'_> {
    /// One connection.
    async fn run(&self, state: &mut SubscriptionState, commands: &mut Commands) -> SessionEnd {
        self.tell_authority_end();
        let token = match self.endpoint.own_token() {
            Ok(token) => token,
            Err(error) => return SessionEnd::Broken(error.to_string()),
        };
        let (outgoing, to_send) = mpsc::channel(QUEUE_CAPACITY);
        let (received, mut incoming) = mpsc::channel(QUEUE_CAPACITY);
        // There is room for the first.
        let _ = outgoing.try_send(self.hello(state, &token));
        let link = self.endpoint.run(&token, to_send, &received);
        tokio::pin!(link);
        let mut heartbeat: Option<HeartbeatTimer> = None;
        let deadline = Instant::now() + WELCOME_TIMEOUT;
        let mut look_at_token = Instant::now() + TOKEN_CHECK_INTERVAL;
        loop {
            let wake = heartbeat
                .as_ref()
                .map_or(deadline, HeartbeatTimer::next)
                .min(look_at_token);
            tokio::select! {
                // What has come is taken in before it is judged whether the gateway is silent.
                biased;
                () = self.shutdown.wait() => return SessionEnd::Stop,
                message = incoming.recv() => {
                    let Some(message) = message else { return SessionEnd::Broken("the connection is gone".to_owned()) };
                    if let Some(over) = self.handle_message(message, state, &mut heartbeat) {
                        return over;
                    }
                }
                // The link hands over its last messages and ends in one poll: what waits in the queue came
                // before the end.
                ended = &mut link => {
                    while let Ok(message) = incoming.try_recv() {
                        if let Some(over) = self.handle_message(message, state, &mut heartbeat) {
                            return over;
                        }
                    }
                    return broken(ended);
                }
                command = commands.0.recv() => match command {
                    Some(command) => {
                        command.apply_to(state);
                        self.metrics.sizes(state.sizes());
                    }
                    None => return SessionEnd::Stop,
                },
                permit = outgoing.reserve(), if heartbeat.is_some() && state.has_next() => {
                    let (Ok(permit), Some(message)) = (permit, state.take_next()) else { continue };
                    permit.send(message);
                    if let Some(heartbeat) = &mut heartbeat {
                        heartbeat.mark_sent();
                    }
                }
                () = sleep_until(wake) => match &mut heartbeat {
                    None => return SessionEnd::Broken("the gateway does not accept the node".to_owned()),
                    Some(heartbeat) if heartbeat.silent() && incoming.is_empty() => return SessionEnd::Broken("the gateway is silent".to_owned()),
                    Some(heartbeat) => {
                        if heartbeat.due() {
                            state.heartbeat();
                            heartbeat.mark_sent();
                        }
                        if Instant::now() >= look_at_token {
                            look_at_token = Instant::now() + TOKEN_CHECK_INTERVAL;
                            self.tell_authority_end();
                            if self.endpoint.own_token().is_ok_and(|now| now != token) {
                                break;
                            }
                        }
                    }
                },
            }
        }
        // What is on its way is sent: dropping the sender ends our direction in order.
        drop(outgoing);
        let _ = timeout_at(Instant::now() + Duration::from_secs(1), &mut link).await;
        SessionEnd::NewToken
    }

    fn tell_authority_end(&self) {
        if let Some(end) = self.endpoint.authority_end() {
            self.metrics.authority_ends(end);
        }
    }

    /// Takes a message of the gateway in. Answers when the connection is over by it.
    fn handle_message(
        &self,
        message: GatewayMessage,
        state: &mut SubscriptionState,
        heartbeat: &mut Option<HeartbeatTimer>,
    ) -> Option<SessionEnd> {
        match (heartbeat.as_mut(), message.message) {
            (None, Some(FromGateway::Welcome(welcome))) => {
                if welcome.protocol_version != PROTOCOL_VERSION {
                    let version = welcome.protocol_version;
                    let why = format!("the gateway speaks version {version} of the protocol");
                    return Some(SessionEnd::Broken(why));
                }
                *heartbeat = Some(HeartbeatTimer::from_welcome(&welcome));
                state.welcome(&welcome);
                state.journal(self.pending());
                self.link.send_replace(true);
                self.metrics.connected(true);
                tracing::info!(epoch = welcome.epoch, "gateway stream opened");
            }
            (None, _) => {
                let why = "the first message of the gateway is not Welcome";
                return Some(SessionEnd::Broken(why.to_owned()));
            }
            (Some(_), Some(FromGateway::Goodbye(goodbye))) => {
                tracing::info!(reason = goodbye.reason, "gateway stream closed");
                let within = u64::from(goodbye.reconnect_within_ms);
                return Some(SessionEnd::Goodbye(Duration::from_millis(within)));
            }
            (Some(heartbeat), Some(FromGateway::JournalTaken(taken))) => {
                heartbeat.mark_received();
                if let Err(error) = self.journal.acknowledge(taken.sequence) {
                    tracing::warn!(%error, "journal acknowledgement failed");
                } else {
                    state.journal(self.pending());
                }
            }
            (Some(heartbeat), message) => {
                heartbeat.mark_received();
                if let Err(what) = state.receive(GatewayMessage { message }) {
                    self.metrics.misunderstood();
                    tracing::warn!(error = what, "gateway message rejected");
                }
                self.metrics.sizes(state.sizes());
            }
        }
        None
    }

    /// What is not audited at the gateway yet, in a message's measure.
    fn pending(&self) -> Vec<JournalEntry> {
        let message = |entry: Entry| JournalEntry {
            sequence: entry.sequence,
            boot_id: entry.boot_id,
            at_unix_s: entry.at,
            subscription: entry.volume,
            namespace: entry.namespace,
            pod: entry.pod,
            pod_uid: entry.pod_uid,
            service_account: entry.account,
            service_account_uid: entry.account_uid,
            secret_id: HEXLOWER.decode(entry.secret_id.as_bytes()).unwrap_or_default(),
            version_id: entry.version_id,
        };
        self.journal
            .pending(MAX_JOURNAL_ENTRIES)
            .into_iter()
            .map(message)
            .collect()
    }

    fn hello(&self, state: &SubscriptionState, token: &Token) -> NodeMessage {
        let hello = Hello {
            protocol_versions: vec![PROTOCOL_VERSION],
            token: token.expose().to_owned(),
            boot_id: self.boot_id.to_owned(),
            plugin_version: env!("CARGO_PKG_VERSION").to_owned(),
            held: state.held_versions(),
            window_bytes: WINDOW_BYTES,
        };
        NodeMessage {
            message: Some(FromNode::Hello(hello)),
        }
    }
}

fn broken(ended: Result<(), ConnectionError>) -> SessionEnd {
    SessionEnd::Broken(match ended {
        Ok(()) => "the gateway ended the stream".to_owned(),
        Err(error) => error.to_string(),
    })
}

/// When this side must speak, and when the other must have been heard.
struct HeartbeatTimer {
    every: Duration,
    last_sent: Instant,
    last_received: Instant,
}

impl HeartbeatTimer {
    fn from_welcome(welcome: &Welcome) -> Self {
        let every = Duration::from_millis(u64::from(welcome.heartbeat_ms));
        Self {
            every: every.clamp(HEARTBEAT_BOUNDS.0, HEARTBEAT_BOUNDS.1),
            last_sent: Instant::now(),
            last_received: Instant::now(),
        }
    }

    fn next(&self) -> Instant {
        (self.last_sent + self.every).min(self.last_received + self.every * 3)
    }

    fn due(&self) -> bool {
        self.last_sent.elapsed() >= self.every
    }

    fn silent(&self) -> bool {
        self.last_received.elapsed() >= self.every * 3
    }

    fn mark_received(&mut self) {
        self.last_received = Instant::now();
    }

    fn mark_sent(&mut self) {
        self.last_sent = Instant::now();
    }
}
