//! What a peer has, whom it lets, and what it says to whom. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use strongroom_api::stream::proto::gateway_message::Message as ToNode;
use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_api::stream::proto::{
    Denied, Ended, GatewayMessage, Granted, JournalTaken, Key, Moved, NoticeOutcome, OnRevoke, PodAddress,
    Pointer, Refusal, Subscribe, Tombstone, Value, Welcome, applied_secret, requested_secret,
};
use tokio::sync::mpsc;
use tonic::Status;

use super::PeerObservations;

#[derive(Clone, Debug, Default)]
pub(super) struct Gateway(Arc<Mutex<State>>);

impl Gateway {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) denied: BTreeMap<String, (String, bool)>,
    pub(super) streams: Vec<NodeStream>,
    pub(super) silent: bool,
    /// Where every pod is; empty: nowhere.
    pub(super) address: String,
    pub(super) seen: PeerObservations,
    next_stream: u64,
}

#[derive(Debug)]
pub(super) struct Secret {
    id: Vec<u8>,
    version: String,
    revision: u64,
    keys: Vec<(String, String)>,
}

#[derive(Debug)]
pub(super) struct NodeStream {
    number: u64,
    sender: mpsc::UnboundedSender<Result<GatewayMessage, Status>>,
    sent: BTreeSet<(Vec<u8>, String)>,
    subscriptions: BTreeMap<String, Vec<String>>,
}

impl NodeStream {
    pub(super) fn say(&self, message: ToNode) {
        // A stream that ended hears nothing.
        let _ = self.sender.send(Ok(GatewayMessage {
            message: Some(message),
        }));
    }

    /// Sends the value of a secret where this stream does not have it yet.
    fn value(&mut self, name: &str, secret: &Secret, again: bool, seen: &mut PeerObservations) {
        if self.sent.insert((secret.id.clone(), secret.version.clone())) || again {
            *seen.sent.entry(format!("{name}@{}", secret.version)).or_default() += 1;
            let keys = secret.keys.iter().map(|(name, text)| Key {
                name: name.clone(),
                value: text.clone().into_bytes(),
            });
            self.say(ToNode::Value(Value {
                secret_id: secret.id.clone(),
                version_id: secret.version.clone(),
                r#type: "Opaque".to_owned(),
                keys: keys.collect(),
            }));
        }
    }
}

fn pointer(index: usize, secret: &Secret) -> Pointer {
    Pointer {
        secret: u32::try_from(index).unwrap_or(u32::MAX),
        secret_id: secret.id.clone(),
        version_id: secret.version.clone(),
        revision: secret.revision,
        on_revoke: OnRevoke::Keep.into(),
        offline_max_age_s: 3_600,
    }
}

impl State {
    pub(super) fn put(&mut self, name: &str, version: &str, keys: &[(&str, &str)]) {
        let count = u8::try_from(self.secrets.len()).unwrap_or(u8::MAX);
        let secret = self.secrets.entry(name.to_owned()).or_insert_with(|| Secret {
            id: vec![count.wrapping_add(1); 16],
            version: String::new(),
            revision: 0,
            keys: Vec::new(),
        });
        version.clone_into(&mut secret.version);
        secret.revision += 1;
        secret.keys = keys
            .iter()
            .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
            .collect();
    }

    /// Tells every subscription of these secrets where they are now.
    pub(super) fn push(&mut self, changed: &BTreeSet<String>) {
        let Self {
            streams,
            secrets,
            denied,
            seen,
            ..
        } = self;
        for stream in streams {
            for (volume, names) in stream.subscriptions.clone() {
                if names.iter().any(|name| denied.contains_key(name)) {
                    continue;
                }
                let mut pointers = Vec::new();
                for (index, name) in names
                    .iter()
                    .enumerate()
                    .filter(|(_, name)| changed.contains(*name))
                {
                    if let Some(secret) = secrets.get(name) {
                        stream.value(name, secret, false, seen);
                        pointers.push(pointer(index, secret));
                    }
                }
                if !pointers.is_empty() {
                    stream.say(ToNode::Moved(Moved {
                        subscription: volume,
                        pointers,
                    }));
                }
            }
        }
    }

    pub(super) fn send_tombstones(&mut self, denied: &str) {
        let Some((message, wipe)) = self.denied.get(denied) else {
            return;
        };
        for stream in &self.streams {
            for (volume, names) in &stream.subscriptions {
                for (index, _) in names.iter().enumerate().filter(|(_, name)| *name == denied) {
                    stream.say(ToNode::Tombstone(Tombstone {
                        subscription: volume.clone(),
                        secret: u32::try_from(index).unwrap_or(u32::MAX),
                        reason: Ended::Revoked.into(),
                        on_revoke: on_revoke(*wipe).into(),
                        message: message.clone(),
                    }));
                }
            }
        }
    }

    pub(super) fn grant_again(&mut self, allowed: &str) {
        let Self {
            streams,
            secrets,
            seen,
            ..
        } = self;
        for stream in streams {
            for (volume, names) in stream.subscriptions.clone() {
                if names.iter().any(|name| name == allowed) {
                    grant(stream, &volume, &names, secrets, seen);
                }
            }
        }
    }

    /// A new stream: its number, and what to send on it.
    pub(super) fn begin(&mut self) -> (u64, mpsc::UnboundedReceiver<Result<GatewayMessage, Status>>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.next_stream += 1;
        self.streams.push(NodeStream {
            number: self.next_stream,
            sender,
            sent: BTreeSet::new(),
            subscriptions: BTreeMap::new(),
        });
        (self.next_stream, receiver)
    }

    /// A stream ended.
    pub(super) fn end(&mut self, number: u64) {
        self.streams.retain(|stream| stream.number != number);
    }

    fn subscribe(&mut self, number: u64, subscribe: &Subscribe) {
        let Self {
            streams,
            secrets,
            denied,
            seen,
            ..
        } = self;
        let Some(stream) = streams.iter_mut().find(|stream| stream.number == number) else {
            return;
        };
        let volume = subscribe.subscription.clone();
        let names: Vec<String> = subscribe
            .secrets
            .iter()
            .map(|wanted| wanted.name.clone())
            .collect();
        let refuse = |index: usize, code: Refusal, message: &str, wipe: bool| {
            ToNode::Denied(Denied {
                subscription: volume.clone(),
                secret: u32::try_from(index).ok(),
                code: code.into(),
                message: message.to_owned(),
                missing_policies: Vec::new(),
                on_revoke: on_revoke(wipe).into(),
            })
        };
        for (index, wanted) in subscribe.secrets.iter().enumerate() {
            let current = |version: &requested_secret::Version| matches!(version, requested_secret::Version::Stage(stage) if stage == "Current");
            let refusal = match (denied.get(&wanted.name), secrets.get(&wanted.name)) {
                (Some((message, wipe)), _) => Some(refuse(index, Refusal::Policy, message, *wipe)),
                (None, None) => Some(refuse(index, Refusal::NotFound, "there is no such secret", false)),
                _ if !wanted.version.as_ref().is_none_or(current) => Some(refuse(
                    index,
                    Refusal::Invalid,
                    "this peer has the stage Current alone",
                    false,
                )),
                _ => None,
            };
            if let Some(refusal) = refusal {
                stream.say(refusal);
                return;
            }
        }
        seen.tokens.insert(volume.clone(), subscribe.token.clone());
        for (index, wanted) in (0_u32..).zip(&subscribe.secrets) {
            if !wanted.applied_version_id.is_empty() {
                let shown = seen.applied.entry(volume.clone()).or_default();
                shown.insert(index, wanted.applied_version_id.clone());
            }
        }
        grant(stream, &volume, &names, secrets, seen);
        stream.subscriptions.insert(volume, names);
    }

    pub(super) fn receive(&mut self, number: u64, message: FromNode) {
        match message {
            FromNode::Hello(hello) => {
                self.seen.hellos += 1;
                self.seen.held = hello.held.len();
                let Some(stream) = self.streams.iter_mut().find(|stream| stream.number == number) else {
                    return;
                };
                stream.sent = hello
                    .held
                    .iter()
                    .map(|held| (held.secret_id.clone(), held.version_id.clone()))
                    .collect();
                stream.say(ToNode::Welcome(Welcome {
                    protocol_version: 1,
                    store_id: vec![9; 16],
                    epoch: 1,
                    heartbeat_ms: 300,
                }));
            }
            FromNode::Subscribe(subscribe) => self.subscribe(number, &subscribe),
            FromNode::Unsubscribe(unsubscribe) => {
                self.seen.tokens.remove(&unsubscribe.subscription);
                self.seen.applied.remove(&unsubscribe.subscription);
                if let Some(stream) = self.streams.iter_mut().find(|stream| stream.number == number) {
                    stream.subscriptions.remove(&unsubscribe.subscription);
                }
            }
            FromNode::RenewToken(renew) => {
                self.seen
                    .tokens
                    .insert(renew.subscription.clone(), renew.token.clone());
            }
            FromNode::Fetch(fetch) => {
                self.seen.fetches += 1;
                let Self {
                    streams,
                    secrets,
                    seen,
                    ..
                } = self;
                let Some(stream) = streams.iter_mut().find(|stream| stream.number == number) else {
                    return;
                };
                let index = usize::try_from(fetch.secret).unwrap_or(usize::MAX);
                let name = stream
                    .subscriptions
                    .get(&fetch.subscription)
                    .and_then(|names| names.get(index));
                if let Some((name, secret)) = name
                    .cloned()
                    .and_then(|name| Some((name.clone(), secrets.get(&name)?)))
                {
                    stream.value(&name, secret, true, seen);
                }
            }
            FromNode::Applied(applied) => {
                let shows = self.seen.applied.entry(applied.subscription).or_default();
                for shown in applied.secrets {
                    let text = match shown.outcome {
                        Some(applied_secret::Outcome::VersionId(version)) => version,
                        Some(applied_secret::Outcome::NotApplied(why)) => format!("!{}", why.message),
                        Some(applied_secret::Outcome::Wiped(_)) => "-".to_owned(),
                        None => continue,
                    };
                    shows.insert(shown.secret, text);
                }
            }
            FromNode::Heartbeat(heartbeat) => {
                if let Some(stream) = self.streams.iter().find(|stream| stream.number == number) {
                    stream.say(ToNode::Heartbeat(heartbeat));
                }
            }
            FromNode::Journal(journal) => {
                let last = journal.entries.last().map(|entry| entry.sequence);
                let told = journal
                    .entries
                    .into_iter()
                    .map(|entry| (entry.sequence, entry.subscription, entry.service_account_uid));
                self.seen.journal.extend(told);
                if let (Some(sequence), Some(stream)) =
                    (last, self.streams.iter().find(|stream| stream.number == number))
                {
                    stream.say(ToNode::JournalTaken(JournalTaken { sequence }));
                }
            }
            FromNode::Whereabouts(asked) => {
                self.seen.address_requests += 1;
                let address = self.address.clone();
                if let Some(stream) = self.streams.iter().find(|stream| stream.number == number) {
                    stream.say(ToNode::PodAddress(PodAddress {
                        subscription: asked.subscription,
                        address,
                    }));
                }
            }
            FromNode::Noticed(noticed) => {
                let outcome = NoticeOutcome::try_from(noticed.outcome).unwrap_or_default();
                self.seen.noticed.push((
                    noticed.subscription,
                    outcome.as_str_name().to_owned(),
                    noticed.status,
                ));
            }
            FromNode::Credit(_) => {}
        }
    }
}

fn grant(
    stream: &mut NodeStream,
    volume: &str,
    names: &[String],
    secrets: &BTreeMap<String, Secret>,
    seen: &mut PeerObservations,
) {
    let mut pointers = Vec::new();
    for (index, name) in names.iter().enumerate() {
        if let Some(secret) = secrets.get(name) {
            stream.value(name, secret, false, seen);
            pointers.push(pointer(index, secret));
        }
    }
    stream.say(ToNode::Granted(Granted {
        subscription: volume.to_owned(),
        pointers,
    }));
}

const fn on_revoke(wipe: bool) -> OnRevoke {
    if wipe { OnRevoke::Wipe } else { OnRevoke::Keep }
}
