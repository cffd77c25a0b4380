//! The webhook: pods that ask for variables by annotation get what that takes before they are made (docs/env.md).
//!
//! | module | idea |
//! |---|---|
//! | [`review`] | what the API server asks, and what it is answered; pure |
//! | [`certificate`] | its certificate, followed in the cluster |
//!
//! What becomes of a pod is for [`strongroom_rules::environment`] to say. Has no store and keeps nothing. Must not see a value, and must not log
//! what a refusal says: people write into annotations what they will.

mod certificate;
mod review;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use axum::{RequestExt, Router};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use strongroom_rules::environment::Image;
use tokio::sync::Semaphore;

use self::certificate::Certificate;
use crate::gateway::{GatewayError, listen};
use crate::serve::storeless::Surroundings;

/// Largest question in bytes: the API server takes objects of up to 3 MiB.
const BODY_BYTES: usize = 8 << 20;
/// Questions that are read and answered at the same time.
const QUESTIONS: usize = 32;
/// How long a question may take to arrive: the API server waits for less.
const PATIENCE: Duration = Duration::from_secs(10);

/// How it is served.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Its port.
    pub(crate) listen: SocketAddr,
    /// The Service that leads to it.
    pub(crate) service: String,
    /// The image of `strongroom-exec`.
    pub(crate) image: Image,
}

/// What is counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pods: Family<Outcome, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Metrics {
    /// Registers them.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let it = Self::default();
        registry.register(
            "webhook_pods",
            "Pods that the webhook was asked about, by what came of it: changed, unchanged or refused",
            it.pods.clone(),
        );
        it
    }
}

struct Webhook {
    image: Image,
    metrics: Metrics,
    room: Semaphore,
}

/// Serves until the shutdown begins.
///
/// # Errors
/// [`GatewayError::Bind`].
pub(crate) async fn run(
    settings: Settings,
    around: Surroundings,
    metrics: Metrics,
) -> Result<(), GatewayError> {
    let listener = listen::bind(settings.listen).await?;
    let certificate = Certificate::default();
    let following =
        certificate
            .clone()
            .follow(around.client, around.namespace, settings.service, around.health);
    let following = tokio::spawn(following);
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "serving the webhook");
    }
    let router = router(settings.image, metrics);
    listen::serve(
        listener,
        Arc::new(certificate),
        router,
        listen::Admission::of_api_servers(),
        around.shutdown,
    )
    .await;
    following.abort();
    Ok(())
}

fn router(image: Image, metrics: Metrics) -> Router {
    let webhook = Webhook {
        image,
        metrics,
        room: Semaphore::new(QUESTIONS),
    };
    Router::new()
        .route("/env", post(asked))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(Arc::new(webhook))
}

async fn asked(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    // Before its body is read: that is what takes memory.
    let Ok(_room) = webhook.room.acquire().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let body = match tokio::time::timeout(PATIENCE, request.extract::<Bytes, _>()).await {
        Ok(Ok(body)) => body,
        Ok(Err(refused)) => return refused.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let question = match review::read(&body) {
        Ok(question) => question,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let (answer, outcome) = review::answer(&question, &webhook.image);
    tracing::info!(
        namespace = question.namespace(),
        pod = question.pod(),
        outcome,
        "asked about a pod"
    );
    webhook.metrics.pods.get_or_create(&Outcome { outcome }).inc();
    Json(answer).into_response()
}
