//! A client of the API over HTTPS on HTTP/1.1: connections that stay open, or are made anew, and requests as
//! fast as they are answered or at a given rate.
//!
//! Client and server share the machine. A request of an open loop is measured from the moment at which it was
//! due, so that a server that falls behind does not hide it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::Api;
use kube::api::PostParams;
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use crate::Outcome;
use crate::affinity::run_first;
use crate::cluster::Bench;
use crate::row::sorted;

/// Connections that are kept open.
const CONNECTIONS: usize = 32;
/// How long each row is measured.
pub(crate) const TIME: Duration = Duration::from_secs(15);
/// How long an open loop runs before it is measured: longer than the ten seconds for which the answer about a
/// token counts, so that what is measured is a cluster in use and not one whose callers all come back from a
/// pause at once.
const LEAD: Duration = Duration::from_secs(12);

/// When requests are due: so many a second from `begin` on.
fn due_times(rate: u32, begin: Instant) -> impl Iterator<Item = Instant> {
    let step = Duration::from_secs(1) / rate;
    let requests = rate * u32::try_from((LEAD + TIME).as_secs()).unwrap_or(1);
    (0..requests).map(move |number| begin + step * number)
}

/// Says to the connections, in turn, when a request is due.
async fn pace_by_yielding(connections: Vec<mpsc::UnboundedSender<Instant>>, rate: u32, begin: Instant) {
    for (due, connection) in due_times(rate, begin).zip(connections.iter().cycle()) {
        while Instant::now() < due {
            // Whoever else would run on this processor comes first: nobody is measured who waits for a client
            // that waits.
            thread::yield_now();
            tokio::task::yield_now().await;
        }
        // A connection that broke off says so itself.
        let _ = connection.send(due);
    }
    // The connections end with what they were told.
    drop(connections);
}

/// The same, on a thread of its own.
fn pace_by_sleeping(connections: &[mpsc::UnboundedSender<Instant>], rate: u32, begin: Instant) {
    for (due, connection) in due_times(rate, begin).zip(connections.iter().cycle()) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // A connection that broke off says so itself.
        let _ = connection.send(due);
    }
}

/// Answers a second, of those that came in so long.
pub(crate) fn rate(latencies: &[f64], time: Duration) -> f64 {
    f64::from(u32::try_from(latencies.len()).unwrap_or(u32::MAX)) / time.as_secs_f64()
}

/// Sends a request; its answer.
pub(crate) async fn sent(sender: &mut Sender, request: Request<Full<Bytes>>) -> Outcome<(StatusCode, Bytes)> {
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}

/// So many ServiceAccounts whose names begin like this.
pub(crate) async fn accounts(bench: &Bench, prefix: &str, count: usize) -> Outcome<()> {
    let api: Api<ServiceAccount> = Api::namespaced(bench.client.clone(), "bench");
    let made = stream::iter(0..count).map(|number| {
        let (api, name) = (api.clone(), format!("{prefix}-{number}"));
        async move {
            let mut account = ServiceAccount::default();
            account.metadata.name = Some(name);
            api.create(&PostParams::default(), &account).await
        }
    });
    made.buffer_unordered(16).try_collect::<Vec<_>>().await?;
    Ok(())
}

/// A new token of each of them, for this audience.
pub(crate) async fn tokens(
    bench: &Bench,
    prefix: &str,
    count: usize,
    audience: &str,
) -> Outcome<Vec<String>> {
    let api: Api<ServiceAccount> = Api::namespaced(bench.client.clone(), "bench");
    let made = stream::iter(0..count).map(|number| {
        let (api, audience) = (api.clone(), audience.to_owned());
        let name = format!("{prefix}-{number}");
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
                .create_token_request(&name, &PostParams::default(), &request)
                .await?;
            Ok::<_, kube::Error>(made.status.map(|status| status.token).unwrap_or_default())
        }
    });
    Ok(made.buffer_unordered(16).try_collect().await?)
}

/// The authority of the API, PEM.
pub(crate) async fn authority(bench: &Bench) -> Outcome<String> {
    let maps: Api<ConfigMap> = Api::namespaced(bench.client.clone(), "bench");
    let map = maps.get("strongroom-ca").await?;
    let pem = map.data.and_then(|mut data| data.remove("ca.crt"));
    Ok(pem.ok_or("no ca.crt")?)
}

/// Trusts the authority of the API, and no other.
pub(crate) async fn trust(bench: &Bench) -> Outcome<ClientConfig> {
    let pem = authority(bench).await?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    Ok(ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// What the client of an open loop does until the next request is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pacing {
    /// It yields. The runtime's timers are a millisecond coarse, and waking a client for each request takes
    /// more of processors that it shares with the server than answering it.
    Yield,
    /// A thread of its own sleeps, and the client runs before all others of its processor: a client that has
    /// another processor than the server takes nothing from it.
    Sleep,
}

/// Milliseconds of each request of an open loop, sorted, without those of the lead.
pub(crate) struct OpenLoop {
    /// From when it was due to its answer.
    pub(crate) latencies: Vec<f64>,
    /// From when it was due until the client sent it: the client did not run, or the connection was in use.
    pub(crate) lateness: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestKind {
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
    /// Connections that were made.
    pub(crate) connections: AtomicUsize,
}

/// The address of a simulated caller, by its number: one of 127.1.0.0/16.
pub(crate) fn address_of(number: usize) -> Ipv4Addr {
    let [.., third, fourth] = number.to_be_bytes();
    Ipv4Addr::new(127, 1, third, fourth.max(1))
}

/// So many of those addresses.
pub(crate) fn addresses(count: usize) -> Vec<Ipv4Addr> {
    (0..count).map(address_of).collect()
}

pub(crate) type Sender = SendRequest<Full<Bytes>>;

impl Server {
    /// The same at another port.
    pub(crate) fn at(&self, port: u16) -> Self {
        Self {
            port,
            config: Arc::clone(&self.config),
            tokens: self.tokens.clone(),
            secrets: self.secrets,
            path: self.path,
            connections: AtomicUsize::default(),
        }
    }

    pub(crate) async fn connect(&self) -> Outcome<Sender> {
        // Each caller has an address of its own, as pods have.
        let socket = TcpSocket::new_v4()?;
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        socket.bind((address_of(number), 0).into())?;
        let stream = socket.connect((Ipv4Addr::LOCALHOST, self.port).into()).await?;
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
    pub(crate) async fn ask(&self, sender: &mut Sender, ask: RequestKind) -> Outcome<()> {
        let (status, body) = match ask {
            RequestKind::Health => {
                let request = Request::builder().header("host", "localhost").uri("/healthz");
                sent(sender, request.body(Full::default())?).await?
            }
            RequestKind::Secret => {
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
    pub(crate) async fn read(
        &self,
        sender: &mut Sender,
        principal: usize,
        secret: usize,
    ) -> Outcome<(StatusCode, Bytes)> {
        let token = self.tokens.get(principal).ok_or("no token")?;
        self.read_by(sender, token, secret).await
    }

    /// What the holder of a token gets that asks for a secret by number.
    pub(crate) async fn read_by(
        &self,
        sender: &mut Sender,
        token: &str,
        secret: usize,
    ) -> Outcome<(StatusCode, Bytes)> {
        let request = Request::builder()
            .header("host", "localhost")
            .uri((self.path)(secret))
            .header("authorization", format!("Bearer {token}"));
        sent(sender, request.body(Full::default())?).await
    }

    /// As fast as they are answered, on all connections. Milliseconds of each, sorted.
    pub(crate) async fn closed(self: &Arc<Self>, ask: RequestKind, time: Duration) -> Outcome<Vec<f64>> {
        let end = Instant::now() + time;
        let latencies = self.on_all(move |server, _| async move {
            let mut sender = server.connect().await?;
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let start = Instant::now();
                server.ask(&mut sender, ask).await?;
                latencies.push(start.elapsed().as_secs_f64() * 1000.0);
            }
            Ok(latencies)
        });
        Ok(sorted(&latencies.await?))
    }

    /// So many a second, spread over all connections, by a client on a thread of its own.
    pub(crate) async fn open(
        self: &Arc<Self>,
        rate: u32,
        ask: RequestKind,
        pacing: Pacing,
    ) -> Outcome<OpenLoop> {
        let server = Arc::clone(self);
        let client = move || {
            if pacing == Pacing::Sleep {
                run_first()?;
            }
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(server.paced(rate, ask, pacing))
        };
        // A thread of its own, that goes: how it runs is not given to whoever comes next.
        tokio::task::spawn_blocking(|| thread::spawn(client).join())
            .await?
            .map_err(|_| "the client panicked")?
    }

    async fn paced(self: &Arc<Self>, rate: u32, ask: RequestKind, pacing: Pacing) -> Outcome<OpenLoop> {
        let (tell, told): (Vec<_>, Vec<_>) = (0..CONNECTIONS)
            .map(|_| mpsc::unbounded_channel::<Instant>())
            .unzip();
        let told = Mutex::new(told);
        // Time to connect.
        let begin = Instant::now() + Duration::from_millis(500);
        let asked = self.on_all(move |server, _| {
            let told = told.lock().pop();
            async move {
                let mut told = told.ok_or("more connections than were counted")?;
                let mut sender = server.connect().await?;
                let mut measured = Vec::new();
                while let Some(due) = told.recv().await {
                    let late = due.elapsed().as_secs_f64() * 1000.0;
                    server.ask(&mut sender, ask).await?;
                    if due >= begin + LEAD {
                        measured.push((due.elapsed().as_secs_f64() * 1000.0, late));
                    }
                }
                Ok(measured)
            }
        });
        let measured = match pacing {
            Pacing::Yield => tokio::join!(pace_by_yielding(tell, rate, begin), asked).1?,
            Pacing::Sleep => {
                let pacer = thread::spawn(move || pace_by_sleeping(&tell, rate, begin));
                let measured = asked.await?;
                pacer
                    .join()
                    .map_err(|_| "who says when requests are due panicked")?;
                measured
            }
        };
        let (latencies, lateness): (Vec<_>, Vec<_>) = measured.into_iter().unzip();
        Ok(OpenLoop {
            latencies: sorted(&latencies),
            lateness: sorted(&lateness),
        })
    }

    async fn on_all<T: Send + 'static, F: Future<Output = Outcome<Vec<T>>> + Send + 'static>(
        self: &Arc<Self>,
        run: impl Fn(Arc<Self>, usize) -> F,
    ) -> Outcome<Vec<T>> {
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|number| tokio::spawn(run(Arc::clone(self), number)))
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await??);
        }
        Ok(all)
    }
}
