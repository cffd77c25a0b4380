//! UpdateSecret: `PATCH /v1/namespaces/{namespace}/secrets/{name}`: description and labels, as a JSON merge
//! patch (RFC 7396). They stand in the ManagedSecret; what somebody else keeps there is not overwritten.
//!
//! The product of a default secret may change its key as well: from the default key to a customer's, which is
//! from free hosting to paid, or to another customer's. Back to the default key it moves only where the
//! tenant allows it by an annotation, which counts for one move. The object is written first: where the
//! process ends in between, the controller carries it out. Name, versions and policies stay.

use std::sync::Arc;

use kube::ResourceExt;
use serde_json::{Map, Value as Json, json};
use strongroom_api::v1::{SecretAnswer, UpdateSecretRequest};
use strongroom_crds::annotation::ALLOW_DEFAULT_KEY;
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_model::Hosting;
use strongroom_rules::managed_secret::key_release;
use strongroom_rules::policy::Action;
use strongroom_store::vault::{KeyRef, KeyState, Refusal, SecretState, SecretView, UpdateSecret};

use super::change::{ChangeError, NewSecretKey, SecretChange};
use super::default_secret::reserve_place;
use super::shape;
use super::user_metadata::{label_fits, metadata_fits};
use crate::gateway::blocking;
use crate::gateway::objects::{ObjectClient, managed_elsewhere, refuse_other_owner};
use crate::gateway::operation::{Input, NoQuery};
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::{OperationContext, SecretPath, product};
use crate::secret_labels;

/// How often an object that changes in between is looked at.
const MAX_ATTEMPTS: usize = 5;

pub(super) async fn run(
    context: OperationContext,
    input: Input<SecretPath, NoQuery, UpdateSecretRequest>,
) -> Result<SecretAnswer, Problem> {
    let Input { path, mut body, .. } = input;
    let labels = body
        .labels
        .iter()
        .filter_map(|(label, value)| Some((label, value.as_ref()?)));
    metadata_fits(body.description.as_ref().and_then(Option::as_deref), labels)?;
    body.labels.keys().try_for_each(|label| label_fits(label))?;
    let key = match body.encryption_key.take() {
        None => None,
        Some(_) if path.default_secret().is_none() => {
            return Err(invalid(
                "`encryptionKey` changes only the key of a default secret, which a product owns; set `spec.encryptionKey` of the ManagedSecret",
            ));
        }
        Some(name) => Some(NewSecretKey::find(&context.gateway, path.namespace(), name).await?),
    };
    let action = Action::UpdateSecret;
    let new_key = key.clone().unwrap_or_default();
    let (change, secret) = SecretChange::for_moving_secret(context, path, action, new_key).await?;
    let outcome = update(&change, &secret, &body, key.as_ref()).await;
    change.settle(outcome).await
}

async fn update(
    change: &SecretChange,
    secret: &SecretView,
    body: &UpdateSecretRequest,
    key: Option<&NewSecretKey>,
) -> Result<SecretAnswer, ChangeError> {
    if let SecretState::PendingDeletion { until, .. } = secret.state {
        return Err(Refusal::InRecoveryWindow { until }.into());
    }
    let key_ref = key.map(NewSecretKey::key_ref).transpose()?;
    let moves = key_ref.filter(|to| *to != secret.key);
    if let (Some(_), Some(key)) = (moves, key) {
        may_move(change, key).await?;
    }
    // It is held until the store has the secret in the other quota.
    let _place = match moves {
        Some(to) if hosting(to) != hosting(secret.key) => reserve_place(change, secret.namespace, to).await?,
        _ => None,
    };
    let moved = key.filter(|_| moves.is_some());
    let changed = declared(change, secret, body, moved).await?;
    let command = UpdateSecret {
        secret: secret.id,
        description: Some(changed.spec.description.clone().unwrap_or_default()),
        labels: Some(secret_labels::replace_user_labels(
            &secret.labels,
            changed.labels(),
        )),
        key: moves,
    };
    let view = change.run(command).await?;
    let (gateway, namespace) = (Arc::clone(&change.gateway), change.namespace().to_owned());
    if moved.is_some() {
        // Its versions are wrapped anew at once.
        gateway
            .external_sources
            .notify_changed(&namespace, &changed.name_any());
    }
    Ok(blocking(move || {
        let key = gateway.key(&view)?;
        Ok(shape::secret(&namespace, &view, key.as_ref()))
    })
    .await?)
}

fn hosting(key: KeyRef) -> Hosting {
    Hosting::under(key.customer().as_ref())
}

/// Refuses a move that the product does not offer, or under a key that does not work now: the object would
/// say what cannot be so.
async fn may_move(change: &SecretChange, key: &NewSecretKey) -> Result<(), ChangeError> {
    let to = match &key.found {
        Some(_) => Hosting::Paid,
        None => Hosting::Free,
    };
    let (gateway, path) = (Arc::clone(&change.gateway), change.path.clone());
    blocking(move || match path.default_secret() {
        Some(name) => product::offers(&gateway, name, to),
        None => Ok(()),
    })
    .await?;
    match key.found.as_ref().map(|key| key.state) {
        None | Some(KeyState::Enabled) => Ok(()),
        Some(KeyState::Disabled) => Err(Refusal::KeyDisabled.into()),
        Some(KeyState::PendingDeletion { until }) => Err(Refusal::KeyPendingDeletion { until }.into()),
        Some(KeyState::Destroyed) => Err(Refusal::KeyDestroyed.into()),
    }
}

/// The ManagedSecret, changed. The controller writes its status meanwhile, so it is looked at again where it
/// changed in between.
async fn declared(
    change: &SecretChange,
    secret: &SecretView,
    body: &UpdateSecretRequest,
    moved: Option<&NewSecretKey>,
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
        let mut spec = Map::new();
        if let Some(description) = &body.description {
            spec.insert("description".to_owned(), Json::from(description.clone()));
        }
        if let Some(key) = moved {
            refuse_other_owner(&object, &["spec", "encryptionKey"])?;
            if key.name.is_none() {
                may_leave(change, secret, &object).await?;
            }
            spec.insert("encryptionKey".to_owned(), Json::from(key.name.clone()));
        }
        let mut patch = json!({"metadata": {"labels": body.labels}});
        if let (false, Some(patch)) = (spec.is_empty(), patch.as_object_mut()) {
            patch.insert("spec".to_owned(), Json::Object(spec));
        }
        if let Some(changed) = objects.merge(&object, patch).await? {
            return Ok(changed);
        }
    }
    let why = "somebody else keeps changing the object at the same time; try again";
    Err(Problem::new(Code::ClusterUnavailable, why).retry_after(1).into())
}

/// Refuses where the tenant does not give the control of the key away.
async fn may_leave(
    change: &SecretChange,
    secret: &SecretView,
    object: &ManagedSecret,
) -> Result<(), ChangeError> {
    let (gateway, secret) = (Arc::clone(&change.gateway), secret.clone());
    let Some(held) = blocking(move || gateway.key(&secret)).await? else {
        return Ok(());
    };
    let (held, generation) = (held.name.as_str(), object.metadata.generation.unwrap_or_default());
    let allows = object.annotations().get(ALLOW_DEFAULT_KEY);
    let key = object.spec.encryption_key.as_deref();
    if key_release::lets_leave(allows.map(String::as_str), held, (generation, key)) {
        return Ok(());
    }
    let why = format!(
        "the secret stays under EncryptionKey `{held}`, by which the tenant controls it; the tenant gives that up for one move with the annotation `{ALLOW_DEFAULT_KEY}={}` on ManagedSecret `{}`",
        key_release::leave(held, generation),
        object.name_any()
    );
    Err(Problem::new(Code::HostingRefused, why).into())
}
