//! ListSecretVersionIds: `GET /v1/namespaces/{namespace}/secrets/{name}/versions`, the newest first. Without
//! `includeDeprecated=true` only those that have a stage. There are at most ten, so there are no pages.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_rules::policy::Action;

use super::describe_secret::metadata;
use super::get_secret_value::invalid;
use super::shape::{self, VersionAnswer};
use crate::gateway::access::RequestContext;
use crate::gateway::operation::Operation;
use crate::gateway::problem::Problem;
use crate::gateway::{Gateway, blocking};

/// Which versions.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ListSecretVersionIdsQuery")]
pub(in crate::gateway) struct ListSecretVersionIdsQuery {
    #[serde(default)]
    include_deprecated: bool,
}

/// Versions without their values.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Versions")]
pub(in crate::gateway) struct VersionsAnswer {
    versions: Vec<VersionAnswer>,
}

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "ListSecretVersionIds",
        "/v1/namespaces/{namespace}/secrets/{name}/versions",
        get(serve),
    )
    .about("The versions of a secret, the newest first")
    .query::<ListSecretVersionIdsQuery>()
    .answers::<VersionsAnswer>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    path: Result<Path<(String, String)>, PathRejection>,
    which: Result<Query<ListSecretVersionIdsQuery>, QueryRejection>,
) -> Result<Json<VersionsAnswer>, Problem> {
    let Path((namespace, name)) = path.map_err(invalid)?;
    let Query(which) = which.map_err(invalid)?;
    let place = gateway
        .admit(&asking, Action::ListSecretVersionIds, namespace)
        .await?;
    blocking(move || {
        metadata(
            &gateway,
            &asking,
            &place,
            &name,
            (Action::ListSecretVersionIds, ""),
            |view, _| {
                let shown =
                    |stages: &[strongroom_store::name::Stage]| which.include_deprecated || !stages.is_empty();
                let versions = view.versions.iter().rev();
                Json(VersionsAnswer {
                    versions: versions
                        .filter(|version| shown(&version.stages))
                        .map(shape::version)
                        .collect(),
                })
            },
        )
    })
    .await
}
