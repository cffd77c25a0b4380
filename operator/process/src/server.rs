//! The HTTP port for machines that watch: `/healthz`, `/readyz`, `/metrics`. Must not serve anything about a
//! secret.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::{Health, MetricRegistry, ProcessUsage, Shutdown};

/// The port cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Address and port, as the flag gave them.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// The port broke.
    #[error("the health port failed: {0}")]
    Serve(#[from] std::io::Error),
}

#[derive(Clone)]
struct ServerState {
    health: Health,
    registry: Arc<MetricRegistry>,
}

/// Serves until the shutdown begins. Says the address that it got: port 0 asks for any.
///
/// # Errors
/// [`ServerError`].
pub async fn serve(
    address: SocketAddr,
    health: Health,
    registry: Arc<MetricRegistry>,
    shutdown: Shutdown,
    listening: impl FnOnce(SocketAddr),
) -> Result<(), ServerError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServerError::Bind { address, source })?;
    listening(listener.local_addr()?);
    let router = Router::new()
        .route(
            "/healthz",
            get(|State(watched): State<ServerState>| async move { answer(watched.health.liveness()) }),
        )
        .route(
            "/readyz",
            get(|State(watched): State<ServerState>| async move { answer(watched.health.readiness()) }),
        )
        .route("/metrics", get(metrics))
        .with_state(ServerState { health, registry });
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { shutdown.wait().await })
        .await?;
    Ok(())
}

fn answer(state: Result<(), String>) -> Response {
    match state {
        Ok(()) => (StatusCode::OK, "ok\n").into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(watched): State<ServerState>) -> Response {
    match watched.registry.text() {
        Ok(mut text) => {
            text.push_str(&ProcessUsage::read().text());
            ([(header::CONTENT_TYPE, MetricRegistry::CONTENT_TYPE)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::Check;

    async fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn health_and_metrics_are_served_until_the_end() {
        let mut registry = MetricRegistry::default();
        let counter: Counter = Counter::default();
        registry.add("things", "Things that happened", &counter);
        counter.inc();
        let (health, shutdown) = (Health::default(), Shutdown::default());
        health.set("store", Check::Waiting("opening".into()));
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let server = tokio::spawn(serve(
            "127.0.0.1:0".parse().unwrap(),
            health.clone(),
            Arc::new(registry),
            shutdown.clone(),
            |address| sender.send(address).unwrap(),
        ));
        let address = receiver.await.unwrap();
        assert!(fetch(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let waiting = fetch(address, "/readyz").await;
        assert!(
            waiting.starts_with("HTTP/1.1 503") && waiting.contains("store: opening"),
            "{waiting}"
        );
        health.set("store", Check::Ready);
        assert!(fetch(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        let metrics = fetch(address, "/metrics").await;
        for part in [
            "content-type: text/plain; version=0.0.4; charset=utf-8\r\n",
            "# TYPE things_total counter\nthings_total 1\n",
            "\nprocess_open_fds ",
        ] {
            assert!(metrics.contains(part), "{part}: {metrics}");
        }
        assert!(fetch(address, "/elsewhere").await.starts_with("HTTP/1.1 404"));
        shutdown.begin();
        server.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_said() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let refused = serve(
            address,
            Health::default(),
            Arc::default(),
            Shutdown::default(),
            |_| {},
        )
        .await;
        assert!(matches!(refused, Err(ServerError::Bind { .. })));
    }
}
