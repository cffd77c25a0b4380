//! DescribeSecret: `GET /v1/namespaces/{namespace}/secrets/{name}`: everything but the value; also while the
//! secret is in its recovery window.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use strongroom_rules::policy::{Action, Decision};
use strongroom_store::vault::AuditNote;

use super::get_secret_value::invalid;
use super::shape::{self, SecretAnswer};
use crate::gateway::access::{AccessRequest, RequestContext, audit_action, authorise};
use crate::gateway::operation::Operation;
use crate::gateway::problem::Problem;
use crate::gateway::{Gateway, NamespaceRef, blocking};

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "DescribeSecret",
        "/v1/namespaces/{namespace}/secrets/{name}",
        get(serve),
    )
    .about("Everything about a secret but its value")
    .answers::<SecretAnswer>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<SecretAnswer>, Problem> {
    let Path((namespace, name)) = path.map_err(invalid)?;
    let place = gateway.admit(&asking, Action::DescribeSecret, namespace).await?;
    blocking(move || {
        metadata(
            &gateway,
            &asking,
            &place,
            &name,
            (Action::DescribeSecret, ""),
            |view, _| {
                Ok(Json(shape::secret(
                    &place.name,
                    view,
                    gateway.key(view)?.as_ref(),
                )))
            },
        )?
    })
    .await
}

/// Answers from a secret's metadata, once the action is allowed and on record.
pub(super) fn metadata<T>(
    gateway: &Gateway,
    asking: &RequestContext,
    place: &NamespaceRef,
    name: &str,
    (action, detail): (Action, &str),
    answer: impl FnOnce(&strongroom_store::vault::SecretView, &Decision) -> T,
) -> Result<T, Problem> {
    let secret = gateway.find(place, name)?;
    let facts = asking.facts();
    let wanted = AccessRequest {
        action,
        namespace: &place.name,
        name,
        secret: secret.as_deref(),
        new_under: None,
        facts: &facts,
    };
    let (decision, secret) = authorise(gateway, asking, &wanted)?;
    let note = AuditNote {
        namespace: place.name.parse().ok(),
        secret: Some(secret.name.clone()),
        secret_id: Some(secret.id),
        detail: detail.to_owned(),
        ..AuditNote::new(audit_action(action))
    };
    gateway
        .store
        .record_request(note, &asking.meta_for(&decision), gateway.durability)?;
    Ok(answer(secret, &decision))
}
