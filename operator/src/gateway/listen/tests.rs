//! The port against clients that behave, and clients that do not.

mod frames;
mod heads;
mod unauthenticated;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use strongroom_process::Shutdown;
use strongroom_testing::wait::{until_async, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::gateway::limits;
use crate::gateway::listen::{ConnectionTimeouts, RequestHandler};
use crate::gateway::tests::{World, token};
use crate::gateway::tls::{
    CertResolver, CertificateClient, ClientProcess, PortConfigResolver, test_certificate,
};

struct Port {
    world: World,
    served: Arc<CertResolver>,
    address: std::net::SocketAddr,
    trust: RootCertStore,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

impl Port {
    async fn open() -> Self {
        let world = World::new(0);
        world.allow("p", "app", "*", "*");
        let service = world.service.clone();
        Self::serving(world, service).await
    }

    async fn serving(world: World, handler: impl RequestHandler) -> Self {
        Self::with_timeouts(world, handler, ConnectionTimeouts::default()).await
    }

    async fn with_timeouts(world: World, handler: impl RequestHandler, timeouts: ConnectionTimeouts) -> Self {
        let served = Arc::new(CertResolver::default());
        let mut trust = RootCertStore::empty();
        let (key, bundle) = test_certificate(Timestamp::now());
        served.swap(key);
        for pem in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            trust.add(pem.unwrap()).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::default();
        let resolver = PortConfigResolver {
            everybody: Some(Arc::new(served.config())),
            client: Some(CertificateClient::new(ClientProcess::ExtensionApi)),
        };
        let admission = world.admission.clone().with_timeouts(timeouts);
        let task = tokio::spawn(super::serve(
            listener,
            Arc::new(resolver),
            handler,
            admission,
            shutdown.clone(),
        ));
        Self {
            world,
            served,
            address,
            trust,
            shutdown,
            task,
        }
    }

    /// Another authority's certificate takes the place of the one that is served; both are trusted from now
    /// on.
    fn swap(&mut self) {
        let (key, bundle) = test_certificate(Timestamp::now());
        for pem in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            self.trust.add(pem.unwrap()).unwrap();
        }
        self.served.swap(key);
    }

    async fn connect(&self, protocol: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_from(1, protocol).await
    }

    /// From the address 127.0.0.`host`.
    async fn connect_from(&self, host: u8, protocol: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = ClientConfig::builder()
            .with_root_certificates(self.trust.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, host], 0).into())?;
        let stream = socket.connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// A connection of its own for one request.
    async fn get(&self) -> Result<StatusCode, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let stream = self.connect(b"http/1.1").await.map_err(|error| text(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| text(&error))?;
        let connection = tokio::spawn(connection);
        let answer = sender
            .send_request(request())
            .await
            .map_err(|error| text(&error))?;
        let status = answer.status();
        answer.into_body().collect().await.map_err(|error| text(&error))?;
        drop(sender);
        let _ = connection.await;
        Ok(status)
    }

    async fn close(self) {
        self.shutdown.begin();
        within(self.task).await.unwrap();
        drop(self.world);
    }
}

fn request() -> Request<Body> {
    Request::builder()
        .uri("https://localhost/v1/namespaces/shop/secrets/db-main/value")
        .header("host", "localhost")
        .header("authorization", format!("Bearer {}", token("shop/app")))
        .body(Body::empty())
        .unwrap()
}

/// Reads what comes until the other side closes.
async fn rest(stream: &mut TlsStream<TcpStream>) -> String {
    let mut answer = Vec::new();
    // A connection that is cut off also ends what comes; one that stays open never does.
    let _ = within(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_exchanged_under_load_without_a_failed_request() {
    let mut port = Port::open().await;
    // Trusted from the start, so that each exchange below is one that a client is prepared for.
    let next = test_certificate(Timestamp::now());
    for pem in CertificateDer::pem_slice_iter(next.1.as_bytes()) {
        port.trust.add(pem.unwrap()).unwrap();
    }
    let first = port.served.current().unwrap();
    // A connection that lives through it all.
    let stream = port.connect(b"http/1.1").await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let port = Arc::new(port);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let port = Arc::clone(&port);
        clients.spawn(async move {
            for _ in 0..25 {
                assert_eq!(port.get().await, Ok(StatusCode::OK));
            }
        });
    }
    let next = Arc::new(next.0);
    for round in 0..40 {
        port.served.put(if round % 2 == 0 {
            Arc::clone(&next)
        } else {
            Arc::clone(&first)
        });
        sender.ready().await.unwrap();
        let answer = sender.send_request(request()).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    drop(sender);
    Arc::into_inner(port).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_know_the_authority_sends_nothing() {
    let mut port = Port::open().await;
    port.trust = RootCertStore::empty();
    assert!(port.connect(b"http/1.1").await.is_err());
    port.swap();
    assert_eq!(port.get().await, Ok(StatusCode::OK));
    port.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_and_a_body_without_end_are_cut_off() {
    let port = Port::open().await;
    let mut stream = port.connect(b"http/1.1").await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
        .await
        .unwrap();
    let line = format!("x-more: {}\r\n", "x".repeat(1000));
    for _ in 0..200 {
        // The other side stops listening at some point.
        if stream.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    let answer = rest(&mut stream).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );

    let mut stream = port.connect(b"http/1.1").await.unwrap();
    let head = format!(
        "POST /v1/namespaces/shop/secrets:batchGet HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        token("shop/app")
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(4096));
    for _ in 0..2 * limits::MAX_BODY_BYTES / 4096 {
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let answer = rest(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("TooLarge"),
        "{answer}"
    );
    assert_eq!(port.get().await, Ok(StatusCode::OK));
    port.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_strangers_and_resets_hold_nobody_up() {
    let port = Port::open().await;
    let mut idle = Vec::new();
    for _ in 0..400 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 9], 0).into()).unwrap();
        idle.push(socket.connect(port.address).await.unwrap());
    }
    assert_eq!(port.get().await, Ok(StatusCode::OK));

    // Streams that are opened and reset at once, until the other side has had enough or there were a
    // thousand.
    let stream = port.connect(b"h2").await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..1000 {
        if sender.ready().await.is_err() {
            break;
        }
        let sent = sender.send_request(request());
        // Polled once, so that it is on its way, and dropped.
        let _ = tokio::time::timeout(Duration::ZERO, sent).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(port.get().await, Ok(StatusCode::OK));
    drop(sender);
    connection.abort();
    drop(idle);
    port.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_answered_before_the_end() {
    let (arrived, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let router = {
        let (arrived, release) = (Arc::clone(&arrived), Arc::clone(&release));
        axum::Router::new().fallback(async move || {
            arrived.notify_one();
            release.notified().await;
            "finished"
        })
    };
    let port = Port::serving(World::new(0), router).await;
    let stream = port.connect(b"http/1.1").await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let sent = tokio::spawn(async move { sender.send_request(request()).await });
    arrived.notified().await;
    port.shutdown.begin();
    // Nobody gets in any more, and who is in is waited for.
    let refused = async || TcpStream::connect(port.address).await.is_err();
    until_async("nobody to get in", refused).await;
    assert!(!port.task.is_finished());
    release.notify_one();
    let answer = sent.await.unwrap().unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "finished");
    port.close().await;
}
