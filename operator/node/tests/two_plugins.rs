//! Two plugins on a node, as while the plugin moves to another namespace: the second waits, and takes over
//! what the first leaves.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use std::os::unix::net::UnixListener;

use strongroom_testing::wait::eventually;

use support::Node;

const WAITS: &str = "waiting for another plugin on this node to stop";

/// The plugin that was started last waits: it is alive, and not ready.
fn waits(node: &Node) {
    eventually("the second to wait", || node.log().contains(WAITS).then_some(()));
    let answer = |path: &str| node.answer(path).unwrap();
    assert!(answer("/healthz").starts_with("HTTP/1.1 200"));
    let ready = answer("/readyz");
    assert!(
        ready.starts_with("HTTP/1.1 503") && ready.contains(WAITS),
        "{ready}"
    );
}

#[test]
fn a_second_plugin_waits_for_the_first_ones_end_and_takes_its_volumes_over() {
    for is_killed in [false, true] {
        let mut node = Node::running();
        node.peer.put("db", "1", &[("a", "one")]);
        node.publish("v", "db").unwrap();
        let before = node.times_listening();
        node.start_beside();
        waits(&node);
        // The first goes on: changes, and what kubelet asks for.
        node.peer.put("db", "2", &[("a", "two")]);
        node.wait_file("v", "a", "two");
        node.publish("w", "db").unwrap();
        assert_eq!((node.mounts().len(), node.states()), (2, 2));
        assert_eq!(node.times_listening(), before);

        if is_killed {
            node.kill_first();
        } else {
            node.stop_first();
        }
        node.wait_listening(before);
        assert!(node.answer("/readyz").unwrap().starts_with("HTTP/1.1 200"));
        for volume in ["v", "w"] {
            assert_eq!(node.read(volume, "a").as_deref(), Some("two"));
            // As kubelet does before long, with the pod's token.
            node.publish(volume, "db").unwrap();
        }
        node.peer.put("db", "3", &[("a", "three")]);
        for volume in ["v", "w"] {
            node.wait_file(volume, "a", "three");
            node.unpublish(volume).unwrap();
        }
        assert_eq!((node.mounts().len(), node.states()), (0, 0));
    }
}

#[test]
fn a_plugin_that_waits_ends_when_it_is_told_to() {
    let mut node = Node::running();
    node.start_beside();
    waits(&node);
    node.stop();
    node.stop_first();
    node.start(None);
}

/// One of an earlier version holds no lock; it answers kubelet.
#[test]
fn a_plugin_that_knows_no_lock_is_waited_for_too() {
    let mut node = Node::new();
    let earlier = UnixListener::bind(node.socket()).unwrap();
    let before = node.times_listening();
    node.start_beside();
    waits(&node);
    drop(earlier);
    node.wait_listening(before);
    node.peer.put("db", "1", &[("a", "one")]);
    node.publish("v", "db").unwrap();
    assert_eq!(node.read("v", "a").as_deref(), Some("one"));
}
