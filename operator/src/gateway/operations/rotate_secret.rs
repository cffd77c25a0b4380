//! RotateSecret: `POST /v1/namespaces/{namespace}/secrets/{name}/rotation` with an idempotency token: asks,
//! by the annotation that a person would use, for one rotation. Its version's id follows from the token, so
//! it is told at once, and asking again changes nothing.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Method;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{Patch, PatchParams};
use kube::core::ObjectMeta;
use kube::{Api, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use strongroom_crds::annotation::ROTATE_NOW;
use strongroom_crds::v1alpha1::{ManagedSecret, RotationSchedule, ScheduledSecrets};
use strongroom_rules::cause::Cause;
use strongroom_rules::policy::{Action, StatementRef};
use strongroom_rules::rotation_schedule;
use strongroom_store::vault::{AuditNote, KeyState, Refusal, SecretState, SecretView, StoreError};

use super::get_secret_value::invalid;
use super::incoming::{parse_body, read_body};
use crate::gateway::access::{AccessRequest, RequestContext, audit_action, authorise, refuse};
use crate::gateway::objects::{ObjectClient, kube_problem};
use crate::gateway::operation::Operation;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::{Gateway, NamespaceRef, blocking};
use crate::kube::field_manager;

/// Longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 64;

/// What is sent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RotateSecretRequest")]
struct Body {
    #[schemars(length(min = 1, max = 64))]
    token: String,
}

/// What comes of it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Rotation")]
pub(in crate::gateway) struct RotateSecretAnswer {
    /// Id of the version that the rotation makes.
    version_id: String,
    /// Whether it is there already.
    done: bool,
}

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "RotateSecret",
        "/v1/namespaces/{namespace}/secrets/{name}/rotation",
        post(serve),
    )
    .method(Method::POST)
    .about("A new value now; the same token rotates once")
    .takes::<Body>()
    .answers::<RotateSecretAnswer>(StatusCode::ACCEPTED)
    .answers::<RotateSecretAnswer>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    path: Result<Path<(String, String)>, PathRejection>,
    body: axum::body::Body,
) -> Result<impl IntoResponse, Problem> {
    let Path((namespace, name)) = path.map_err(invalid)?;
    let place = gateway
        .admit_write(&asking, Action::RotateSecret, namespace)
        .await?;
    let body = read_body(body).await?;
    let Body { token } = parse_body(&body, &["token"])?;
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(invalid(
            "`token` must have 1 to 64 printable ASCII characters and no spaces",
        ));
    }
    let (decided, asked, at, of) = (Arc::clone(&gateway), asking.clone(), place.clone(), name.clone());
    let (view, statements) = blocking(move || permitted(&decided, &asked, &at, &of)).await?;
    let version_id = Cause::Now {
        annotation: token.clone(),
    }
    .version_id(view.id.as_bytes());
    // Its version may have made room for others since.
    let done = view.rotation.last_trigger.as_deref() == Some(token.as_str())
        || view
            .versions
            .iter()
            .any(|version| version.id.as_str() == version_id);
    let outcome = if done {
        Ok(())
    } else {
        annotate(&gateway, &place, &view, &token).await
    };
    let status = if done {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    blocking(move || {
        if let Err(problem) = outcome {
            let facts = asking.facts();
            let wanted = wanted(&place, &name, Some(&view), &facts);
            return Err(refuse(&gateway, &asking, &wanted, &statements, problem)?);
        }
        let note = AuditNote {
            namespace: place.name.parse().ok(),
            secret: Some(view.name.clone()),
            secret_id: Some(view.id),
            version: version_id.parse().ok(),
            detail: if done {
                "the version was there"
            } else {
                "asked for"
            }
            .to_owned(),
            ..AuditNote::new(audit_action(Action::RotateSecret))
        };
        gateway
            .store
            .record_request(note, &asking.meta(&statements), gateway.durability)?;
        Ok((status, Json(RotateSecretAnswer { version_id, done })))
    })
    .await
}

fn wanted<'a>(
    place: &'a NamespaceRef,
    name: &'a str,
    secret: Option<&'a SecretView>,
    facts: &'a strongroom_rules::policy::RequestFacts,
) -> AccessRequest<'a> {
    AccessRequest {
        action: Action::RotateSecret,
        namespace: &place.name,
        name,
        secret,
        new_under: None,
        facts,
    }
}

/// The secret, if the caller may have it rotated and neither its state nor its key's forbids it.
fn permitted(
    gateway: &Gateway,
    asking: &RequestContext,
    place: &NamespaceRef,
    name: &str,
) -> Result<(SecretView, Vec<StatementRef>), Problem> {
    let secret = gateway.find(place, name)?;
    let facts = asking.facts();
    let wanted = wanted(place, name, secret.as_deref(), &facts);
    let (decision, view) = authorise(gateway, asking, &wanted)?;
    let refusal = match (view.state, gateway.key(view)?.map(|key| key.state)) {
        (SecretState::PendingDeletion { until, .. }, _) => Some(Refusal::InRecoveryWindow { until }),
        (SecretState::Live, None | Some(KeyState::Enabled)) => None,
        (SecretState::Live, Some(KeyState::Disabled)) => Some(Refusal::KeyDisabled),
        (SecretState::Live, Some(KeyState::PendingDeletion { until })) => {
            Some(Refusal::KeyPendingDeletion { until })
        }
        (SecretState::Live, Some(KeyState::Destroyed)) => Some(Refusal::KeyDestroyed),
    };
    if let Some(refusal) = refusal {
        let problem = StoreError::Refused(refusal).into();
        return Err(refuse(gateway, asking, &wanted, &decision.statements, problem)?);
    }
    Ok((view.clone(), decision.statements))
}

/// A schedule that claims the object, without what it says of others: a namespace may have many that are
/// long.
fn claiming(mut schedule: RotationSchedule, object: &ManagedSecret) -> Option<RotationSchedule> {
    let name = object.name_any();
    rotation_schedule::claim(&schedule, &name, object.labels())?;
    let secrets = &mut schedule.spec.secrets;
    *secrets = ScheduledSecrets {
        names: secrets.names(&name).then(|| vec![name]),
        selector: secrets.selector.as_ref().map(|_| LabelSelector::default()),
    };
    schedule.metadata = ObjectMeta {
        name: schedule.metadata.name,
        ..ObjectMeta::default()
    };
    schedule.status = None;
    Some(schedule)
}

/// Asks for the rotation where the controller looks. The write carries the object's UID: one that was made
/// again in between is not touched.
async fn annotate(
    gateway: &Gateway,
    place: &NamespaceRef,
    view: &SecretView,
    token: &str,
) -> Result<(), Problem> {
    let not_rotatable = |why: &str| Problem::new(Code::NotRotatable, why);
    let Some(object) = &view.object else {
        return Err(not_rotatable(
            "no ManagedSecret declares the secret, so no value can be generated",
        ));
    };
    let objects = ObjectClient::<ManagedSecret>::new(gateway, &place.name);
    let Some(found) = objects.declaring(view).await? else {
        return Err(not_rotatable(
            "the ManagedSecret of the secret is gone; apply it again",
        ));
    };
    let schedules = ObjectClient::<RotationSchedule>::new(gateway, &place.name)
        .list_filtered(|schedule| claiming(schedule, &found))
        .await?;
    if let Some(refusal) = rotation_schedule::RotationRefusal::on_request(&found, &schedules) {
        return Err(not_rotatable(&refusal.to_string()));
    }
    let patch = json!({"metadata": {"uid": object.uid.as_str(), "annotations": {ROTATE_NOW: token}}});
    let params = PatchParams {
        field_manager: Some(field_manager::GATEWAY.to_owned()),
        ..PatchParams::default()
    };
    let api: Api<ManagedSecret> = Api::namespaced(gateway.client.clone(), &place.name);
    api.patch_metadata(&object.name, &params, &Patch::Merge(&patch))
        .await
        .map_err(kube_problem)?;
    Ok(())
}
