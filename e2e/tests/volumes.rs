//! The promise: a pod mounts a secret as files, which change while it runs, and outlive the plugin that made
//! them. On the real kubelet, with the plugin as the chart installs it; above it a gateway's peer of the
//! test's own.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use std::net::SocketAddr;

use data_encoding::BASE64URL_NOPAD;
use strongroom_e2e::{GatewayPeer, ListenOptions, Size};
use support::chart::{CHART, templates};
use support::{Fixture, eventually};

/// A cluster with a node, the plugin on it, and a peer that the plugin reaches over TLS.
fn node() -> (Fixture, GatewayPeer) {
    let f = Fixture::bare(Size::OneNode);
    let (network, address) = f.cluster.network().unwrap();
    let peer = GatewayPeer::start_at(ListenOptions {
        address: SocketAddr::new(address, 0),
        network: Some(&network),
        tls: true,
    })
    .unwrap();
    f.cluster.load_node_plugin().unwrap();
    for namespace in ["strongroom", "shop"] {
        f.kubectl(&["create", "namespace", namespace]);
    }
    // Pods of the strictest profile may mount our volumes.
    f.kubectl(&[
        "label",
        "namespace",
        "shop",
        "pod-security.kubernetes.io/enforce=restricted",
    ]);
    let authority = format!("--from-literal=ca.crt={}", peer.authority().unwrap());
    f.kubectl(&[
        "-n",
        "strongroom",
        "create",
        "configmap",
        "strongroom-ca",
        &authority,
    ]);
    let (success, _, stderr) = f.piped(&["-n", "strongroom", "apply", "-f", "-"], &chart(&peer));
    assert!(success, "{stderr}");
    f.rolled_out("strongroom", "daemonset/strongroom-node");
    (f, peer)
}

/// The chart's objects for nodes.
fn chart(peer: &GatewayPeer) -> String {
    let names = ["node-daemonset", "node-csidriver", "node-rbac"];
    let url = format!("node.gateway.url={}", peer.url());
    templates(CHART, &names, &["node.enabled=true", &url])
}

/// A pod that nothing more can be taken from, with a volume of this secret at `/secret`.
fn pod(name: &str, secrets: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  automountServiceAccountToken: false\n  \
         terminationGracePeriodSeconds: 0\n  securityContext: {{runAsNonRoot: true, runAsUser: 1000, fsGroup: 2000, \
         seccompProfile: {{type: RuntimeDefault}}}}\n  containers:\n  - name: app\n    image: strongroom.test/busybox:1\n    \
         imagePullPolicy: Never\n    securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: \
         {{drop: [ALL]}}}}\n    volumeMounts: [{{name: s, mountPath: /secret, readOnly: true}}]\n  volumes:\n  - name: s\n    csi:\n      \
         driver: csi.strongroom.dev\n      readOnly: true\n      volumeAttributes: {{secrets: \"{secrets}\"}}\n"
    )
}

/// Waits until a file in the pod has this text.
fn wait_file(f: &Fixture, pod: &str, file: &str, text: &str) {
    let path = format!("/secret/{file}");
    eventually(&format!("{file} in {pod} to be `{text}`"), || {
        let output = f
            .cluster
            .kubectl(&["-n", "shop", "exec", pod, "--", "cat", &path])
            .unwrap();
        (output.stdout == text.as_bytes()).then_some(())
    });
}

/// How many volumes of ours are mounted in the node's own tree.
fn mounts(f: &Fixture) -> String {
    f.on_node("grep -c '/pods/.* - tmpfs strongroom ' /proc/self/mountinfo")
}

/// The claims of a token, unverified.
fn claims(token: &str) -> serde_json::Value {
    let body = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(body.as_bytes()).unwrap()).unwrap()
}

#[test]
fn a_pod_mounts_a_secret_that_changes_and_outlives_the_plugin() {
    let (f, peer) = node();
    // kubelet took the plugin in by itself, without a registrar.
    eventually("the driver to be registered", || {
        let node = f.json(&["get", "csinode", "node-a"]);
        let drivers = node["spec"]["drivers"].as_array()?.clone();
        drivers
            .iter()
            .any(|driver| driver["name"] == "csi.strongroom.dev")
            .then_some(())
    });
    peer.put("db", "v-1", &[("username", "u1"), ("password", "p1")]);
    f.apply(&pod("app", "db"));
    f.wait_pod("app");
    assert_eq!(f.file_in("app", "/secret/password"), "p1");
    assert_eq!(
        f.kubectl(&[
            "-n",
            "shop",
            "exec",
            "app",
            "--",
            "stat",
            "-Lc",
            "%a %g",
            "/secret/password"
        ])
        .trim(),
        "440 2000"
    );
    let refused = f
        .cluster
        .kubectl(&["-n", "shop", "exec", "app", "--", "touch", "/secret/x"])
        .unwrap();
    assert!(!refused.status.success(), "the volume is not read-only");

    // The token that went up is the pod's own, for the gateway alone; none is in the volume's attributes on
    // the node.
    let seen = peer.seen();
    let (volume, token) = seen.tokens.iter().next().unwrap();
    let claims = claims(token);
    assert_eq!(claims["aud"][0], "strongroom.dev");
    assert_eq!(claims["kubernetes.io"]["pod"]["name"], "app");
    assert_eq!(claims["kubernetes.io"]["node"]["name"], "node-a");
    assert!(volume.starts_with("csi-"));

    // A change reaches the running pod.
    peer.put("db", "v-2", &[("username", "u2"), ("password", "p2")]);
    wait_file(&f, "app", "password", "p2");
    eventually("the version to be acknowledged", || {
        peer.seen()
            .applied
            .values()
            .any(|shows| shows.get(&0).is_some_and(|version| version == "v-2"))
            .then_some(())
    });

    // What somebody broke on the node is mended by kubelet's next publish.
    f.on_node("rm /var/lib/kubelet/pods/*/volumes/kubernetes.io~csi/s/mount/password");
    wait_file(&f, "app", "password", "p2");

    // Killed where it stands, it is started again; the pod keeps its files, and follows on.
    let before = f.on_node("pidof strongroom-node");
    f.on_node("kill -9 $(pidof strongroom-node)");
    assert_eq!(f.file_in("app", "/secret/password"), "p2");
    peer.put("db", "v-3", &[("password", "p3")]);
    f.apply(&pod("second", "db"));
    wait_file(&f, "app", "password", "p3");
    f.wait_pod("second");
    assert_eq!(f.file_in("second", "/secret/password"), "p3");
    assert_ne!(f.on_node("pidof strongroom-node"), before);
    assert_eq!(mounts(&f), "2");

    // Replaced as by an upgrade, while pods run.
    f.replace_node_plugin();
    peer.put("db", "v-4", &[("password", "p4")]);
    wait_file(&f, "app", "password", "p4");
    wait_file(&f, "second", "password", "p4");

    for pod in ["app", "second"] {
        f.kubectl(&["-n", "shop", "delete", "pod", pod, "--timeout=60s"]);
    }
    eventually("the volumes to be gone", || (mounts(&f) == "0").then_some(()));
    assert_eq!(f.on_node("ls /run/strongroom-node/volumes | wc -l"), "0");
}

#[test]
fn a_pod_that_may_not_read_does_not_start_and_its_event_says_why() {
    let (f, peer) = node();
    peer.put("db", "v-1", &[("password", "MARKER")]);
    peer.deny("db", "no SecretPolicy lets `shop/default` read `db`", false);
    f.apply(&pod("app", "db"));
    f.apply(&pod("typo", "[{name: db, sauce: x}]"));
    let event = |pod: &str, said: &str| {
        eventually(&format!("the event of {pod}"), || {
            let about = format!("involvedObject.name={pod}");
            let events = f.json(&["-n", "shop", "get", "events", "--field-selector", &about]);
            let events = events["items"].as_array()?.clone();
            events
                .iter()
                .any(|event| event["message"].as_str().unwrap_or_default().contains(said))
                .then_some(())
        });
    };
    event("app", "no SecretPolicy lets `shop/default` read `db`");
    event("typo", "sauce");
    assert_eq!(mounts(&f), "0");
    // It starts as soon as it may.
    peer.allow("db");
    f.wait_pod("app");
    assert_eq!(f.file_in("app", "/secret/password"), "MARKER");
    // The value is in the volume, and nowhere else on the node.
    let found = f.on_node(
        "grep -rl MARKER /var/lib/kubelet/pods/*/volumes/kubernetes.io~csi/s/vol_data.json /run/strongroom-node /var/log || true",
    );
    assert_eq!(found, "");
}
