//! SetSecretPolicy: `PUT /v1/namespaces/{namespace}/secrets/{name}/policy`: a SecretPolicy attached to this
//! secret alone, named as its ManagedSecret is.
//!
//! What does not compile is refused here, and nothing changes.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Method;
use axum::http::StatusCode;
use axum::routing::put;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_crds::v1alpha1::{PolicyStatement, SecretPolicy, SecretPolicySpec};
use strongroom_rules::policy::{Action, check};

use super::change::{ChangeError, SecretChange};
use super::get_secret_value::invalid;
use super::incoming::{parse_body, read_body};
use crate::external_manifest::object_name;
use crate::gateway::Gateway;
use crate::gateway::access::RequestContext;
use crate::gateway::objects::{ObjectClient, managed_elsewhere, refuse_other_owner};
use crate::gateway::operation::Operation;
use crate::gateway::problem::Problem;

/// Most statements of one policy, as in the SecretPolicy.
const MAX_STATEMENTS: usize = 64;

/// What is sent, and what holds then: statements as in a SecretPolicy for secrets.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::gateway) struct OwnPolicy {
    pub(super) statements: Vec<PolicyStatement>,
}

/// Name of the policy of a secret's own.
pub(super) fn policy_name(secret: &strongroom_store::vault::SecretView) -> String {
    secret
        .object
        .as_ref()
        .map_or_else(|| object_name(secret.name.as_str()), |object| object.name.clone())
}

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "SetSecretPolicy",
        "/v1/namespaces/{namespace}/secrets/{name}/policy",
        put(serve),
    )
    .method(Method::PUT)
    .about("Sets the statements of the secret's own policy")
    .takes::<OwnPolicy>()
    .answers::<OwnPolicy>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    path: Result<Path<(String, String)>, PathRejection>,
    body: axum::body::Body,
) -> Result<Json<OwnPolicy>, Problem> {
    let Path((namespace, name)) = path.map_err(invalid)?;
    let action = Action::SetSecretPolicy;
    let place = gateway.admit_write(&asking, action, namespace).await?;
    let body = read_body(body).await?;
    let body: OwnPolicy = parse_body(&body, &["statements"])?;
    if body.statements.is_empty() || body.statements.len() > MAX_STATEMENTS {
        return Err(invalid("a policy has 1 to 64 statements"));
    }
    let (change, secret) = SecretChange::for_secret(gateway, asking, place, name, action).await?;
    let spec = SecretPolicySpec {
        identities: None,
        secrets: Some(vec![secret.name.to_string()]),
        statements: body.statements,
    };
    let outcome = set(&change, &policy_name(&secret), spec).await;
    change.settle(outcome).await
}

async fn set(
    change: &SecretChange,
    name: &str,
    spec: SecretPolicySpec,
) -> Result<Json<OwnPolicy>, ChangeError> {
    check(&change.place.name, &spec).map_err(invalid)?;
    let objects = ObjectClient::<SecretPolicy>::new(&change.gateway, &change.place.name);
    if let Some(found) = objects.find(name).await? {
        refuse_other_owner(&found, &["spec", "statements"])?;
        // Whoever may set the policy of one secret may not thereby say who reads others.
        if (&found.spec.secrets, &found.spec.identities) != (&spec.secrets, &None) {
            let why = "it applies to more than this secret";
            return Err(managed_elsewhere("SecretPolicy", name, why).into());
        }
    }
    let applied = objects.apply(&SecretPolicy::new(name, spec)).await?;
    change.note(&format!("SecretPolicy `{name}`")).await?;
    Ok(Json(OwnPolicy {
        statements: applied.spec.statements,
    }))
}
