//! The promise: a pod that asks for it by annotation has secrets as variables of its process, without a
//! native Secret and without a value in any object; it does not start without them; and whoever does not ask
//! is not concerned. On the real kubelet, from the chart.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use serde_json::json;
use strongroom_e2e::Size;
use support::{Fixture, eventually};

const OBJECTS: &str = "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: db, namespace: shop}\n\
    spec: {source: {external: {}}, readers: [app]}\n---\n\
    apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: app, namespace: shop}\n";

/// A pod's template in the strictest profile, with a container `app` that runs this.
fn template(mode: &str, container: &str) -> String {
    format!(
        "metadata:\n  labels: {{app: LABEL}}\n  annotations:\n    strongroom.dev/env: {mode}\n    strongroom.dev/env-vars: |\n      \
         PASSWORD: db/password\n      URL: {{secret: db, template: 'pg://app:{{{{ password | urlencode }}}}@db'}}\nspec:\n  serviceAccountName: app\n  \
         automountServiceAccountToken: false\n  terminationGracePeriodSeconds: 0\n  securityContext: {{runAsNonRoot: true, runAsUser: 1000, \
         seccompProfile: {{type: RuntimeDefault}}}}\n  containers:\n  - name: app\n    image: strongroom.test/busybox:1\n    \
         imagePullPolicy: Never\n    securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: \
         {{drop: [ALL]}}}}\n    {container}\n"
    )
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

fn deployment(name: &str, template: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  replicas: 1\n  selector: {{matchLabels: \
         {{app: {name}}}}}\n  template:\n{}",
        indented(&template.replace("LABEL", name), 4)
    )
}

fn pod(name: &str, template: &str) -> String {
    let template = template.replace(
        "  labels: {app: LABEL}\n",
        &format!("  name: {name}\n  namespace: shop\n"),
    );
    format!("apiVersion: v1\nkind: Pod\n{template}")
}

/// Ends when it is told to, so that it is started again.
const SERVES: &str = "command: [sh, -c]\n    args: ['trap \"exit 0\" TERM; while :; do sleep 0.2; done']";

/// What a command says in the container of a pod.
fn in_app(f: &Fixture, pod: &str, command: &[&str]) -> String {
    let exec = ["-n", "shop", "exec", pod, "-c", "app", "--"];
    let output = f.cluster.kubectl(&[&exec, command].concat()).unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The variables of the first process in the container of a pod.
fn environment(f: &Fixture, pod: &str) -> Vec<String> {
    let said = in_app(f, pod, &["cat", "/proc/1/environ"]);
    said.split('\0').map(str::to_owned).collect()
}

/// Where on the machine a value is written, outside of the memory of volumes.
fn written(f: &Fixture, marker: &str) -> String {
    let folders = format!(
        "{} /run/*containerd* /run/strongroom-node /var/lib/strongroom-node /var/lib/kubelet /var/log",
        f.keep.path().display()
    );
    f.on_node(&format!(
        "grep -rlF {marker} {folders} 2>/dev/null | grep -v -e '/volumes/kubernetes.io~csi/' -e '/volumes/kubernetes.io~empty-dir/' || true"
    ))
}

/// The line about a pod in what `kubectl strongroom consumers` says.
fn consumer(f: &Fixture, pod: &str) -> String {
    let (_, said, _) = f.jane(&["consumers", "db"], "");
    let line = said.lines().find(|line| line.contains(pod));
    line.unwrap_or_default().to_owned()
}

fn current(f: &Fixture) -> String {
    let secret = f.managed("db");
    secret["status"]["stages"]["Current"].as_str().unwrap().to_owned()
}

#[test]
fn a_process_has_its_variables_and_nothing_else_does() {
    let f = Fixture::with_volumes(Size::OneNode, &["env.enabled=true"], OBJECTS);
    f.first_put("db", "MARKER-1");
    by_exec(&f);
    it_is_refused_where_it_cannot_be(&f);
    jobs_end(&f);
    // Up to here no value was anywhere but in memory.
    assert_eq!(written(&f, "MARKER-"), "");
    by_file(&f);
    others_are_not_concerned(&f);
}

fn by_exec(f: &Fixture) {
    // The API server needs a moment to learn whom to trust.
    eventually("the pod to be taken", || {
        let app = deployment("app", &template("exec", SERVES));
        f.piped(&["apply", "-f", "-"], &app).0.then_some(())
    });
    f.rolled_out("shop", "deployment/app");
    let app = f.pods("app").pop().unwrap();
    let has = environment(f, &app);
    for variable in ["PASSWORD=MARKER-1", "URL=pg://app:MARKER-1@db"] {
        assert!(has.iter().any(|it| it == variable), "{has:?}");
    }
    let command = in_app(f, &app, &["cat", "/proc/1/cmdline"]);
    assert!(command.starts_with("sh\0-c\0trap"), "it is the command itself");
    let another = in_app(f, &app, &["sh", "-c", "echo [$PASSWORD]"]);
    assert_eq!(another, "[]\n", "another process has none of it");

    // What a process has it keeps, and it counts for that; a container that starts again has the new one.
    let first = current(f);
    f.put("db", "MARKER-2");
    assert_ne!(current(f), first);
    assert!(environment(f, &app).contains(&"PASSWORD=MARKER-1".to_owned()));
    let counts = || {
        let line = consumer(f, &app);
        line.contains(&first) && line.contains("AtStart")
    };
    assert!(counts(), "{}", consumer(f, &app));
    f.replace_node_plugin();
    eventually("the new plugin to say the same", || counts().then_some(()));
    eventually("the status to count it", || {
        let counted = f.managed("db")["status"]["consumers"].as_array()?.clone();
        counted
            .iter()
            .any(|it| it["versionId"] == json!(first) && it["volumes"] == json!(1))
            .then_some(())
    });
    in_app(f, &app, &["kill", "1"]);
    eventually("the container to start again with the new version", || {
        environment(f, &app)
            .contains(&"PASSWORD=MARKER-2".to_owned())
            .then_some(())
    });

    // No object has a value, nor anything else that could be read.
    let pod = f.kubectl(&["-n", "shop", "get", "pod", &app, "-o", "yaml"]);
    assert!(!pod.contains("MARKER-"));
    assert!(
        !f.kubectl(&["-n", "shop", "describe", "pod", &app])
            .contains("MARKER-")
    );

    // New ones start while strongroom is away: the webhook needs no store, and the node has what they may
    // have.
    f.scale_strongroom(0);
    f.kubectl(&["-n", "shop", "delete", "pod", &app, "--timeout=60s"]);
    f.rolled_out("shop", "deployment/app");
    let late = f.pods("app").pop().unwrap();
    assert!(environment(f, &late).contains(&"PASSWORD=MARKER-2".to_owned()));
    f.scale_strongroom(1);
}

fn it_is_refused_where_it_cannot_be(f: &Fixture) {
    let apply = ["apply", "-f", "-"];
    let said = f.refused(&apply, &pod("no-command", &template("exec", "args: [x]")));
    assert!(
        said.contains(
            "admission webhook \"env.strongroom.dev\" denied the request: container `app` has no `command`"
        ),
        "{said}"
    );
    // Where the webhook leaves pods alone, the API server itself refuses them.
    let there = pod("there", &template("exec", SERVES))
        .replace("namespace: shop", "namespace: kube-system")
        .replace("serviceAccountName: app", "serviceAccountName: default");
    let said = f.refused(&apply, &there);
    assert!(
        said.contains("did not get them: strongroom's webhook leaves this namespace alone"),
        "{said}"
    );
    // A value that no variable can have: the container says which, and not what.
    f.apply(&OBJECTS.replace("name: db", "name: odd"));
    eventually("the odd value", || {
        let put = ["put", "odd", "--key", "password"];
        f.jane(&put, "MARKER-\0").0.then_some(())
    });
    let odd = template("exec", SERVES).replace("db/password", "odd/password");
    f.apply(&pod("odd", &odd));
    eventually("the refusal in the log", || {
        let log = f
            .cluster
            .kubectl(&["-n", "shop", "logs", "odd", "-c", "app"])
            .unwrap();
        let log = String::from_utf8_lossy(&log.stdout).into_owned();
        assert!(!log.contains("MARKER-"));
        log.contains("the value of a variable has a NUL byte")
            .then_some(())
    });
    f.kubectl(&["-n", "shop", "delete", "pod", "odd", "--timeout=60s"]);
}

/// Nothing beside the job's own container keeps it from ending.
fn jobs_end(f: &Fixture) {
    let check = template(
        "exec",
        "command: [sh, -c, 'case \"$PASSWORD\" in M*-2) exit 0;; esac; exit 3']",
    );
    let check = check.replace("spec:\n", "spec:\n  restartPolicy: Never\n");
    let job = format!("  backoffLimit: 0\n  template:\n{}", indented(&check, 4));
    f.apply(&format!(
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: check, namespace: shop}}\nspec:\n  schedule: '0 0 1 1 *'\n  jobTemplate:\n    \
         spec:\n{}",
        indented(&job, 4)
    ));
    f.kubectl(&["-n", "shop", "create", "job", "check", "--from=cronjob/check"]);
    f.kubectl(&[
        "-n",
        "shop",
        "wait",
        "--for=condition=Complete",
        "job/check",
        "--timeout=120s",
    ]);
}

/// For an image whose command is its own.
fn by_file(f: &Fixture) {
    let own = "env: [{name: AGAIN, value: 'and $(PASSWORD)'}]";
    f.apply(&deployment("own", &template("file", own)));
    f.rolled_out("shop", "deployment/own");
    let own = f.pods("own").pop().unwrap();
    let has = environment(f, &own);
    for variable in [
        "PASSWORD=MARKER-2",
        "URL=pg://app:MARKER-2@db",
        "AGAIN=and MARKER-2",
    ] {
        assert!(has.iter().any(|it| it == variable), "{has:?}");
    }
    assert!(
        !f.kubectl(&["-n", "shop", "describe", "pod", &own])
            .contains("MARKER-")
    );
    // As docs/env.md says: the container runtime has it in its metadata, and nothing else does.
    let found = written(f, "MARKER-");
    assert!(!found.is_empty(), "this is where the runtime keeps it");
    for file in found.lines() {
        assert!(file.contains("containerd"), "{found}");
    }
    // What such a file cannot hold is refused, and the pod's status says what it can.
    f.put("db", "MARKER-'3'");
    f.apply(&pod("quoted", &template("file", "args: []")));
    eventually("the refusal in the pod's status", || {
        let pod = f.json(&["-n", "shop", "get", "pod", "quoted"]);
        let said = pod.to_string();
        assert!(!said.contains("MARKER-"));
        said.contains("without single quotes and CR LF").then_some(())
    });
    f.kubectl(&["-n", "shop", "delete", "pod", "quoted", "--timeout=60s"]);
}

fn others_are_not_concerned(f: &Fixture) {
    let scale = |replicas| {
        let replicas = format!("--replicas={replicas}");
        f.kubectl(&[
            "-n",
            "strongroom",
            "scale",
            "deployment",
            "strongroom-webhook",
            &replicas,
        ]);
    };
    scale(0);
    eventually("the webhook to be gone", || {
        let label = "app.kubernetes.io/component=webhook";
        let pods = f.json(&["-n", "strongroom", "get", "pods", "-l", label]);
        pods["items"].as_array()?.is_empty().then_some(())
    });
    let asks = pod("asks", &template("exec", SERVES));
    let said = f.refused(&["apply", "-f", "-"], &asks);
    assert!(
        said.contains("failed calling webhook \"env.strongroom.dev\""),
        "{said}"
    );
    let plain = asks.replace("name: asks", "name: plain");
    let (head, rest) = plain.split_once("  annotations:").unwrap();
    let (_, spec) = rest.split_once("spec:\n").unwrap();
    f.apply(&format!("{head}spec:\n{spec}"));
    f.wait_pod("plain");
    scale(1);
}
