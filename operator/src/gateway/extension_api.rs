//! The extension API: the aggregated API `people.strongroom.dev`, by which whoever has a kubeconfig reaches
//! the gateway.
//!
//! The API server authenticates the caller and asks RBAC whether they may use this API at all; the extension
//! API checks that it is the API server that calls, and forwards the verified identity to the gateway, which
//! decides. It has no store and no lease, keeps nothing, and sees no value: those travel sealed through it.
//!
//! | module | idea |
//! |---|---|
//! | [`api_service`] | what the API server has to trust, told in the APIService |
//! | [`authorizer`] | what RBAC lets the person `get` |
//! | [`certificate`] | its own certificate and authority; pure |
//! | [`follow`] | what it stands on, followed in the cluster |
//! | [`metrics`] | what it counts |
//! | [`reachability`] | whether the gateway answers: tried again and again, and told by a metric |
//! | [`trust`] | whom it believes, and as whom it speaks |
//! | [`requestheader`] | the identity that the API server wrote into a request |
//! | [`path`] | which paths are forwarded, and where to; pure |
//! | [`discovery`] | what the API server and kubectl ask an API about itself; pure |
//!
//! Must not decide who gets what, and must answer discovery also while the gateway is away, or never came up:
//! an API that does not would keep every namespace of the cluster from being deleted.

mod api_service;
mod authorizer;
mod certificate;
mod discovery;
mod follow;
mod metrics;
mod path;
mod reachability;
mod requestheader;
#[cfg(test)]
mod tests;
mod trust;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, Uri, Version, header};
use axum::response::IntoResponse;
use axum::routing::get;
use jiff::Timestamp;
use strongroom_api::transport_error_cause;
use strongroom_model::id::RequestId;
use strongroom_model::name::is_object_name;

use self::authorizer::Authorizer;
use self::follow::Follower;
pub(crate) use self::metrics::ExtensionApiMetrics;
use self::reachability::ReachabilityProbe;
use self::trust::{GatewayClient, SharedTrust};
use super::GatewayError;
use super::listen::{self, Admission, Peer};
use super::problem::{Code, Problem};
use super::protocols::REQUEST_ID;
use crate::storeless::StorelessContext;

/// How long the gateway may take: longer than it gives itself.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(35);
/// Headers of a request that the gateway gets.
const REQUEST_HEADERS: [HeaderName; 3] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::IF_NONE_MATCH,
];
/// Headers of its answer that the caller gets.
const RESPONSE_HEADERS: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::ETAG,
    header::RETRY_AFTER,
    header::CACHE_CONTROL,
    REQUEST_ID,
];

/// How the extension API is served.
#[derive(Clone, Debug)]
pub(crate) struct ExtensionApiSettings {
    /// Its port.
    pub(crate) listen: SocketAddr,
    /// The Service that leads to it.
    pub(crate) service: String,
    /// Host and port of the gateway.
    pub(crate) gateway: Authority,
}

struct ExtensionApi {
    trust: SharedTrust,
    gateway: Authority,
    authorizer: Authorizer,
    metrics: ExtensionApiMetrics,
}

/// Serves until the shutdown begins.
///
/// # Errors
/// [`GatewayError::Bind`].
pub(crate) async fn run(
    settings: ExtensionApiSettings,
    around: StorelessContext,
    metrics: ExtensionApiMetrics,
) -> Result<(), GatewayError> {
    let listener = listen::bind(settings.listen).await?;
    let trust = SharedTrust::default();
    let authorizer = Authorizer::new(around.client.clone());
    let follower = Follower {
        client: around.client,
        namespace: around.namespace,
        service: settings.service,
        trust: trust.clone(),
        health: around.health,
        expiration: metrics.certificate.clone(),
        now: Timestamp::now,
    };
    let following = tokio::spawn(follower.follow());
    let reach = ReachabilityProbe {
        trust: trust.clone(),
        gateway: settings.gateway.clone(),
        metrics: metrics.clone(),
    };
    let trying = tokio::spawn(reach.run());
    let router = router(trust.clone(), settings.gateway, authorizer, metrics);
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "serving extension API");
    }
    listen::serve(
        listener,
        Arc::new(trust),
        router,
        Admission::for_api_servers(),
        around.shutdown,
    )
    .await;
    following.abort();
    trying.abort();
    Ok(())
}

fn router(
    trust: SharedTrust,
    gateway: Authority,
    authorizer: Authorizer,
    metrics: ExtensionApiMetrics,
) -> Router {
    Router::new()
        .route(
            &format!("/apis/{}", discovery::GROUP),
            get(async || discovery::group()),
        )
        .route(
            &format!("/apis/{}/{}", discovery::GROUP, discovery::VERSION),
            get(async || discovery::resources()),
        )
        .route("/openapi/v2", get(async || discovery::openapi_v2()))
        .route("/openapi/v3", get(async || discovery::openapi_v3_index()))
        .route(
            &format!("/openapi/v3/apis/{}/{}", discovery::GROUP, discovery::VERSION),
            get(async || discovery::openapi_v3()),
        )
        .fallback(forward)
        .with_state(Arc::new(ExtensionApi {
            trust,
            gateway,
            authorizer,
            metrics,
        }))
}

async fn forward(State(front): State<Arc<ExtensionApi>>, request: Request) -> Response<Body> {
    let begun = Instant::now();
    let response = match forwarded(&front, request).await {
        Ok(response) => response,
        // The gateway did not see it, so it has no id of the gateway's.
        Err(problem) => match RequestId::generate() {
            Ok(id) => problem.document(&id),
            Err(_) => problem.into_response(),
        },
    };
    front
        .metrics
        .answered(response.status().as_u16(), begun.elapsed());
    response
}

async fn forwarded(front: &ExtensionApi, request: Request) -> Result<Response<Body>, Problem> {
    let proven = request.extensions().get::<Peer>().is_some_and(|peer| peer.proven);
    let trusted = front.trust.current().filter(|_| proven).ok_or_else(|| {
        Problem::new(
            Code::Unauthenticated,
            "only the API server may call this endpoint",
        )
    })?;
    let target = path::target(request.uri().path())
        .ok_or_else(|| Problem::new(Code::NoSuchPath, "the paths are listed in docs/api.md"))?;
    let mut person = trusted
        .headers
        .read(request.headers())
        .ok_or_else(|| Problem::new(Code::Unauthenticated, "the API server sent no user"))?;
    if let Some((namespace, name)) = target.secret.filter(|(namespace, _)| is_object_name(namespace)) {
        let extra = trusted.headers.extras(request.headers());
        let object = Some(name).filter(|name| is_object_name(name));
        person.may_get = front.authorizer.may_get(&person, &extra, namespace, object).await;
    }
    let mut headers = person.headers().ok_or_else(|| {
        Problem::new(
            Code::Unauthenticated,
            "the name of the user or of a group cannot be forwarded, or there are more than 512 groups",
        )
    })?;
    copy_headers(request.headers(), &mut headers, &REQUEST_HEADERS);
    let uri = uri(&front.gateway, &target.path, request.uri().query())
        .ok_or_else(|| Problem::new(Code::InvalidRequest, "the path cannot be forwarded"))?;
    let (parts, body) = request.into_parts();
    let mut asked = Request::new(body);
    *asked.method_mut() = parts.method;
    *asked.uri_mut() = uri;
    *asked.version_mut() = Version::HTTP_2;
    *asked.headers_mut() = headers;
    let client = trusted
        .client
        .as_ref()
        .ok_or_else(|| unreachable_gateway(&front.gateway, reachability::NO_CERTIFICATE))?;
    let response = ask(&front.gateway, client, asked).await?;
    let (parts, body) = response.into_parts();
    let body = axum::body::Body::new(body);
    let mut response = Response::new(body);
    *response.status_mut() = parts.status;
    copy_headers(&parts.headers, response.headers_mut(), &RESPONSE_HEADERS);
    Ok(response)
}

async fn ask(
    gateway: &Authority,
    client: &GatewayClient,
    asked: Request,
) -> Result<Response<hyper::body::Incoming>, Problem> {
    match tokio::time::timeout(GATEWAY_TIMEOUT, client.request(asked)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => {
            let why = transport_error_cause(&error);
            tracing::warn!(%gateway, error = why, "gateway unreachable");
            Err(unreachable_gateway(gateway, why))
        }
        Err(_) => {
            let detail = format!("Strongroom at https://{gateway} does not answer in time; try again");
            Err(Problem::new(Code::Timeout, detail).retry_after(1))
        }
    }
}

fn unreachable_gateway(gateway: &Authority, why: &str) -> Problem {
    let detail = format!(
        "the extension API server cannot reach Strongroom at https://{gateway}: {why}; try again, or see `kubectl strongroom status`"
    );
    Problem::new(Code::StoreUnavailable, detail).retry_after(2)
}

fn copy_headers(from: &HeaderMap<HeaderValue>, to: &mut HeaderMap<HeaderValue>, names: &[HeaderName]) {
    for name in names {
        if let Some(value) = from.get(name) {
            to.insert(name.clone(), value.clone());
        }
    }
}

fn uri(gateway: &Authority, path: &str, query: Option<&str>) -> Option<Uri> {
    let path = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = axum::http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(gateway.clone());
    parts.path_and_query = Some(path.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}
