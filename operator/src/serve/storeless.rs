//! A process without a store, which takes no lease: a port for machines that watch, and what it serves.

use std::sync::Arc;

use kube::{Client, Config};
use strongroom_process::{Check, Health, MetricRegistry, shutdown_on_signal};

use super::ServeError;
use super::roles::ProcessSettings;
use crate::gateway::GatewayError;
use crate::storeless::StorelessContext;

/// Serves until asked to stop, or until it must. `name` is what health says of it; `measured` registers what
/// it counts.
pub(super) async fn run<M>(
    name: &'static str,
    ProcessSettings {
        namespace,
        http_listen,
    }: ProcessSettings,
    measured: impl FnOnce(&mut MetricRegistry) -> M,
    serve: impl AsyncFnOnce(StorelessContext, M) -> Result<(), GatewayError>,
) -> Result<(), ServeError> {
    let shutdown = shutdown_on_signal()?;
    let health = Health::default();
    health.set(name, Check::Waiting("waiting for certificates".to_owned()));
    let mut registry = MetricRegistry::with_prefix("strongroom");
    let metrics = measured(&mut registry);
    let port = tokio::spawn(strongroom_process::serve(
        http_listen,
        health.clone(),
        Arc::new(registry),
        shutdown.clone(),
        |address| tracing::info!(%address, "serving health and metrics"),
    ));
    let config = Config::infer().await?;
    let surroundings = StorelessContext {
        namespace: namespace.unwrap_or_else(|| config.default_namespace.clone()),
        client: Client::try_from(config).map_err(Box::new)?,
        health,
        shutdown: shutdown.clone(),
    };
    let served = serve(surroundings, metrics).await;
    shutdown.begin();
    if let Ok(port) = port.await {
        port?;
    }
    Ok(served?)
}
