//! GetClusterKey: `GET /v1/namespaces/{namespace}/clusterkeys`: the public key that values in manifests are
//! sealed for. It is no secret.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use strongroom_api::manifest::ClusterKey;

use crate::gateway::Gateway;
use crate::gateway::access::RequestContext;
use crate::gateway::operation::Operation;
use crate::gateway::problem::{Code, Problem};

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "GetClusterKey",
        "/v1/namespaces/{namespace}/clusterkeys",
        get(serve),
    )
    .about("The public key that values in manifests are sealed for")
    .answers::<ClusterKey>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
) -> Result<Json<ClusterKey>, Problem> {
    gateway.limits.take_read(&asking.caller.principal.identity)?;
    gateway.cluster_keys.primary().map(Json).ok_or_else(not_loaded)
}

pub(super) fn not_loaded() -> Problem {
    Problem::new(
        Code::StoreUnavailable,
        "the cluster's keys are not loaded yet; try again",
    )
    .retry_after(2)
}
