//! The port: connections, TLS and HTTP, with a bound on everything that a stranger can make large or slow.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::Acceptor;
use strongroom_process::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt as _;

use crate::gateway::{GatewayError, limits};

/// How long what is under way may take once the process ends.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The other end of the connection.
    pub(in crate::gateway) address: SocketAddr,
    /// It proved by a certificate that it is whom the entrance is for.
    pub(in crate::gateway) proven: bool,
}

/// Who gets in, and how.
pub(crate) trait Entrance: Send + Sync + 'static {
    /// How a client is served that calls the server by this name; `None`: it is turned away.
    fn config(&self, name: Option<&str>) -> Option<Arc<ServerConfig>>;

    /// Whether a client with this certificate, which it proved to hold, gets in.
    fn admits(&self, client: &CertificateDer<'_>) -> bool;
}

/// Takes the port.
///
/// # Errors
/// [`GatewayError::Bind`].
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, GatewayError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| GatewayError::Bind { address, source })
}

/// Serves until the shutdown begins.
pub(crate) async fn serve(
    listener: TcpListener,
    entrance: Arc<dyn Entrance>,
    router: Router,
    shutdown: Shutdown,
) {
    let connections = Arc::new(Semaphore::new(limits::CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.wait() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a connection that went at once: neither ends the port.
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
            tracing::warn!(%peer, "too many connections; this one is closed");
            continue;
        };
        let watcher = graceful.watcher();
        let (entrance, router) = (Arc::clone(&entrance), router.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(stream, peer, entrance, router, watcher, permit).await {
                tracing::debug!(%peer, error, "a connection ended");
            }
        });
    }
    // Whoever comes now is refused at once rather than kept waiting.
    drop(listener);
    if tokio::time::timeout(LAST_ANSWERS, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("connections did not finish in time");
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    entrance: Arc<dyn Entrance>,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
    permit: OwnedSemaphorePermit,
) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    stream.set_nodelay(true).map_err(|error| text(&error))?;
    let stream = tokio::time::timeout(limits::HANDSHAKE_TIME, handshake(stream, &*entrance))
        .await
        .map_err(|_| "the handshake took too long".to_owned())??;
    let client = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    if client.is_some_and(|client| !entrance.admits(client)) {
        return Err("the client's certificate is somebody else's".to_owned());
    }
    let peer = Peer {
        address: peer,
        proven: client.is_some(),
    };
    // The router itself is shared: a layer for each connection would build all its routes anew.
    let service = TowerToHyperService::new(router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request
    }));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_TIME)
        .max_buf_size(limits::HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits::HEAD_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(128)
        .keep_alive_interval(limits::HEAD_TIME)
        .keep_alive_timeout(limits::HANDSHAKE_TIME);
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    let ended = watcher.watch(connection).await;
    drop(permit);
    ended.map_err(|error| error.to_string())
}

async fn handshake(stream: TcpStream, entrance: &dyn Entrance) -> Result<TlsStream<TcpStream>, String> {
    let text = |error: std::io::Error| error.to_string();
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream)
        .await
        .map_err(text)?;
    let config = entrance
        .config(start.client_hello().server_name())
        .ok_or_else(|| "nobody serves this name yet".to_owned())?;
    start.into_stream(config).await.map_err(text)
}
