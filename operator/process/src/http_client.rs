//! How a process calls a server over HTTP. It follows no redirect, and trusts only the CA that its caller
//! names.

use std::time::Duration;

use axum::body::Body;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

/// How often an idle connection of HTTP/2 is tried, and how long that may take: the pod at its end may have
/// gone without a word.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Requests, and the connections that they share; cheap to clone.
pub type HttpClient = Client<HttpsConnector<HttpConnector>, Body>;

/// Speaks HTTP/1.1 over TLS; where `in_clear` is true, to `http://` as well.
#[must_use]
pub fn http1_client(tls: ClientConfig, in_clear: bool, connect_timeout: Duration) -> HttpClient {
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
    let builder = if in_clear {
        builder.https_or_http()
    } else {
        builder.https_only()
    };
    let connector = builder.enable_http1().wrap_connector(tcp(connect_timeout));
    Client::builder(TokioExecutor::new()).build(connector)
}

/// Speaks HTTP/2 over TLS to a server whose certificate has this name, whatever its address is.
#[must_use]
pub fn http2_client(tls: ClientConfig, name: ServerName<'static>, connect_timeout: Duration) -> HttpClient {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .with_server_name_resolver(FixedServerNameResolver::new(name))
        .enable_http2()
        .wrap_connector(tcp(connect_timeout));
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .http2_only(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .http2_keep_alive_timeout(KEEP_ALIVE_INTERVAL)
        .http2_keep_alive_while_idle(true)
        .build(connector)
}

fn tcp(connect_timeout: Duration) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(connect_timeout));
    tcp.set_nodelay(true);
    tcp
}
