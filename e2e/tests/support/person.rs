//! People with `kubectl strongroom`, and a cluster with everything of the chart for them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use strongroom_e2e::{Size, Strongroom};

use super::{Fixture, eventually};

/// Jane may do everything with the secrets of `shop`, and see the objects.
pub const JANE: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: people, namespace: shop}\n\
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

impl Fixture {
    /// A cluster with nodes and the chart, all of which is there when this returns.
    pub fn with_chart(size: Size, values: &[&str]) -> Self {
        let f = Self::bare(size);
        f.cluster.load_strongroom().unwrap();
        let has_plugin = values.contains(&"node.enabled=true");
        if has_plugin {
            f.cluster.load_node_plugin().unwrap();
        }
        f.kubectl(&["create", "namespace", "strongroom"]);
        f.install(values);
        if has_plugin {
            f.rolled_out("strongroom", "daemonset/strongroom-node");
        }
        if values.contains(&"env.enabled=true") {
            f.cluster.load_exec().unwrap();
            f.rolled_out("strongroom", "deployment/strongroom-webhook");
        }
        f.extension_api_available();
        f
    }

    /// Waits until the API server finds the extension API.
    pub fn extension_api_available(&self) {
        self.kubectl(&[
            "wait",
            "--for=condition=Available",
            "apiservice/v1.people.strongroom.dev",
            "--timeout=120s",
        ]);
    }

    /// The same with the node plugin; `shop` admits restricted pods alone, and has these objects and Jane.
    pub fn with_volumes(size: Size, values: &[&str], objects: &str) -> Self {
        let f = Self::with_chart(size, &[&["node.enabled=true"], values].concat());
        f.kubectl(&["create", "namespace", "shop"]);
        f.kubectl(&[
            "label",
            "namespace",
            "shop",
            "pod-security.kubernetes.io/enforce=restricted",
        ]);
        f.apply(objects);
        f.apply(JANE);
        f
    }

    /// `kubectl strongroom` in namespace `shop` as somebody, or as the administrator: whether it went well,
    /// and what it said.
    pub fn person(&self, user: Option<&str>, arguments: &[&str], stdin: &str) -> (bool, String, String) {
        self.person_in("shop", user, arguments, stdin)
    }

    /// The same in another namespace.
    pub fn person_in(
        &self,
        namespace: &str,
        user: Option<&str>,
        arguments: &[&str],
        stdin: &str,
    ) -> (bool, String, String) {
        let output = self.command_of_person(namespace, user, arguments, stdin);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    /// What [`Fixture::person`] exits with, and what it prints.
    pub fn exit_code(&self, user: Option<&str>, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.command_of_person("shop", user, arguments, "");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    fn command_of_person(
        &self,
        namespace: &str,
        user: Option<&str>,
        arguments: &[&str],
        stdin: &str,
    ) -> Output {
        let program = Strongroom::binary().with_file_name("kubectl-strongroom");
        self.by_program(&program, namespace, user, arguments, stdin)
    }

    /// The same by another build of `kubectl strongroom`.
    pub fn by_program(
        &self,
        program: &Path,
        namespace: &str,
        user: Option<&str>,
        arguments: &[&str],
        stdin: &str,
    ) -> Output {
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .args(["--namespace", namespace])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(user) = user {
            command.args(["--as", user, "--as-group", "system:authenticated"]);
        }
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// As [`Fixture::person`], Jane.
    pub fn jane(&self, arguments: &[&str], stdin: &str) -> (bool, String, String) {
        self.person(Some("jane"), arguments, stdin)
    }

    /// Jane's first put of a secret's password: object, policy and rights are seen before long.
    pub fn first_put(&self, secret: &str, password: &str) {
        eventually("the first put", || {
            let put = ["put", secret, "--key", "password", "--wait", "60s"];
            self.jane(&put, password).0.then_some(())
        });
    }

    /// A put of Jane's that is done when everybody has it.
    pub fn put(&self, secret: &str, password: &str) {
        let put = ["put", secret, "--key", "password", "--wait", "60s"];
        let (success, _, stderr) = self.jane(&put, password);
        assert!(success, "{stderr}");
    }

    /// The last lines that `strongroom` logged.
    pub fn log_of_strongroom(&self, lines: u8) -> String {
        let tail = format!("--tail={lines}");
        let (_, log, said) = self.piped(&["-n", "strongroom", "logs", "strongroom-0", &tail], "");
        log + &said
    }

    /// Waits until a workload runs as it stands there.
    pub fn rolled_out(&self, namespace: &str, workload: &str) {
        self.kubectl(&["-n", namespace, "rollout", "status", workload, "--timeout=120s"]);
    }

    /// Has the node plugin replaced as by an upgrade, and waits until the new one runs.
    pub fn replace_node_plugin(&self) {
        let workload = "daemonset/strongroom-node";
        self.kubectl(&["-n", "strongroom", "rollout", "restart", workload]);
        self.rolled_out("strongroom", workload);
    }

    /// What a command of `strongroom` prints in its own pod.
    pub fn run_in_strongroom(&self, arguments: &[&str]) -> String {
        let run = ["-n", "strongroom", "exec", "strongroom-0", "--", "strongroom"];
        self.kubectl(&[&run[..], arguments].concat())
    }

    /// Names of the pods of `shop` with the label `app`.
    pub fn pods(&self, app: &str) -> Vec<String> {
        let label = format!("app={app}");
        let pods = self.json(&["-n", "shop", "get", "pods", "-l", &label]);
        let pods = pods["items"].as_array().unwrap();
        let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap().to_owned();
        pods.iter().map(name).collect()
    }

    /// Waits until an event of a pod says this.
    pub fn event(&self, pod: &str, said: &str) {
        eventually(&format!("an event of {pod} with `{said}`"), || {
            let about = format!("involvedObject.name={pod}");
            let events = self.json(&["-n", "shop", "get", "events", "--field-selector", &about]);
            let events = events["items"].as_array()?.clone();
            let says = |event: &Value| event["message"].as_str().unwrap_or_default().contains(said);
            events.iter().any(says).then_some(())
        });
    }

    /// Takes `strongroom` away, or brings it back.
    pub fn scale_strongroom(&self, replicas: u8) {
        let replicas = format!("--replicas={replicas}");
        self.kubectl(&[
            "-n",
            "strongroom",
            "scale",
            "statefulset",
            "strongroom",
            &replicas,
        ]);
        if replicas.ends_with('0') {
            self.wait_gone();
        } else {
            self.rolled_out("strongroom", "statefulset/strongroom");
        }
    }

    /// What a script of the shell says on the first node.
    pub fn on_node(&self, script: &str) -> String {
        self.on_node_named("node-a", script)
    }

    /// The same on another one.
    pub fn on_node_named(&self, node: &str, script: &str) -> String {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let output = self.cluster.on_node(node, &command).unwrap().output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}
