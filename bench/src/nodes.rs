//! Rows of the stream to nodes: a thousand of them on one gateway, each with twenty volumes of a secret that
//! changes.
//!
//! The nodes are simulated by this process: each has a connection with TLS, a stream, the token of a plugin's
//! pod and that of a pod with volumes, as real ones of the API server. They take values in and acknowledge
//! them, and write no files. Client, server and API server share the machine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::Api;
use kube::api::PostParams;
use parking_lot::Mutex;
use serde_json::json;
use strongroom_api::stream::proto::gateway_message::Message as FromGateway;
use strongroom_e2e::{Cluster, simulate_node};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::cluster::{Bench, connect, on_cluster};
use crate::https::{address_of, authority};
use crate::put::{create, declare, writers};
use crate::read::serve;
use crate::row::Row;
use crate::{Outcome, memory};

/// Streams that are held open, each as a node's plugin holds it.
const NODES: usize = 1_000;
/// Volumes of each.
const VOLUMES: usize = 20;
/// Changes that are measured.
const CHANGES: usize = 5;
/// How long the tokens are watched: each is reviewed again within five minutes, and they take turns.
const REVIEWS: Duration = Duration::from_secs(330);
/// How often it is counted.
const LOOK: Duration = Duration::from_secs(1);
/// How long any of it may take.
const TIMEOUT: Duration = Duration::from_secs(120);

/// All rows: they share the nodes.
pub(crate) fn measure(dir: &Path) -> Outcome<Vec<Row>> {
    on_cluster(dir, rows)
}

async fn rows(cluster: &Cluster, data: &Path) -> Outcome<Vec<Row>> {
    let client = connect(cluster).await?;
    let bench = Bench { client };
    bench.prepare(cluster).await?;
    let arguments = ["--read-rate=0", "--write-rate=0", "--node-account=node"];
    let (mut process, port) = serve(cluster, data, &arguments)?;
    declare(&bench).await?;
    let statement = json!({"effect": "Allow", "principals": [{"serviceAccount": "consumer"}],
        "actions": ["secrets:GetSecretValue"]});
    let spec = json!({"secrets": ["secret-0"], "statements": [statement]});
    create(&bench, "SecretPolicy", "secretpolicies", "consumers", spec).await?;
    let mut writers = writers(&bench, port).await?;
    let writer = writers.first_mut().ok_or("no writer")?;
    let nothing = memory::at_rest(process.pid()).await?;
    let tokens = tokens(&bench).await?;
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(authority(&bench).await?))
        .domain_name("localhost");
    let url = format!("https://localhost:{port}");
    let (channel, counted) = (
        Channel::from_shared(url)?.tls_config(tls)?,
        Arc::new(VolumeCounter::default()),
    );

    let start = Instant::now();
    let nodes = attach(&channel, &tokens, &counted);
    counted.reach(NODES * VOLUMES).await?;
    let connected = start.elapsed().as_secs_f64();
    let mut seconds = Vec::new();
    for number in 0..CHANGES {
        counted.begin();
        let start = Instant::now();
        writer.put(&format!("n-{number}")).await?;
        counted.reach(NODES * VOLUMES).await?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    // The watch of pods, nodes and accounts is in it: there are as many of those as the nodes and twice that.
    let resident = memory::at_rest(process.pid()).await?;
    let reviews = reviews(&bench).await?;
    // As after the gateway was away: all at once, with tokens that it has not seen lately.
    for node in nodes {
        node.abort();
    }
    tokio::time::sleep(Duration::from_secs(11)).await;
    counted.begin();
    let start = Instant::now();
    let nodes = attach(&channel, &tokens, &counted);
    counted.reach(NODES * VOLUMES).await?;
    let again = start.elapsed().as_secs_f64();
    for node in nodes {
        node.abort();
    }
    process.stop()?;
    Ok(vec![
        Row::from_samples("push.nodes1000.seconds", "s", &seconds),
        Row::from_samples("push.nodes1000.rss_mb", "MB", &resident)
            .against("the same process without a node", &nothing),
        Row::from_samples("push.nodes1000.tokenreviews_s", "1/s", &reviews),
        Row::from_samples("push.nodes1000.connect_s", "s", &[connected]),
        Row::from_samples("push.nodes1000.reconnect_s", "s", &[again]),
    ])
}

/// TokenReviews a second that the API server was asked for while the nodes stay, in each second in which
/// there was one: their tokens are reviewed again. The largest is what is bounded.
async fn reviews(bench: &Bench) -> Outcome<Vec<f64>> {
    let end = Instant::now() + REVIEWS;
    let (mut since, mut before) = (Instant::now(), reviews_so_far(bench).await?);
    let mut rates = Vec::new();
    while Instant::now() < end {
        tokio::time::sleep(LOOK).await;
        let now = reviews_so_far(bench).await?;
        let seconds = since.elapsed().as_secs_f64();
        since = Instant::now();
        if now > before {
            rates.push((now - before) / seconds);
        }
        before = now;
    }
    if rates.is_empty() {
        return Err("no token was reviewed again".into());
    }
    Ok(rates)
}

/// TokenReviews that the API server was asked for, as its metrics say.
async fn reviews_so_far(bench: &Bench) -> Outcome<f64> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    let metrics = bench.client.request_text(request).await?;
    let mut all = 0.0;
    for line in metrics.lines() {
        if line.starts_with("apiserver_request_total{") && line.contains("resource=\"tokenreviews\"") {
            let (_, count) = line.rsplit_once(' ').ok_or("a metric without a value")?;
            all += count.parse::<f64>()?;
        }
    }
    Ok(all)
}

/// Volumes that were told of a version.
#[derive(Debug, Default)]
struct VolumeCounter {
    volumes: AtomicUsize,
    news: Notify,
    /// Why a node had to come again, the last time.
    why: Mutex<String>,
}

impl VolumeCounter {
    fn begin(&self) {
        self.volumes.store(0, Ordering::SeqCst);
    }

    fn more(&self, volumes: usize) {
        self.volumes.fetch_add(volumes, Ordering::SeqCst);
        self.news.notify_one();
    }

    fn less(&self, volumes: usize) {
        let left = |count: usize| Some(count.saturating_sub(volumes));
        // It is always answered.
        let _ = self
            .volumes
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left);
    }

    fn why(&self, error: &str) {
        error.clone_into(&mut self.why.lock());
    }

    async fn reach(&self, count: usize) -> Outcome<()> {
        let wait = async {
            while self.volumes.load(Ordering::SeqCst) < count {
                self.news.notified().await;
            }
        };
        let waited = tokio::time::timeout(TIMEOUT, wait).await;
        let seen = self.volumes.load(Ordering::SeqCst);
        let why = self.why.lock().clone();
        Ok(waited.map_err(|_| format!("{seen} of {count} volumes were told in time; {why}"))?)
    }
}

/// For each node the token of its plugin's pod, and that of a pod with volumes.
async fn tokens(bench: &Bench) -> Outcome<Vec<(String, String)>> {
    for (namespace, name) in [("strongroom", "node"), ("bench", "consumer")] {
        let mut account = ServiceAccount::default();
        account.metadata.name = Some(name.to_owned());
        let api: Api<ServiceAccount> = Api::namespaced(bench.client.clone(), namespace);
        api.create(&PostParams::default(), &account).await?;
    }
    let made = stream::iter(0..NODES).map(|number| async move {
        let node = format!("node-{number}");
        let mut object = Node::default();
        // Pods of nodes that are not there go.
        object.metadata.name = Some(node.clone());
        let api: Api<Node> = Api::all(bench.client.clone());
        api.create(&PostParams::default(), &object).await?;
        let plugin = token(bench, "strongroom", "node", &node).await?;
        let pod = token(bench, "bench", "consumer", &node).await?;
        Outcome::Ok((plugin, pod))
    });
    made.buffered(16).try_collect().await
}

/// A token of a new pod on a node.
async fn token(bench: &Bench, namespace: &str, account: &str, node: &str) -> Outcome<String> {
    let name = format!("{account}-on-{node}");
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "nodeName": node,
            "serviceAccountName": account,
            "automountServiceAccountToken": false,
            "containers": [{"name": "app", "image": "none"}],
        },
    }))?;
    let pods: Api<Pod> = Api::namespaced(bench.client.clone(), namespace);
    let pod = pods.create(&PostParams::default(), &pod).await?;
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec!["strongroom.dev".to_owned()],
            expiration_seconds: Some(3_600),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(name),
                uid: pod.metadata.uid,
            }),
        },
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(bench.client.clone(), namespace);
    let made = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await?;
    Ok(made.status.map(|status| status.token).unwrap_or_default())
}

/// All nodes connect at once.
fn attach(
    endpoint: &Endpoint,
    tokens: &[(String, String)],
    counted: &Arc<VolumeCounter>,
) -> Vec<JoinHandle<()>> {
    let run = |(number, (plugin, pod)): (usize, &(String, String))| {
        // Each node calls from an address of its own, as nodes do.
        let endpoint = endpoint.clone().local_address(Some(address_of(number).into()));
        let counted = Arc::clone(counted);
        let (plugin, pod) = (plugin.clone(), pod.clone());
        // As a node's plugin does: a gateway that is busy is asked again, after a time by chance.
        tokio::spawn(async move {
            let told = AtomicUsize::new(0);
            while let Err(error) = node(&endpoint, &plugin, &pod, (&counted, &told)).await {
                counted.less(told.swap(0, Ordering::SeqCst));
                counted.why(&error.to_string());
                tokio::time::sleep(Duration::from_millis(fastrand::u64(100..1_000))).await;
            }
        })
    };
    tokens.iter().enumerate().map(run).collect()
}

/// One node, until its stream ends.
async fn node(
    endpoint: &Endpoint,
    plugin: &str,
    pod: &str,
    (counted, told): (&VolumeCounter, &AtomicUsize),
) -> Outcome<()> {
    let volumes: Vec<_> = (0..VOLUMES)
        .map(|volume| (format!("volume-{volume}"), "secret-0"))
        .collect();
    simulate_node(endpoint, (plugin, pod), &volumes, |message| {
        match message {
            FromGateway::Granted(_) | FromGateway::Moved(_) => {
                told.fetch_add(1, Ordering::SeqCst);
                counted.more(1);
            }
            FromGateway::Denied(denied) => return Err(denied.message.clone().into()),
            FromGateway::Tombstone(ended) => return Err(ended.message.clone().into()),
            _ => {}
        }
        Ok(())
    })
    .await
}
