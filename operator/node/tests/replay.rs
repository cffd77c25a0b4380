//! The promise: a node plugin of this version goes on with a gateway of an earlier one. What that gateway
//! said was recorded (`e2e/golden/<version>/make`), and is said again here at the same places of the
//! conversation.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::thread::{Scope, ScopedJoinHandle};

use strongroom_api::stream::proto::gateway_message::Message as FromGateway;
use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_e2e::GatewayReplay;
use strongroom_testing::recording::{FC3A9FF, Line, lines};
use strongroom_testing::wait::eventually;
use tonic::{Code, Status};

use support::Node;

fn denied(line: &Line) -> Option<String> {
    match line {
        Line::Gateway(FromGateway::Denied(denied)) => Some(denied.subscription.clone()),
        _ => None,
    }
}

/// A publish that has not been answered yet, as far as the test knows.
type Publish<'scope> = ScopedJoinHandle<'scope, Result<(), Status>>;

/// The node, and its volumes by the names that they have in the recording.
struct Replay<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    node: &'env Node,
    gateway: &'env GatewayReplay,
    /// The volumes that the gateway denies.
    denied: BTreeSet<String>,
    publishes: BTreeMap<String, Publish<'scope>>,
    /// Those that showed something, in the order in which they did.
    shown: Vec<String>,
    /// The newest password that the gateway gave out.
    password: String,
}

impl Replay<'_, '_> {
    /// Waits until the node has said what fits.
    fn hear(&self, what: &str, fits: impl Fn(&FromNode) -> bool) -> FromNode {
        eventually(what, || self.gateway.take(&fits))
    }

    fn publish(&mut self, volume: &str) {
        let node = self.node;
        let account = if self.denied.contains(volume) {
            "stranger"
        } else {
            "checkout"
        };
        let call = node.call_as(volume, "checkout-db", account, account);
        let publish = self.scope.spawn(move || node.publish_call(call));
        self.publishes.insert(volume.to_owned(), publish);
    }

    fn published(&mut self, volume: &str) -> Result<(), Status> {
        self.publishes.remove(volume).unwrap().join().unwrap()
    }

    /// What a node of that version said, this one says as well.
    fn expect(&mut self, was: &FromNode) {
        match was {
            FromNode::Hello(was) => {
                self.gateway.come_back();
                // The gateway does not send again what is held.
                self.hear(
                    "the node to come with what it holds",
                    |is| matches!(is, FromNode::Hello(is) if is.held == was.held),
                );
            }
            FromNode::Subscribe(was) => {
                let volume = &was.subscription;
                if !self.publishes.contains_key(volume) && !self.shown.contains(volume) {
                    self.publish(volume);
                }
                self.hear(&format!("{volume} to be subscribed"), |is| {
                    matches!(is, FromNode::Subscribe(is) if is.subscription == *volume && is.secrets == was.secrets)
                });
            }
            FromNode::Applied(was) => {
                let volume = &was.subscription;
                self.hear(
                    &format!("{volume} to be applied"),
                    |is| matches!(is, FromNode::Applied(is) if is == was),
                );
                if !self.shown.contains(volume) {
                    self.published(volume).unwrap();
                    self.shown.push(volume.clone());
                }
                assert_eq!(self.node.read(volume, "password").as_ref(), Some(&self.password));
            }
            // Only of volumes that were denied.
            FromNode::Unsubscribe(was) => {
                let refusal = self.published(&was.subscription).unwrap_err();
                assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal}");
                self.unsubscribed(&was.subscription);
            }
            FromNode::Journal(was) => {
                let volumes = |entries: &[strongroom_api::stream::proto::JournalEntry]| -> Vec<_> {
                    let entries = entries.iter();
                    entries
                        .map(|it| (it.sequence, it.subscription.clone(), it.version_id.clone()))
                        .collect()
                };
                self.hear(
                    "the journal",
                    |is| matches!(is, FromNode::Journal(is) if volumes(&is.entries) == volumes(&was.entries)),
                );
            }
            // Those come when they come.
            _ => {}
        }
    }

    fn unsubscribed(&self, volume: &str) {
        self.hear(
            &format!("{volume} to be unsubscribed"),
            |is| matches!(is, FromNode::Unsubscribe(is) if is.subscription == volume),
        );
    }

    fn say(&mut self, said: &FromGateway) {
        if let FromGateway::Value(value) = said {
            let password = value.keys.iter().find(|key| key.name == "password").unwrap();
            self.password = String::from_utf8(password.value.clone()).unwrap();
        }
        self.gateway.say(said.clone());
    }

    /// What kubelet does of what was done to the cluster. `late` is the volume that began without a gateway.
    fn act(&mut self, what: &str, late: &str) {
        match what {
            "unmount second" => {
                let second = self.shown.remove(1);
                self.node.unpublish(&second).unwrap();
                self.unsubscribed(&second);
            }
            "away" => {
                self.gateway.leave();
                self.publish(late);
                self.published(late).unwrap();
                assert_eq!(self.node.read(late, "password").as_ref(), Some(&self.password));
                self.shown.push(late.to_owned());
            }
            _ => {}
        }
    }
}

#[test]
fn a_node_goes_on_with_what_a_gateway_of_fc3a9ff_said() {
    let lines = lines(FC3A9FF);
    let journal = lines.iter().find_map(|line| match line {
        Line::Node(FromNode::Journal(journal)) => Some(&journal.entries[0]),
        _ => None,
    });
    let late = &journal.unwrap().subscription;
    let gateway = GatewayReplay::start().unwrap();
    let mut node = Node::new();
    node.gateway = Some(gateway.url());
    node.start_with(None, &["--offline-after", "1"]);
    std::thread::scope(|scope| {
        let mut replay = Replay {
            scope,
            node: &node,
            gateway: &gateway,
            denied: lines.iter().filter_map(denied).collect(),
            publishes: BTreeMap::new(),
            shown: Vec::new(),
            password: String::new(),
        };
        for line in &lines {
            match line {
                Line::Node(was) => replay.expect(was),
                Line::Gateway(said) => replay.say(said),
                Line::Did(what) => replay.act(what, late),
            }
        }
        assert_eq!(replay.shown.len(), 2);
        for volume in &replay.shown {
            eventually("the volume to be as the gateway says", || {
                let state = node.read(volume, "..strongroom.json")?;
                state.contains("\"state\":\"current\"").then_some(())
            });
        }
    });
    // It was no failure that the gateway stopped.
    let reason = "gateway stream closed reason=\"the gateway stops\"";
    assert!(node.log().contains(reason));
    // What is audited is told once.
    for file in std::fs::read_dir(node.dir.path().join("j")).unwrap() {
        let journal = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&journal).contains(late.as_str()));
    }
    let metrics = node.metrics().unwrap();
    let misunderstood = "strongroom_node_stream_misunderstood_total 0";
    assert!(metrics.lines().any(|line| line == misunderstood), "{metrics}");
}
