//! Between HTTP and operations: the one place that turns a request into an input, and an answer into a
//! response.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::StreamExt;
use futures::stream::BoxStream;
use strongroom_model::name::VersionId;

use super::credentials;
use crate::gateway::limits;
use crate::gateway::operation::{
    Answer, AnswerBody, BodyInput, CallerCache, Input, OperationTerms, Output, PathInput, PathParts,
    QueryInput, StreamEvent, Success, Verb,
};
use crate::gateway::problem::{Code, Problem};
use crate::gateway::protocols::request_body;
use crate::gateway::protocols::route::RoutedRequest;
use crate::gateway::request::{Cost, OperationContext, RequestContext, RequestScope, authenticate, limit};
use crate::gateway::state::Gateway;

/// How often a quiet stream says that it is there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// The method of a verb.
pub(super) const fn method(verb: Verb) -> Method {
    match verb {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
        Verb::Put => Method::PUT,
        Verb::Patch => Method::PATCH,
        Verb::Delete => Method::DELETE,
    }
}

/// The status of a success.
pub(super) const fn status(success: Success) -> StatusCode {
    match success {
        Success::Done => StatusCode::OK,
        Success::Created => StatusCode::CREATED,
        Success::Accepted => StatusCode::ACCEPTED,
        Success::Unchanged => StatusCode::NOT_MODIFIED,
    }
}

/// The way of a request: from station to station, then the operation, then its answer.
pub(super) async fn call<P, Q, B, O, F, Fut>(
    terms: OperationTerms,
    run: F,
    routed: RoutedRequest,
) -> Result<Response<Body>, Problem>
where
    P: PathInput,
    Q: QueryInput,
    B: BodyInput,
    O: Output,
    F: Fn(OperationContext, Input<P, Q, B>) -> Fut,
    Fut: Future<Output = Result<O, Problem>>,
{
    let RoutedRequest {
        gateway,
        scope,
        request,
        path,
    } = routed;
    let (parts, body) = request.into_parts();
    let mut request = context(&gateway, &scope, &parts.headers).await?;
    let path = path?;
    let asks_labels = {
        // The namespace that a request is about comes first in every path that has one.
        let own = request.caller().principal.identity.namespace();
        let about = path.first().map(String::as_str);
        gateway.policies.asks_labels(own.into_iter().chain(about))
    };
    let path = P::Parts::from_texts(path)?;
    let query = Q::read(parts.uri.query().unwrap_or_default())?;
    if let (Some(otherwise), false) = (terms.people_only, request.caller().via_extension_api) {
        return Err(Problem::new(Code::NoSuchPath, otherwise));
    }
    let limited = limit::limit(&request, terms.cost)?;
    let path = P::find(&gateway, limited, terms.action, path).await?;
    if asks_labels {
        Box::pin(request.look_up_labels(&gateway.labels)).await;
    }
    let body = match B::SCHEMA {
        None => B::parse(&[])?,
        Some(_) => B::parse(&request_body::read(body, limits::MAX_BODY_BYTES).await?)?,
    };
    let input = Input {
        path,
        query,
        body,
        cached: cached(&parts.headers),
    };
    let (listener, slot) = (scope.listener, scope.slot);
    let (caller, held) = (Arc::clone(request.caller()), Arc::clone(&slot));
    let context = OperationContext {
        gateway,
        request,
        slot,
    };
    let answer = run(context, input).await?.into_answer(terms.success)?;
    // What is done is done: only an answer that can be asked for again may be refused.
    if terms.cost == Cost::Read {
        let bytes = answer.body.size();
        listener.capacity.reserve_answer(&held, &caller, bytes)?;
    }
    Ok(response(answer))
}

/// The first station: who asks.
pub(super) async fn context(
    gateway: &Gateway,
    scope: &RequestScope,
    headers: &HeaderMap,
) -> Result<RequestContext, Problem> {
    let credentials = credentials::credentials(scope.peer, headers);
    authenticate::authenticate(gateway, scope, credentials).await
}

/// What the caller has already.
fn cached(headers: &HeaderMap) -> CallerCache {
    CallerCache {
        versions: headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned())
            .collect(),
        event: headers
            .get("last-event-id")
            .and_then(|id| id.to_str().ok())
            .map(str::to_owned),
    }
}

/// An answer as it leaves.
fn response(answer: Answer) -> Response<Body> {
    let (body, kind) = match answer.body {
        AnswerBody::Empty => (Body::empty(), None),
        AnswerBody::Json(json) => (Body::from(json), Some("application/json")),
        AnswerBody::ValueJson(json) => (Body::from(Bytes::from_owner(json)), Some("application/json")),
        AnswerBody::ValueBytes(bytes) => (
            Body::from(Bytes::from_owner(bytes)),
            Some("application/octet-stream"),
        ),
        AnswerBody::Events(events) => return sent_events(events),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status(answer.success);
    let headers = response.headers_mut();
    match kind {
        Some(kind) => headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        // The length of any other body is told with it.
        None => headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0")),
    };
    if let Some(tag) = answer.version.as_ref().and_then(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// The ETag of a version: its id in quotes.
fn tag(version: &VersionId) -> Option<HeaderValue> {
    HeaderValue::try_from(["\"", version.as_str(), "\""].concat()).ok()
}

/// Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
fn sent_events(events: BoxStream<'static, StreamEvent>) -> Response<Body> {
    let events = events.map(|StreamEvent { kind, id, data }| {
        let event = Event::default().event(kind).data(data);
        Ok::<_, Infallible>(match id {
            Some(id) => event.id(id),
            None => event,
        })
    });
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE_INTERVAL))
        .into_response()
}
