//! The promise: what was answered stays answered. A process that is killed where it stands, under load, has lost no value that it took and no record of a value
//! that it gave; and ten thousand connections that do nothing keep nobody else from being served.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use strongroom_e2e::Strongroom;
use support::{Fixture, eventually, free_port};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Who writes, each a secret of its own, and as many who read.
const CLIENTS: usize = 8;
/// Answers before the process is killed.
const ANSWERS: usize = 6_000;
/// Connections that do nothing.
const IDLE: usize = 10_000;

/// The API of a process beside the cluster.
#[derive(Clone)]
struct Server {
    port: u16,
    config: Arc<ClientConfig>,
    token: Arc<str>,
}

/// An answer: its status, its request's id and its body.
struct Answer {
    status: StatusCode,
    request: String,
    body: Value,
}

impl Server {
    async fn tls(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::clone(&self.config))
            .connect(name, stream)
            .await
    }

    async fn connect(&self) -> std::io::Result<SendRequest<Full<Bytes>>> {
        let stream = self.tls().await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// A request that is answered; none where the server goes in between.
    async fn ask(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Option<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1/namespaces/shop/secrets/{path}"))
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", self.token))
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        sender.ready().await.ok()?;
        let response = sender.send_request(request).await.ok()?;
        let status = response.status();
        let request = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some(Answer {
            status,
            request,
            body: serde_json::from_slice(&body).unwrap(),
        })
    }
}

/// A process, its API, and secrets that take values from the account that has the token.
fn scene(f: &Fixture) -> (Strongroom, Server) {
    let port = free_port();
    let strongroom = f.start_api(port);
    for number in 0..CLIENTS {
        f.apply(&format!(
            "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {{name: s{number}, namespace: shop}}\nspec: {{source: {{external: {{}}}}}}\n"
        ));
    }
    let token = f.app_token();
    for number in 0..CLIENTS {
        f.wait_ready(&format!("s{number}"), "False", "AwaitingValue");
    }
    let authority = f.authority();
    // Only a second call fails.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = Server {
        port,
        config: Arc::new(config),
        token: token.into(),
    };
    (strongroom, server)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Puts one version after the other until the server is gone; how many were answered.
async fn write(server: Server, number: usize, answers: Arc<AtomicUsize>) -> usize {
    let mut sender = server.connect().await.unwrap();
    for version in 0.. {
        let id = format!("w{version}");
        let body = json!({"data": {"token": BASE64.encode(id.as_bytes())}});
        let path = format!("s{number}/versions/{id}");
        match server.ask(&mut sender, Method::PUT, &path, Some(&body)).await {
            Some(answer) => assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body),
            None => return version,
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
    unreachable!("it ends with the server")
}

/// Reads until the server is gone; the ids of the requests that were answered with a value.
async fn read(server: Server, number: usize, answers: Arc<AtomicUsize>) -> Vec<String> {
    let mut sender = server.connect().await.unwrap();
    let mut requests = Vec::new();
    loop {
        let path = format!("s{number}/value");
        let Some(answer) = server.ask(&mut sender, Method::GET, &path, None).await else {
            return requests;
        };
        answers.fetch_add(1, Ordering::Relaxed);
        // Before its first value there is nothing to read.
        if answer.status == StatusCode::OK {
            requests.push(answer.request);
        }
    }
}

#[test]
fn a_kill_under_load_loses_no_value_and_no_record() {
    let f = Fixture::new();
    let (mut strongroom, server) = scene(&f);
    let answers = Arc::new(AtomicUsize::new(0));
    let runtime = runtime();
    let writers: Vec<_> = (0..CLIENTS)
        .map(|number| runtime.spawn(write(server.clone(), number, Arc::clone(&answers))))
        .collect();
    let readers: Vec<_> = (0..CLIENTS)
        .map(|number| runtime.spawn(read(server.clone(), number, Arc::clone(&answers))))
        .collect();
    eventually("the load", || {
        (answers.load(Ordering::Relaxed) >= ANSWERS).then_some(())
    });
    strongroom.kill();
    let written: Vec<usize> = writers
        .into_iter()
        .map(|writer| runtime.block_on(writer).unwrap())
        .collect();
    let reads: Vec<String> = readers
        .into_iter()
        .flat_map(|reader| runtime.block_on(reader).unwrap())
        .collect();
    assert!(
        written.iter().all(|count| *count > 1) && reads.len() > CLIENTS,
        "{written:?}, {} reads",
        reads.len()
    );

    let _strongroom = f.start_api(server.port);
    let listed = Command::new(Strongroom::binary())
        .args([
            "audit",
            "list",
            "--limit=0",
            "--decision=done",
            "--principal=shop/app",
            "--output=json",
            "--data-dir",
        ])
        .arg(f.data().join("data"))
        .output()
        .unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let (mut versions, mut requests) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        match field("action").as_str() {
            "PutSecretValue" | "CreateSecret" => {
                versions.insert((field("secret"), field("version")));
            }
            "GetSecretValue" => {
                requests.insert(field("request"));
            }
            _ => {}
        }
    }
    for request in &reads {
        assert!(
            requests.contains(request),
            "the read {request} was answered and is not on record"
        );
    }
    let mut sender = runtime.block_on(server.connect()).unwrap();
    for (number, count) in written.iter().enumerate() {
        for version in 0..*count {
            let put = (format!("s{number}"), format!("w{version}"));
            assert!(
                versions.contains(&put),
                "{put:?} was answered and is not on record"
            );
        }
        // What is there is the last answered one, or the one that was on its way.
        let path = format!("s{number}/value");
        let answer = runtime
            .block_on(server.ask(&mut sender, Method::GET, &path, None))
            .unwrap();
        let id = answer.body["versionId"].as_str().unwrap();
        assert!(
            [count - 1, *count]
                .map(|version| format!("w{version}"))
                .contains(&id.to_owned()),
            "{id} of {count}"
        );
        assert_eq!(answer.body["data"]["token"], BASE64.encode(id.as_bytes()));
    }
}

#[test]
fn ten_thousand_idle_connections_keep_nobody_from_being_served() {
    // Of this process, and of the one that it starts: as many as it may have.
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = rustix::process::Rlimit {
        current: allowed.maximum,
        ..allowed
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, wanted).unwrap();
    let enough = wanted.current.is_none_or(|most| most > 11_000);
    assert!(
        enough,
        "this needs 11,000 open files: `ulimit -Hn` says {:?}",
        wanted.current
    );
    let f = Fixture::new();
    let (strongroom, server) = scene(&f);
    let runtime = runtime();
    let idle = runtime.block_on(async {
        use futures::{StreamExt, TryStreamExt, stream};
        let connecting = stream::iter(0..IDLE).map(|_| server.tls());
        connecting
            .buffer_unordered(64)
            .try_collect::<Vec<_>>()
            .await
            .unwrap()
    });
    let open = std::fs::read_dir(format!("/proc/{}/fd", strongroom.pid()))
        .unwrap()
        .count();
    assert!(open > IDLE / 2, "{open} of {IDLE} connections are open");
    let answer = runtime.block_on(async {
        let asking = async {
            let mut sender = server.connect().await.unwrap();
            let body = json!({"data": {"token": BASE64.encode(b"t")}});
            server
                .ask(&mut sender, Method::PUT, "s0/versions/v-1", Some(&body))
                .await
                .unwrap()
        };
        tokio::time::timeout(Duration::from_secs(30), asking)
            .await
            .unwrap()
    });
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    drop(idle);
    eventually("the connections to be gone", || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", strongroom.pid()))
            .unwrap()
            .count();
        (open < IDLE / 10).then_some(())
    });
}
