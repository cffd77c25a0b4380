//! Connections at a volume's socket. Each comes from a process in the pod, so a greedy one uses up only what
//! its own volume may have.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use strongroom_render::format::quoted;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::answer::answer;
use super::error::QueryError;
use super::query::{AgentRequest, parse};
use super::volume_snapshot::VolumeSnapshot;
use crate::metrics::Metrics;

/// Connections of a volume at the same time; more wait in the kernel.
const MAX_CONNECTIONS: usize = 16;
/// Largest head of a request, in bytes. A body is not read.
const MAX_HEAD_BYTES: usize = 16_384;
/// How long a request may take to come, and a connection may be of no use.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection may last. One that is in use ends in order after its answer, and the program makes
/// another.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(600);
/// How long its last answer may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait where the process has no room for a connection.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Answers until `stop` ends; then no connection is left.
pub(super) async fn serve(
    listener: UnixListener,
    snapshot: Arc<VolumeSnapshot>,
    metrics: Metrics,
    mut stop: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&snapshot), metrics.clone()));
                }
                // Out of descriptors or memory: it is there the next time.
                Err(_) => sleep(ACCEPT_RETRY_DELAY).await,
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn connection(stream: UnixStream, snapshot: Arc<VolumeSnapshot>, metrics: Metrics) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(&request, &snapshot, &metrics);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // What a program does to its own connection is its own matter.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = sleep(MAX_CONNECTION_AGE) => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(DRAIN_TIMEOUT, connection).await;
        }
    }
}

fn respond<B>(request: &Request<B>, snapshot: &VolumeSnapshot, metrics: &Metrics) -> Response<Full<Bytes>> {
    let answered = match parse(request.method(), request.uri(), request.headers()) {
        Ok(AgentRequest::Ping) => return response(StatusCode::OK, "text/plain", "healthy".to_owned().into()),
        Ok(AgentRequest::Secret(query)) => answer(&query, snapshot),
        Err(refusal) => Err(refusal),
    };
    match answered {
        Ok(text) => {
            metrics.asked("answered");
            response(StatusCode::OK, "application/json", text)
        }
        Err(refusal) => {
            metrics.asked(refusal.outcome());
            response(refusal.status(), "application/json", body(&refusal))
        }
    }
}

/// A refusal in the form that programs for AWS read.
fn body(refusal: &QueryError) -> Zeroizing<String> {
    let mut text = Zeroizing::new(format!("{{\"__type\":\"{}\",\"message\":", refusal.kind()));
    quoted(&mut text, &refusal.to_string());
    text.push('}');
    text
}

/// The bytes of `text` are wiped once they are sent.
fn response(status: StatusCode, kind: &'static str, text: Zeroizing<String>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_owner(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
