//! What the store holds of one `ManagedSecret`, in the terms of the rules.

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use strongroom_rules::generate::Differences;
use strongroom_rules::managed_secret::facts::{
    InvalidSpec, NativeSecretRef, Owner, StoredSecret, StoredSecretState,
};
use strongroom_rules::uid::Uid;
use strongroom_store::vault::SecretView;

use super::labels;
use super::observed_secret::ObservedSecret;
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;
use crate::secret_labels;
use crate::store_handle::timestamp;

/// What the store holds, in the terms of the rules.
pub(super) async fn judged(
    ctx: &Ctx,
    observed: &ObservedSecret,
    differences: Differences,
    unrenderable: Option<InvalidSpec>,
) -> Result<StoredSecretState, Failure> {
    let Some(view) = &observed.view else {
        return Ok(StoredSecretState::Absent);
    };
    let secret = stored_secret(ctx, observed, view, differences, unrenderable).await?;
    Ok(match view.until() {
        None => StoredSecretState::Live(secret),
        Some(until) => StoredSecretState::InRecoveryWindow {
            secret,
            until: timestamp(until),
        },
    })
}

/// The secret in the terms of the rules.
pub(super) async fn stored_secret(
    ctx: &Ctx,
    observed: &ObservedSecret,
    view: &SecretView,
    differences: Differences,
    unrenderable: Option<InvalidSpec>,
) -> Result<StoredSecret, Failure> {
    let owner = match &view.object {
        None => Owner::Nobody,
        Some(object) if object.uid.as_str() == observed.identity.uid => Owner::ThisObject,
        Some(object) => {
            let reference = ObjectRef::new(&object.name).within(&observed.identity.namespace);
            match ctx.managed_secrets.get(&reference) {
                Some(other) if other.uid().as_deref() == Some(object.uid.as_str()) => {
                    Owner::Rival(object.name.clone())
                }
                _ => Owner::GoneObject,
            }
        }
    };
    Ok(StoredSecret {
        id: view.id.to_string(),
        owner,
        labels: view.labels.clone(),
        description: view.description.clone(),
        other_key: view.key.customer() != observed.key,
        new_readers: observed.object.spec.readers.is_some()
            && view
                .object
                .as_ref()
                .is_none_or(|object| object.name != observed.identity.name),
        retained: secret_labels::deletion(&view.labels) == secret_labels::Deletion::Retain,
        differences,
        unrenderable,
        materialized: view.materialized.as_ref().map(|native| NativeSecretRef {
            name: native.name.clone(),
            uid: Uid::new(native.uid.as_str()),
        }),
        former: labels::former_natives(&view.labels)
            .find(|former| {
                view.materialized
                    .as_ref()
                    .is_none_or(|ours| ours.uid != former.uid)
            })
            .map(|native| NativeSecretRef {
                name: native.name,
                uid: Uid::new(native.uid.as_str()),
            }),
    })
}
