//! CreateSecret: `POST /v1/namespaces/{namespace}/secrets`: a ManagedSecret whose values arrive over the API,
//! then the secret with its first version.
//!
//! The object comes first: a crash in between leaves one that waits for its value, and the same request goes
//! on from there. Before it comes the place in the quota of the product, where a product makes the secret.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};
use strongroom_api::sealed::VersionContext;
use strongroom_api::v1::{CreateSecretRequest, SecretAnswer};
use strongroom_crds::v1alpha1::{ManagedSecret, Source};
use strongroom_model::DefaultSecretName;
use strongroom_model::id::{NamespaceId, SecretId};
use strongroom_model::name::{ExternalId, SecretName, VersionId};
use strongroom_store::value::Value;
use strongroom_store::vault::{
    BindNamespace, CreateSecret, KeyRef, Recovery, Refusal, SecretState, StoreError,
};

use super::change::{ChangeError, NewSecretKey, SecretChange};
use super::default_secret::reserve_place;
use super::incoming::read_value;
use super::shape;
use super::user_metadata::metadata_fits;
use crate::external_manifest::{ExternalManifest, external_managed_secret, object_name};
use crate::gateway::blocking;
use crate::gateway::objects::{ObjectClient, binding, kube_problem, managed_elsewhere};
use crate::gateway::operation::{Input, NoQuery};
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::{NamespaceRef, OperationContext, SecretPath};
use crate::secret_labels;

/// A secret to make.
struct NewSecret {
    name: SecretName,
    version: VersionId,
    value: Value,
    description: Option<String>,
    labels: BTreeMap<String, String>,
}

pub(super) async fn run(
    context: OperationContext,
    input: Input<NamespaceRef, NoQuery, CreateSecretRequest>,
) -> Result<SecretAnswer, Problem> {
    let Input {
        path: namespace,
        body,
        ..
    } = input;
    metadata_fits(body.description.as_deref(), body.labels.iter())?;
    let new = NewSecret {
        name: body.name.parse().map_err(invalid)?,
        version: body.version_id.parse().map_err(invalid)?,
        value: {
            let about = VersionContext {
                namespace: namespace.name(),
                secret: &body.name,
                version: &body.version_id,
            };
            read_value(&context, body.data, body.sealed, &about)?
        },
        description: body.description,
        labels: body.labels,
    };
    // A code that no product can have.
    DefaultSecretName::split(&new.name).map_err(invalid)?;
    if new
        .name
        .as_str()
        .split('/')
        .any(|part| matches!(part, "." | ".."))
    {
        return Err(invalid(
            "no part of a name may be `.` or `..`: clients remove those from a path",
        ));
    }
    let key = NewSecretKey::find(&context.gateway, &namespace, body.encryption_key).await?;
    let path = SecretPath::new(namespace, body.name);
    let change = SecretChange::for_new_secret(context, path, key.clone()).await?;
    let outcome = create(&change, new, &key).await;
    change.settle(outcome).await
}

async fn create(
    change: &SecretChange,
    new: NewSecret,
    key: &NewSecretKey,
) -> Result<SecretAnswer, ChangeError> {
    if let Some(secret) = &change.secret {
        return Err(match secret.state {
            SecretState::Live => Refusal::SecretExists,
            SecretState::PendingDeletion { until, .. } => Refusal::InRecoveryWindow { until },
        }
        .into());
    }
    let key_ref = key.key_ref()?;
    let namespace = namespace(change).await?;
    has_room(change, namespace, key_ref, &new).await?;
    // It is held until the store has the secret.
    let _place = reserve_place(change, namespace, key_ref).await?;
    let object = object(change, &new, key.name.as_deref()).await?;
    let command = CreateSecret {
        id: SecretId::generate()
            .map_err(|_| StoreError::NotCommitted)
            .map_err(Problem::from)?,
        namespace,
        name: new.name,
        description: object.spec.description.clone().unwrap_or_default(),
        labels: secret_labels::desired(&object.spec, object.labels()),
        key: key_ref,
        version: new.version,
        value: new.value,
        object: binding(&object),
        recovery: secret_labels::recovery(
            &secret_labels::desired(&object.spec, object.labels()),
            change.gateway.namespaces.recovery(change.namespace()).await == Recovery::Nothing,
        ),
    };
    let written = change.run(command).await?;
    change
        .gateway
        .external_sources
        .notify_changed(change.namespace(), &object.name_any());
    Ok(shape::secret(
        change.namespace(),
        &written.secret,
        key.found.as_ref(),
    ))
}

/// The namespace in the store, made known where it is not.
async fn namespace(change: &SecretChange) -> Result<NamespaceId, ChangeError> {
    if let Some(id) = change.path.namespace().id() {
        return Ok(id);
    }
    let name = change.namespace();
    let no_namespace = || Problem::new(Code::SecretNotFound, format!("there is no namespace `{name}`"));
    let api: Api<Namespace> = Api::all(change.gateway.client.clone());
    let found = api.get_metadata_opt(name).await.map_err(kube_problem)?;
    let uid = found
        .and_then(|found| found.metadata.uid)
        .ok_or_else(no_namespace)?;
    let command = BindNamespace {
        name: name.parse().map_err(|_| no_namespace())?,
        uid: ExternalId::new(&uid).map_err(|_| no_namespace())?,
    };
    let id = change.run_beside(command).await?;
    change.gateway.namespaces.invalidate(name);
    Ok(id)
}

/// Before there is an object that would wait for a value in vain.
async fn has_room(
    change: &SecretChange,
    namespace: NamespaceId,
    key: KeyRef,
    new: &NewSecret,
) -> Result<(), ChangeError> {
    let (store, value, name) = (
        change.gateway.store.clone(),
        new.value.duplicate(),
        new.name.clone(),
    );
    let of_product = change.path.default_secret().is_some();
    let checked = blocking(move || {
        if of_product {
            store.check_product_quota(namespace, &name, key, Some(&value))?;
        } else {
            store.check_quota(namespace, Some(&value))?;
        }
        Ok(())
    });
    Ok(checked.await?)
}

/// The object that declares the secret: made now, or left by a try that did not get further.
async fn object(
    change: &SecretChange,
    new: &NewSecret,
    key: Option<&str>,
) -> Result<ManagedSecret, ChangeError> {
    let objects = ObjectClient::<ManagedSecret>::new(&change.gateway, change.namespace());
    let name = object_name(new.name.as_str());
    let declared = ExternalManifest {
        secret: new.name.as_str(),
        description: new.description.as_deref(),
        labels: &new.labels,
        key,
    };
    let manifest = external_managed_secret(&name, &declared);
    if let Some(made) = objects.create(&manifest).await? {
        return Ok(made);
    }
    let found = objects.find(&name).await?;
    let is_of_product = |found: &ManagedSecret| {
        change.path.default_secret().is_none() || change.was_made_by_product(found.uid().as_deref())
    };
    // What the request leaves open is the object's to say.
    let fits = |found: &ManagedSecret| {
        is_of_product(found)
            && found.spec.store_name.as_deref().unwrap_or(&name) == new.name.as_str()
            && matches!(found.spec.source, Source::External(_))
            && found.spec.encryption_key.as_deref() == key
            && (new.description.is_none() || found.spec.description == new.description)
            && new
                .labels
                .iter()
                .all(|(label, value)| found.labels().get(label) == Some(value))
    };
    let why = if found.as_ref().is_none_or(is_of_product) {
        "it exists with a different spec"
    } else {
        "it exists and was not made by the product, as its condition Ready says; have it deleted"
    };
    let elsewhere = || ChangeError::Unrecorded(managed_elsewhere("ManagedSecret", &name, why));
    found.filter(fits).ok_or_else(elsewhere)
}
