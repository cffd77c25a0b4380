//! The port: connections, TLS and HTTP, with a bound on everything that anybody can make large or slow.

mod connection;
mod fair_executor;
mod frame_meter;
mod handler;
mod monitored_stream;
mod response_body;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::Acceptor;
use strongroom_process::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use self::connection::ConnectionShare;
pub(crate) use self::connection::ConnectionTimeouts;
pub(in crate::gateway) use self::connection::{Connection, EndReason};
use self::fair_executor::{AddressExecutor, FairExecutor};
pub(crate) use self::handler::{GuardedResponse, RequestHandler, RequestOrigin};
use self::monitored_stream::{MonitoredStream, WireStream};
use self::response_body::ResponseBody;
pub(in crate::gateway) use self::response_body::ResponseGuard;
use crate::gateway::listener_capacity::ListenerCapacity;
use crate::gateway::request::{AddressShares, RefusalMetrics, Shares, head_bytes};
use crate::gateway::{GatewayError, limits};

/// Connections that are taken before those that are there go on.
const ACCEPTS_BEFORE_YIELD: u32 = 4;
/// How long what is under way may take once the process ends.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The other end of the connection.
    pub(in crate::gateway) address: SocketAddr,
    /// It proved by a certificate that the resolver admits it.
    pub(in crate::gateway) proven: bool,
}

/// Who gets in, and how.
pub(crate) trait ConfigResolver: Send + Sync + 'static {
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

/// On which terms connections are taken.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    /// What one address may have.
    addresses: AddressShares,
    /// Connections of those who have not proven who they are, by address.
    connections: Arc<Shares<IpAddr>>,
    /// Bytes of memory of the same.
    memory: Arc<Shares<IpAddr>>,
    timeouts: ConnectionTimeouts,
    /// Who calls proves who it is, so that what it sends before is held against it.
    weighs_traffic: bool,
    refusals: RefusalMetrics,
}

impl Admission {
    /// For a port that everybody reaches, which has room for so much.
    pub(in crate::gateway) fn new(
        addresses: AddressShares,
        capacity: ListenerCapacity,
        refusals: RefusalMetrics,
    ) -> Self {
        let each = 0;
        Self {
            addresses,
            connections: Shares::new(each, capacity.by_connections(limits::MAX_CONNECTIONS)),
            memory: Shares::new(each, capacity.unauthenticated_bytes()),
            timeouts: ConnectionTimeouts::default(),
            weighs_traffic: true,
            refusals,
        }
    }

    /// For a port that API servers call, each from one address. They need not say who they are, and a
    /// connection of theirs lives as long as they do.
    pub(crate) fn for_api_servers() -> Self {
        let timeouts = ConnectionTimeouts::default();
        let silence = timeouts.idle;
        let capacity = ListenerCapacity::SHARED;
        Self {
            timeouts: ConnectionTimeouts { silence, ..timeouts },
            weighs_traffic: false,
            ..Self::new(AddressShares::whole(), capacity, RefusalMetrics::default())
        }
    }

    #[cfg(test)]
    pub(in crate::gateway) const fn with_timeouts(mut self, timeouts: ConnectionTimeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Bytes of memory of those who have not proven who they are, by address.
    pub(in crate::gateway) const fn memory(&self) -> &Arc<Shares<IpAddr>> {
        &self.memory
    }

    /// Bytes of memory that this address may hold.
    pub(in crate::gateway) fn memory_limit(&self, address: IpAddr) -> u64 {
        let memory = (self.memory.all(), self.memory.in_use());
        self.addresses
            .limit_beside(address, memory, connection::BUSY_CONNECTION_BYTES)
            .max(connection::BUSY_CONNECTION_BYTES)
    }

    /// What one address may have.
    pub(in crate::gateway) const fn addresses(&self) -> &AddressShares {
        &self.addresses
    }
}

/// Serves until the shutdown begins.
pub(crate) async fn serve(
    listener: TcpListener,
    resolver: Arc<dyn ConfigResolver>,
    handler: impl RequestHandler,
    admission: Admission,
    shutdown: Shutdown,
) {
    let graceful = GracefulShutdown::new();
    let executor = FairExecutor::start();
    let mut in_a_row = 0_u32;
    loop {
        in_a_row = in_a_row.wrapping_add(1);
        if in_a_row.is_multiple_of(ACCEPTS_BEFORE_YIELD) {
            // Connections that come faster than they can be refused do not keep those that are there from
            // going on.
            tokio::task::yield_now().await;
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.wait() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a connection that went at once: neither ends the port.
                tracing::warn!(%error, "connection accept failed");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let deposit = match ConnectionShare::take(&admission, peer.ip().to_canonical()) {
            Ok(deposit) => deposit,
            Err(full) => {
                admission.refusals.connection(full);
                tracing::debug!(%peer, ?full, "connection refused, too many unauthenticated");
                continue;
            }
        };
        let watcher = graceful.watcher();
        let (resolver, handler) = (Arc::clone(&resolver), handler.clone());
        let (admission, of_address) = (admission.clone(), executor.for_address(peer.ip().to_canonical()));
        let turns = of_address.clone();
        of_address.spawn(async move {
            let on = (&admission, deposit, turns);
            let ended = connection(stream, peer, resolver, handler, watcher, on).await;
            if let Err(error) = ended {
                tracing::debug!(%peer, error, "connection closed");
            }
        });
    }
    // Whoever comes now is refused at once rather than kept waiting.
    drop(listener);
    if tokio::time::timeout(SHUTDOWN_GRACE, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("connection drain timed out");
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    resolver: Arc<dyn ConfigResolver>,
    handler: impl RequestHandler,
    watcher: hyper_util::server::graceful::Watcher,
    (admission, deposit, executor): (&Admission, ConnectionShare, AddressExecutor),
) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    stream.set_nodelay(true).map_err(|error| text(&error))?;
    let handshake = handshake(WireStream::new(stream), &*resolver);
    let Ok(shaken) = tokio::time::timeout(admission.timeouts.handshake, handshake).await else {
        admission.refusals.ended("slow_handshake");
        return Err("the handshake took too long".to_owned());
    };
    let mut stream = shaken?;
    let (wire, tls) = stream.get_mut();
    wire.lift_bound();
    tls.set_buffer_limit(Some(limits::TLS_SEND_BYTES));
    let client = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    if client.is_some_and(|client| !resolver.admits(client)) {
        return Err("the client's certificate is not the expected one".to_owned());
    }
    let peer = Peer {
        address: peer,
        proven: client.is_some(),
    };
    let http1 = stream.get_ref().1.alpn_protocol() != Some(b"h2");
    let connection = Connection::new(admission, deposit, peer.address.ip().to_canonical(), http1);
    if peer.proven {
        // The resolver has admitted it.
        let nothing: Box<dyn Any + Send> = Box::new(());
        let Ok(()) = connection.prove(|| Ok::<_, Infallible>(nothing));
    }
    let served = serve_connection(stream, peer, &connection, handler, executor);
    let served = watcher.watch(served);
    tokio::select! {
        ended = served => ended.map_err(|error| error.to_string()),
        end = connection.must_end() => {
            connection.refusals.ended(end.as_str());
            Err(format!("this side ends it: {}", end.as_str()))
        }
    }
}

/// The connection as HTTP. What the client negotiated is spoken: nobody is waited for to say it with the
/// first bytes.
fn serve_connection(
    stream: TlsStream<WireStream<TcpStream>>,
    peer: Peer,
    connection: &Arc<Connection>,
    handler: impl RequestHandler,
    executor: AddressExecutor,
) -> impl hyper_util::server::graceful::GracefulConnection<Error: std::fmt::Display> {
    let stream = TokioIo::new(MonitoredStream::new(stream, Arc::clone(connection)));
    let of = Arc::clone(connection);
    let service = service_fn(move |request: Request<Incoming>| {
        let open = of.request();
        let origin = RequestOrigin {
            peer,
            connection: Some(Arc::clone(&of)),
        };
        let answer = match of.head(head_bytes(&request)) {
            Ok(head) => Some((head, handler.clone().answer(request.map(request_body), origin))),
            Err(full) => {
                of.end(EndReason::Share(full));
                None
            }
        };
        async move {
            let GuardedResponse { response, guard } = match answer {
                Some((head, answer)) => {
                    // From here on the request counts itself.
                    drop(head);
                    answer.await
                }
                None => GuardedResponse::unguarded(no_room()),
            };
            Ok::<Response<ResponseBody>, Infallible>(
                response.map(|body| ResponseBody::new(body, open, guard)),
            )
        }
    });
    let mut builder = auto::Builder::new(executor);
    builder
        .http1()
        .timer(TokioTimer::new())
        // `Connection` looks after heads, and knows an idle connection from a slow one.
        .header_read_timeout(None)
        .max_buf_size(limits::MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits::MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits::HTTP2_STREAMS)
        .initial_connection_window_size(limits::HTTP2_WINDOW_BYTES)
        .initial_stream_window_size(limits::HTTP2_WINDOW_BYTES)
        .max_send_buf_size(limits::HTTP2_SEND_BUFFER_BYTES)
        .keep_alive_interval(limits::KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(limits::KEEP_ALIVE_TIMEOUT);
    let builder = if connection.is_http1() {
        builder.http1_only()
    } else {
        builder.http2_only()
    };
    let served = builder.serve_connection(stream, service);
    served.into_owned()
}

/// What a request is answered for which there is no room, if it is: its connection ends.
fn no_room() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// The body of a request: most have none, and that is said without a box.
fn request_body(incoming: Incoming) -> Body {
    if incoming.is_end_stream() {
        Body::empty()
    } else {
        Body::new(incoming)
    }
}

async fn handshake(
    stream: WireStream<TcpStream>,
    resolver: &dyn ConfigResolver,
) -> Result<TlsStream<WireStream<TcpStream>>, String> {
    let text = |error: std::io::Error| error.to_string();
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream)
        .await
        .map_err(text)?;
    let config = resolver
        .config(start.client_hello().server_name())
        .ok_or_else(|| "this name is not served yet".to_owned())?;
    start.into_stream(config).await.map_err(text)
}
