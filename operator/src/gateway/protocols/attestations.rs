//! The protocol by which the webhook hands over who is about to write an object: one path, at a listener that
//! lets in the webhook alone. Nothing can be read here.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use axum::response::IntoResponse;
use strongroom_model::id::RequestId;

use super::route::{RouteTable, RouteTableBuilder, RoutedRequest};
use super::{Protocol, request_body};
use crate::attestation::ATTESTATIONS_PATH;
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

fn routes(_: &Arc<Gateway>, listener: &ListenerScope) -> RouteTable {
    let mut routes = RouteTableBuilder::new(listener.name());
    routes.on(Method::POST, ATTESTATIONS_PATH, "Attest", |routed| {
        Box::pin(attest(routed))
    });
    routes.build()
}

async fn attest(routed: RoutedRequest) -> Result<Response<Body>, Problem> {
    let RoutedRequest {
        gateway,
        scope,
        request,
        ..
    } = routed;
    // The listener admits nobody else; this is for whoever serves this at another one day.
    if !scope.peer.proven {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    }
    let body = request_body::read(request.into_body(), MAX_BODY_BYTES).await?;
    let Ok(message) = serde_json::from_slice(&body) else {
        return Ok(StatusCode::BAD_REQUEST.into_response());
    };
    let kept = gateway.attestations.keep(message).await;
    let status = kept.err().unwrap_or(StatusCode::NO_CONTENT);
    Ok(status.into_response())
}

/// The webhook looks at the status alone.
fn write_problem(problem: Problem, _: &RequestId) -> Response<Body> {
    StatusCode::from_u16(problem.code().status())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::tests::World;

    #[tokio::test]
    async fn what_is_handed_over_is_counted_as_an_operation() {
        let world = World::without_nodes();
        let table = routes(&world.gateway, world.gateway.shared());
        let found = table.find(&Method::POST, ATTESTATIONS_PATH).ok().unwrap();
        assert_eq!(found.route.called().operation(), "Attest");
    }
}
