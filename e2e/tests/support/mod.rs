//! What the tests share: a cluster of their own with the kinds in it, and short ways to ask it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test binary uses its own part, and a test that cannot set up must stop"
)]

pub mod answers;
pub mod chart;
pub mod https;
pub mod metrics;
pub mod person;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use strongroom_e2e::{Cluster, Programs, Size, Strongroom};

/// What an install must say: Secrets of the whole cluster.
pub const ALL_NAMESPACES: &str = "nativeSecrets.namespaces=*";

/// A cluster in a folder of its own; both go with it.
pub struct Fixture {
    pub cluster: Cluster,
    pub keep: tempfile::TempDir,
}

impl Fixture {
    /// A cluster of a size with nothing in it.
    pub fn bare(size: Size) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let cluster = Cluster::sized(keep.path().join("c"), size).unwrap();
        cluster.up().unwrap();
        Self { cluster, keep }
    }

    /// Applies the kinds in a file or a folder, and waits until they count.
    pub fn apply_crds(&self, crds: &str, flags: &[&str]) {
        self.kubectl(&[&["apply", "-f", crds], flags].concat());
        self.kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=60s",
        ]);
    }

    /// A cluster without nodes, with the kinds and the namespaces.
    pub fn new() -> Self {
        let it = Self::bare(Size::Api);
        it.apply_crds(chart::CRDS, &[]);
        for namespace in ["strongroom", "shop"] {
            it.kubectl(&["create", "namespace", namespace]);
        }
        it
    }

    pub fn data(&self) -> PathBuf {
        self.keep.path().join("sr")
    }

    pub fn start(&self) -> Strongroom {
        Strongroom::start(&self.cluster, &self.data()).unwrap_or_else(|error| {
            let log = std::fs::read_to_string(self.data().join("serve.log")).unwrap_or_default();
            panic!("{error}\n{log}")
        })
    }

    /// Starts a process whose API is at this port, without bounds on rates.
    pub fn start_api(&self, port: u16) -> Strongroom {
        self.start_api_in(port, &[])
    }

    /// As [`Fixture::start_api`], with more environment variables.
    pub fn start_api_in(&self, port: u16, environment: &[(&str, &str)]) -> Strongroom {
        let listen = format!("--gateway-listen=127.0.0.1:{port}");
        let arguments = [listen.as_str(), "--read-rate=0", "--write-rate=0"];
        Strongroom::start_in(&self.cluster, &self.data(), &arguments, environment).unwrap()
    }

    /// A ServiceAccount `app` of `shop` that policies let do everything with its secrets; a token of it for
    /// the API.
    pub fn app_token(&self) -> String {
        self.apply(
            "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: all, namespace: shop}\nspec:\n  secrets: [\"*\"]\n  \
             statements:\n  - {effect: Allow, principals: [{serviceAccount: app}], actions: [\"secrets:*\"]}\n",
        );
        self.kubectl(&["-n", "shop", "create", "serviceaccount", "app"]);
        self.token("shop", "app")
    }

    /// A token of a ServiceAccount for the API.
    pub fn token(&self, namespace: &str, account: &str) -> String {
        let create = [
            "-n",
            namespace,
            "create",
            "token",
            account,
            "--audience=strongroom.dev",
        ];
        self.kubectl(&create).trim().to_owned()
    }

    /// What clients of the API have to trust, PEM.
    pub fn authority(&self) -> String {
        eventually("the authority", || {
            let maps = self.json(&["-n", "shop", "get", "configmaps"]);
            let maps = maps["items"].as_array()?;
            let map = maps
                .iter()
                .find(|map| map["metadata"]["name"] == "strongroom-ca")?;
            map["data"]["ca.crt"].as_str().map(str::to_owned)
        })
    }

    /// helm that must succeed, in the namespace of strongroom.
    pub fn helm(&self, arguments: &[&str]) -> String {
        let output = Command::new(Programs::helm().unwrap())
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .args(arguments)
            .args(["--namespace", "strongroom"])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "helm {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Installs the chart, with its data in a folder of the cluster and rights on the Secrets of all of it
    /// unless the values say less, and waits until it serves.
    pub fn install(&self, values: &[&str]) {
        let volume = self.cluster.volume("strongroom", 65532).unwrap();
        let volume = format!("persistence.hostPath={}", volume.display());
        let mut arguments = vec![
            "install",
            "strongroom",
            chart::CHART,
            "--set",
            &volume,
            "--set",
            ALL_NAMESPACES,
        ];
        for value in values {
            arguments.extend(["--set", value]);
        }
        self.helm(&arguments);
        self.rolled_out("strongroom", "statefulset/strongroom");
    }

    /// Runs a pod with the native Secret `name` mounted at `/secret`, and waits until it is ready.
    pub fn run_pod_with(&self, pod: &str, name: &str) {
        self.apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {pod}, namespace: shop}}\nspec:\n  automountServiceAccountToken: false\n  \
             terminationGracePeriodSeconds: 0\n  containers:\n  - name: app\n    image: strongroom.test/busybox:1\n    imagePullPolicy: Never\n    \
             volumeMounts: [{{name: secret, mountPath: /secret}}]\n  volumes:\n  - {{name: secret, secret: {{secretName: {name}}}}}\n"
        ));
        self.wait_pod(pod);
    }

    /// Waits until a pod of `shop` is ready.
    pub fn wait_pod(&self, pod: &str) {
        let target = format!("pod/{pod}");
        self.kubectl(&[
            "-n",
            "shop",
            "wait",
            "--for=condition=Ready",
            &target,
            "--timeout=120s",
        ]);
    }

    /// Waits until no pod of strongroom is there any more.
    pub fn wait_gone(&self) {
        eventually("the process to be gone", || {
            let pods = self.json(&[
                "-n",
                "strongroom",
                "get",
                "pods",
                "-l",
                "app.kubernetes.io/component=serve",
            ]);
            pods["items"].as_array()?.is_empty().then_some(())
        });
    }

    /// What a file in a pod of `shop` holds.
    pub fn file_in(&self, pod: &str, path: &str) -> String {
        self.kubectl(&["-n", "shop", "exec", pod, "--", "cat", path])
    }

    /// kubectl that must succeed; what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.cluster.kubectl(arguments).unwrap();
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// kubectl that must be refused; why.
    pub fn refused(&self, arguments: &[&str], stdin: &str) -> String {
        let tried = self.tried(arguments, stdin);
        tried
            .err()
            .unwrap_or_else(|| panic!("kubectl {arguments:?} was not refused"))
    }

    pub fn apply(&self, yaml: &str) {
        self.tried(&["apply", "-f", "-"], yaml).unwrap();
    }

    /// kubectl that may be refused; why, if it is.
    pub fn tried(&self, arguments: &[&str], stdin: &str) -> Result<(), String> {
        let (success, _, stderr) = self.piped(arguments, stdin);
        if success { Ok(()) } else { Err(stderr) }
    }

    pub fn piped(&self, arguments: &[&str], stdin: &str) -> (bool, String, String) {
        let mut command = self.cluster.kubectl_command();
        command
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

    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.extend(["-o", "json"]);
        serde_json::from_str(&self.kubectl(&arguments)).unwrap()
    }

    pub fn managed(&self, name: &str) -> Value {
        self.json(&["-n", "shop", "get", "managedsecret", name])
    }

    /// The data of the native Secret, base64 as it stands there; none where there is none.
    pub fn native(&self, name: &str) -> Option<Value> {
        let output = self
            .cluster
            .kubectl(&["-n", "shop", "get", "secret", name, "-o", "json"])
            .unwrap();
        let secret: Value = output
            .status
            .success()
            .then(|| serde_json::from_slice(&output.stdout).unwrap())?;
        Some(secret["data"].clone())
    }

    /// Waits until a ManagedSecret is Ready with this status and reason, for the generation that stands there
    /// now.
    pub fn wait_ready(&self, name: &str, status: &str, reason: &str) -> Value {
        eventually(&format!("{name} to be Ready={status}, {reason}"), || {
            let object = self.managed(name);
            let ready = condition(&object, "Ready")?;
            let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
            (current && ready["status"] == status && ready["reason"] == reason).then_some(object)
        })
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Err(error) = self.cluster.down()
            && !std::thread::panicking()
        {
            panic!("{error}");
        }
    }
}

/// A port of this machine for a server that is told where to listen.
pub fn free_port() -> u16 {
    strongroom_e2e::free_port().unwrap()
}

/// A condition of an object.
pub fn condition(object: &Value, kind: &str) -> Option<Value> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == kind)
        .cloned()
}

/// Waits for an answer, for at most two minutes.
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    in_time(ask).unwrap_or_else(|| panic!("waited in vain for {what}"))
}

/// The answer if there is one within two minutes, for a test that has more to say where there is none.
pub fn in_time<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        let answer = ask();
        let waited = begin.elapsed();
        if answer.is_some() || waited >= Duration::from_secs(120) {
            return answer;
        }
        // Most looks start a program, and what is waited for needs the same processors.
        let pause = (waited / 40).clamp(Duration::from_millis(100), Duration::from_millis(500));
        std::thread::sleep(pause);
    }
}

/// A ManagedSecret with a generated password and a native Secret of the same name.
pub fn generated(name: &str) -> String {
    format!(
        "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  source:\n    \
         generate:\n      keys:\n        username: {{literal: checkout}}\n        password: {{password: {{length: 32, symbols: true}}}}\n  \
         secret: {{name: {name}}}\n---\n"
    )
}
