//! Taking over the content of a native Secret that exists.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use strongroom_crds::condition::Reason;
use strongroom_model::SecretBytes;
use strongroom_model::id::SecretId;
use strongroom_model::name::DataKeyName;
use strongroom_rules::cause::Cause;
use strongroom_store::value::Value;

use super::{holder, native};
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;
use crate::controllers::identity::Identity;

/// Types that are credentials for the cluster itself
/// (<https://kubernetes.io/docs/concepts/configuration/secret/#secret-types>).
const REFUSED_TYPES: [&str; 2] = [
    "kubernetes.io/service-account-token",
    "bootstrap.kubernetes.io/token",
];

/// The content of a native Secret to take over.
pub(super) struct ImportContent {
    uid: String,
    resource_version: String,
    value: Option<Value>,
    /// Why it cannot be taken over.
    pub(super) refusal: Option<String>,
}

impl ImportContent {
    /// Why a version with this content is made.
    pub(super) fn cause(&self) -> Cause {
        Cause::Import {
            uid: self.uid.clone(),
            resource_version: self.resource_version.clone(),
        }
    }

    /// The version id that this content gets in the secret.
    pub(super) fn version(&self, secret: SecretId) -> String {
        self.cause().version_id(secret.as_bytes())
    }

    /// The content.
    pub(super) fn value(&self) -> Option<Value> {
        self.value.as_ref().map(Value::duplicate)
    }
}

/// The version id that the content of this Secret gets.
pub(super) fn version(secret: SecretId, found: &Secret) -> String {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let cause = Cause::Import {
        uid: text(&found.metadata.uid),
        resource_version: text(&found.metadata.resource_version),
    };
    cause.version_id(secret.as_bytes())
}

/// The content of the native Secret that outlived its lost secret.
pub(super) fn readopted(found: &Secret) -> Result<Value, Failure> {
    taken(found).map_err(|message| Failure::Make {
        reason: Reason::ImportRefused,
        message,
    })
}

/// Judges a Secret that an object wants to take over.
pub(super) async fn content(
    ctx: &Ctx,
    identity: &Identity,
    mut found: Secret,
) -> Result<ImportContent, Failure> {
    let mut refusal = refused_as_such(&found);
    if refusal.is_none() {
        let other = holder::held_by_another(ctx, identity, &found).await?;
        refusal = other.map(|other| format!("it is the native Secret of ManagedSecret `{}`", other.name));
    }
    let value = match (&refusal, taken(&found)) {
        (Some(_), _) => None,
        (None, Ok(value)) => Some(value),
        (None, Err(why)) => {
            refusal = Some(why);
            None
        }
    };
    native::wipe(&mut found);
    Ok(ImportContent {
        uid: found.uid().unwrap_or_default(),
        resource_version: found.resource_version().unwrap_or_default(),
        value,
        refusal,
    })
}

/// What the Secret itself says against it.
fn refused_as_such(found: &Secret) -> Option<String> {
    let kind = found.type_.as_deref().unwrap_or("Opaque");
    if REFUSED_TYPES.contains(&kind) {
        return Some(format!(
            "Secrets of type `{kind}` are credentials for the cluster itself"
        ));
    }
    let owner = found
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true))?;
    Some(format!(
        "{} `{}` controls it and would change it back; detach it first",
        owner.kind, owner.name
    ))
}

/// The content as a value.
fn taken(found: &Secret) -> Result<Value, String> {
    let mut keys = BTreeMap::new();
    for (key, bytes) in found.data.iter().flatten() {
        let name = DataKeyName::new(key).map_err(|error| error.to_string())?;
        keys.insert(name, SecretBytes::new(bytes.0.clone()));
    }
    Value::from_keys(keys).map_err(|error| error.to_string())
}
