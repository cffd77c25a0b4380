//! Between HTTP and what operations are: the one place that turns a request into an input, and an answer into
//! a response.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::MethodFilter;
use futures::StreamExt;
use futures::stream::BoxStream;
use zeroize::Zeroizing;

use super::credentials;
use crate::gateway::limits;
use crate::gateway::listen::{Connection, Peer};
use crate::gateway::listener_scope::ListenerScope;
use crate::gateway::operation::{
    Answer, AnswerBody, BodyInput, CallerCache, Input, OperationTerms, Output, PathInput, QueryInput,
    StreamEvent, Success, Verb,
};
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::authenticate::{self, Incoming};
use crate::gateway::request::{Arrival, OperationContext, RequestContext, Slot, limit};
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

/// The requests that a route of the verb takes.
pub(super) const fn filter(verb: Verb) -> MethodFilter {
    match verb {
        Verb::Get => MethodFilter::GET,
        Verb::Post => MethodFilter::POST,
        Verb::Put => MethodFilter::PUT,
        Verb::Patch => MethodFilter::PATCH,
        Verb::Delete => MethodFilter::DELETE,
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
    gateway: Arc<Gateway>,
    terms: OperationTerms,
    run: F,
    request: Request,
) -> Result<Response<Body>, Problem>
where
    P: PathInput,
    Q: QueryInput,
    B: BodyInput,
    O: Output,
    F: Fn(OperationContext, Input<P, Q, B>) -> Fut,
    Fut: Future<Output = Result<O, Problem>>,
{
    let (mut parts, body) = request.into_parts();
    let (request, slot) = context(&gateway, &parts).await?;
    let Path(path) = Path::<P::Parts>::from_request_parts(&mut parts, &())
        .await
        .map_err(invalid)?;
    let query = Q::read(parts.uri.query().unwrap_or_default())?;
    if let (Some(otherwise), false) = (terms.people_only, request.caller().via_extension_api) {
        return Err(Problem::new(Code::NoSuchPath, otherwise));
    }
    let limited = limit::limit(&request, terms.cost)?;
    let path = P::find(&gateway, limited, terms.action, path).await?;
    let body = match B::SCHEMA {
        None => B::parse(&[])?,
        Some(_) => B::parse(&read_body(body).await?)?,
    };
    let input = Input {
        path,
        query,
        body,
        cached: cached(&parts.headers),
    };
    let context = OperationContext {
        gateway,
        request,
        slot,
    };
    let output = run(context, input).await?;
    Ok(response(output.into_answer(terms.success)?))
}

/// The first station: who asks.
pub(super) async fn context(
    gateway: &Gateway,
    parts: &Parts,
) -> Result<(RequestContext, Arc<Slot>), Problem> {
    let lacks = |what: &str| Problem::new(Code::InvalidRequest, format!("the request has no {what}"));
    let extensions = &parts.extensions;
    let arrival = *extensions.get::<Arrival>().ok_or_else(|| lacks("id"))?;
    let peer = *extensions.get::<Peer>().ok_or_else(|| lacks("source"))?;
    let listener = extensions
        .get::<Arc<ListenerScope>>()
        .ok_or_else(|| lacks("listener"))?;
    let slot = extensions.get::<Arc<Slot>>().ok_or_else(|| lacks("slot"))?;
    let incoming = Incoming {
        arrival,
        peer,
        listener,
        slot,
        connection: extensions.get::<Arc<Connection>>(),
    };
    let credentials = credentials::credentials(peer, &parts.headers);
    let context = authenticate::authenticate(gateway, incoming, credentials).await?;
    Ok((context, Arc::clone(slot)))
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

/// The body, if it comes whole and is not too large, in a buffer that never grows and is wiped. What the
/// connection itself buffers is out of reach.
async fn read_body(body: Body) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut whole = Zeroizing::new(Vec::with_capacity(limits::MAX_BODY_BYTES));
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| invalid("the body is incomplete"))?;
        if whole.len() + piece.len() > limits::MAX_BODY_BYTES {
            return Err(Problem::new(Code::TooLarge, "the body is larger than 192 KiB"));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
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
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let tag = answer
        .version
        .and_then(|version| HeaderValue::from_str(&format!("\"{version}\"")).ok());
    if let Some(tag) = tag {
        headers.insert(header::ETAG, tag);
    }
    response
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
