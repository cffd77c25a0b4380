//! Rows of writes over HTTPS: PutSecretValue of 1 KiB, each authenticated, decided, durable and audited
//! before it is answered; by one writer, and by 64 at once, beside the store's own puts on the same disk.
//!
//! The controllers follow: each put is also a change of a status at the API server, in the same process and
//! on the same processors, and etcd's commits are on the same disk. A row of its own shows one writer's puts
//! while API server and etcd are stopped for as long as they take.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::try_join_all;
use http::{Request, StatusCode};
use http_body_util::Full;
use k8s_openapi::ByteString;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use strongroom_e2e::{Cluster, Program};

use crate::cluster::{Bench, busy, connect, on_cluster};
use crate::https::{Sender, Server, TIME, accounts, sent, tokens, trust};
use crate::read::serve;
use crate::row::{Row, quantile, sorted};
use crate::store::{EACH, PutBench, ROUNDS, SINGLE, VALUE, WRITERS};
use crate::{Outcome, fresh};

/// All rows: they share the secrets.
pub(crate) fn measure(dir: &Path) -> Outcome<Vec<Row>> {
    on_cluster(dir, async |cluster, data| rows(dir, cluster, data).await)
}

async fn rows(dir: &Path, cluster: &Cluster, data: &Path) -> Outcome<Vec<Row>> {
    let client = connect(cluster).await?;
    let bench = Bench { client };
    bench.prepare(cluster).await?;
    let (mut process, port) = serve(cluster, data, &["--write-rate=0"])?;
    declare(&bench).await?;
    let mut writers = writers(&bench, port).await?;
    let keep = fresh(dir, "put")?;
    let mut store = PutBench::make(&keep.path().join("store"))?;

    let (mut single, mut alone, mut group, mut latencies) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut store_single, mut store_group) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        quiet(process.pid()).await?;
        store_single.push(store.single()?);
        store_group.push(store.group()?);
        single.push(one_after_the_other(&mut writers, &format!("s{round}")).await?);
        // All tokens have been reviewed just now.
        let stopped = StoppedControlPlane::new(cluster)?;
        let without = one_after_the_other(&mut writers, &format!("a{round}")).await;
        drop(stopped);
        alone.push(without?);
        quiet(process.pid()).await?;
        let (again, rate, each) = together(writers, round).await?;
        writers = again;
        group.push(rate);
        latencies.extend(each);
    }
    store.close();
    process.stop()?;
    let latencies = sorted(&latencies);
    let part = |name, part| Row {
        value: quantile(&latencies, part),
        ..Row::from_samples(name, "ms", &latencies)
    };
    Ok(vec![
        Row::from_samples("put.https.single", "put/s", &single)
            .against("the store's own, by one writer", &store_single),
        Row::from_samples("put.https.single.alone", "put/s", &alone)
            .against("the store's own, by one writer", &store_single),
        Row::from_samples("put.https.group64", "put/s", &group).against("put.https.single", &single),
        Row::from_samples("put.https.group64.vs_store", "put/s", &group)
            .against("the store's own, by 64 writers", &store_group),
        part("put.https.group64.p50_ms", 0.5),
        part("put.https.group64.p99_ms", 0.99),
    ])
}

/// Makes an object of ours.
pub(crate) async fn create(
    bench: &Bench,
    kind: &str,
    plural: &str,
    name: &str,
    spec: Value,
) -> Result<(), kube::Error> {
    let mut resource = ApiResource::from_gvk(&GroupVersionKind::gvk("strongroom.dev", "v1alpha1", kind));
    resource.plural = plural.to_owned();
    let api: Api<DynamicObject> = Api::namespaced_with(bench.client.clone(), "bench", &resource);
    let object = DynamicObject::new(name, &resource).data(json!({"spec": spec}));
    api.create(&PostParams::default(), &object).await.map(drop)
}

/// A ManagedSecret for each writer that takes values from outside, and the policy that lets them write.
pub(crate) async fn declare(bench: &Bench) -> Outcome<()> {
    for number in 0..WRITERS {
        let name = format!("secret-{number}");
        create(
            bench,
            "ManagedSecret",
            "managedsecrets",
            &name,
            json!({"source": {"external": {}}}),
        )
        .await?;
    }
    let statement = json!({"effect": "Allow", "principals": [{"serviceAccount": "writer-*"}],
        "actions": ["secrets:PutSecretValue"]});
    let spec = json!({"secrets": ["secret-*"], "statements": [statement]});
    create(bench, "SecretPolicy", "secretpolicies", "writers", spec).await?;
    accounts(bench, "writer", WRITERS).await
}

/// Who writes one secret, on a connection of its own that stays open.
pub(crate) struct Writer {
    sender: Sender,
    token: String,
    secret: usize,
    body: Bytes,
}

/// All of them, once each has written its first version: object, policy and token are known then.
pub(crate) async fn writers(bench: &Bench, port: u16) -> Outcome<Vec<Writer>> {
    let start = Instant::now();
    // The ConfigMap comes once the namespace has an object.
    let config = loop {
        match trust(bench).await {
            Ok(config) => break config,
            Err(error) if start.elapsed() > TIME => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let server = Server {
        port,
        config: Arc::new(config),
        tokens: Vec::new(),
        secrets: WRITERS,
        path: |secret| format!("/v1/namespaces/bench/secrets/secret-{secret}"),
        connections: std::sync::atomic::AtomicUsize::default(),
    };
    let value = ByteString(vec![b'x'; VALUE]);
    let body = Bytes::from(serde_json::to_vec(&json!({"data": {"value": value}}))?);
    let mut writers = Vec::new();
    for (secret, token) in tokens(bench, "writer", WRITERS, "strongroom.dev")
        .await?
        .into_iter()
        .enumerate()
    {
        let mut writer = Writer {
            sender: server.connect().await?,
            token,
            secret,
            body: body.clone(),
        };
        while let Err(error) = writer.put("first").await {
            if start.elapsed() > 2 * TIME {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        writers.push(writer);
    }
    Ok(writers)
}

impl Writer {
    /// One new version. Milliseconds until it was answered.
    pub(crate) async fn put(&mut self, version: &str) -> Outcome<f64> {
        let path = format!(
            "/v1/namespaces/bench/secrets/secret-{}/versions/{version}",
            self.secret
        );
        let request = Request::put(path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(Full::new(self.body.clone()))?;
        let start = Instant::now();
        let (status, body) = sent(&mut self.sender, request).await?;
        let time = start.elapsed().as_secs_f64() * 1000.0;
        if status != StatusCode::CREATED {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(time)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn rate(count: usize, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}

/// Puts a second by one writer at a time, of each secret in turn.
async fn one_after_the_other(writers: &mut [Writer], version: &str) -> Outcome<f64> {
    let start = Instant::now();
    for number in 0..SINGLE {
        let turn = number % writers.len();
        let writer = writers.get_mut(turn).ok_or("no writer")?;
        writer.put(&format!("{version}-{number}")).await?;
    }
    Ok(rate(SINGLE, start))
}

/// API server and etcd do nothing until it is dropped.
struct StoppedControlPlane(Vec<Pid>);

impl StoppedControlPlane {
    fn new(cluster: &Cluster) -> Outcome<Self> {
        let mut stopped = Self(Vec::new());
        for program in [Program::ApiServer, Program::Etcd] {
            let pid = cluster.pid(program).ok_or("the control plane does not run")?;
            let pid = Pid::from_raw(i32::try_from(pid)?).ok_or("the control plane does not run")?;
            kill_process(pid, Signal::STOP)?;
            stopped.0.push(pid);
        }
        Ok(stopped)
    }
}

impl Drop for StoppedControlPlane {
    fn drop(&mut self) {
        for pid in &self.0 {
            // One that has ended needs no more.
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// Puts a second by all writers at once, and the milliseconds of each put.
async fn together(writers: Vec<Writer>, round: usize) -> Outcome<(Vec<Writer>, f64, Vec<f64>)> {
    let start = Instant::now();
    let tasks = writers.into_iter().map(|mut writer| {
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            for number in 0..EACH {
                latencies.push(writer.put(&format!("g{round}-{number}")).await?);
            }
            Outcome::Ok((writer, latencies))
        })
    });
    let done = try_join_all(tasks).await?;
    let rate = rate(WRITERS * EACH, start);
    let (mut writers, mut latencies) = (Vec::new(), Vec::new());
    for writer in done {
        let (writer, each) = writer?;
        writers.push(writer);
        latencies.extend(each);
    }
    Ok((writers, rate, latencies))
}

/// Waits until the controllers have followed: the process takes less than a tenth of a processor.
async fn quiet(pid: u32) -> Outcome<()> {
    const LOOK: Duration = Duration::from_millis(500);
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut before = busy(pid)?;
    while Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
        let now = busy(pid)?;
        if now - before < 0.1 * LOOK.as_secs_f64() {
            return Ok(());
        }
        before = now;
    }
    Err("the process did not come to rest in time".into())
}
