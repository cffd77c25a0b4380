//! The promise: a program asks the volume's socket as it would ask a secrets agent, and is answered what the
//! files are made of, always current, also while there is no gateway; what the volume does not have, or has
//! lost, nobody is told.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;
use strongroom_node::proto::csi::NodePublishVolumeRequest;
use strongroom_node::proto::csi::volume_capability::{AccessType, MountVolume};
use strongroom_testing::wait::eventually;

use support::Node;

const SOCKET: &str = "..strongroom.sock";

fn call(node: &Node, volume: &str, secrets: &str) -> NodePublishVolumeRequest {
    node.call(volume, &[("secrets", secrets), ("socket", "true")])
}

fn connect(node: &Node, volume: &str) -> std::io::Result<UnixStream> {
    let stream = UnixStream::connect(node.path(volume, SOCKET))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

/// One request on a connection of its own: the status, and the body.
fn request(node: &Node, volume: &str, head: &str) -> std::io::Result<(u16, String)> {
    let mut stream = connect(node, volume)?;
    stream.write_all(format!("{head}\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    let status = said.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = said.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    status
        .zip(body)
        .ok_or_else(|| std::io::Error::other(format!("no answer: {said}")))
}

fn get(node: &Node, volume: &str, uri: &str) -> (u16, Value) {
    let (status, body) = request(node, volume, &format!("GET {uri} HTTP/1.1")).unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

/// Waits until a secret has this text.
fn wait_text(node: &Node, volume: &str, uri: &str, text: &str) {
    eventually(&format!("{uri} to be `{text}`"), || {
        let (_, body) = request(node, volume, &format!("GET {uri} HTTP/1.1")).ok()?;
        let body: Value = serde_json::from_str(&body).ok()?;
        (body["SecretString"] == text).then_some(())
    });
}

/// What the plugin counts, as a line of its metrics.
fn metric(node: &Node, name: &str) -> Option<String> {
    let metrics = node.metrics()?;
    metrics
        .lines()
        .find(|line| line.starts_with(name))
        .map(str::to_owned)
}

#[test]
fn a_program_is_answered_what_the_files_are_made_of_and_nothing_else() {
    let node = Node::running();
    node.peer
        .put("db", "v-1", &[("username", "u"), ("password", "MARKER-1")]);
    node.peer.put("smtp", "v-1", &[("value", "plain")]);
    node.peer.put("other", "v-1", &[("value", "not yours")]);
    node.publish_call(call(&node, "v", "[db, smtp]")).unwrap();
    node.publish("w", "db").unwrap();
    assert!(!node.path("w", SOCKET).exists(), "nobody asked for it");

    let (status, answer) = get(
        &node,
        "v",
        "/secretsmanager/get?secretId=db&versionStage=AWSCURRENT",
    );
    assert_eq!((status, &answer["VersionId"]), (200, &"v-1".into()));
    let keys: Value = serde_json::from_str(answer["SecretString"].as_str().unwrap()).unwrap();
    assert_eq!(keys, serde_json::json!({"username": "u", "password": "MARKER-1"}));
    assert_eq!(get(&node, "v", "/v1/smtp").1["SecretString"], "plain");

    let (status, refused) = get(&node, "v", "/v1/other");
    assert_eq!(
        (status, &refused["__type"]),
        (404, &"ResourceNotFoundException".into())
    );
    assert!(
        refused["message"].as_str().unwrap().contains("no secret `other`"),
        "{refused}"
    );
    assert_eq!(get(&node, "v", "/v1/db?versionId=v-0").0, 404);

    // As the files change, so does the answer.
    node.peer.put("smtp", "v-2", &[("value", "newer")]);
    node.wait_file("v", "value", "newer");
    wait_text(&node, "v", "/v1/smtp", "newer");
    // A change that the files cannot show is not answered either.
    node.peer.put("smtp", "v-3", &[("not/../legal", "x")]);
    eventually("the failure to be told", || {
        let seen = node.peer.seen();
        seen.applied.get("v")?.get(&1)?.starts_with('!').then_some(())
    });
    assert_eq!(get(&node, "v", "/v1/smtp").1["VersionId"], "v-2");
    assert!(!node.log().contains("MARKER"));
    eventually("the requests to be counted", || {
        let answered = metric(
            &node,
            "strongroom_node_socket_requests_total{outcome=\"answered\"}",
        )?;
        let unknown = metric(
            &node,
            "strongroom_node_socket_requests_total{outcome=\"not_found\"}",
        )?;
        (!answered.ends_with(" 0") && unknown.ends_with(" 2")).then_some(())
    });
}

#[test]
fn it_goes_on_without_a_gateway_and_ends_with_the_access() {
    let node = Node::running();
    node.peer.put("db", "v-1", &[("value", "p1")]);
    node.publish_call(call(&node, "v", "db")).unwrap();
    node.peer.set_silent(true);
    node.peer.hang_up(false);
    eventually("the silence to be noticed", || {
        node.log().contains("gateway stream failed").then_some(())
    });
    assert_eq!(get(&node, "v", "/v1/db").1["SecretString"], "p1");
    node.peer.set_silent(false);

    // Who may keep the files may ask as well; where they go, nobody is told anything from then on.
    let state = |wanted: &str| {
        eventually("the version file to say so", || {
            node.read("v", "..strongroom.json")
                .filter(|text| text.contains(wanted))
        })
    };
    node.peer.put("db", "v-2", &[("value", "p2")]);
    node.wait_file("v", "value", "p2");
    node.peer.deny("db", "revoked", false);
    state("\"state\":\"ended\"");
    assert_eq!(get(&node, "v", "/v1/db").1["SecretString"], "p2");
    node.peer.deny("db", "revoked", true);
    state("\"state\":\"revoked\"");
    let (status, refused) = get(&node, "v", "/v1/db");
    assert_eq!(
        (status, &refused["__type"]),
        (403, &"AccessDeniedException".into())
    );
    node.peer.allow("db");
    wait_text(&node, "v", "/v1/db", "p2");
}

#[test]
fn a_new_plugin_answers_at_a_new_socket() {
    let mut node = Node::running();
    node.peer.put("db", "v-1", &[("value", "p1")]);
    node.publish_call(call(&node, "v", "db")).unwrap();
    for how in ["stop", "kill"] {
        if how == "stop" {
            node.stop();
        } else {
            node.kill();
        }
        assert!(connect(&node, "v").is_err(), "{how}: somebody answers");
        node.start(None);
        // Its values come with the token that kubelet brings.
        let (status, waiting) = get(&node, "v", "/v1/db");
        assert_eq!(
            (status, &waiting["__type"]),
            (503, &"InternalServiceError".into())
        );
        node.publish_call(call(&node, "v", "db")).unwrap();
        wait_text(&node, "v", "/v1/db", "p1");
    }
    // Taken over without a record, and mended where somebody removed it.
    node.kill();
    fs::remove_dir_all(node.dir.path().join("s")).unwrap();
    node.start(None);
    assert!(connect(&node, "v").is_err());
    node.publish_call(call(&node, "v", "db")).unwrap();
    wait_text(&node, "v", "/v1/db", "p1");
    fs::remove_file(node.path("v", SOCKET)).unwrap();
    node.publish_call(call(&node, "v", "db")).unwrap();
    assert_eq!(get(&node, "v", "/v1/db").0, 200);
    // A change leaves it where it is.
    node.peer.put("db", "v-2", &[("value", "p2")]);
    wait_text(&node, "v", "/v1/db", "p2");
}

#[test]
fn whoever_reads_the_volume_may_connect_and_an_open_connection_holds_nothing_up() {
    let node = Node::running();
    node.peer.put("db", "v-1", &[("value", "p1")]);
    let mut grouped = call(&node, "v", "db");
    grouped.volume_capability.as_mut().unwrap().access_type = Some(AccessType::Mount(MountVolume {
        volume_mount_group: "2000".into(),
        ..MountVolume::default()
    }));
    node.publish_call(grouped).unwrap();
    node.publish_call(call(&node, "w", "db")).unwrap();
    let is = |volume: &str| {
        let is = fs::symlink_metadata(node.path(volume, SOCKET)).unwrap();
        assert!(is.file_type().is_socket());
        (is.mode() & 0o7777, is.gid())
    };
    assert_eq!((is("v"), is("w")), ((0o660, 2_000), (0o666, 0)));
    // One that says nothing, and one in the middle of its request.
    let (mut idle, mut busy) = (connect(&node, "v").unwrap(), connect(&node, "v").unwrap());
    busy.write_all(b"GET /v1/db HTTP/1.1\r\n").unwrap();
    assert_eq!(get(&node, "v", "/v1/db").0, 200);
    node.unpublish("v").unwrap();
    assert!(!node.path("v", "").exists());
    assert_eq!(node.mounts().len(), 1);
    for stream in [&mut idle, &mut busy] {
        assert_eq!(
            stream.read(&mut [0; 1]).unwrap_or_default(),
            0,
            "it is still open"
        );
    }
    assert_eq!(get(&node, "w", "/v1/db").0, 200);
}

#[test]
fn what_is_too_much_or_comes_from_elsewhere_is_refused() {
    let node = Node::running();
    node.peer.put("db", "v-1", &[("value", "p1")]);
    node.publish_call(call(&node, "v", "db")).unwrap();
    let status = |head: &str| request(&node, "v", head).unwrap().0;
    assert_eq!(status("GET /v1/db HTTP/1.1\r\nX-Forwarded-For: 10.0.0.1"), 400);
    assert_eq!(status("POST /v1/db HTTP/1.1\r\nContent-Length: 0"), 405);
    assert_eq!(status("GET /ping HTTP/1.1"), 200);
    let long = format!("GET /v1/db HTTP/1.1\r\nX: {}", "x".repeat(20_000));
    assert!(request(&node, "v", &long).map_or(431, |(status, _)| status) == 431);

    // Connections beyond the bound wait for a place, and get one.
    let mut held: Vec<UnixStream> = (0..16).map(|_| connect(&node, "v").unwrap()).collect();
    for stream in &mut held {
        stream
            .write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        assert!(stream.read(&mut [0; 512]).unwrap() > 0);
    }
    let mut next = connect(&node, "v").unwrap();
    next.write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    next.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(
        next.read(&mut [0; 512]).is_err(),
        "it was served beyond the bound"
    );
    held.pop();
    next.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert!(next.read(&mut [0; 512]).unwrap() > 0);
}
