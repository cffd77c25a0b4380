//! UpdateSecretVersionStage: `POST /v1/namespaces/{namespace}/secrets/{name}/stages/{stage}`: adds
//! (`moveTo`), removes (`removeFrom`) or moves (both) a stage. With both it is a compare-and-swap: the stage
//! must be where `removeFrom` says.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Method;
use axum::http::StatusCode;
use axum::routing::post;
use schemars::JsonSchema;
use serde::Deserialize;
use strongroom_rules::policy::{Action, RequestFacts};
use strongroom_store::name::{Stage, VersionId};
use strongroom_store::vault::UpdateStage;

use super::get_secret_value::invalid;
use super::incoming::{parse_body, read_body};
use super::shape::{self, SecretAnswer};
use crate::gateway::access::{AccessRequest, RequestContext, authorise};
use crate::gateway::operation::{Operation, VERSION_ID_PATTERN};
use crate::gateway::problem::Problem;
use crate::gateway::{Gateway, blocking};

/// What is sent.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "UpdateSecretVersionStageRequest")]
struct Body {
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    move_to: Option<String>,
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    remove_from: Option<String>,
}

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "UpdateSecretVersionStage",
        "/v1/namespaces/{namespace}/secrets/{name}/stages/{stage}",
        post(serve),
    )
    .method(Method::POST)
    .about("Moves a stage to a version, or takes it away")
    .takes::<Body>()
    .answers::<SecretAnswer>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    path: Result<Path<(String, String, String)>, PathRejection>,
    body: axum::body::Body,
) -> Result<Json<SecretAnswer>, Problem> {
    let Path((namespace, name, stage)) = path.map_err(invalid)?;
    let place = gateway
        .admit_write(&asking, Action::UpdateSecretVersionStage, namespace)
        .await?;
    let body = read_body(body).await?;
    let body: Body = parse_body(&body, &["moveTo", "removeFrom"])?;
    let version = |text: Option<String>| {
        text.map(|text| text.parse::<VersionId>())
            .transpose()
            .map_err(invalid)
    };
    let stage: Stage = stage.parse().map_err(invalid)?;
    let (move_to, remove_from) = (version(body.move_to)?, version(body.remove_from)?);
    blocking(move || {
        let secret = gateway.find(&place, &name)?;
        let facts = RequestFacts {
            stages: [stage.to_string()].into(),
            version: move_to.as_ref().or(remove_from.as_ref()).map(ToString::to_string),
            ..asking.facts()
        };
        let wanted = AccessRequest {
            action: Action::UpdateSecretVersionStage,
            namespace: &place.name,
            name: &name,
            secret: secret.as_deref(),
            new_under: None,
            facts: &facts,
        };
        let (decision, secret) = authorise(&gateway, &asking, &wanted)?;
        let update = UpdateStage {
            secret: secret.id,
            stage,
            move_to,
            remove_from,
        };
        let view = gateway.store.run(update, asking.meta(&decision.statements))?;
        if let Some(object) = &view.object {
            gateway.declared.notify_changed(&place.name, &object.name);
        }
        let key = gateway.key(&view)?;
        Ok(Json(shape::secret(&place.name, &view, key.as_ref())))
    })
    .await
}
