//! RotateSecret: `POST /v1/namespaces/{namespace}/secrets/{name}/rotation` with an idempotency token: asks,
//! by the annotation that a person would use, for one rotation. Its version's id follows from the token, so
//! it is told at once, and asking again changes nothing.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{Patch, PatchParams};
use kube::core::ObjectMeta;
use kube::{Api, ResourceExt};
use serde_json::json;
use strongroom_api::v1::{RotateSecretAnswer, RotateSecretRequest};
use strongroom_crds::annotation::ROTATE_NOW;
use strongroom_crds::v1alpha1::{ManagedSecret, RotationSchedule, ScheduledSecrets};
use strongroom_model::DefaultSecretName;
use strongroom_model::name::ExternalId;
use strongroom_rules::cause::Cause;
use strongroom_rules::policy::{Action, Identity, StatementRef};
use strongroom_rules::rotation::claim;
use strongroom_store::audit::Requester;
use strongroom_store::vault::{AuditNote, KeyState, Refusal, SecretState, SecretView, StoreError};

use crate::gateway::objects::{ObjectClient, kube_problem};
use crate::gateway::operation::{Input, NoQuery, Succeeded, Success};
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::authorise::authorise;
use crate::gateway::request::record::{self, audit_action};
use crate::gateway::request::{
    AccessRequest, OperationContext, RequestContext, SecretPath, TargetKey, find, product,
};
use crate::gateway::{Gateway, blocking};
use crate::kube::field_manager;
use crate::rotation::refusal_on_request;

/// Longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 64;

pub(super) async fn run(
    context: OperationContext,
    input: Input<SecretPath, NoQuery, RotateSecretRequest>,
) -> Result<Succeeded<RotateSecretAnswer>, Problem> {
    let OperationContext { gateway, request, .. } = context;
    let Input {
        path,
        body: RotateSecretRequest { token },
        ..
    } = input;
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(invalid(
            "`token` must have 1 to 64 printable ASCII characters and no spaces",
        ));
    }
    let (decided, asked, at) = (Arc::clone(&gateway), request.clone(), path.clone());
    let (view, statements) = blocking(move || permitted(&decided, &asked, &at)).await?;
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
        annotate(&gateway, path.namespace().name(), &view, &token).await
    };
    let (success, detail) = if done {
        (Success::Done, "the version was there")
    } else {
        (Success::Accepted, "asked for")
    };
    blocking(move || {
        if let Err(problem) = outcome {
            let facts = request.facts();
            let access = AccessRequest {
                action: Action::RotateSecret,
                path: &path,
                secret: Some(&view),
                new_key: TargetKey::Default,
                facts: &facts,
            };
            return Err(record::refuse(&gateway, &request, &access, &statements, problem)?);
        }
        let note = AuditNote {
            version: version_id.parse().ok(),
            detail: detail.to_owned(),
            ..record::note_about(audit_action(Action::RotateSecret), &path, Some(view.id))
        };
        record::now(&gateway, note, &request.meta(&statements))?;
        Ok(Succeeded(success, RotateSecretAnswer { version_id, done }))
    })
    .await
}

/// The secret, if the caller may have it rotated and neither its state nor its key's forbids it.
fn permitted(
    gateway: &Gateway,
    request: &RequestContext,
    path: &SecretPath,
) -> Result<(SecretView, Vec<StatementRef>), Problem> {
    let found = find::secret(gateway, path)?;
    let facts = request.facts();
    let access = AccessRequest::of_found(Action::RotateSecret, &found, &facts);
    let authorised = authorise(gateway, request, &access)?;
    let (view, statements) = (authorised.secret(), authorised.decision().statements.clone());
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
        return Err(record::refuse(gateway, request, &access, &statements, problem)?);
    }
    Ok((view.clone(), statements))
}

/// A schedule that claims the object, without what it says of others: a namespace may have many that are
/// long.
fn claiming(mut schedule: RotationSchedule, object: &ManagedSecret) -> Option<RotationSchedule> {
    let name = object.name_any();
    claim(&schedule, &name, object.labels())?;
    let secrets = &mut schedule.spec.secrets;
    *secrets = ScheduledSecrets {
        names: secrets.names(&name).then(|| vec![name]),
        selector: secrets.selector.as_ref().map(|_| LabelSelector::default()),
    };
    schedule.metadata = ObjectMeta {
        name: schedule.metadata.name,
        uid: schedule.metadata.uid,
        ..ObjectMeta::default()
    };
    schedule.status = None;
    Some(schedule)
}

/// Of the schedules that claim a secret, those that count for it: of a default secret those that a manager of
/// its product wrote, as the controllers have it.
async fn counting(
    gateway: &Gateway,
    view: &SecretView,
    schedules: Vec<RotationSchedule>,
) -> Result<Vec<RotationSchedule>, Problem> {
    let Some(name) = DefaultSecretName::split(&view.name).ok().flatten() else {
        return Ok(schedules);
    };
    let (products, code) = (product::snapshot(gateway)?, name.code().to_owned());
    let store = gateway.store.clone();
    blocking(move || {
        let Some(product) = products.product(&code) else {
            return Ok(Vec::new());
        };
        let mut counting = Vec::new();
        for schedule in schedules {
            let uid = schedule.metadata.uid.as_deref();
            let author = match uid.and_then(|uid| ExternalId::new(uid).ok()) {
                Some(uid) => store.requester_of(&uid)?,
                None => None,
            };
            if let Some(Requester::Attested(author)) = author
                && product.is_manager(&Identity::from_username(&author.user))
            {
                counting.push(schedule);
            }
        }
        Ok(counting)
    })
    .await
}

/// Asks for the rotation where the controller looks. The write carries the object's UID: one that was made
/// again in between is not touched.
async fn annotate(gateway: &Gateway, namespace: &str, view: &SecretView, token: &str) -> Result<(), Problem> {
    let not_rotatable = |why: &str| Problem::new(Code::NotRotatable, why);
    let Some(object) = &view.object else {
        return Err(not_rotatable(
            "no ManagedSecret declares the secret, so no value can be generated",
        ));
    };
    let objects = ObjectClient::<ManagedSecret>::new(gateway, namespace);
    let Some(found) = objects.declaring(view).await? else {
        return Err(not_rotatable(
            "the ManagedSecret of the secret is gone; apply it again",
        ));
    };
    let schedules = ObjectClient::<RotationSchedule>::new(gateway, namespace)
        .list_filtered(|schedule| claiming(schedule, &found))
        .await?;
    let schedules = counting(gateway, view, schedules).await?;
    if let Some(refusal) = refusal_on_request(&found, &schedules) {
        return Err(not_rotatable(&refusal.to_string()));
    }
    let patch = json!({"metadata": {"uid": object.uid.as_str(), "annotations": {ROTATE_NOW: token}}});
    let params = PatchParams {
        field_manager: Some(field_manager::GATEWAY.to_owned()),
        ..PatchParams::default()
    };
    let api: Api<ManagedSecret> = Api::namespaced(gateway.client.clone(), namespace);
    api.patch_metadata(&object.name, &params, &Patch::Merge(&patch))
        .await
        .map_err(kube_problem)?;
    Ok(())
}
