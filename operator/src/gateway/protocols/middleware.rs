//! Around every request, by whatever protocol: its id, its bounds, the document of what went wrong, and its
//! place in the metrics.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse;
use strongroom_model::id::RequestId;

use super::Protocol;
use crate::gateway::limits;
use crate::gateway::listen::{Connection, EndReason, Peer, ResponseGuard};
use crate::gateway::listener_scope::ListenerScope;
use crate::gateway::metrics::CalledOperation;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::request::{AdmissionOutcome, Arrival};
use crate::gateway::state::Gateway;

/// The header under which the request's id is told.
pub(in crate::gateway) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Puts it around the routes of a protocol at a listener.
pub(super) fn around(
    routes: Router<Arc<Gateway>>,
    protocol: Protocol,
    gateway: &Arc<Gateway>,
    listener: Arc<ListenerScope>,
) -> Router<Arc<Gateway>> {
    let state = (Arc::clone(gateway), protocol, listener);
    routes.layer(from_fn_with_state(state, bounded))
}

async fn bounded(
    State((gateway, protocol, listener)): State<(Arc<Gateway>, Protocol, Arc<ListenerScope>)>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let Ok(id) = RequestId::generate() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let arrived_at = Instant::now();
    request.extensions_mut().insert(Arrival { id, at: arrived_at });
    let called = CalledOperation::default();
    request.extensions_mut().insert(called.clone());
    let arrived = match request.extensions().get::<Peer>() {
        Some(peer) => listener.capacity.admit(peer, &request),
        None => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let (mut response, slot) = match arrived {
        AdmissionOutcome::Admitted(slot) => {
            request.extensions_mut().insert(Arc::clone(&slot));
            request.extensions_mut().insert(Arc::clone(&listener));
            let answer = tokio::time::timeout(limits::REQUEST_TIMEOUT, next.run(request)).await;
            let answer = answer.unwrap_or_else(|_| {
                Problem::new(Code::Timeout, "try again")
                    .retry_after(1)
                    .into_response()
            });
            (answer, slot)
        }
        AdmissionOutcome::Refused(slot, problem) => (problem.into_response(), slot),
        AdmissionOutcome::Dropped(full) => {
            if let Some(connection) = request.extensions().get::<Arc<Connection>>() {
                connection.end(EndReason::Share(full));
            }
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    };
    let problem = response.extensions_mut().remove::<Problem>();
    let code = problem.as_ref().map(Problem::code);
    if let Some(problem) = problem {
        response = (protocol.write_problem)(problem, &id);
    }
    let (requests, status) = (&gateway.metrics.requests, response.status().as_u16());
    requests.answered(listener.name(), &called, code, status, arrived_at.elapsed());
    // What the request holds it holds until its answer is taken.
    response.extensions_mut().insert(ResponseGuard::new(slot));
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    // Nothing of a secret is for a cache on the way.
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
