//! CreateSecret: `POST /v1/namespaces/{namespace}/secrets`: a ManagedSecret whose values arrive over the API,
//! then the secret with its first version.
//!
//! The object comes first: a crash in between leaves one that waits for its value, and the same request goes
//! on from there.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Method;
use axum::http::StatusCode;
use axum::routing::post;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};
use schemars::JsonSchema;
use serde::Deserialize;
use strongroom_api::sealed::VersionContext;
use strongroom_crds::v1alpha1::{ManagedSecret, Source};
use strongroom_rules::policy::Action;
use strongroom_store::id::{NamespaceId, SecretId};
use strongroom_store::name::{ExternalId, SecretName, VersionId};
use strongroom_store::value::Value;
use strongroom_store::vault::{
    BindNamespace, CreateSecret, KeyRef, KeyView, ObjectRef, Recovery, Refusal, SecretState, StoreError,
};

use super::change::{ChangeError, SecretChange};
use super::get_secret_value::invalid;
use super::incoming::{Data, SealedData, parse_body, read_body, read_value};
use super::put_secret_value::no_key;
use super::shape::{self, SecretAnswer};
use super::update_secret::metadata_fits;
use crate::controllers::managed_secret::labels;
use crate::external_manifest::{ExternalManifest, external_managed_secret, object_name};
use crate::gateway::access::RequestContext;
use crate::gateway::objects::{ObjectClient, kube_problem, managed_elsewhere};
use crate::gateway::operation::{
    DNS_LABEL_PATTERN, LABEL_PATTERN, Operation, SECRET_NAME_PATTERN, VERSION_ID_PATTERN,
};
use crate::gateway::problem::{Code, Problem};
use crate::gateway::{Gateway, NamespaceRef, blocking};

/// What is sent.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(
    rename = "CreateSecretRequest",
    extend("oneOf" = [{"required": ["data"]}, {"required": ["sealed"]}])
)]
struct Body {
    #[schemars(regex(pattern = SECRET_NAME_PATTERN))]
    name: String,
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    version_id: String,
    #[serde(default)]
    #[schemars(extend("minProperties" = 1, "propertyNames" = {"pattern": "^[-_a-zA-Z0-9]{1,128}$"}))]
    data: Option<Data>,
    #[serde(default)]
    sealed: Option<SealedData>,
    #[serde(default)]
    #[schemars(length(min = 1, max = 500))]
    description: Option<String>,
    #[serde(default)]
    #[schemars(extend(
        "maxProperties" = 48,
        "propertyNames" = {"pattern": LABEL_PATTERN},
        "additionalProperties" = {"type": "string", "pattern": LABEL_PATTERN}
    ))]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    #[schemars(regex(pattern = DNS_LABEL_PATTERN))]
    encryption_key: Option<String>,
}

/// A secret to make.
struct NewSecret {
    name: SecretName,
    version: VersionId,
    value: Value,
    description: Option<String>,
    labels: BTreeMap<String, String>,
}

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new("CreateSecret", "/v1/namespaces/{namespace}/secrets", post(serve))
        .method(Method::POST)
        .about("A secret with its first version, and its ManagedSecret")
        .takes::<Body>()
        .answers::<SecretAnswer>(StatusCode::CREATED)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    path: Result<Path<String>, PathRejection>,
    body: axum::body::Body,
) -> Result<(StatusCode, Json<SecretAnswer>), Problem> {
    let Path(namespace) = path.map_err(invalid)?;
    let place = gateway
        .admit_write(&asking, Action::CreateSecret, namespace)
        .await?;
    let body = read_body(body).await?;
    let fields = [
        "name",
        "versionId",
        "data",
        "sealed",
        "description",
        "labels",
        "encryptionKey",
    ];
    let body: Body = parse_body(&body, &fields)?;
    metadata_fits(body.description.as_deref(), body.labels.iter())?;
    let new = NewSecret {
        name: body.name.parse().map_err(invalid)?,
        version: body.version_id.parse().map_err(invalid)?,
        value: {
            let about = VersionContext {
                namespace: &place.name,
                secret: &body.name,
                version: &body.version_id,
            };
            read_value(&gateway, &asking, body.data, body.sealed, &about)?
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
    let wanted_key = body.encryption_key;
    let key = key(&gateway, &place, wanted_key.clone()).await?;
    let name = new.name.to_string();
    let change = SecretChange::for_new_secret(gateway, asking, place, name, key.clone()).await?;
    let outcome = create(&change, new, wanted_key.as_deref(), key).await;
    change.settle(outcome).await
}

/// The key of this name, if there is one.
async fn key(
    gateway: &Arc<Gateway>,
    place: &NamespaceRef,
    name: Option<String>,
) -> Result<Option<KeyView>, Problem> {
    let (Some(namespace), Some(name)) = (place.id, name) else {
        return Ok(None);
    };
    let name = name.parse().map_err(invalid)?;
    let gateway = Arc::clone(gateway);
    blocking(move || Ok(gateway.store.find_key(namespace, &name)?)).await
}

async fn create(
    change: &SecretChange,
    new: NewSecret,
    wanted_key: Option<&str>,
    key: Option<KeyView>,
) -> Result<(StatusCode, Json<SecretAnswer>), ChangeError> {
    if let Some(secret) = &change.secret {
        return Err(match secret.state {
            SecretState::Live => Refusal::SecretExists,
            SecretState::PendingDeletion { until, .. } => Refusal::InRecoveryWindow { until },
        }
        .into());
    }
    if let (Some(name), None) = (wanted_key, &key) {
        return Err(no_key(name).into());
    }
    let namespace = namespace(change).await?;
    has_room(change, namespace, &new.value).await?;
    let object = object(change, &new, wanted_key).await?;
    let command = CreateSecret {
        id: SecretId::generate()
            .map_err(|_| StoreError::NotCommitted)
            .map_err(Problem::from)?,
        namespace,
        name: new.name,
        description: object.spec.description.clone().unwrap_or_default(),
        labels: labels::desired(&object.spec, object.labels()),
        key: key
            .as_ref()
            .map_or(KeyRef::Default, |key| KeyRef::Customer(key.id)),
        version: new.version,
        value: new.value,
        object: binding(&object),
        recovery: labels::recovery(
            &labels::desired(&object.spec, object.labels()),
            change.gateway.namespaces.recovery(&change.place.name).await == Recovery::Nothing,
        ),
    };
    let written = change.run(command).await?;
    change
        .gateway
        .declared
        .notify_changed(&change.place.name, &object.name_any());
    let answer = shape::secret(&change.place.name, &written.secret, key.as_ref());
    Ok((StatusCode::CREATED, Json(answer)))
}

/// The namespace in the store, made known where it is not.
async fn namespace(change: &SecretChange) -> Result<NamespaceId, ChangeError> {
    if let Some(id) = change.place.id {
        return Ok(id);
    }
    let name = &change.place.name;
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
    let objects = ObjectClient::<ManagedSecret>::new(&change.gateway, &change.place.name);
    let name = object_name(new.name.as_str());
    let declared = ExternalManifest {
        secret: new.name.as_str(),
        description: new.description.as_deref(),
        labels: &new.labels,
        key,
    };
    let wanted = external_managed_secret(&name, &declared);
    if let Some(made) = objects.create(&wanted).await? {
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

/// The object as the store knows it.
pub(super) fn binding(object: &ManagedSecret) -> Option<ObjectRef> {
    Some(ObjectRef {
        uid: ExternalId::new(&object.uid()?).ok()?,
        name: object.name_any(),
    })
}
