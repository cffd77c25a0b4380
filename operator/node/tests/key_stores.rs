//! The promise: a key store in a volume opens with the secret's password, follows its certificate, and is not
//! written again for the sake of its random bytes.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use std::fs;
use std::process::Command;

use strongroom_testing::wait::eventually;
use tonic::Code;

use support::Node;

const FILES: &str = "[{name: tls, keys: [tls.crt], files: [{path: keystore.p12, format: pkcs12, password: storepass}, \
    {path: truststore.p12, format: pkcs12-truststore, password: storepass}]}]";

fn put(node: &Node, version: &str, password: &str) {
    let made = rcgen::generate_simple_self_signed([format!("{version}.example.com")]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let keys = [
        ("tls.crt", certificate.as_str()),
        ("tls.key", &key),
        ("ca.crt", &certificate),
        ("storepass", password),
    ];
    node.peer.put("tls", version, &keys);
}

/// So many stores of the certificate alone.
fn stores(count: usize) -> String {
    let files: Vec<String> = (0..count)
        .map(|number| format!("{{path: s{number}.p12, format: pkcs12-truststore, password: storepass}}"))
        .collect();
    format!("[{{name: tls, keys: [tls.crt], files: [{}]}}]", files.join(", "))
}

/// The names that the certificates in a store are for.
fn names(node: &Node, store: &str, password: &str) -> String {
    let script = format!(
        "openssl pkcs12 -in {} -passin pass:{password} -nokeys | openssl x509 -noout -ext subjectAltName",
        node.path("v", store).display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_key_store_follows_its_secret_and_stays_as_it_is_otherwise() {
    let mut node = Node::running();
    put(&node, "v-1", "first");
    node.publish("v", FILES).unwrap();
    for store in ["keystore.p12", "truststore.p12"] {
        assert!(
            names(&node, store, "first").contains("v-1.example.com"),
            "{store}"
        );
    }
    let before = fs::read_link(node.path("v", "..data")).unwrap();
    node.kill();
    node.start(None);
    node.publish("v", FILES).unwrap();
    // The new plugin has looked at it by the time that it says so.
    eventually("the volume to be acknowledged anew", || {
        let metrics = node.metrics()?;
        metrics
            .contains("strongroom_node_updates_total{outcome=\"updated\"} 1")
            .then_some(())
    });
    assert_eq!(
        fs::read_link(node.path("v", "..data")).unwrap(),
        before,
        "it was written again"
    );
    put(&node, "v-2", "second");
    eventually("the new certificate", || {
        names(&node, "keystore.p12", "second")
            .contains("v-2.example.com")
            .then_some(())
    });
    // What does not fit leaves it as it is.
    node.peer
        .put("tls", "v-3", &[("tls.crt", "x"), ("storepass", "second")]);
    eventually("the failure to be told", || {
        let seen = node.peer.seen();
        let shows = seen.applied.get("v")?.get(&0)?;
        shows.contains("no key `tls.key`").then_some(())
    });
    assert!(names(&node, "keystore.p12", "second").contains("v-2.example.com"));
    assert!(!node.log().contains("BEGIN"));
}

#[test]
fn a_volume_has_at_most_eight_key_stores() {
    let node = Node::running();
    put(&node, "v-1", "first");
    let refused = node.publish("v", &stores(9)).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("9 key stores; at most 8"),
        "{}",
        refused.message()
    );
    assert!(node.mounts().is_empty());
    node.publish("v", &stores(8)).unwrap();
    assert!(names(&node, "s7.p12", "first").contains("v-1.example.com"));
}

#[test]
fn the_plugin_answers_while_key_stores_are_made() {
    let node = Node::running();
    put(&node, "v-0", "first");
    node.publish("v", &stores(8)).unwrap();
    let mut version = 0;
    // Its metrics come from the thread that holds the stream and answers kubelet too: were stores made on it,
    // it would never say so.
    eventually("metrics that come meanwhile", || {
        version += 1;
        put(&node, &format!("v-{version}"), "first");
        node.metrics()?
            .contains("strongroom_node_work_running 1")
            .then_some(())
    });
}
