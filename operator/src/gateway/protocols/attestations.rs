//! The protocol by which the webhook hands over who is about to write an object: one path, at a listener that
//! lets in the webhook alone. Nothing can be read here.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use strongroom_model::id::RequestId;

use super::Protocol;
use crate::attestation::ATTESTATIONS_PATH;
use crate::gateway::listen::Peer;
use crate::gateway::listener_scope::ListenerScope;
use crate::gateway::problem::Problem;
use crate::gateway::state::Gateway;

/// Largest that is handed over, in bytes: names of a user and of 16 groups.
const MAX_BODY_BYTES: usize = 16 << 10;

/// The protocol of the attestations.
pub(in crate::gateway) const ATTESTATIONS: Protocol = Protocol {
    name: "attestations",
    routes,
    write_problem,
};

fn routes(_: &Arc<Gateway>, _: &ListenerScope) -> Router<Arc<Gateway>> {
    Router::new()
        .route(ATTESTATIONS_PATH, post(attest))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

async fn attest(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> StatusCode {
    // The listener admits nobody else; this is for whoever serves this at another one day.
    if !peer.proven {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(message) = serde_json::from_slice(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    match gateway.attestations.keep(message).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(refused) => refused,
    }
}

/// The webhook looks at the status alone.
fn write_problem(problem: Problem, _: &RequestId) -> Response<Body> {
    StatusCode::from_u16(problem.code().status())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        .into_response()
}
