//! The promise: `kubectl strongroom put` changes the files of all pods before the command's prompt is back; a
//! pod that may not read its secret does not start, and its event says which policy is missing; what a pod
//! has stays with it while Strongroom is away; it may ask its volume's socket, and hears of a change. On the
//! real kubelet, from the chart.

mod support;

use serde_json::Value;
use strongroom_e2e::Size;
use support::{Fixture, eventually};

/// A secret whose values come from outside, and who may read it.
const OBJECTS: &str = "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: db, namespace: shop}\n\
    spec: {source: {external: {}}, readers: [app]}\n---\n\
    apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: app, namespace: shop}\n---\n\
    apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: other, namespace: shop}\n";

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
    Fixture::with_volumes(Size::OneNode, &[], OBJECTS)
}

#[test]
fn a_put_is_in_every_pod_before_the_prompt_is_back_and_a_stranger_does_not_start() {
    let f = installed();
    // Object, policy and rights are seen before long.
    f.first_put("db", "MARKER-1");
    f.apply(&deployment("app", "app"));
    f.rolled_out("shop", "deployment/app");
    let of_app = f.pods("app");
    assert_eq!(of_app.len(), 2);
    for pod in &of_app {
        assert_eq!(f.file_in(pod, "/secret/password"), "MARKER-1");
    }

    // No look again, no waiting: when the command is done the files are new.
    for round in ["MARKER-2", "MARKER-3", "MARKER-4"] {
        f.put("db", round);
        for pod in &of_app {
            assert_eq!(f.file_in(pod, "/secret/password"), round);
        }
    }
    let (_, consumers, _) = f.jane(&["consumers", "db"], "");
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
    let stranger = eventually("a pod of the stranger", || f.pods("other").pop());
    f.event(
        &stranger,
        "no policy in namespace `shop` allows secrets:GetSecretValue",
    );
    let (_, explained, _) = f.jane(&["explain", "shop/other", "GetSecretValue", "db"], "");
    assert!(explained.starts_with("denied"), "{explained}");
    // It starts as soon as it may.
    f.apply(&OBJECTS.replace("readers: [app]", "readers: [app, other]"));
    f.rolled_out("shop", "deployment/other");

    // Whoever may not any more keeps its files, unless the owner wants them gone.
    f.apply(&OBJECTS.replace("readers: [app]", "readers: [app], delivery: {onRevoke: Wipe}"));
    let other = f.pods("other");
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
    f.scale_strongroom(0);
    for pod in &of_app {
        assert_eq!(f.file_in(pod, "/secret/password"), "MARKER-4");
    }
    // New pods of who was allowed it on this node start, also after the plugin was replaced; those of others
    // do not.
    f.replace_node_plugin();
    f.kubectl(&["-n", "shop", "delete", "pod", &of_app[0], "--timeout=60s"]);
    f.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: late, namespace: shop}\n");
    f.apply(&deployment("late", "late"));
    f.rolled_out("shop", "deployment/app");
    let of_app = f.pods("app");
    for pod in &of_app {
        assert_eq!(f.file_in(pod, "/secret/password"), "MARKER-4");
    }
    let new = of_app.iter().find(|pod| {
        f.file_in(pod, "/secret/..strongroom.json")
            .contains("\"state\":\"offline\"")
    });
    let new = new.unwrap().clone();
    let late = f.pods("late").pop().unwrap();
    f.event(&late, "the gateway does not answer");
    f.kubectl(&["-n", "shop", "delete", "deployment", "late"]);
    f.scale_strongroom(1);
    // It is as it was: every node is there again.
    eventually("a put after the return", || {
        let put = ["put", "db", "--key", "password", "--wait", "60s"];
        f.jane(&put, "MARKER-5").0.then_some(())
    });
    for pod in &of_app {
        eventually("the new file", || {
            (f.file_in(pod, "/secret/password") == "MARKER-5").then_some(())
        });
    }
    // What the node served alone is audited.
    let (_, audit, _) = f.jane(&["audit", "--secret", "db", "--output", "json"], "");
    assert!(audit.contains("while offline") && audit.contains(&new), "{audit}");
    // No value is on the node but in the volumes' memory.
    let found = f.on_node(
        "grep -rlF MARKER- /var/log /run/strongroom-node /var/lib/strongroom-node /var/lib/kubelet --include='*' 2>/dev/null | grep -v '/volumes/kubernetes.io~csi/s/mount/' || true",
    );
    assert_eq!(found, "");
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
    f.on_node(&script)
}

#[test]
fn a_pod_asks_its_volumes_socket_and_hears_of_a_change() {
    let f = installed();
    f.first_put("db", "MARKER-1");
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
    f.put("db", "MARKER-2");
    assert!(asked(&f, "/v1/db").contains("MARKER-2"));
    eventually("the pod to hear of it", || {
        f.kubectl(&["-n", "shop", "logs", "listener"])
            .contains("heard POST /-/reload HTTP/1.1\r, then read MARKER-2")
            .then_some(())
    });
    f.event(
        "listener",
        "the pod was notified at port 8080 that its volume changed: 200",
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
        (f.on_node(mounts) == "0").then_some(())
    });
}
