//! The webhook: pods that ask for variables by annotation get what that takes before they are made
//! (docs/env.md), and who writes our objects is said to the process with the store (docs/audit.md).
//!
//! | module | idea |
//! |---|---|
//! | [`review`] | what the API server asks about a pod, and what it is answered; pure |
//! | [`attest`] | what it asks about an object of ours, and what of that is handed over |
//! | [`certificate`] | its certificate, followed in the cluster |
//!
//! What becomes of a pod is for [`strongroom_rules::environment`] to say. Has no store and keeps nothing.
//! Must not keep a value, and must not log what an object or a refusal says: people write into those what
//! they will.

mod attest;
mod certificate;
mod review;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use axum::{RequestExt, Router};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use strongroom_process::DurationHistogram;
use strongroom_rules::environment::Image;
use tokio::sync::Semaphore;

use self::attest::ObjectRequest;
use self::certificate::WebhookCertificate;
use self::review::{PodRequest, ReviewError};
use crate::gateway::{GatewayError, listen};
use crate::storeless::StorelessContext;

/// Largest question in bytes: the API server takes objects of up to 3 MiB.
const MAX_POD_BODY_BYTES: usize = 8 << 20;
/// Largest question about an object of ours: as it is and as it was, each of at most 1.5 MiB
/// (<https://etcd.io/docs/latest/dev-guide/limit/>).
const MAX_OBJECT_BODY_BYTES: usize = 4 << 20;
/// KiB of such questions that are read at the same time.
const MAX_READING_KIB: usize = 8 << 10;
/// Such questions that are answered at the same time; more are unattested.
const MAX_OBJECT_REVIEWS: usize = 256;
/// Questions that are read and answered at the same time.
const MAX_POD_REVIEWS: usize = 32;
/// How long a question may take to arrive: the API server waits for less.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How it is served.
#[derive(Clone, Debug)]
pub(crate) struct WebhookSettings {
    /// Its port.
    pub(crate) listen: SocketAddr,
    /// The Service that leads to it.
    pub(crate) service: String,
    /// Where it says who writes objects.
    pub(crate) attestations: Authority,
    /// The image of `strongroom-exec`.
    pub(crate) image: Image,
}

strongroom_process::metrics! {
    /// What is counted.
    #[derive(Clone)]
    pub(crate) struct WebhookMetrics {
        /// Pods that the webhook was asked about, by the outcome: `changed`, `unchanged` or `refused`.
        pods: Family<OutcomeLabel, Counter> = "webhook_pods",
        /// Changes of objects that the webhook was asked about, by the outcome: `handed` to the process with
        /// the store, `refused` there, `unreachable`, or `nothing` to hand over.
        attestations: Family<OutcomeLabel, Counter> = "webhook_attestations",
        /// Time until a request to the webhook was answered, by what it was `about`: `pod` or `object`.
        seconds: Family<AboutLabel, DurationHistogram> = "webhook_review_seconds",
        /// When the certificate by which the webhook serves ends, seconds since the epoch; 0 while there is
        /// none.
        certificate_end: Gauge = "webhook_certificate_expiration_timestamp_seconds",
    }
}

strongroom_process::labels! {
    struct OutcomeLabel {
        outcome: &'static str,
    }

    struct AboutLabel {
        about: &'static str,
    }
}

impl WebhookMetrics {
    fn answered(&self, about: &'static str, begun: Instant) {
        let seconds = self.seconds.get_or_create(&AboutLabel { about });
        seconds.observe(begun.elapsed().as_secs_f64());
    }
}

struct Webhook {
    image: Image,
    metrics: WebhookMetrics,
    room: Semaphore,
    certificate: WebhookCertificate,
    attestations: Authority,
    /// KiB for what is read.
    reading: Semaphore,
    answering: Semaphore,
}

/// Serves until the shutdown begins.
///
/// # Errors
/// [`GatewayError::Bind`].
pub(crate) async fn run(
    settings: WebhookSettings,
    around: StorelessContext,
    metrics: WebhookMetrics,
) -> Result<(), GatewayError> {
    let listener = listen::bind(settings.listen).await?;
    let certificate = WebhookCertificate::with_expiration(metrics.certificate_end.clone());
    let following =
        certificate
            .clone()
            .follow(around.client, around.namespace, settings.service, around.health);
    let following = tokio::spawn(following);
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "serving webhook");
    }
    let router = router(
        settings.image,
        metrics,
        certificate.clone(),
        settings.attestations,
    );
    listen::serve(
        listener,
        Arc::new(certificate),
        router,
        listen::Admission::for_api_servers(),
        around.shutdown,
    )
    .await;
    following.abort();
    Ok(())
}

fn router(
    image: Image,
    metrics: WebhookMetrics,
    certificate: WebhookCertificate,
    attestations: Authority,
) -> Router {
    let webhook = Webhook {
        image,
        metrics,
        room: Semaphore::new(MAX_POD_REVIEWS),
        certificate,
        attestations,
        reading: Semaphore::new(MAX_READING_KIB),
        answering: Semaphore::new(MAX_OBJECT_REVIEWS),
    };
    let pods = post(review_pod).layer(DefaultBodyLimit::max(MAX_POD_BODY_BYTES));
    let objects = post(review_object).layer(DefaultBodyLimit::max(MAX_OBJECT_BODY_BYTES));
    Router::new()
        .route("/env", pods)
        .route("/attest", objects)
        .with_state(Arc::new(webhook))
}

async fn review_pod(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    let begun = Instant::now();
    // Before its body is read: that is what takes memory.
    let Ok(_room) = webhook.room.acquire().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let body = match tokio::time::timeout(BODY_TIMEOUT, request.extract::<Bytes, _>()).await {
        Ok(Ok(body)) => body,
        Ok(Err(refused)) => return refused.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let request = match review::read::<PodRequest>(&body) {
        Ok(request) => request,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let (answer, outcome) = review::answer(&request, &webhook.image);
    tracing::info!(
        namespace = request.namespace(),
        pod = request.pod(),
        outcome,
        "pod reviewed"
    );
    webhook
        .metrics
        .pods
        .get_or_create(&OutcomeLabel { outcome })
        .inc();
    webhook.metrics.answered("pod", begun);
    Json(answer).into_response()
}

/// Who changes an object is handed over, and the change is allowed whatever comes of that.
async fn review_object(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    let begun = Instant::now();
    let Ok(_answering) = webhook.answering.try_acquire() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let body = match tokio::time::timeout(BODY_TIMEOUT, object_request(&webhook, request)).await {
        Ok(Ok(body)) => body,
        Ok(Err(refused)) => return refused,
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let (answer, handed, kind) = match body {
        Ok(asked) => (asked.allowed(), asked.attestation(), asked.kind().to_owned()),
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let outcome = match &handed {
        Some(handed) => attest::hand_over(&webhook.certificate, &webhook.attestations, handed).await,
        None => attest::HandOverOutcome::Nothing,
    };
    if let (Some(handed), attest::HandOverOutcome::Refused | attest::HandOverOutcome::Unreachable) =
        (&handed, outcome)
    {
        tracing::warn!(
            kind,
            namespace = handed.namespace,
            user = handed.user,
            outcome = outcome.name(),
            "attestation delivery failed"
        );
    }
    let outcome = outcome.name();
    webhook
        .metrics
        .attestations
        .get_or_create(&OutcomeLabel { outcome })
        .inc();
    webhook.metrics.answered("object", begun);
    Json(answer).into_response()
}

/// Reads a question. What it takes is taken before its body is read, and is free again once it is known what
/// it says.
async fn object_request(
    webhook: &Webhook,
    request: Request,
) -> Result<Result<ObjectRequest, ReviewError>, Response> {
    let kib = kib(request.headers());
    let Ok(_room) = webhook.reading.acquire_many(kib).await else {
        return Err(StatusCode::SERVICE_UNAVAILABLE.into_response());
    };
    let body = request
        .extract::<Bytes, _>()
        .await
        .map_err(IntoResponse::into_response)?;
    Ok(review::read(&body))
}

/// What a body takes at most, by what its head says.
fn kib(headers: &HeaderMap) -> u32 {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(MAX_OBJECT_BODY_BYTES)
        .min(MAX_OBJECT_BODY_BYTES);
    u32::try_from(length.div_ceil(1_024)).unwrap_or(u32::MAX).max(1)
}
