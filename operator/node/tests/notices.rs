//! The promise: a pod that asks for it is told of each change of its volume at its own address, after the
//! files are new; nothing waits for it, and what came of it is counted and told.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use strongroom_testing::wait::eventually;

use support::Node;

fn publish(node: &Node, volume: &str, port: u16) {
    let port = port.to_string();
    let attributes = [
        ("secrets", "db"),
        ("notifyPort", &*port),
        ("notifyPath", "/-/reload"),
    ];
    node.publish_call(node.call(volume, &attributes)).unwrap();
}

fn counted(node: &Node, outcome: &str) -> Option<String> {
    let name = format!("strongroom_node_notices_total{{outcome=\"{outcome}\"}} ");
    let metrics = node.metrics()?;
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(&name))
        .map(str::to_owned)
}

fn acknowledged(node: &Node, volume: &str, version: &str) {
    eventually("the version to be acknowledged", || {
        let seen = node.peer.seen();
        (seen.applied.get(volume)?.get(&0)? == version).then_some(())
    });
}

#[test]
fn a_pod_hears_of_each_change_once_its_files_are_new() {
    let node = Node::running();
    node.peer.set_pod_address("127.0.0.1");
    node.peer.put("db", "v-1", &[("password", "p1")]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    publish(&node, "v", listener.local_addr().unwrap().port());
    acknowledged(&node, "v", "v-1");
    let file = node.path("v", "password");
    let (heard, hears) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 1_024];
            let read = stream.read(&mut head).unwrap();
            // What the pod reads when it is told.
            let password = std::fs::read_to_string(&file).unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            if heard.send((head, password)).is_err() {
                return;
            }
        }
    });
    for password in ["p2", "p3"] {
        node.peer.put("db", password, &[("password", password)]);
        let (head, read) = hears.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
        assert_eq!(read, password);
        assert!(
            head.starts_with("POST /-/reload HTTP/1.1") && !head.contains(password),
            "{head}"
        );
    }
    eventually("both to be told", || {
        let told = ("v".to_owned(), "NOTICE_OUTCOME_DELIVERED".to_owned(), 200);
        (node.peer.seen().noticed == [told.clone(), told]).then_some(())
    });
    assert_eq!(counted(&node, "delivered").as_deref(), Some("2"));
    // Neither the first publish nor a repeated one is a change.
    node.publish("v", "db").unwrap();
    assert_eq!(node.peer.seen().address_requests, 2);
    // Files that go are one.
    node.peer.deny("db", "no", true);
    eventually("the pod to hear of it", || {
        (node.peer.seen().address_requests == 3).then_some(())
    });
}

#[test]
fn nothing_waits_for_a_pod_that_does_not_answer() {
    let node = Node::running();
    node.peer.set_pod_address("127.0.0.1");
    node.peer.put("db", "v-1", &[("password", "p1")]);
    // It takes connections, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    publish(&node, "v", listener.local_addr().unwrap().port());
    for number in 2..9 {
        let version = format!("v-{number}");
        node.peer.put("db", &version, &[("password", &version)]);
        acknowledged(&node, "v", &version);
        assert_eq!(node.read("v", "password").as_deref(), Some(&*version));
        assert!(node.peer.seen().noticed.is_empty(), "a change waited for the pod");
    }
    // All those changes came to two notices: the one under way, and one more.
    eventually("the silence to be told", || {
        let told = ("v".to_owned(), "NOTICE_OUTCOME_TIMED_OUT".to_owned(), 0);
        (node.peer.seen().noticed == [told.clone(), told]).then_some(())
    });
    assert_eq!(
        (
            counted(&node, "timed_out").as_deref(),
            node.peer.seen().address_requests
        ),
        // Each had three tries, and where the pod is was asked before each.
        (Some("2"), 6)
    );
}

#[test]
fn a_pod_that_is_nowhere_is_sent_nothing() {
    let node = Node::running();
    node.peer.put("db", "v-1", &[("password", "p1")]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    publish(&node, "v", listener.local_addr().unwrap().port());
    node.publish("quiet", "db").unwrap();
    node.peer.put("db", "v-2", &[("password", "p2")]);
    eventually("it to be counted", || {
        counted(&node, "no_address").filter(|count| count == "1")
    });
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
    let seen = node.peer.seen();
    assert_eq!(
        (seen.address_requests, seen.noticed.len()),
        (1, 0),
        "who did not ask is not asked about"
    );
}
