//! Rows of real pods on a real kubelet: from a rotation to the files of forty pods, beside native Secrets in
//! the same pods; and how long pods take to start with a volume of ours, beside the same pods with an
//! `emptyDir`.
//!
//! A rotation begins when its annotation is sent to the API server. It has arrived in a pod when the kernel
//! tells of the rename of `..data` in the folder that the pod's container sees. Cluster, containers and clock
//! share the machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use strongroom_e2e::{Cluster, Programs, Size};

use crate::Outcome;
use crate::cluster::{Bench, connect};
use crate::row::{Row, quantile, sorted};
use crate::swaps::SwapWatch;

/// Pods of one round.
const PODS: usize = 40;
/// Rotations that are measured.
const ROTATIONS: usize = 200;
/// Pods of each kind that are started one after the other.
const STARTS: usize = 10;
/// How long any of it may take.
const TIMEOUT: Duration = Duration::from_secs(300);
/// What the containers run: nothing else on the machine has this command line.
const SLEEP: &str = "86399";

/// What is measured on a cluster: its rows are those of both.
pub(crate) fn measure(wanted: impl Fn(&[&str]) -> bool) -> Outcome<Vec<Row>> {
    // A second call finds one installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let state = std::env::temp_dir().join(format!("strongroom-bench-{}", std::process::id()));
    let cluster = Cluster::sized(state, Size::TwoNodes)?.with_common_kubelets();
    cluster.up()?;
    let rows = tokio::runtime::Runtime::new()?.block_on(rows(&cluster, wanted));
    cluster.down()?;
    rows
}

async fn rows(cluster: &Cluster, wanted: impl Fn(&[&str]) -> bool) -> Outcome<Vec<Row>> {
    install(cluster)?;
    let client = connect(cluster).await?;
    let bench = Bench { client };
    let world = PodBench { cluster, bench };
    world.declare().await?;
    let mut rows = Vec::new();
    if wanted(&["pod.start.volume_s", "pod.start.burst40_s"]) {
        rows.extend(world.starts().await?);
    }
    if wanted(&["push.file.p50_ms", "push.file.p99_ms", "push.native_secret.p50_s"]) {
        let (delays, native) = world.rotations(&[PODS, 0], true).await?;
        let native_ms: Vec<f64> = native.iter().map(|seconds| seconds * 1000.0).collect();
        rows.push(
            part("push.file.p50_ms", 0.5, &delays)
                .against("a native Secret's volume in the same pods", &native_ms),
        );
        rows.push(part("push.file.p99_ms", 0.99, &delays));
        rows.push(Row::from_samples("push.native_secret.p50_s", "s", &native));
    }
    if wanted(&["push.file.two_nodes.p50_ms", "push.file.two_nodes.p99_ms"]) {
        let (delays, _) = world.rotations(&[PODS / 2, PODS / 2], false).await?;
        rows.push(part("push.file.two_nodes.p50_ms", 0.5, &delays));
        rows.push(part("push.file.two_nodes.p99_ms", 0.99, &delays));
    }
    Ok(rows)
}

fn part(name: &'static str, part: f64, samples: &[f64]) -> Row {
    Row {
        value: quantile(&sorted(samples), part),
        ..Row::from_samples(name, "ms", samples)
    }
}

/// The chart, with the images as they are shipped.
fn install(cluster: &Cluster) -> Outcome<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // As this program itself is built: `make bench` builds it as it is shipped.
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    for image in ["strongroom", "node"] {
        let said = output(Command::new(root.join("e2e/images/build")).args([image, profile]))?;
        let archive = said.lines().last().unwrap_or_default();
        cluster.load(Path::new(archive))?;
    }
    let volume = cluster.volume("strongroom", 65_532)?;
    let volume = format!("persistence.hostPath={}", volume.display());
    let mut helm = Command::new(Programs::helm()?);
    helm.env("KUBECONFIG", cluster.kubeconfig())
        .args(["install", "strongroom"])
        .arg(root.join("charts/strongroom"))
        .args([
            "--namespace",
            "strongroom",
            "--create-namespace",
            "--set",
            &volume,
        ])
        .args(["--set", "node.enabled=true,nativeSecrets.namespaces=*"]);
    output(&mut helm)?;
    for target in ["statefulset/strongroom", "daemonset/strongroom-node"] {
        kubectl(
            cluster,
            &["-n", "strongroom", "rollout", "status", target, "--timeout=180s"],
        )?;
    }
    Ok(())
}

fn output(command: &mut Command) -> Outcome<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {said}", command.get_program().display()).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Outcome<String> {
    output(cluster.kubectl_command().args(arguments))
}

struct PodBench<'a> {
    cluster: &'a Cluster,
    bench: Bench,
}

impl PodBench<'_> {
    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.bench.client.clone(), "bench")
    }

    /// A secret that is generated, with a native Secret and a reader.
    async fn declare(&self) -> Outcome<()> {
        kubectl(self.cluster, &["create", "namespace", "bench"])?;
        kubectl(self.cluster, &["-n", "bench", "create", "serviceaccount", "app"])?;
        let spec = json!({
            "source": {"generate": {"keys": {"password": {"password": {}}}}},
            "secret": {"name": "db"},
            "readers": ["app"],
        });
        crate::put::create(&self.bench, "ManagedSecret", "managedsecrets", "db", spec).await?;
        let ready = [
            "-n",
            "bench",
            "wait",
            "--for=condition=Ready",
            "managedsecret/db",
            "--timeout=60s",
        ];
        kubectl(self.cluster, &ready)?;
        Ok(())
    }

    /// Creates a pod with a volume of ours and a native Secret, or with an `emptyDir` instead.
    async fn create(&self, name: &str, node: &str, ours: bool) -> Outcome<()> {
        let volumes = if ours {
            json!([
                {"name": "ours", "csi": {"driver": "csi.strongroom.dev", "readOnly": true, "volumeAttributes": {"secrets": "db"}}},
                {"name": "native", "secret": {"secretName": "db"}},
            ])
        } else {
            json!([{"name": "ours", "emptyDir": {}}, {"name": "native", "secret": {"secretName": "db"}}])
        };
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {
                "nodeName": node,
                "serviceAccountName": "app",
                "automountServiceAccountToken": false,
                "terminationGracePeriodSeconds": 0,
                "volumes": volumes,
                "containers": [{
                    "name": "app", "image": "strongroom.test/busybox:1", "imagePullPolicy": "Never",
                    "command": ["sleep", SLEEP],
                    "volumeMounts": [{"name": "ours", "mountPath": "/ours"}, {"name": "native", "mountPath": "/native"}],
                }],
            },
        }))?;
        self.pods().create(&<_>::default(), &pod).await?;
        Ok(())
    }

    /// Waits until so many pods run.
    async fn running(&self, count: usize) -> Outcome<()> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let pods = self.pods().list(&ListParams::default()).await?;
            let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone());
            let running = pods.iter().filter(|pod| phase(pod).as_deref() == Some("Running"));
            if running.count() == count {
                return Ok(());
            }
            if Instant::now() > deadline {
                let events = ["-n", "bench", "get", "events", "--sort-by=.lastTimestamp"];
                let events = kubectl(self.cluster, &events)?;
                return Err(format!("not all of {count} pods run in time: {events}").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends all pods, and waits until their processes are gone.
    async fn clear(&self) -> Outcome<()> {
        let all = ListParams::default();
        self.pods()
            .delete_collection(&DeleteParams::default().grace_period(0), &all)
            .await?;
        let deadline = Instant::now() + TIMEOUT;
        while !self.pods().list(&all).await?.items.is_empty() || !containers()?.is_empty() {
            if Instant::now() > deadline {
                return Err("the pods did not go in time".into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Seconds from the create of so many pods at once until all run.
    async fn start(&self, count: usize, ours: bool) -> Outcome<f64> {
        let start = Instant::now();
        for number in 0..count {
            self.create(&format!("pod-{number}"), "node-a", ours).await?;
        }
        self.running(count).await?;
        let seconds = start.elapsed().as_secs_f64();
        self.clear().await?;
        Ok(seconds)
    }

    async fn starts(&self) -> Outcome<Vec<Row>> {
        // Once each, so that both have met the image.
        self.start(1, true).await?;
        self.start(1, false).await?;
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            ours.push(self.start(1, true).await?);
            bare.push(self.start(1, false).await?);
        }
        let (mut burst, mut bare_burst) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            burst.push(self.start(PODS, true).await?);
            bare_burst.push(self.start(PODS, false).await?);
        }
        Ok(vec![
            Row::from_samples("pod.start.volume_s", "s", &ours)
                .against("the same pod with an emptyDir", &bare),
            Row::from_samples("pod.start.burst40_s", "s", &burst)
                .against("as many with an emptyDir", &bare_burst),
        ])
    }

    /// Milliseconds from each rotation to each pod's file, and seconds from the last one to each pod's native
    /// Secret.
    async fn rotations(&self, counts: &[usize; 2], native: bool) -> Outcome<(Vec<f64>, Vec<f64>)> {
        let mut number = 0;
        for (node, count) in ["node-a", "node-b"].iter().zip(counts) {
            for _ in 0..*count {
                self.create(&format!("pod-{number}"), node, true).await?;
                number += 1;
            }
        }
        self.running(number).await?;
        let roots = containers()?;
        if roots.len() != number {
            return Err(format!("{} processes of {number} pods", roots.len()).into());
        }
        let ours = SwapWatch::watch(roots.iter().map(|root| root.join("ours")))?;
        let natives = SwapWatch::watch(roots.iter().map(|root| root.join("native")))?;
        let mut delays = Vec::new();
        let mut last = Instant::now();
        for turn in 0..ROTATIONS {
            if ours.forget()? > 0 {
                return Err("a volume changed twice for one rotation".into());
            }
            last = self.rotate(turn).await?;
            delays.extend(ours.all(last, TIMEOUT)?.iter().map(|seconds| seconds * 1000.0));
        }
        let seconds = if native {
            natives.forget()?;
            natives.all(last, TIMEOUT)?
        } else {
            Vec::new()
        };
        self.clear().await?;
        Ok((delays, seconds))
    }

    /// Asks for a rotation. When that began.
    async fn rotate(&self, turn: usize) -> Outcome<Instant> {
        let text = format!("{turn}-{}", fastrand::u64(..));
        let start = Instant::now();
        self.bench
            .annotate("db", "strongroom.dev/rotate-now", &text)
            .await?;
        Ok(start)
    }
}

/// The roots of the containers that sleep for so long.
fn containers() -> Outcome<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for process in fs::read_dir("/proc")? {
        let path = process?.path();
        // It may have ended meanwhile.
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        if command == format!("sleep\0{SLEEP}\0").as_bytes() {
            found.insert(path.join("root"));
        }
    }
    Ok(found)
}
