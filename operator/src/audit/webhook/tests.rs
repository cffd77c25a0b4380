//! Batches on their way to a server of this process that answers as it is told.

use std::collections::BTreeSet;
use std::future::ready;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use strongroom_testing::store::Fixture;
use strongroom_testing::wait::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::audit::testing::{RunningExporter, audit_line, read};

const KEY: [u8; 32] = [7; 32];
static LINES: LazyLock<Vec<AuditLine>> = LazyLock::new(|| {
    vec![audit_line(
        r#"{"chain":"changes","sequence":7,"time":"2026-11-23T20:22:00Z","principal":"system","action":"x","decision":"allowed","outcome":"success"}"#,
    )]
});

/// What a receiver got.
#[derive(Clone)]
struct Request {
    at: Instant,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn records(&self) -> Vec<Json> {
        let body: Json = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body["type"], "strongroom.audit");
        body["data"]["records"].as_array().unwrap().clone()
    }

    /// Whether this key signed it, by the words of the specification and of RFC 2104.
    fn is_signed_by(&self, key: &[u8]) -> bool {
        let mut block = [0_u8; 64];
        block[..key.len()].copy_from_slice(key);
        let (id, timestamp) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let mut signed = format!("{id}.{timestamp}.").into_bytes();
        signed.extend_from_slice(&self.body);
        let inner = Sha256::new()
            .chain_update(block.map(|byte| byte ^ 0x36))
            .chain_update(signed)
            .finalize();
        let outer = Sha256::new()
            .chain_update(block.map(|byte| byte ^ 0x5c))
            .chain_update(inner)
            .finalize();
        self.header("webhook-signature") == format!("v1,{}", BASE64.encode(&outer))
    }
}

/// A server that keeps what it gets.
struct Receiver {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
    keep: tempfile::TempDir,
}

impl Receiver {
    /// One that answers a request by its number, from nought on.
    async fn start(answer: fn(usize) -> Response) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let got = Arc::clone(&requests);
        let app = Router::new()
            .fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
                let mut got = got.lock();
                let number = got.len();
                got.push(Request {
                    at: Instant::now(),
                    path: uri.path().to_owned(),
                    headers,
                    body,
                });
                ready(answer(number))
            })
            .layer(DefaultBodyLimit::disable());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let receiver = Self {
            address,
            requests,
            task,
            keep: tempfile::tempdir().unwrap(),
        };
        write_key(&receiver.key(), &KEY);
        receiver
    }

    fn key(&self) -> PathBuf {
        self.keep.path().join("key")
    }

    fn destination(&self) -> Destination {
        let (address, key) = (self.address, self.key());
        format!("webhook+http://{address}/in?key={}", key.display())
            .parse()
            .unwrap()
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn write_key(path: &Path, key: &[u8]) {
    std::fs::write(path, format!("whsec_{}\n", BASE64.encode(key))).unwrap();
}

fn batch() -> Batch<'static> {
    Batch {
        lines: &LINES,
        now: "2026-11-23T20:22:05Z".parse().unwrap(),
    }
}

/// How many reads are in these requests, and that none is in two of them or in another's place.
fn reads(requests: &[Request]) -> usize {
    let numbers: Vec<u64> = requests
        .iter()
        .flat_map(Request::records)
        .filter(|record| record["action"] == "GetSecretValue")
        .map(|record| record["sequence"].as_u64().unwrap())
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    numbers.len()
}

fn taken(_: usize) -> Response {
    StatusCode::NO_CONTENT.into_response()
}

#[tokio::test]
async fn a_batch_is_signed_so_that_others_verify_it() {
    let receiver = Receiver::start(taken).await;
    let mut sink = receiver.destination().sink();
    sink.deliver(batch()).await.unwrap();
    // The file has another key now, and the next batch its signature.
    write_key(&receiver.key(), &[8; 24]);
    sink.deliver(batch()).await.unwrap();
    let requests = receiver.requests();
    let [first, second] = &requests[..] else {
        panic!("{} requests", requests.len());
    };
    assert_eq!(first.path, "/in");
    assert_eq!(first.header("content-type"), "application/json");
    assert_eq!(first.header("webhook-timestamp"), "1795465325");
    assert_eq!(first.records().len(), 1);
    assert!(first.is_signed_by(&KEY) && !first.is_signed_by(&[8; 24]));
    assert!(second.is_signed_by(&[8; 24]) && !second.is_signed_by(&KEY));
    // The same records are the same message.
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failing_receiver_has_not_taken_comes_again_as_it_was() {
    let receiver = Receiver::start(|number| match number {
        0 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        1 => StatusCode::UNAUTHORIZED.into_response(),
        _ => taken(number),
    })
    .await;
    let fixture = Fixture::new();
    let secret = fixture.secret("db");
    read(&fixture, secret, 10);
    let running = RunningExporter::start(&fixture, receiver.destination());
    until("an attempt", || !receiver.requests().is_empty()).await;
    // What is recorded meanwhile is not mixed into what was tried.
    read(&fixture, secret, 10);
    let all = || receiver.requests().get(2..).map_or(0, reads);
    until("all reads", || all() == 20).await;
    let metrics = running.registry.text().unwrap();
    for part in [
        "audit_sink_failed_answers_total{sink=\"test\",kind=\"failing\"} 1",
        "audit_sink_failed_answers_total{sink=\"test\",kind=\"rejected\"} 1",
        "audit_sink_failures_total{sink=\"test\"} 2",
    ] {
        assert!(metrics.contains(part), "{part}: {metrics}");
    }
    running.stop().await;
    let requests = receiver.requests();
    for again in &requests[1..3] {
        assert_eq!(again.header("webhook-id"), requests[0].header("webhook-id"));
        assert_eq!(again.body, requests[0].body);
    }
    // After a restart it goes on where it was.
    read(&fixture, secret, 5);
    let running = RunningExporter::start(&fixture, receiver.destination());
    until("five more", || all() == 25).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_for_time_gets_it() {
    let receiver = Receiver::start(|number| match number {
        0 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "5")]).into_response(),
        _ => taken(number),
    })
    .await;
    let fixture = Fixture::new();
    fixture.secret("db");
    let running = RunningExporter::start(&fixture, receiver.destination());
    until("the second attempt", || receiver.requests().len() >= 2).await;
    let requests = receiver.requests();
    // Without that it would come after two seconds.
    let waited = requests[1].at.duration_since(requests[0].at);
    assert!(waited >= Duration::from_secs(5), "{waited:?}");
    assert!(running.registry.text().unwrap().contains("kind=\"throttled\"} 1"));
    running.stop().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let receiver =
        Receiver::start(|_| (StatusCode::TEMPORARY_REDIRECT, [("location", "/elsewhere")]).into_response())
            .await;
    let refused = receiver.destination().sink().deliver(batch()).await.unwrap_err();
    assert_eq!(refused.answer_kind(), Some(AnswerKind::Redirected));
    assert!(
        refused.to_string().contains("307") && refused.to_string().contains("not followed"),
        "{refused}"
    );
    let paths: Vec<String> = receiver
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(paths, ["/in"]);
}

#[tokio::test]
async fn an_answer_is_a_status_and_nothing_of_it_is_told() {
    let receiver = Receiver::start(|number| {
        let words = "what-others-wrote".repeat(100_000);
        match number {
            0 => (StatusCode::OK, words).into_response(),
            _ => (StatusCode::BAD_REQUEST, words).into_response(),
        }
    })
    .await;
    let mut sink = receiver.destination().sink();
    // As long as it is, it has the batch.
    sink.deliver(batch()).await.unwrap();
    let refused = sink.deliver(batch()).await.unwrap_err().to_string();
    assert!(
        refused.contains("400") && !refused.contains("what-others-wrote"),
        "{refused}"
    );
}

#[tokio::test]
async fn without_its_key_nothing_is_sent() {
    let receiver = Receiver::start(taken).await;
    let mut sink = receiver.destination().sink();
    std::fs::write(receiver.key(), "no-key-of-ours").unwrap();
    let malformed = sink.deliver(batch()).await.unwrap_err().to_string();
    std::fs::remove_file(receiver.key()).unwrap();
    let missing = sink.deliver(batch()).await.unwrap_err().to_string();
    let shown = receiver.key().display().to_string();
    assert!(
        malformed.contains(&shown) && malformed.contains("line 1 is no signing key"),
        "{malformed}"
    );
    assert!(!malformed.contains("no-key-of-ours"), "{malformed}");
    assert!(
        missing.contains(&shown) && missing.contains("cannot be read"),
        "{missing}"
    );
    assert!(receiver.requests().is_empty());
    // Once it is there, all goes on.
    write_key(&receiver.key(), &KEY);
    sink.deliver(batch()).await.unwrap();
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_bounds_and_an_id_of_its_own() {
    let receiver = Receiver::start(taken).await;
    let fixture = Fixture::new();
    let secret = fixture.secret("db");
    read(&fixture, secret, 2_000);
    let running = RunningExporter::start(&fixture, receiver.destination());
    until("all reads", || reads(&receiver.requests()) == 2_000).await;
    running.stop().await;
    let requests = receiver.requests();
    assert!(requests.len() >= 4, "{} requests", requests.len());
    for request in &requests {
        assert!(request.records().len() <= MAX_RECORDS);
        assert!(
            request.body.len() <= MAX_BODY_BYTES,
            "{} bytes",
            request.body.len()
        );
        assert!(request.is_signed_by(&KEY));
    }
    let ids: BTreeSet<&str> = requests
        .iter()
        .map(|request| request.header("webhook-id"))
        .collect();
    assert_eq!(ids.len(), requests.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_whom_the_authority_signed_gets_a_batch() {
    let keep = tempfile::tempdir().unwrap();
    let path = |name: &str| keep.path().join(name);
    let (chain, key, authority) = crate::gateway::test_pem(jiff::Timestamp::now());
    let (_, _, foreign) = crate::gateway::test_pem(jiff::Timestamp::now());
    std::fs::write(path("ca"), authority).unwrap();
    std::fs::write(path("foreign"), foreign).unwrap();
    write_key(&path("key"), &KEY);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // Whoever gets through the handshake is answered.
    let server = tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut tls) = acceptor.accept(tcp).await else {
                continue;
            };
            let mut got = Vec::new();
            while !got.ends_with(b"]}}") {
                assert!(tls.read_buf(&mut got).await.unwrap() > 0);
            }
            tls.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            tls.shutdown().await.unwrap();
        }
    });
    let deliver = async |ca: &str| {
        let (ca, key) = (path(ca), path("key"));
        let destination: Destination = format!(
            "webhook+https://localhost:{port}/in?ca={}&key={}",
            ca.display(),
            key.display()
        )
        .parse()
        .unwrap();
        destination.sink().deliver(batch()).await
    };
    let refused = deliver("foreign").await.unwrap_err().to_string();
    assert!(refused.contains("cannot be reached"), "{refused}");
    deliver("ca").await.unwrap();
    server.abort();
}
