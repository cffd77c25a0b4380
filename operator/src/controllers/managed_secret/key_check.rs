//! The customer's key of a `ManagedSecret`: how it stands, and what is read while it refuses.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use strongroom_model::id::NamespaceId;
use strongroom_model::name::KeyName;
use strongroom_rules::managed_secret::facts::{
    DesiredKey, DesiredState, KeyState, NativeSecretState, ObservedNativeSecret,
};
use strongroom_rules::native_secret::HELD_ANNOTATION;
use strongroom_rules::uid::Uid;
use strongroom_store::vault::{KeyState as StoredKeyState, SecretView};

use super::observed_secret::ObservedSecret;
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;
use crate::store_handle::timestamp;

/// The customer's key that the object names, and how it stands.
pub(super) async fn key(
    ctx: &Ctx,
    observed: &mut ObservedSecret,
    namespace: NamespaceId,
) -> Result<(), Failure> {
    let Ok(wanted) = &mut observed.facts.wanted else {
        return Ok(());
    };
    let named = observed.object.spec.encryption_key.as_ref();
    wanted.required_key = ctx
        .declared
        .required_key(&observed.identity.namespace, &wanted.store_name)
        .filter(|required| named != Some(required));
    let Some(name) = named else {
        return Ok(());
    };
    let found = match KeyName::new(name) {
        Ok(name) => ctx.store.key(namespace, &name).await?,
        // The schema lets no such name through; there is no key of it.
        Err(_) => None,
    };
    let state = match found.as_ref().map(|key| key.state) {
        None | Some(StoredKeyState::Destroyed) => KeyState::Absent,
        Some(StoredKeyState::Disabled) => KeyState::Disabled,
        Some(StoredKeyState::PendingDeletion { until }) => KeyState::PendingDeletion(timestamp(until)),
        Some(StoredKeyState::Enabled) if ctx.keys.has_object(&observed.identity.namespace, name) => {
            KeyState::Enabled
        }
        Some(StoredKeyState::Enabled) => KeyState::ObjectMissing,
    };
    observed.key = found.filter(|_| state != KeyState::Absent).map(|key| key.id);
    wanted.key = Some(DesiredKey {
        name: name.clone(),
        state,
    });
    Ok(())
}

/// Whether nothing can be read or written under a key in this state.
pub(super) const fn refuses(state: KeyState) -> bool {
    match state {
        KeyState::Enabled | KeyState::ObjectMissing => false,
        KeyState::Absent | KeyState::Disabled | KeyState::PendingDeletion(_) => true,
    }
}

/// The native Secret of ours, whose value cannot be known now: only what it says of itself is read.
pub(super) async fn read_held(
    ctx: &Ctx,
    observed: &mut ObservedSecret,
    wanted: &DesiredState,
    view: &SecretView,
) -> Result<(), Failure> {
    let (Some(target), Some(ours)) = (&wanted.native, &view.materialized) else {
        return Ok(());
    };
    if target.name != ours.name {
        return Ok(());
    }
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &observed.identity.namespace);
    observed.facts.native = match api.get_metadata_opt(&target.name).await? {
        None => NativeSecretState::Absent,
        Some(found) => NativeSecretState::Present(ObservedNativeSecret {
            held: found.annotations().contains_key(HELD_ANNOTATION),
            ..ObservedNativeSecret::new(Uid::new(found.uid().unwrap_or_default()))
        }),
    };
    Ok(())
}
