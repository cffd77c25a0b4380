//! The promise on several nodes: forty pods at once start with their secret and have each change before the
//! prompt is back; restarts of kubelet and of the plugin, a drain, a pod that goes while its volume is being
//! made and a full plugin lose nothing and leave nothing; and nobody gets a volume by a token that is not the
//! pod's own. On the real kubelets, from the chart.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::collections::HashMap;
use std::fs;

use hyper_util::rt::TokioIo;
use strongroom_e2e::Size;
use strongroom_node::proto::csi::node_client::NodeClient;
use strongroom_node::proto::csi::volume_capability::{AccessType, MountVolume};
use strongroom_node::proto::csi::{NodePublishVolumeRequest, VolumeCapability};
use tokio::net::UnixStream;
use tonic::transport::Endpoint;

use support::chart::CHART;
use support::{Fixture, eventually};

const NODES: [&str; 2] = ["node-a", "node-b"];
const PODS: usize = 40;

const OBJECTS: &str = "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: db, namespace: shop}\n\
    spec: {source: {external: {}}, readers: [app, other]}\n---\n\
    apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: app, namespace: shop}\n---\n\
    apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: other, namespace: shop}\n---\n\
    apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: nobody, namespace: shop}\n";

/// A pod's template for some node with a volume of these attributes.
fn template(account: &str, node: &str, attributes: &str) -> String {
    let node = if node.is_empty() {
        String::new()
    } else {
        format!(", nodeName: {node}")
    };
    format!(
        "{{serviceAccountName: {account}, automountServiceAccountToken: false, terminationGracePeriodSeconds: 0{node}, \
         securityContext: {{runAsNonRoot: true, runAsUser: 1000, seccompProfile: {{type: RuntimeDefault}}}}, containers: [{{name: app, image: \
         'strongroom.test/busybox:1', imagePullPolicy: Never, securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, \
         capabilities: {{drop: [ALL]}}}}, volumeMounts: [{{name: s, mountPath: /secret, readOnly: true}}]}}], volumes: [{{name: s, csi: {{driver: \
         csi.strongroom.dev, readOnly: true, volumeAttributes: {attributes}}}}}]}}"
    )
}

fn deployment(name: &str, replicas: usize, spec: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  replicas: {replicas}\n  selector: \
         {{matchLabels: {{app: {name}}}}}\n  template: {{metadata: {{labels: {{app: {name}}}}}, spec: {spec}}}\n"
    )
}

fn pod(name: &str, spec: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n")
}

/// What the pods of a node read in their volumes, read where each volume is mounted; sorted. A volume that
/// goes while it is read is none.
fn files(f: &Fixture, node: &str) -> Vec<String> {
    let said = f.on_node_named(
        node,
        "for file in /var/lib/kubelet/pods/*/volumes/kubernetes.io~csi/s/mount/password; do \
         if read=$(cat $file 2>/dev/null); then echo \"$read\"; fi; done",
    );
    let mut lines: Vec<_> = said.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// How many volumes of ours are mounted on a node.
fn mounts(f: &Fixture, node: &str) -> usize {
    let script = "grep -c '/var/lib/kubelet/pods/.* - tmpfs strongroom ' /proc/self/mountinfo || true";
    f.on_node_named(node, script).parse().unwrap()
}

/// All pods have this, and there are as many volumes as pods.
fn all_have(f: &Fixture, count: usize, password: &str) {
    let all: Vec<String> = NODES.iter().flat_map(|node| files(f, node)).collect();
    assert_eq!(all, vec![password; count]);
    let mounts: Vec<usize> = NODES.iter().map(|node| mounts(f, node)).collect();
    assert_eq!(mounts.iter().sum::<usize>(), count, "{mounts:?}");
}

#[test]
fn forty_pods_on_two_nodes_have_it_whatever_is_restarted() {
    let f = Fixture::with_volumes(Size::TwoNodes, &[], OBJECTS);
    f.first_put("db", "one");
    f.apply(&deployment("app", PODS, &template("app", "", "{secrets: db}")));
    f.rolled_out("shop", "deployment/app");
    all_have(&f, PODS, "one");
    for node in NODES {
        assert!(!files(&f, node).is_empty(), "{node} has pods");
    }
    f.put("db", "two");
    all_have(&f, PODS, "two");

    whatever_is_restarted(&f);
    a_pod_that_goes_early(&f);
    tokens_of_others(&f);
    a_drain(&f);
}

fn kill_plugins(f: &Fixture) {
    f.on_node("kill -9 $(pidof strongroom-node)");
}

/// The same, once the plugin follows all of them again: those for which it needs a token first have it at
/// kubelet's next look.
fn all_come_to_have(f: &Fixture, count: usize, password: &str) {
    eventually("all volumes to be followed again", || {
        let all = NODES.iter().flat_map(|node| files(f, node));
        (all.filter(|file| file == password).count() == count).then_some(())
    });
    all_have(f, count, password);
}

/// A pod that is made now starts, and a change that is made now arrives.
fn goes_on(f: &Fixture, name: &str, known: bool) {
    for node in NODES {
        let name = format!("{name}-{node}");
        f.apply(&pod(&name, &template("app", node, "{secrets: db}")));
        f.wait_pod(&name);
    }
    f.put("db", name);
    if known {
        all_have(f, PODS + 2, name);
    } else {
        all_come_to_have(f, PODS + 2, name);
    }
    for node in NODES {
        f.kubectl(&[
            "-n",
            "shop",
            "delete",
            "pod",
            &format!("{name}-{node}"),
            "--timeout=60s",
        ]);
    }
    eventually("their volumes to be gone", || {
        let left: usize = NODES.iter().map(|node| mounts(f, node)).sum();
        (left == PODS).then_some(())
    });
}

fn whatever_is_restarted(f: &Fixture) {
    // kubelet.
    for node in NODES {
        f.cluster.stop_kubelet(node).unwrap();
    }
    f.put("db", "without-kubelets");
    all_have(f, PODS, "without-kubelets");
    for node in NODES {
        f.cluster.start_kubelet(node).unwrap();
    }
    goes_on(f, "after-kubelets", true);
    // The plugin, which hears of its pods again by their tokens.
    kill_plugins(f);
    all_have(f, PODS, "after-kubelets");
    let consumers = f.jane(&["consumers", "db"], "").1;
    assert_eq!(
        consumers.matches("Volume ").count(),
        PODS,
        "they count meanwhile: {consumers}"
    );
    goes_on(f, "after-plugins", false);
    // Both.
    for node in NODES {
        f.cluster.stop_kubelet(node).unwrap();
    }
    kill_plugins(f);
    for node in NODES {
        f.cluster.start_kubelet(node).unwrap();
    }
    goes_on(f, "after-both", false);
}

/// A pod that is deleted while its volume is being made, because nobody answers for it, goes and leaves
/// nothing.
fn a_pod_that_goes_early(f: &Fixture) {
    f.scale_strongroom(0);
    f.apply(&pod("early", &template("nobody", "node-a", "{secrets: db}")));
    f.event("early", "the gateway does not answer");
    let before = mounts(f, "node-a");
    f.kubectl(&["-n", "shop", "delete", "pod", "early", "--timeout=120s"]);
    assert_eq!(mounts(f, "node-a"), before);
    let uid = "ls /run/strongroom-node/volumes | wc -l";
    assert_eq!(f.on_node(uid), before.to_string(), "a record a volume");
    f.scale_strongroom(1);
    goes_on(f, "after-the-early-one", false);
}

/// Asks a node's plugin as its kubelet would; how it refuses.
fn publish(f: &Fixture, node: &str, pod_uid: &str, token: &str) -> tonic::Status {
    let root = f.cluster.root_of(node).unwrap();
    let sockets = root.join("var/lib/kubelet/plugins_registry");
    let socket = fs::read_dir(sockets)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("csi.strongroom.dev"))
        .unwrap();
    let target = format!("/var/lib/kubelet/pods/{pod_uid}/volumes/kubernetes.io~csi/spoofed/mount");
    let context = [("pod.name", "p"), ("pod.namespace", "shop"), ("pod.uid", pod_uid)]
        .map(|(key, value)| (format!("csi.storage.k8s.io/{key}"), value.to_owned()));
    let tokens = serde_json::json!({"strongroom.dev": {"token": token, "expirationTimestamp": "x"}});
    let call = NodePublishVolumeRequest {
        volume_id: "csi-spoofed".to_owned(),
        target_path: target.clone(),
        volume_capability: Some(VolumeCapability {
            access_type: Some(AccessType::Mount(MountVolume::default())),
            access_mode: None,
        }),
        readonly: true,
        secrets: HashMap::from([(
            "csi.storage.k8s.io/serviceAccount.tokens".to_owned(),
            tokens.to_string(),
        )]),
        volume_context: context
            .into_iter()
            .chain([("secrets".to_owned(), "db".to_owned())])
            .collect(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refused = runtime.block_on(async move {
        let connector = move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        };
        let channel = Endpoint::from_static("http://plugin")
            .connect_with_connector(tower::service_fn(connector))
            .await
            .unwrap();
        NodeClient::new(channel)
            .node_publish_volume(call)
            .await
            .unwrap_err()
    });
    // Nothing is written: neither the mount nor its folder is there.
    assert!(!root.join(&target[1..]).exists(), "{target}");
    refused
}

fn tokens_of_others(f: &Fixture) {
    for (name, account, node) in [
        ("mine", "app", "node-a"),
        ("beside", "other", "node-a"),
        ("far", "app", "node-b"),
    ] {
        f.apply(&pod(name, &template(account, node, "{secrets: db}")));
        f.wait_pod(name);
    }
    let uid = |pod: &str| {
        let pod = f.json(&["-n", "shop", "get", "pod", pod]);
        pod["metadata"]["uid"].as_str().unwrap().to_owned()
    };
    let token = |account: &str, pod: Option<&str>, audience: &str| {
        let audience = format!("--audience={audience}");
        let mut create = vec!["-n", "shop", "create", "token", account, &audience];
        if let Some(pod) = pod {
            create.extend(["--bound-object-kind=Pod", "--bound-object-name", pod]);
        }
        f.kubectl(&create).trim().to_owned()
    };
    let mine = uid("mine");
    let refused = |token: &str| {
        let status = publish(f, "node-a", &mine, token);
        format!("{:?}: {}", status.code(), status.message())
    };
    let ours = "strongroom.dev";
    for (token, said) in [
        (
            token("other", Some("beside"), ours),
            "Unauthenticated: the token belongs to another pod",
        ),
        (
            token("app", Some("far"), ours),
            "PermissionDenied: the token does not belong to a pod that runs on node `node-a`",
        ),
        (
            token("app", None, ours),
            "PermissionDenied: the token does not belong to a pod",
        ),
        (
            token("app", Some("mine"), "https://kubernetes.default.svc"),
            "Unauthenticated: ",
        ),
        ("nonsense".to_owned(), "Unauthenticated: "),
    ] {
        let got = refused(&token);
        assert!(got.starts_with(said), "{got}");
        assert!(!got.contains(&token), "a token is told to nobody");
    }
    let of_the_gone = token("app", Some("mine"), ours);
    f.kubectl(&["-n", "shop", "delete", "pod", "mine", "--timeout=60s"]);
    // Tokens that were looked at are known for ten seconds; this one was not.
    let got = refused(&of_the_gone);
    assert!(got.starts_with("Unauthenticated: "), "{got}");
    // In volumeAttributes, where a pod's author can write one.
    let spoofed =
        "{secrets: db, csi.storage.k8s.io/serviceAccount.tokens: '{\"strongroom.dev\": {\"token\": \"x\"}}'}";
    f.apply(&pod("spoofs", &template("app", "node-a", spoofed)));
    f.event("spoofs", "volumeAttributes contain a ServiceAccount token");
    for name in ["beside", "far", "spoofs"] {
        f.kubectl(&["-n", "shop", "delete", "pod", name, "--timeout=60s"]);
    }
    // Each of the gateway's refusals is audited.
    let list = [
        "audit",
        "--all-namespaces",
        "--action",
        "Authenticate",
        "--output",
        "json",
    ];
    let (success, audit, stderr) = f.person(None, &list, "");
    assert!(success, "{stderr}");
    for code in ["OtherPod", "OtherNode", "Unauthenticated"] {
        assert!(audit.contains(code), "{code}: {audit}");
    }
}

/// Its pods go to the other node, and nothing of them stays.
fn a_drain(f: &Fixture) {
    f.kubectl(&[
        "drain",
        "node-b",
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--force",
        "--timeout=180s",
    ]);
    f.rolled_out("shop", "deployment/app");
    eventually("the other node to be empty", || {
        (mounts(f, "node-b") == 0).then_some(())
    });
    assert_eq!(
        f.on_node_named("node-b", "ls /run/strongroom-node/volumes | wc -l"),
        "0"
    );
    eventually("what went to be gone here too", || {
        (mounts(f, "node-a") == PODS).then_some(())
    });
    // Strongroom may have run there too: then it starts here, and the plugin finds it again.
    f.first_put("db", "drained");
    all_come_to_have(f, PODS, "drained");
    f.kubectl(&["uncordon", "node-b"]);
}

/// By an upgrade, out of the namespace of the root key, which then admits no privileged pod. What runs keeps
/// its files at every moment, and has changes again when the new plugin has taken over.
#[test]
fn the_plugin_moves_to_a_namespace_of_its_own_while_pods_have_volumes() {
    const RUNNING: usize = 3;
    let f = Fixture::with_volumes(Size::OneNode, &[], OBJECTS);
    f.first_put("db", "one");
    f.apply(&deployment("app", RUNNING, &template("app", "", "{secrets: db}")));
    f.rolled_out("shop", "deployment/app");
    let all = |password: &str| vec![password.to_owned(); RUNNING];
    assert_eq!(files(&f, "node-a"), all("one"));
    let moves = "node.namespace=nodes,node.createNamespace=true";
    f.helm(&["upgrade", "strongroom", CHART, "--reuse-values", "--set", moves]);
    eventually("the plugin to have moved", || {
        assert_eq!(files(&f, "node-a"), all("one"), "at every moment of the move");
        let moved = f.json(&["-n", "nodes", "get", "daemonset", "strongroom-node"]);
        let here = f.json(&[
            "-n",
            "strongroom",
            "get",
            "pods",
            "-l",
            "app.kubernetes.io/component=node",
        ]);
        let gone = here["items"].as_array()?.is_empty();
        (gone && moved["status"]["numberReady"] == 1).then_some(())
    });
    let missing = ["-n", "strongroom", "get", "serviceaccount", "strongroom-node"];
    assert!(f.refused(&missing, "").contains("not found"));
    // The namespace of the root key needs to admit none but restricted pods now.
    f.kubectl(&[
        "label",
        "namespace",
        "strongroom",
        "pod-security.kubernetes.io/enforce=restricted",
    ]);
    f.rolled_out("strongroom", "statefulset/strongroom");
    f.kubectl(&["-n", "strongroom", "delete", "pod", "strongroom-0"]);
    f.rolled_out("strongroom", "statefulset/strongroom");
    f.first_put("db", "two");
    eventually("the change to be in all volumes", || {
        (files(&f, "node-a") == all("two")).then_some(())
    });
    assert_eq!(mounts(&f, "node-a"), RUNNING);
    // As before: a change is there when the prompt is back, a pod starts, and what goes leaves nothing.
    f.put("db", "three");
    assert_eq!(files(&f, "node-a"), all("three"));
    f.apply(&pod("late", &template("app", "", "{secrets: db}")));
    f.wait_pod("late");
    assert_eq!(f.file_in("late", "/secret/password"), "three");
    f.kubectl(&["-n", "shop", "delete", "pod", "late", "--timeout=60s"]);
    f.kubectl(&["-n", "shop", "delete", "deployment", "app", "--timeout=60s"]);
    eventually("the volumes to be gone", || {
        (mounts(&f, "node-a") == 0).then_some(())
    });
    eventually("nothing of them to be kept", || {
        (f.on_node("ls /run/strongroom-node/volumes | wc -l") == "0").then_some(())
    });
}

#[test]
fn a_plugin_whose_memory_is_full_refuses_new_pods_and_keeps_the_others() {
    let f = Fixture::with_volumes(Size::OneNode, &["node.resources.limits.memory=64Mi"], OBJECTS);
    f.first_put("db", &"x".repeat(60_000));
    // Thirty copies of it: nearly two MiB a volume.
    let copies: Vec<String> = (0..30)
        .map(|number| format!("{{path: f{number}, secret: db, key: password}}"))
        .collect();
    let set = format!(
        "{{set: \"{{secrets: {{db: db}}, files: [{{path: password, secret: db, key: password}}, {}]}}\"}}",
        copies.join(", ")
    );
    f.apply(&deployment("app", 24, &template("app", "", &set)));
    let full = "left for volumes on this node: raise the chart's `node.resources.limits.memory`";
    eventually("pods to be refused", || {
        let events = f.json(&[
            "-n",
            "shop",
            "get",
            "events",
            "--field-selector",
            "reason=FailedMount",
        ]);
        events.to_string().contains(full).then_some(())
    });
    let ready = || {
        let app = f.json(&["-n", "shop", "get", "deployment", "app"]);
        app["status"]["readyReplicas"].as_u64().unwrap_or_default()
    };
    eventually("most to run", || (ready() >= 12).then_some(()));
    let plugin = || {
        let label = "app.kubernetes.io/component=node";
        let pods = f.json(&["-n", "strongroom", "get", "pods", "-l", label]);
        pods["items"][0]["status"]["containerStatuses"][0].clone()
    };
    let container = plugin();
    assert_eq!(
        container["restartCount"], 0,
        "the kernel had no reason to end it: {}",
        container["lastState"]
    );
    // Those that run have every change, and as they go others start.
    f.put("db", &"y".repeat(60_000));
    let running = ready();
    f.kubectl(&["-n", "shop", "scale", "deployment", "app", "--replicas=12"]);
    f.rolled_out("shop", "deployment/app");
    assert!(running < 24, "{running}");
    let new: Vec<String> = files(&f, "node-a")
        .iter()
        .map(|file| file[..3.min(file.len())].to_owned())
        .collect();
    assert!(new.len() >= 12 && new.iter().all(|file| file == "yyy"), "{new:?}");
    assert_eq!(plugin()["restartCount"], 0);
}
