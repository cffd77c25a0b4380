//! The promise: `kubectl strongroom put` changes the files of all pods before the command's prompt is back; a pod that may not read its secret does not
//! start, and its event says which policy is missing; what a pod has stays with it while Strongroom is away; it may ask its volume's socket, and hears of
//! a change. On the real kubelet, from the chart.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use strongroom_e2e::{Size, Strongroom};
use support::{Fixture, eventually};

/// A secret whose values come from outside, and who may read it.
const OBJECTS: &str = "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: db, namespace: shop}\n\
    spec: {source: {external: {}}, readers: [app]}\n---\n\
    apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: app, namespace: shop}\n---\n\
    apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: other, namespace: shop}\n";

/// A person who may do everything with secrets, and see the objects.
const JANE: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: people, namespace: shop}\n\
    roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: strongroom-user}\n\
    subjects: [{kind: User, name: jane, apiGroup: rbac.authorization.k8s.io}]\n---\n\
    apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: view, namespace: shop}\n\
    roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}\n\
    subjects: [{kind: User, name: jane, apiGroup: rbac.authorization.k8s.io}]\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: jane, namespace: shop}\nspec:\n  secrets: [\"*\"]\n  \
    statements:\n  - {effect: Allow, principals: [{user: jane}], actions: [\"secrets:*\"]}\n---\n\
    apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: audit, namespace: shop}\n\
    roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: strongroom-auditor}\n\
    subjects: [{kind: User, name: jane, apiGroup: rbac.authorization.k8s.io}]\n";

/// Two replicas in the strictest profile, with the secret at `/secret`.
fn deployment(name: &str, account: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  replicas: 2\n  selector: {{matchLabels: \
         {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      serviceAccountName: {account}\n      \
         automountServiceAccountToken: false\n      terminationGracePeriodSeconds: 0\n      securityContext: {{runAsNonRoot: true, runAsUser: 1000, \
         seccompProfile: {{type: RuntimeDefault}}}}\n      containers:\n      - name: app\n        image: strongroom.test/busybox:1\n        \
         imagePullPolicy: Never\n        securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: \
         {{drop: [ALL]}}}}\n        volumeMounts: [{{name: s, mountPath: /secret, readOnly: true}}]\n      volumes:\n      - name: s\n        \
         csi: {{driver: csi.strongroom.dev, readOnly: true, volumeAttributes: {{secrets: db}}}}\n"
    )
}

/// A cluster with a node and everything of the chart.
fn installed() -> Fixture {
    let f = Fixture::bare(Size::OneNode);
    f.cluster.load_strongroom().unwrap();
    f.cluster.load_node_plugin().unwrap();
    f.kubectl(&["create", "namespace", "strongroom"]);
    f.install(&["gateway.clusterIP=10.96.0.77", "node.enabled=true"]);
    let rollout = [
        "-n",
        "strongroom",
        "rollout",
        "status",
        "daemonset/strongroom-node",
        "--timeout=120s",
    ];
    f.kubectl(&rollout);
    let available = [
        "wait",
        "--for=condition=Available",
        "apiservice/v1.people.strongroom.dev",
        "--timeout=120s",
    ];
    f.kubectl(&available);
    f.kubectl(&["create", "namespace", "shop"]);
    f.kubectl(&[
        "label",
        "namespace",
        "shop",
        "pod-security.kubernetes.io/enforce=restricted",
    ]);
    f.apply(OBJECTS);
    f.apply(JANE);
    f
}

/// `kubectl strongroom` in namespace `shop`: whether it went well, and what it said.
fn people(f: &Fixture, arguments: &[&str], stdin: &str) -> (bool, String, String) {
    let mut command = Command::new(Strongroom::binary().with_file_name("kubectl-strongroom"));
    command
        .env("KUBECONFIG", f.cluster.kubeconfig())
        .args([
            "--namespace",
            "shop",
            "--as",
            "jane",
            "--as-group",
            "system:authenticated",
        ])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// A put that is done when everybody has it.
fn put(f: &Fixture, password: &str) {
    let put = ["put", "db", "--key", "password", "--wait", "60s"];
    let (success, _, stderr) = people(f, &put, password);
    assert!(success, "{stderr}");
}

/// Names of the pods of a deployment.
fn pods(f: &Fixture, name: &str) -> Vec<String> {
    let label = format!("app={name}");
    let pods = f.json(&["-n", "shop", "get", "pods", "-l", &label]);
    let pods = pods["items"].as_array().unwrap();
    let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap().to_owned();
    pods.iter().map(name).collect()
}

fn rolled_out(f: &Fixture, name: &str) {
    let target = format!("deployment/{name}");
    f.kubectl(&["-n", "shop", "rollout", "status", &target, "--timeout=120s"]);
}

/// Waits until an event of a pod says this.
fn event(f: &Fixture, pod: &str, said: &str) {
    eventually(&format!("an event of {pod} with `{said}`"), || {
        let about = format!("involvedObject.name={pod}");
        let events = f.json(&["-n", "shop", "get", "events", "--field-selector", &about]);
        let events = events["items"].as_array()?.clone();
        let says = |event: &Value| event["message"].as_str().unwrap_or_default().contains(said);
        events.iter().any(says).then_some(())
    });
}

#[test]
fn a_put_is_in_every_pod_before_the_prompt_is_back_and_a_stranger_does_not_start() {
    let f = installed();
    // Object, policy and rights are seen before long.
    eventually("the first put", || {
        let put = ["put", "db", "--key", "password", "--wait", "60s"];
        people(&f, &put, "MARKER-1").0.then_some(())
    });
    f.apply(&deployment("app", "app"));
    rolled_out(&f, "app");
    let of_app = pods(&f, "app");
    assert_eq!(of_app.len(), 2);
    for pod in &of_app {
        assert_eq!(f.file_in(pod, "/secret/password"), "MARKER-1");
    }

    // No look again, no waiting: when the command is done the files are new.
    for round in ["MARKER-2", "MARKER-3", "MARKER-4"] {
        put(&f, round);
        for pod in &of_app {
            assert_eq!(f.file_in(pod, "/secret/password"), round);
        }
    }
    let (_, consumers, _) = people(&f, &["consumers", "db"], "");
    let current = f.managed("db")["status"]["stages"]["Current"]
        .as_str()
        .unwrap()
        .to_owned();
    for pod in &of_app {
        let line = consumers
            .lines()
            .find(|line| line.contains(pod))
            .unwrap_or(&consumers);
        assert!(line.contains(&current) && line.contains("Shows"), "{consumers}");
    }

    // Somebody else's pod does not start, and what to apply stands in its event.
    f.apply(&deployment("other", "other"));
    let stranger = eventually("a pod of the stranger", || pods(&f, "other").pop());
    event(
        &f,
        &stranger,
        "no policy in namespace `shop` allows secrets:GetSecretValue",
    );
    let (_, explained, _) = people(&f, &["explain", "shop/other", "GetSecretValue", "db"], "");
    assert!(explained.starts_with("denied"), "{explained}");
    // It starts as soon as it may.
    f.apply(&OBJECTS.replace("readers: [app]", "readers: [app, other]"));
    rolled_out(&f, "other");

    // Whoever may not any more keeps its files, unless the owner wants them gone.
    f.apply(&OBJECTS.replace("readers: [app]", "readers: [app], delivery: {onRevoke: Wipe}"));
    let other = pods(&f, "other");
    eventually("the files of the stranger to be gone", || {
        let list = [
            "-n",
            "shop",
            "exec",
            &other[0],
            "--",
            "cat",
            "/secret/..strongroom.json",
        ];
        let said = f.cluster.kubectl(&list).unwrap();
        String::from_utf8_lossy(&said.stdout)
            .contains("revoked")
            .then_some(())
    });
    let gone = ["-n", "shop", "exec", &other[0], "--", "cat", "/secret/password"];
    assert!(!f.cluster.kubectl(&gone).unwrap().status.success());
    assert_eq!(f.file_in(&of_app[0], "/secret/password"), "MARKER-4");

    // Strongroom away: nothing happens to what runs.
    f.kubectl(&[
        "-n",
        "strongroom",
        "scale",
        "statefulset",
        "strongroom",
        "--replicas=0",
    ]);
    f.wait_gone();
    for pod in &of_app {
        assert_eq!(f.file_in(pod, "/secret/password"), "MARKER-4");
    }
    // New pods of who was allowed it on this node start, also after the plugin was replaced; those of others do not.
    f.kubectl(&[
        "-n",
        "strongroom",
        "rollout",
        "restart",
        "daemonset/strongroom-node",
    ]);
    f.kubectl(&[
        "-n",
        "strongroom",
        "rollout",
        "status",
        "daemonset/strongroom-node",
        "--timeout=120s",
    ]);
    f.kubectl(&["-n", "shop", "delete", "pod", &of_app[0], "--timeout=60s"]);
    f.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: late, namespace: shop}\n");
    f.apply(&deployment("late", "late"));
    rolled_out(&f, "app");
    let of_app = pods(&f, "app");
    for pod in &of_app {
        assert_eq!(f.file_in(pod, "/secret/password"), "MARKER-4");
    }
    let new = of_app.iter().find(|pod| {
        f.file_in(pod, "/secret/..strongroom.json")
            .contains("\"state\":\"offline\"")
    });
    let new = new.unwrap().clone();
    let late = pods(&f, "late").pop().unwrap();
    event(&f, &late, "the gateway does not answer");
    f.kubectl(&["-n", "shop", "delete", "deployment", "late"]);
    f.kubectl(&[
        "-n",
        "strongroom",
        "scale",
        "statefulset",
        "strongroom",
        "--replicas=1",
    ]);
    f.kubectl(&[
        "-n",
        "strongroom",
        "rollout",
        "status",
        "statefulset/strongroom",
        "--timeout=120s",
    ]);
    // It is as it was: every node is there again.
    eventually("a put after the return", || {
        let put = ["put", "db", "--key", "password", "--wait", "60s"];
        people(&f, &put, "MARKER-5").0.then_some(())
    });
    for pod in &of_app {
        eventually("the new file", || {
            (f.file_in(pod, "/secret/password") == "MARKER-5").then_some(())
        });
    }
    // What the node served alone is on record.
    let (_, audit, _) = people(&f, &["audit", "--secret", "db", "--output", "json"], "");
    assert!(
        audit.contains("without a gateway") && audit.contains(&new),
        "{audit}"
    );
    // No value is on the node but in the volumes' memory.
    let mut search = Command::new("sh");
    search.args([
        "-c",
        "grep -rlF MARKER- /var/log /run/strongroom-node /var/lib/strongroom-node /var/lib/kubelet --include='*' 2>/dev/null | grep -v '/volumes/kubernetes.io~csi/s/mount/' || true",
    ]);
    let found = f.cluster.inside(&search).unwrap().output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    let described = f.kubectl(&["-n", "shop", "describe", "pods"]);
    assert!(!described.contains("MARKER-"));
}

/// A pod that is told of changes, and says in its log what it hears and what it reads then.
const LISTENER: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: listener, namespace: shop}\nspec:\n  serviceAccountName: app\n  \
    automountServiceAccountToken: false\n  terminationGracePeriodSeconds: 0\n  securityContext: {runAsNonRoot: true, runAsUser: 1000, fsGroup: 2000, \
    seccompProfile: {type: RuntimeDefault}}\n  containers:\n  - name: app\n    image: strongroom.test/busybox:1\n    imagePullPolicy: Never\n    \
    command:\n    - sh\n    - -c\n    - |\n      while true; do nc -l -p 8080 -e sh -c 'read -r line; while read -r head && [ ${#head} -gt 1 ]; do :; done; \
    echo \"heard $line, then read $(cat /secret/password)\" >&2; printf \"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n\"'; done\n    \
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}\n    \
    volumeMounts: [{name: s, mountPath: /secret, readOnly: true}]\n  volumes:\n  - name: s\n    csi:\n      driver: csi.strongroom.dev\n      \
    readOnly: true\n      volumeAttributes: {secrets: db, socket: \"true\", notifyPort: \"8080\", notifyPath: /-/reload}\n";

/// What a volume's socket answers inside of a pod, by way of the pod's own read-only mount.
fn asked(f: &Fixture, uri: &str) -> String {
    let script = format!(
        "for process in /proc/[0-9]*; do socket=$process/root/secret/..strongroom.sock; [ ! -S $socket ] || \
         exec curl --silent --unix-socket $socket 'http://localhost{uri}'; done"
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]);
    let output = f.cluster.inside(&command).unwrap().output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_pod_asks_its_volumes_socket_and_hears_of_a_change() {
    let f = installed();
    eventually("the first put", || {
        let put = ["put", "db", "--key", "password", "--wait", "60s"];
        people(&f, &put, "MARKER-1").0.then_some(())
    });
    f.apply(LISTENER);
    f.wait_pod("listener");
    let answer: Value = serde_json::from_str(&asked(&f, "/secretsmanager/get?secretId=db")).unwrap();
    assert_eq!(answer["SecretString"], "{\"password\":\"MARKER-1\"}");
    let mode = [
        "-n",
        "shop",
        "exec",
        "listener",
        "--",
        "stat",
        "-c",
        "%a %g",
        "/secret/..strongroom.sock",
    ];
    assert_eq!(f.kubectl(&mode).trim(), "660 2000");
    // When the command is done the answer is new, and before long the pod has heard of it.
    put(&f, "MARKER-2");
    assert!(asked(&f, "/v1/db").contains("MARKER-2"));
    eventually("the pod to hear of it", || {
        f.kubectl(&["-n", "shop", "logs", "listener"])
            .contains("heard POST /-/reload HTTP/1.1\r, then read MARKER-2")
            .then_some(())
    });
    event(
        &f,
        "listener",
        "the pod was told at port 8080 that its volume has changed: 200",
    );
    assert!(asked(&f, "/v1/other").contains("this volume has no secret `other`"));
    // Files that go take the answer with them.
    f.apply(&OBJECTS.replace("readers: [app]", "delivery: {onRevoke: Wipe}"));
    eventually("the answer to be taken away", || {
        asked(&f, "/v1/db")
            .contains("AccessDeniedException")
            .then_some(())
    });
    f.kubectl(&["-n", "shop", "delete", "pod", "listener", "--timeout=60s"]);
    let mounts = "grep -c '/pods/.* - tmpfs strongroom ' /proc/self/mountinfo || true";
    eventually("the volume to be gone", || {
        let mut command = Command::new("sh");
        command.args(["-c", mounts]);
        let output = f.cluster.inside(&command).unwrap().output().unwrap();
        (output.stdout == b"0\n").then_some(())
    });
}
