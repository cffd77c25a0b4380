//! What somebody without a token tries: to hold as much of the process as there are connections for.

use std::net::Ipv4Addr;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::Request;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::target::{AnyBody, Target};

/// Streams that a connection of HTTP/2 is used for.
pub(super) const STREAMS_PER_CONNECTION: usize = 128;
/// Attempts that begin at the same time.
const MAX_CONCURRENT_ATTEMPTS: usize = 64;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// Nothing after the handshake.
    Silent,
    /// A head of HTTP/1.1 that does not end.
    HalfHead,
    /// A node's first message that does not end.
    HalfHello,
    /// An answer that is not taken.
    Unread,
}

impl Stranger {
    /// Each of them once.
    pub const ALL: [Self; 4] = [Self::Silent, Self::HalfHead, Self::HalfHello, Self::Unread];

    /// How many attempts one connection makes.
    const fn of_a_connection(self) -> usize {
        match self {
            Self::Silent | Self::HalfHead => 1,
            Self::HalfHello | Self::Unread => STREAMS_PER_CONNECTION,
        }
    }
}

/// So many attempts of a kind, each for as long as it is let, spread over the addresses. Comes back once all
/// were made; what it returns holds those that are left.
pub async fn strangers(target: &Target, kind: Stranger, attempts: usize, from: &[Ipv4Addr]) -> JoinSet<()> {
    let connections = attempts / kind.of_a_connection();
    let mut held = JoinSet::new();
    let addresses = from.iter().copied().cycle().take(connections);
    let mut made = stream::iter(addresses)
        .map(|from| attempt(target.clone(), kind, from))
        .buffer_unordered(MAX_CONCURRENT_ATTEMPTS);
    while let Some(attempt) = made.next().await {
        held.extend(attempt);
    }
    held
}

/// A connection that was let in, and what it does until one side ends it.
async fn attempt(
    target: Target,
    kind: Stranger,
    from: Ipv4Addr,
) -> Option<futures::future::BoxFuture<'static, ()>> {
    match kind {
        Stranger::Silent => {
            let mut stream = target.silent_http2(from).await.ok()?;
            Some(Box::pin(async move { ended(&mut stream).await }))
        }
        Stranger::HalfHead => {
            let mut stream = target.http1(from).await.ok()?;
            Some(Box::pin(async move {
                let filler = "x".repeat(15_000);
                let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-more: {filler}");
                // The other side may have hung up.
                let _ = stream.write_all(head.as_bytes()).await;
                ended(&mut stream).await;
            }))
        }
        Stranger::HalfHello => streams(target, from, 1 << 16, half_hello).await,
        Stranger::Unread => streams(target, from, 0, unread).await,
    }
}

async fn ended(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// As many requests as a connection has streams, whose answers nobody takes.
async fn streams(
    target: Target,
    from: Ipv4Addr,
    window: u32,
    request: fn() -> http::Result<Request<AnyBody>>,
) -> Option<futures::future::BoxFuture<'static, ()>> {
    let (sender, driven) = target.http2(from, window).await.ok()?;
    Some(Box::pin(async move {
        let mut asked = JoinSet::new();
        for _ in 0..STREAMS_PER_CONNECTION {
            let mut sender = sender.clone();
            asked.spawn(async move {
                if let Ok(request) = request() {
                    let answer = sender.send_request(request).await;
                    std::future::pending::<()>().await;
                    drop(answer);
                }
            });
        }
        let _ = driven.await;
    }))
}

/// A body that begins like this and does not end.
pub(super) fn endless(begin: Vec<u8>) -> AnyBody {
    let begin = stream::iter([Ok::<_, std::io::Error>(Frame::data(Bytes::from(begin)))]);
    BoxBody::new(StreamBody::new(begin.chain(stream::pending())))
}

/// No body.
pub(super) fn empty() -> AnyBody {
    Empty::new().map_err(|never| match never {}).boxed()
}

fn half_hello() -> http::Result<Request<AnyBody>> {
    let mut half = vec![0];
    half.extend(65_000_u32.to_be_bytes());
    half.resize(60_000, 7);
    Request::post("https://localhost/strongroom.stream.v1.Delivery/Attach")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(endless(half))
}

fn unread() -> http::Result<Request<AnyBody>> {
    Request::get("https://localhost/v1/namespaces/bench/secrets/none/value").body(empty())
}
