//! UpdateSecret: `PATCH /v1/namespaces/{namespace}/secrets/{name}`: description and labels, as a JSON merge
//! patch (RFC 7396). They stand in the ManagedSecret; what somebody else keeps there is not overwritten.

use std::sync::Arc;

use kube::ResourceExt;
use serde_json::json;
use strongroom_api::v1::{SecretAnswer, UpdateSecretRequest};
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_rules::policy::Action;
use strongroom_store::vault::{Refusal, SecretState, SecretView, UpdateSecret};

use super::change::{ChangeError, SecretChange};
use super::shape;
use super::user_metadata::{label_fits, metadata_fits};
use crate::gateway::blocking;
use crate::gateway::objects::{ObjectClient, managed_elsewhere, refuse_other_owner};
use crate::gateway::operation::{Input, NoQuery};
use crate::gateway::problem::{Code, Problem};
use crate::gateway::request::{OperationContext, SecretPath};
use crate::secret_labels;

/// How often an object that changes in between is looked at.
const MAX_ATTEMPTS: usize = 5;

pub(super) async fn run(
    context: OperationContext,
    input: Input<SecretPath, NoQuery, UpdateSecretRequest>,
) -> Result<SecretAnswer, Problem> {
    let Input { path, body, .. } = input;
    let labels = body
        .labels
        .iter()
        .filter_map(|(label, value)| Some((label, value.as_ref()?)));
    metadata_fits(body.description.as_ref().and_then(Option::as_deref), labels)?;
    body.labels.keys().try_for_each(|label| label_fits(label))?;
    let (change, secret) = SecretChange::for_secret(context, path, Action::UpdateSecret).await?;
    let outcome = update(&change, &secret, body).await;
    change.settle(outcome).await
}

async fn update(
    change: &SecretChange,
    secret: &SecretView,
    body: UpdateSecretRequest,
) -> Result<SecretAnswer, ChangeError> {
    if let SecretState::PendingDeletion { until, .. } = secret.state {
        return Err(Refusal::InRecoveryWindow { until }.into());
    }
    let changed = declared(change, secret, &body).await?;
    let command = UpdateSecret {
        secret: secret.id,
        description: Some(changed.spec.description.clone().unwrap_or_default()),
        labels: Some(secret_labels::replace_user_labels(
            &secret.labels,
            changed.labels(),
        )),
        key: None,
    };
    let view = change.run(command).await?;
    let (gateway, namespace) = (Arc::clone(&change.gateway), change.namespace().to_owned());
    Ok(blocking(move || {
        let key = gateway.key(&view)?;
        Ok(shape::secret(&namespace, &view, key.as_ref()))
    })
    .await?)
}

/// The ManagedSecret, changed. The controller writes its status meanwhile, so it is looked at again where it
/// changed in between.
async fn declared(
    change: &SecretChange,
    secret: &SecretView,
    body: &UpdateSecretRequest,
) -> Result<ManagedSecret, ChangeError> {
    let objects = ObjectClient::<ManagedSecret>::new(&change.gateway, change.namespace());
    for _ in 0..MAX_ATTEMPTS {
        let object = objects.declaring(secret).await?.ok_or_else(|| {
            managed_elsewhere(
                "ManagedSecret",
                secret.name.as_str(),
                "no object declares the secret",
            )
        })?;
        if body.description.is_some() {
            refuse_other_owner(&object, &["spec", "description"])?;
        }
        for label in body.labels.keys() {
            refuse_other_owner(&object, &["metadata", "labels", label])?;
        }
        let mut patch = json!({"metadata": {"labels": body.labels}});
        if let (Some(description), Some(patch)) = (&body.description, patch.as_object_mut()) {
            patch.insert("spec".to_owned(), json!({"description": description}));
        }
        if let Some(changed) = objects.merge(&object, patch).await? {
            return Ok(changed);
        }
    }
    let why = "somebody else keeps changing the object at the same time; try again";
    Err(Problem::new(Code::ClusterUnavailable, why).retry_after(1).into())
}
