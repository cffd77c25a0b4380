//! RestoreSecret: `POST /v1/namespaces/{namespace}/secrets/{name}/restore`: inside its recovery window a
//! secret comes back exactly as it was, and with it a ManagedSecret, where none declares it: one whose values
//! arrive over the API.

use std::sync::Arc;

use kube::ResourceExt;
use strongroom_api::v1::SecretAnswer;
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_rules::policy::Action;
use strongroom_store::vault::{BindObject, Refusal, RestoreSecret, SecretState, SecretView};

use super::change::{ChangeError, SecretChange};
use super::shape;
use crate::external_manifest::{ExternalManifest, external_managed_secret, object_name};
use crate::gateway::blocking;
use crate::gateway::objects::{ObjectClient, binding, managed_elsewhere};
use crate::gateway::operation::Input;
use crate::gateway::problem::Problem;
use crate::gateway::request::{OperationContext, SecretPath};
use crate::secret_labels::user_labels;

pub(super) async fn run(
    context: OperationContext,
    input: Input<SecretPath>,
) -> Result<SecretAnswer, Problem> {
    let (change, secret) = SecretChange::for_secret(context, input.path, Action::RestoreSecret).await?;
    let outcome = restore(&change, &secret).await;
    change.settle(outcome).await
}

/// Whether an object that is there can be the secret's: that of a default secret is the one that was, or one
/// that the product made.
fn may_own(change: &SecretChange, secret: &SecretView, found: &ManagedSecret) -> bool {
    let uid = found.uid();
    let was = secret.object.as_ref().map(|owner| owner.uid.as_str());
    change.path.default_secret().is_none()
        || was == uid.as_deref()
        || change.was_made_by_product(uid.as_deref())
}

async fn restore(change: &SecretChange, secret: &SecretView) -> Result<SecretAnswer, ChangeError> {
    if secret.state == SecretState::Live {
        return Err(Refusal::NotInRecoveryWindow.into());
    }
    let gateway = Arc::clone(&change.gateway);
    let (of, under) = (secret.clone(), Arc::clone(&gateway));
    let key = blocking(move || under.key(&of)).await?;
    let objects = ObjectClient::<ManagedSecret>::new(&gateway, change.namespace());
    let name = match &secret.object {
        Some(object) => object.name.clone(),
        None => object_name(secret.name.as_str()),
    };
    let object = match objects.find(&name).await? {
        Some(found) => {
            if !may_own(change, secret, &found) {
                let why = "it has the name of the secret and was not made by the product, as its condition Ready says";
                return Err(managed_elsewhere("ManagedSecret", &name, why).into());
            }
            found
        }
        None => {
            let labels = user_labels(&secret.labels);
            let made = external_managed_secret(
                &name,
                &ExternalManifest {
                    secret: secret.name.as_str(),
                    description: Some(secret.description.as_str()).filter(|text| !text.is_empty()),
                    labels: &labels,
                    key: key.as_ref().map(|key| key.name.as_str()),
                },
            );
            let taken = || managed_elsewhere("ManagedSecret", &name, "it was created at the same time");
            objects.create(&made).await?.ok_or_else(taken)?
        }
    };
    let declares = object.spec.store_name.as_deref().unwrap_or(&name);
    if declares != secret.name.as_str() {
        return Err(managed_elsewhere("ManagedSecret", &name, "it declares another secret").into());
    }
    change.run(RestoreSecret { secret: secret.id }).await?;
    let bind = BindObject {
        secret: secret.id,
        object: binding(&object),
    };
    let view = change.run_beside(bind).await?;
    gateway.external_sources.notify_changed(change.namespace(), &name);
    Ok(shape::secret(change.namespace(), &view, key.as_ref()))
}
