//! What strangers make the gateway hold: as many attempts of each kind as there are connections for, from many addresses, and the memory meanwhile.
//!
//! Each attempt stays for as long as it is let. Client and server share the machine.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::Request;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use strongroom_e2e::Cluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cluster::{Bench, connect, on_cluster};
use crate::https::{address_of, trust};
use crate::read::serve;
use crate::row::Row;
use crate::{Outcome, memory};

/// Attempts of each kind.
const ATTEMPTS: usize = 16_384;
/// Streams that a connection of HTTP/2 has.
const STREAMS: usize = 128;
/// Attempts that begin at the same time.
const AT_ONCE: usize = 64;
/// How long the memory is looked at once all attempts were made.
const STAY: Duration = Duration::from_secs(3);

/// What is tried.
#[derive(Clone, Copy)]
enum Kind {
    /// Nothing after the handshake.
    Silent,
    /// A head that does not end.
    HalfHead,
    /// A node's first message that does not end.
    HalfHello,
    /// An answer that is not taken.
    Unread,
}

/// The row.
pub(crate) fn measure(dir: &Path) -> Outcome<Vec<Row>> {
    on_cluster(dir, rows)
}

async fn rows(cluster: &Cluster, data: &Path) -> Outcome<Vec<Row>> {
    let client = connect(cluster).await?;
    let bench = Bench { client };
    bench.prepare(cluster).await?;
    let (mut process, port) = serve(cluster, data, &["--node-account=node"])?;
    let config = loop {
        match trust(&bench).await {
            Ok(config) => break config,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let idle = memory::at_rest(process.pid()).await?;
    let mut peaks = Vec::new();
    for kind in [Kind::Silent, Kind::HalfHead, Kind::HalfHello, Kind::Unread] {
        let config = Arc::new(speaking(config.clone(), kind));
        let ((), samples) = memory::during(process.pid(), attempts(port, &config, kind)).await?;
        peaks.push(samples.into_iter().fold(0.0, f64::max));
        // What was tried is over before something else is.
        tokio::time::sleep(STAY).await;
    }
    process.stop()?;
    Ok(vec![
        Row::of("gateway.strangers.rss_mb", "MB", &peaks).against("the same process before", &idle),
    ])
}

fn speaking(mut config: ClientConfig, kind: Kind) -> ClientConfig {
    let protocol: &[u8] = match kind {
        Kind::HalfHead => b"http/1.1",
        Kind::Silent | Kind::HalfHello | Kind::Unread => b"h2",
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

/// All attempts of a kind. One that is refused or ended is what is hoped for.
async fn attempts(port: u16, config: &Arc<ClientConfig>, kind: Kind) -> Outcome<()> {
    let connections = match kind {
        Kind::Silent | Kind::HalfHead => ATTEMPTS,
        Kind::HalfHello | Kind::Unread => ATTEMPTS / STREAMS,
    };
    let mut held = JoinSet::new();
    let mut made = stream::iter(0..connections)
        .map(|number| {
            let config = Arc::clone(config);
            async move {
                let made = tokio::time::timeout(Duration::from_secs(5), tls(port, config, number)).await;
                made.ok().and_then(Result::ok)
            }
        })
        .buffer_unordered(AT_ONCE);
    while let Some(stream) = made.next().await {
        if let Some(stream) = stream {
            held.spawn(attempt(stream, kind));
        }
    }
    tokio::time::sleep(STAY).await;
    held.shutdown().await;
    Ok(())
}

async fn tls(port: u16, config: Arc<ClientConfig>, number: usize) -> Outcome<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    // Sixty-four addresses.
    socket.bind((address_of(number % 64), 0).into())?;
    let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await?;
    let name = ServerName::try_from("localhost")?;
    Ok(TlsConnector::from(config).connect(name, stream).await?)
}

/// One connection's attempts, until the other side ends them.
async fn attempt(mut stream: TlsStream<TcpStream>, kind: Kind) {
    match kind {
        Kind::Silent => {}
        Kind::HalfHead => {
            let head = format!(
                "GET / HTTP/1.1\r\nhost: localhost\r\nx-more: {}",
                "x".repeat(15_000)
            );
            // The other side may have hung up.
            let _ = stream.write_all(head.as_bytes()).await;
        }
        Kind::HalfHello => return streams(stream, 1 << 16, half_hello).await,
        Kind::Unread => return streams(stream, 0, unread).await,
    }
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

type Endless = StreamBody<futures::stream::BoxStream<'static, Result<Frame<Bytes>, std::io::Error>>>;

fn body(begin: Vec<u8>, ends: bool) -> Endless {
    let begin = stream::iter([Ok(Frame::data(Bytes::from(begin)))]);
    StreamBody::new(if ends {
        begin.boxed()
    } else {
        begin.chain(stream::pending()).boxed()
    })
}

fn half_hello() -> http::Result<Request<Endless>> {
    let mut half = vec![0];
    half.extend(65_000_u32.to_be_bytes());
    half.resize(60_000, 7);
    Request::post("https://localhost/strongroom.stream.v1.Delivery/Attach")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body(half, false))
}

fn unread() -> http::Result<Request<Endless>> {
    Request::get("https://localhost/v1/namespaces/bench/secrets/none/value").body(body(Vec::new(), true))
}

/// As many requests as a connection has streams, whose answers nobody takes.
async fn streams(stream: TlsStream<TcpStream>, window: u32, request: fn() -> http::Result<Request<Endless>>) {
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let Ok((sender, connection)) = builder.handshake(TokioIo::new(stream)).await else {
        return;
    };
    let mut asked = JoinSet::new();
    for _ in 0..STREAMS {
        let mut sender = sender.clone();
        asked.spawn(async move {
            if let Ok(request) = request() {
                let answer = sender.send_request(request).await;
                std::future::pending::<()>().await;
                drop(answer);
            }
        });
    }
    // Until this side or the other ends it.
    let _ = connection.await;
}
