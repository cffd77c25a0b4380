//! A protocol that is served. Around every request, by whatever protocol: its id, its bounds, the document of
//! what went wrong, and its place in the metrics.
//!
//! All of that is around the table of routes as a whole, in one future: what lies behind a route is one box
//! more, and nothing is copied for a request but what it holds itself.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use strongroom_model::id::RequestId;

use super::Protocol;
use super::route::{FoundRoute, NoRoute, RouteTable, RoutedRequest};
use crate::gateway::limits;
use crate::gateway::listen::{EndReason, GuardedResponse, RequestHandler, RequestOrigin, ResponseGuard};
use crate::gateway::listener_scope::ListenerScope;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::request::{AdmissionOutcome, Arrival, RequestScope};
use crate::gateway::state::Gateway;

/// The header under which the request's id is told.
pub(in crate::gateway) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The requests of a protocol at a listener, answered; cheap to clone.
#[derive(Clone)]
pub(in crate::gateway) struct ProtocolService(Arc<ServedProtocol>);

/// What all requests of a protocol at a listener share.
struct ServedProtocol {
    gateway: Arc<Gateway>,
    protocol: Protocol,
    listener: Arc<ListenerScope>,
    routes: RouteTable,
}

impl ProtocolService {
    pub(super) fn new(protocol: Protocol, gateway: Arc<Gateway>, listener: Arc<ListenerScope>) -> Self {
        let routes = (protocol.routes)(&gateway, &listener);
        Self(Arc::new(ServedProtocol {
            gateway,
            protocol,
            listener,
            routes,
        }))
    }
}

impl RequestHandler for ProtocolService {
    async fn answer(self, request: Request<Body>, origin: RequestOrigin) -> GuardedResponse {
        let ServedProtocol {
            gateway,
            protocol,
            listener,
            routes,
        } = &*self.0;
        let Ok(id) = RequestId::generate() else {
            return GuardedResponse::unguarded(StatusCode::INTERNAL_SERVER_ERROR.into_response());
        };
        let arrival = Arrival {
            id,
            at: Instant::now(),
        };
        let RequestOrigin { peer, connection } = origin;
        let (slot, refused) = match listener.capacity.admit(&peer, &request) {
            AdmissionOutcome::Admitted(slot) => (slot, None),
            AdmissionOutcome::Refused(slot, problem) => (slot, Some(problem)),
            AdmissionOutcome::Dropped(full, problem) => {
                let response = match connection {
                    // Others of its requests may hold more.
                    Some(connection) if !connection.is_http1() => {
                        connection.end(EndReason::Share(full));
                        StatusCode::SERVICE_UNAVAILABLE.into_response()
                    }
                    Some(_) | None => last_answer((protocol.write_problem)(problem, &id), &id),
                };
                return GuardedResponse::unguarded(response);
            }
        };
        let head_alone = request.method() == Method::HEAD;
        let found = match refused {
            Some(problem) => Err((problem, None)),
            None => routes
                .find(request.method(), request.uri().path())
                .map_err(no_route),
        };
        let (called, answer, allowed) = match found {
            Ok(FoundRoute { route, path }) => {
                let scope = RequestScope {
                    arrival,
                    listener: Arc::clone(listener),
                    peer,
                    connection,
                    slot: Arc::clone(&slot),
                };
                let running = route.run(RoutedRequest {
                    gateway: Arc::clone(gateway),
                    scope,
                    request,
                    path,
                });
                let answer = tokio::time::timeout(limits::REQUEST_TIMEOUT, running).await;
                let late = |_| Err(Problem::new(Code::Timeout, "try again").retry_after(1));
                (route.called(), answer.unwrap_or_else(late), None)
            }
            Err((problem, allowed)) => (routes.other(), Err(problem), allowed),
        };
        let code = answer.as_ref().err().map(Problem::code);
        let mut response = answer.unwrap_or_else(|problem| (protocol.write_problem)(problem, &id));
        let requests = &gateway.metrics.requests;
        requests.answered(called, code, response.status().as_u16(), arrival.at.elapsed());
        tell_id(&mut response, &id);
        let headers = response.headers_mut();
        // Nothing of a secret is for a cache on the way.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(allowed) = allowed {
            headers.insert(header::ALLOW, allowed);
        }
        if head_alone {
            leave_out_body(&mut response);
        }
        // What the request holds it holds until its answer is taken.
        GuardedResponse {
            response,
            guard: Some(ResponseGuard::new(slot)),
        }
    }
}

fn tell_id(response: &mut Response<Body>, id: &RequestId) {
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}

/// An answer with which a connection of HTTP/1.1 ends (RFC 9112 section 9.6).
fn last_answer(mut response: Response<Body>, id: &RequestId) -> Response<Body> {
    tell_id(&mut response, id);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// What a request is answered that goes nowhere, and the methods that its path has.
fn no_route(why: NoRoute) -> (Problem, Option<HeaderValue>) {
    match why {
        NoRoute::Path => (
            Problem::new(Code::NoSuchPath, "the paths are listed in docs/api.md"),
            None,
        ),
        NoRoute::Method(allowed) => {
            let detail = "the method of this path is listed in docs/api.md";
            (Problem::new(Code::MethodNotAllowed, detail), allowed)
        }
    }
}

/// The answer to a HEAD request: what a GET would have, but for the body (RFC 9110 section 9.3.2).
fn leave_out_body(response: &mut Response<Body>) {
    if let Some(bytes) = response.body().size_hint().exact() {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    *response.body_mut() = Body::empty();
}
