//! UpdateSecretVersionStage: `POST /v1/namespaces/{namespace}/secrets/{name}/stages/{stage}`: adds (`moveTo`), removes (`removeFrom`) or moves (both)
//! a stage. With both it is a compare-and-swap: the stage must be where `removeFrom` says.

use crate::gateway::operation::{Operation, VERSION_ID};
use axum::http::Method;
use axum::http::StatusCode;
use axum::routing::post;
use schemars::JsonSchema;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Deserialize;
use strongroom_rules::policy::{Action, Facts};
use strongroom_store::name::{Stage, VersionId};
use strongroom_store::vault::UpdateStage;

use super::get_secret_value::invalid;
use super::incoming::{parsed, received};
use super::shape::{self, SecretAnswer};
use crate::gateway::access::{Asking, Wanted, authorise};
use crate::gateway::problem::Problem;
use crate::gateway::{Gateway, blocking};

/// What is sent.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "UpdateSecretVersionStageRequest")]
struct Body {
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID))]
    move_to: Option<String>,
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID))]
    remove_from: Option<String>,
}

/// The operation.
pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "UpdateSecretVersionStage",
        "/v1/namespaces/{namespace}/secrets/{name}/stages/{stage}",
        post(serve),
    )
    .by(Method::POST)
    .about("Moves a stage to a version, or takes it away")
    .takes::<Body>()
    .answers::<SecretAnswer>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: Asking,
    path: Result<Path<(String, String, String)>, PathRejection>,
    body: axum::body::Body,
) -> Result<Json<SecretAnswer>, Problem> {
    let Path((namespace, name, stage)) = path.map_err(invalid)?;
    let place = gateway
        .admit_write(&asking, Action::UpdateSecretVersionStage, namespace)
        .await?;
    let body = received(body).await?;
    let body: Body = parsed(&body, &["moveTo", "removeFrom"])?;
    let version = |text: Option<String>| {
        text.map(|text| text.parse::<VersionId>())
            .transpose()
            .map_err(invalid)
    };
    let stage: Stage = stage.parse().map_err(invalid)?;
    let (move_to, remove_from) = (version(body.move_to)?, version(body.remove_from)?);
    blocking(move || {
        let secret = gateway.find(&place, &name)?;
        let facts = Facts {
            stages: [stage.to_string()].into(),
            version: move_to.as_ref().or(remove_from.as_ref()).map(ToString::to_string),
            ..asking.facts()
        };
        let wanted = Wanted {
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
            gateway.declared.changed(&place.name, &object.name);
        }
        let key = gateway.key(&view)?;
        Ok(Json(shape::secret(&place.name, &view, key.as_ref())))
    })
    .await
}
