//! The promise: what a ServiceAccount was allowed on a node starts there again while there is no gateway, and
//! nothing else does; each such start comes to the gateway's ears.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::process::Command;

use strongroom_testing::wait::eventually;
use tonic::{Code, Status};

use support::Node;

/// Publishes a volume of `db` for a pod of this ServiceAccount, with a token that says so.
fn publish(node: &Node, volume: &str, account: &str) -> Result<(), Status> {
    publish_as(node, volume, account, account)
}

/// The same, where kubelet names one account and the token another.
fn publish_as(node: &Node, volume: &str, named: &str, claimed: &str) -> Result<(), Status> {
    node.publish_call(node.call_as(volume, "db", named, claimed))
}

/// A node whose gateway went silent after `app` mounted `db`.
fn offline_node() -> Node {
    let mut node = Node::new();
    node.patience = 6;
    node.peer.put("db", "v-1", &[("password", "MARKER-1")]);
    node.start_with(None, &["--offline-after", "1"]);
    publish(&node, "vol-1", "app").unwrap();
    silent(&node);
    node
}

fn silent(node: &Node) {
    let breaks = || node.log().matches("gateway stream failed").count();
    let before = breaks();
    node.peer.set_silent(true);
    eventually("the silence to be noticed", || (breaks() > before).then_some(()));
}

fn state(node: &Node, volume: &str) -> String {
    let said: serde_json::Value =
        serde_json::from_str(&node.read(volume, "..strongroom.json").unwrap()).unwrap();
    said["state"].as_str().unwrap().to_owned()
}

#[test]
fn who_was_allowed_here_starts_again_and_nobody_else() {
    let mut node = offline_node();
    publish(&node, "vol-2", "app").unwrap();
    assert_eq!(node.read("vol-2", "password").unwrap(), "MARKER-1");
    assert_eq!(state(&node, "vol-2"), "offline");
    // Neither somebody else, nor somebody whose token is another's.
    for (named, claimed) in [("other", "other"), ("other", "app"), ("app", "other")] {
        let refused = publish_as(&node, "vol-x", named, claimed).unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        assert!(node.files("vol-x").is_empty());
    }
    // The key outlives the plugin.
    node.kill();
    node.start_with(None, &["--offline-after", "1"]);
    publish(&node, "vol-3", "app").unwrap();
    assert_eq!(node.read("vol-3", "password").unwrap(), "MARKER-1");
    assert_eq!(node.mounts().len(), 3);

    // The gateway is back: it hears of each start once, and what is new is there.
    node.peer.set_silent(false);
    eventually("the journal", || {
        (node.peer.seen().journal.len() == 2).then_some(())
    });
    let told = |sequence: u64, volume: &str| (sequence, volume.to_owned(), "uid-app".to_owned());
    assert_eq!(node.peer.seen().journal, [told(1, "vol-2"), told(2, "vol-3")]);
    eventually("the volume to be as the gateway says", || {
        (state(&node, "vol-3") == "current").then_some(())
    });
    node.peer.put("db", "v-2", &[("password", "MARKER-2")]);
    node.wait_file("vol-3", "password", "MARKER-2");
    node.kill();
    node.start_with(None, &[]);
    eventually("the stream", || {
        (node.log().matches("gateway stream opened").count() >= 3).then_some(())
    });
    assert_eq!(node.peer.seen().journal.len(), 2, "told once");

    // On the node is no value but in volumes.
    let grep = [
        "-rlF",
        "MARKER",
        node.dir.path().join("s").to_str().unwrap(),
        node.dir.path().join("j").to_str().unwrap(),
    ]
    .map(str::to_owned);
    let found = Command::new("grep").args(grep).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn what_was_taken_away_is_not_served_offline() {
    let node = offline_node();
    node.peer.set_silent(false);
    eventually("the stream", || {
        (node.log().matches("gateway stream opened").count() >= 2).then_some(())
    });
    node.peer.deny("db", "no policy", false);
    eventually("the volume to hear of it", || {
        (state(&node, "vol-1") == "ended").then_some(())
    });
    silent(&node);
    let refused = publish(&node, "vol-2", "app").unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(node.files("vol-2").is_empty());
    assert_eq!(node.mounts().len(), 1);
}

#[test]
fn what_was_taken_away_meanwhile_is_ended_when_the_gateway_is_back() {
    let node = offline_node();
    // No Tombstone comes: the stream is gone.
    node.peer.deny("db", "no policy", false);
    node.peer.set_silent(false);
    eventually("the volume to hear of it", || {
        (state(&node, "vol-1") == "ended").then_some(())
    });
    assert_eq!(node.read("vol-1", "password").unwrap(), "MARKER-1");
    silent(&node);
    let refused = publish(&node, "vol-2", "app").unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    // Allowed again, it is as before.
    node.peer.allow("db");
    node.peer.set_silent(false);
    publish(&node, "vol-3", "app").unwrap();
    assert_eq!(state(&node, "vol-3"), "current");
}

#[test]
fn nothing_is_served_that_cannot_be_written_down() {
    let node = offline_node();
    std::fs::remove_dir_all(node.dir.path().join("j")).unwrap();
    let refused = publish(&node, "vol-2", "app").unwrap_err();
    assert_eq!(refused.code(), Code::Internal, "{refused}");
    assert!(node.files("vol-2").is_empty());
    assert_eq!(node.mounts().len(), 1);
}
