//! The process of the people's front: a port for machines that watch, and the front. It has no store and takes no lease.

use std::net::SocketAddr;
use std::sync::Arc;

use kube::{Client, Config};
use prometheus_client::registry::Registry;
use strongroom_process::{Check, Health, shutdown_on_signal};

use super::ServeError;
use crate::gateway::front;

/// Serves the front until asked to stop, or until it must.
pub(crate) async fn run(
    settings: impl FnOnce(String) -> front::Settings,
    namespace: Option<String>,
    http_listen: SocketAddr,
) -> Result<(), ServeError> {
    let shutdown = shutdown_on_signal()?;
    let health = Health::default();
    health.set(
        "front",
        Check::Waiting("does not know whom to believe yet".to_owned()),
    );
    let port = tokio::spawn(strongroom_process::serve(
        http_listen,
        health.clone(),
        Arc::new(Registry::with_prefix("strongroom")),
        shutdown.clone(),
        |address| tracing::info!(%address, "serving health and metrics"),
    ));
    let config = Config::infer().await?;
    let settings = settings(namespace.unwrap_or_else(|| config.default_namespace.clone()));
    let client = Client::try_from(config).map_err(Box::new)?;
    let served = front::run(settings, client, health, shutdown.clone()).await;
    shutdown.begin();
    if let Ok(port) = port.await {
        port?;
    }
    Ok(served?)
}
