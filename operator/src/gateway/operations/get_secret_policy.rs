//! GetSecretPolicy: `GET /v1/namespaces/{namespace}/secrets/{name}/policy`: the policy that SetSecretPolicy
//! sets.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use strongroom_crds::v1alpha1::SecretPolicy;
use strongroom_rules::policy::Action;
use strongroom_store::vault::SecretView;

use super::change::{ChangeError, SecretChange};
use super::get_secret_value::invalid;
use super::set_secret_policy::{OwnPolicy, policy_name};
use crate::gateway::Gateway;
use crate::gateway::access::RequestContext;
use crate::gateway::objects::ObjectClient;
use crate::gateway::operation::Operation;
use crate::gateway::problem::{Code, Problem};

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "GetSecretPolicy",
        "/v1/namespaces/{namespace}/secrets/{name}/policy",
        get(serve),
    )
    .about("The statements of the secret's own policy")
    .answers::<OwnPolicy>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<OwnPolicy>, Problem> {
    let Path((namespace, name)) = path.map_err(invalid)?;
    let action = Action::GetSecretPolicy;
    let place = gateway.admit(&asking, action, namespace).await?;
    let (change, secret) = SecretChange::for_secret(gateway, asking, place, name, action).await?;
    let outcome = policy(&change, &secret).await;
    change.settle(outcome).await
}

async fn policy(change: &SecretChange, secret: &SecretView) -> Result<Json<OwnPolicy>, ChangeError> {
    let name = policy_name(secret);
    let objects = ObjectClient::<SecretPolicy>::new(&change.gateway, &change.place.name);
    let of_secret = |policy: &SecretPolicy| {
        policy
            .spec
            .secrets
            .as_deref()
            .is_some_and(|secrets| matches!(secrets, [only] if only == secret.name.as_str()))
    };
    let found = objects.find(&name).await?.filter(of_secret).ok_or_else(|| {
        Problem::new(
            Code::PolicyNotFound,
            "the secret has no policy of its own; SetSecretPolicy creates one, and others may apply to it by pattern",
        )
    })?;
    change.note(&format!("SecretPolicy `{name}`")).await?;
    Ok(Json(OwnPolicy {
        statements: found.spec.statements,
    }))
}
