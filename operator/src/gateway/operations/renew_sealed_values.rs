//! RenewSealedValues: `POST /v1/namespaces/{namespace}/clusterkeys`: sealed texts of a manifest, sealed anew
//! for the newest key.
//!
//! Whoever has a text may have it renewed: nothing of the value leaves, and the new text belongs where the
//! old one did. It is on record.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Method;
use axum::http::StatusCode;
use axum::routing::post;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_store::audit::{self, AuditOutcome};
use strongroom_store::vault::AuditNote;

use super::get_cluster_key::not_loaded;
use super::get_secret_value::invalid;
use super::incoming::{parse_body, read_body};
use crate::cluster_keys::{SealedValueLocation, UnsealError};
use crate::gateway::access::{RequestContext, about_impossible_name};
use crate::gateway::operation::Operation;
use crate::gateway::problem::Problem;
use crate::gateway::{Gateway, blocking};

/// Texts by key of the value.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Texts")]
pub(in crate::gateway) struct SealedTexts {
    /// The secret's name in the store.
    name: String,
    keys: BTreeMap<String, String>,
}

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "RenewSealedValues",
        "/v1/namespaces/{namespace}/clusterkeys",
        post(serve),
    )
    .method(Method::POST)
    .about("Sealed texts of a manifest, sealed anew for the newest key")
    .takes::<SealedTexts>()
    .answers::<SealedTexts>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    path: Result<Path<String>, PathRejection>,
    body: axum::body::Body,
) -> Result<Json<SealedTexts>, Problem> {
    let Path(namespace) = path.map_err(invalid)?;
    gateway.limits.take_write(&asking.caller.principal.identity)?;
    let body = read_body(body).await?;
    let texts: SealedTexts = parse_body(&body, &["name", "keys"])?;
    blocking(move || {
        let outcome = renewed(&gateway, &namespace, &texts);
        let note = AuditNote {
            outcome: match &outcome {
                Ok(_) => AuditOutcome::Done,
                Err(problem) => AuditOutcome::Refused(problem.code().as_str().to_owned()),
            },
            namespace: namespace.parse().ok(),
            secret: texts.name.parse().ok(),
            detail: match about_impossible_name(&texts.name) {
                possible if possible.is_empty() => format!("{} keys", texts.keys.len()),
                asked => format!("{} keys, {asked}", texts.keys.len()),
            },
            ..AuditNote::new(audit::Action::RenewSealedValues)
        };
        gateway
            .store
            .record_request(note, &asking.meta(&[]), gateway.durability)?;
        let keys = outcome?;
        Ok(Json(SealedTexts { keys, ..texts }))
    })
    .await
}

fn renewed(
    gateway: &Gateway,
    namespace: &str,
    texts: &SealedTexts,
) -> Result<BTreeMap<String, String>, Problem> {
    let mut keys = BTreeMap::new();
    for (key, text) in &texts.keys {
        let belongs = SealedValueLocation {
            namespace,
            secret: &texts.name,
            key,
        };
        let bytes = gateway
            .cluster_keys
            .open(text, &belongs)
            .map_err(|error| match error {
                UnsealError::NotLoaded => not_loaded(),
                UnsealError::Malformed { .. }
                | UnsealError::OtherKey { .. }
                | UnsealError::Elsewhere { .. } => invalid(error),
            })?;
        let text = gateway.cluster_keys.seal(&bytes, &belongs).map_err(invalid)?;
        keys.insert(key.clone(), text);
    }
    Ok(keys)
}
