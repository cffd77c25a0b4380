//! CreateSecret: `POST /v1/namespaces/{namespace}/secrets`: a ManagedSecret whose values arrive over the API,
//! then the secret with its first version.
//!
//! The object comes first: a crash in between leaves one that waits for its value, and the same request goes
//! on from there.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};
use strongroom_api::sealed::VersionContext;
use strongroom_api::v1::{CreateSecretRequest, SecretAnswer};
use strongroom_crds::v1alpha1::{ManagedSecret, Source};
use strongroom_model::id::{NamespaceId, SecretId};
use strongroom_model::name::{ExternalId, SecretName, VersionId};
use strongroom_store::value::Value;
use strongroom_store::vault::{
    BindNamespace, CreateSecret, KeyRef, KeyView, Recovery, Refusal, SecretState, StoreError,
};

use super::change::{ChangeError, SecretChange};
use super::incoming::read_value;
use super::shape;
use super::user_metadata::metadata_fits;
use crate::external_manifest::{ExternalManifest, external_managed_secret, object_name};
use crate::gateway::objects::{ObjectClient, binding, kube_problem, managed_elsewhere};
use crate::gateway::operation::{Input, NoQuery};
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::{NamespaceRef, OperationContext, SecretPath};
use crate::gateway::{Gateway, blocking};
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
    if new.name.as_str().contains('!') {
        return Err(invalid(
            "a name with `!` belongs to a product; choose a name without it",
        ));
    }
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
    let key_name = body.encryption_key;
    let key = key(&context.gateway, &namespace, key_name.clone()).await?;
    let path = SecretPath::new(namespace, body.name);
    let change = SecretChange::for_new_secret(context, path, key.clone()).await?;
    let outcome = create(&change, new, key_name.as_deref(), key).await;
    change.settle(outcome).await
}

/// The key of this name, if there is one.
async fn key(
    gateway: &Arc<Gateway>,
    namespace: &NamespaceRef,
    name: Option<String>,
) -> Result<Option<KeyView>, Problem> {
    let (Some(namespace), Some(name)) = (namespace.id(), name) else {
        return Ok(None);
    };
    let name = name.parse().map_err(invalid)?;
    let gateway = Arc::clone(gateway);
    blocking(move || Ok(gateway.store.find_key(namespace, &name)?)).await
}

async fn create(
    change: &SecretChange,
    new: NewSecret,
    key_name: Option<&str>,
    key: Option<KeyView>,
) -> Result<SecretAnswer, ChangeError> {
    if let Some(secret) = &change.secret {
        return Err(match secret.state {
            SecretState::Live => Refusal::SecretExists,
            SecretState::PendingDeletion { until, .. } => Refusal::InRecoveryWindow { until },
        }
        .into());
    }
    if let (Some(name), None) = (key_name, &key) {
        return Err(Problem::no_encryption_key(name).into());
    }
    let namespace = namespace(change).await?;
    has_room(change, namespace, &new.value).await?;
    let object = object(change, &new, key_name).await?;
    let command = CreateSecret {
        id: SecretId::generate()
            .map_err(|_| StoreError::NotCommitted)
            .map_err(Problem::from)?,
        namespace,
        name: new.name,
        description: object.spec.description.clone().unwrap_or_default(),
        labels: secret_labels::desired(&object.spec, object.labels()),
        key: key
            .as_ref()
            .map_or(KeyRef::Default, |key| KeyRef::Customer(key.id)),
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
    Ok(shape::secret(change.namespace(), &written.secret, key.as_ref()))
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
async fn has_room(change: &SecretChange, namespace: NamespaceId, value: &Value) -> Result<(), ChangeError> {
    let (store, value) = (change.gateway.store.clone(), value.duplicate());
    Ok(blocking(move || Ok(store.check_quota(namespace, Some(&value))?)).await?)
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
    // What the request leaves open is the object's to say.
    let fits = |found: &ManagedSecret| {
        found.spec.store_name.as_deref().unwrap_or(&name) == new.name.as_str()
            && matches!(found.spec.source, Source::External(_))
            && found.spec.encryption_key.as_deref() == key
            && (new.description.is_none() || found.spec.description == new.description)
            && new
                .labels
                .iter()
                .all(|(label, value)| found.labels().get(label) == Some(value))
    };
    found.filter(fits).ok_or_else(|| {
        ChangeError::Unrecorded(managed_elsewhere(
            "ManagedSecret",
            &name,
            "it exists with a different spec",
        ))
    })
}
