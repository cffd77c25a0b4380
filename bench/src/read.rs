//! Rows of the API: GetSecretValue over HTTPS, each read authenticated, decided and on record, against the same server's health.
//!
//! Client and server share the machine. A request of an open loop is measured from the moment at which it was due, so that a server that
//! falls behind does not hide it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use strongroom_e2e::{Cluster, Strongroom};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use crate::Outcome;
use crate::beside;
use crate::cluster::{Bench, connect, on_cluster};
use crate::row::{Row, quantile, sorted};

/// ServiceAccounts that read.
const PRINCIPALS: usize = 1_000;
/// Connections that are kept open.
const CONNECTIONS: usize = 32;
/// How long each row is measured.
pub(crate) const TIME: Duration = Duration::from_secs(15);
/// Connections that are made anew for their row.
const COLD: usize = 200;
/// Policies that come and go, each two changes.
const POLICIES: usize = 100;

/// All rows: they share the secrets and the tokens.
pub(crate) fn measure(dir: &Path, objects: usize) -> Outcome<Vec<Row>> {
    on_cluster(dir, async |cluster, data| rows(cluster, data, objects).await)
}

async fn rows(cluster: &Cluster, data: &Path, objects: usize) -> Outcome<Vec<Row>> {
    let client = connect(cluster).await?;
    let bench = Bench { client };
    bench.prepare(cluster).await?;
    // A port that is free now, and hardly taken in the next second.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let listen = format!("--gateway-listen=127.0.0.1:{port}");
    let mut process = Strongroom::start_with(cluster, data, &[&listen, "--read-rate=0"])?;
    bench.apply("bench", objects, false).await?;
    bench.all_ready(objects).await?;
    accounts(&bench).await?;
    let server = Arc::new(Server {
        port,
        config: Arc::new(trust(&bench).await?),
        tokens: tokens(&bench, "strongroom.dev").await?,
        secrets: objects,
        path: |secret| format!("/v1/namespaces/bench/secrets/secret-{secret}/value"),
    });

    // Once round: every token is known then, as in a cluster that has been up for longer than ten seconds.
    server.closed(Ask::Secret, TIME).await?;
    let health = server.closed(Ask::Health, TIME).await?;
    let pids = [process.pid()];
    let ours = beside::measured(&server, &pids).await?;
    let reads = &ours.latencies;
    let mut rows = vec![
        Row::of("read.saturation", "/s", &[rate(reads)])
            .against("the same server's health over TLS", &[rate(&health)]),
    ];
    for (rate, names) in [
        (1_000, [Some("read.1k.p50_ms"), Some("read.1k.p99_ms"), None]),
        (
            10_000,
            [
                Some("read.10k.p50_ms"),
                Some("read.10k.p99_ms"),
                Some("read.10k.p999_ms"),
            ],
        ),
    ] {
        let latencies = server.open(rate, Ask::Secret).await?;
        let health = server.open(rate, Ask::Health).await?;
        for (name, part) in names.into_iter().zip([0.5, 0.99, 0.999]) {
            let Some(name) = name else { continue };
            let mut row = Row {
                value: quantile(&latencies, part),
                ..Row::of(name, "ms", &latencies)
            };
            row = row.against(
                "the same server's health at the same rate",
                &[quantile(&health, part)],
            );
            rows.push(row);
        }
    }
    let mut cold = Vec::new();
    for _ in 0..COLD {
        let start = Instant::now();
        let mut sender = server.connect().await?;
        server.ask(&mut sender, Ask::Secret).await?;
        cold.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    rows.push(Row::of("read.cold_connection_ms", "ms", &cold));
    let changes = sorted(&server.policy_changes(&bench).await?);
    for (name, part) in [("policy.change.p50_ms", 0.5), ("policy.change.p99_ms", 0.99)] {
        rows.push(Row {
            value: quantile(&changes, part),
            ..Row::of(name, "ms", &changes)
        });
    }
    rows.extend(beside::rows(cluster, &bench, &ours, objects).await?);
    process.stop()?;
    Ok(rows)
}

/// Says to the connections, in turn, when a request is due: so many a second.
fn pace(connections: &[mpsc::UnboundedSender<Instant>], rate: u32) {
    // Time to connect.
    let begin = Instant::now() + Duration::from_millis(500);
    let step = Duration::from_secs(1) / rate;
    for (number, connection) in
        (0..rate * u32::try_from(TIME.as_secs()).unwrap_or(1)).zip(connections.iter().cycle())
    {
        let due = begin + step * number;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // A connection that broke off says so itself.
        let _ = connection.send(due);
    }
}

/// Answers a second.
pub(crate) fn rate(latencies: &[f64]) -> f64 {
    f64::from(u32::try_from(latencies.len()).unwrap_or(u32::MAX)) / TIME.as_secs_f64()
}

/// Sends a request; its answer.
async fn sent(sender: &mut Sender, request: Request<Empty<Bytes>>) -> Outcome<(StatusCode, Bytes)> {
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}

/// The ServiceAccounts that read.
async fn accounts(bench: &Bench) -> Outcome<()> {
    let api: Api<ServiceAccount> = Api::namespaced(bench.client.clone(), "bench");
    let made = stream::iter(0..PRINCIPALS).map(|number| {
        let api = api.clone();
        async move {
            let mut account = ServiceAccount::default();
            account.metadata.name = Some(format!("reader-{number}"));
            api.create(&PostParams::default(), &account).await
        }
    });
    made.buffer_unordered(16).try_collect::<Vec<_>>().await?;
    Ok(())
}

/// A token of each of them, for this audience.
pub(crate) async fn tokens(bench: &Bench, audience: &str) -> Outcome<Vec<String>> {
    let api: Api<ServiceAccount> = Api::namespaced(bench.client.clone(), "bench");
    let made = stream::iter(0..PRINCIPALS).map(|number| {
        let (api, audience) = (api.clone(), audience.to_owned());
        async move {
            let request = TokenRequest {
                spec: TokenRequestSpec {
                    audiences: vec![audience],
                    expiration_seconds: Some(3600),
                    bound_object_ref: None,
                },
                ..TokenRequest::default()
            };
            let made = api
                .create_token_request(&format!("reader-{number}"), &PostParams::default(), &request)
                .await?;
            Ok::<_, kube::Error>(made.status.map(|status| status.token).unwrap_or_default())
        }
    });
    Ok(made.buffer_unordered(16).try_collect().await?)
}

async fn trust(bench: &Bench) -> Outcome<ClientConfig> {
    let maps: Api<ConfigMap> = Api::namespaced(bench.client.clone(), "bench");
    let map = maps.get("strongroom-ca").await?;
    let pem = map
        .data
        .and_then(|mut data| data.remove("ca.crt"))
        .ok_or("no ca.crt")?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    Ok(ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Health,
    Secret,
}

pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) tokens: Vec<String>,
    pub(crate) secrets: usize,
    /// Where a secret is, by its number.
    pub(crate) path: fn(usize) -> String,
}

type Sender = SendRequest<Empty<Bytes>>;

impl Server {
    async fn connect(&self) -> Outcome<Sender> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let stream = TlsConnector::from(Arc::clone(&self.config))
            .connect(name, stream)
            .await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// One request for a secret by a principal, both by chance, or for the health.
    async fn ask(&self, sender: &mut Sender, ask: Ask) -> Outcome<()> {
        let (status, body) = match ask {
            Ask::Health => {
                let request = Request::builder().header("host", "localhost").uri("/healthz");
                sent(sender, request.body(Empty::new())?).await?
            }
            Ask::Secret => {
                let principal = fastrand::usize(..self.tokens.len());
                self.read(sender, principal, fastrand::usize(..self.secrets))
                    .await?
            }
        };
        if status != StatusCode::OK {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(())
    }

    /// What a principal gets that asks for a secret, both by number.
    async fn read(
        &self,
        sender: &mut Sender,
        principal: usize,
        secret: usize,
    ) -> Outcome<(StatusCode, Bytes)> {
        let token = self.tokens.get(principal).ok_or("no token")?;
        let request = Request::builder()
            .header("host", "localhost")
            .uri((self.path)(secret))
            .header("authorization", format!("Bearer {token}"));
        sent(sender, request.body(Empty::new())?).await
    }

    /// From the moment at which a SecretPolicy is sent to the API server, or its deletion, until a request is decided by it. Milliseconds of each.
    async fn policy_changes(&self, bench: &Bench) -> Outcome<Vec<f64>> {
        let kind = GroupVersionKind::gvk("strongroom.dev", "v1alpha1", "SecretPolicy");
        let mut resource = ApiResource::from_gvk(&kind);
        resource.plural = "secretpolicies".to_owned();
        let api: Api<DynamicObject> = Api::namespaced_with(bench.client.clone(), "bench", &resource);
        let mut sender = self.connect().await?;
        let mut changes = Vec::new();
        for number in 0..POLICIES {
            let name = format!("deny-{number}");
            let secret = number % self.secrets;
            let policy = serde_json::json!({
                "apiVersion": "strongroom.dev/v1alpha1", "kind": "SecretPolicy", "metadata": {"name": name},
                "spec": {"secrets": [format!("secret-{secret}")], "statements": [{
                    "effect": "Deny", "principals": [{"serviceAccount": "reader-*"}], "actions": ["secrets:*"]}]},
            });
            let policy: DynamicObject = serde_json::from_value(policy)?;
            for denied in [true, false] {
                let start = Instant::now();
                if denied {
                    api.create(&PostParams::default(), &policy).await?;
                } else {
                    api.delete(&name, &DeleteParams::default()).await?;
                }
                while (self.read(&mut sender, 0, secret).await?.0 == StatusCode::OK) == denied {
                    if start.elapsed() > TIME {
                        return Err("a change of a policy did not count in time".into());
                    }
                }
                changes.push(start.elapsed().as_secs_f64() * 1000.0);
            }
        }
        Ok(changes)
    }

    /// As fast as they are answered, on all connections. Milliseconds of each, sorted.
    pub(crate) async fn closed(self: &Arc<Self>, ask: Ask, time: Duration) -> Outcome<Vec<f64>> {
        let end = Instant::now() + time;
        self.on_all(move |server, _| async move {
            let mut sender = server.connect().await?;
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let start = Instant::now();
                server.ask(&mut sender, ask).await?;
                latencies.push(start.elapsed().as_secs_f64() * 1000.0);
            }
            Ok(latencies)
        })
        .await
    }

    /// So many a second, spread over all connections. Milliseconds of each from when it was due, sorted.
    async fn open(self: &Arc<Self>, rate: u32, ask: Ask) -> Outcome<Vec<f64>> {
        let (tell, told): (Vec<_>, Vec<_>) = (0..CONNECTIONS).map(|_| mpsc::unbounded_channel()).unzip();
        let told = Mutex::new(told);
        // On a thread of its own: the runtime's timers are a millisecond coarse.
        let pace = thread::spawn(move || pace(&tell, rate));
        let latencies = self
            .on_all(move |server, _| {
                let told = told.lock().unwrap_or_else(PoisonError::into_inner).pop();
                async move {
                    let mut told = told.ok_or("more connections than were counted")?;
                    let mut sender = server.connect().await?;
                    let mut latencies = Vec::new();
                    while let Some(due) = told.recv().await {
                        server.ask(&mut sender, ask).await?;
                        latencies.push(Instant::elapsed(&due).as_secs_f64() * 1000.0);
                    }
                    Ok(latencies)
                }
            })
            .await?;
        pace.join().map_err(|_| "the pace was not kept")?;
        Ok(latencies)
    }

    async fn on_all<F: Future<Output = Outcome<Vec<f64>>> + Send + 'static>(
        self: &Arc<Self>,
        run: impl Fn(Arc<Self>, usize) -> F,
    ) -> Outcome<Vec<f64>> {
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|number| tokio::spawn(run(Arc::clone(self), number)))
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await??);
        }
        Ok(sorted(&all))
    }
}
