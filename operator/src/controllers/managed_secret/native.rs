//! What the native Secret has to be, and whether it is. No reading or writing here.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_rules::managed_secret::facts::InvalidSpec;
use strongroom_rules::native_secret::{self, Content, Drift, HELD_ANNOTATION, Origin};
use strongroom_store::id::SecretId;
use strongroom_store::value::Value;
use zeroize::Zeroize;

use super::making;
use crate::controllers::cluster::NativeRevision;

/// The label by which the watch of native Secrets finds those of ours. It narrows a cache and proves nothing.
pub(crate) const MANAGED_LABEL: &str = "strongroom.dev/managed";
/// The annotation that names the stored secret's id. With the right content it shows that an unrecorded create was ours.
const SECRET_ID: &str = "strongroom.dev/secret-id";

/// A native Secret as it has to be.
pub(super) struct Desired {
    pub(super) name: String,
    pub(super) version: String,
    namespace: String,
    content: Content,
}

/// Makes it from the spec and a version's value.
pub(super) fn desired(
    object: &ManagedSecret,
    value: &Value,
    id: SecretId,
    version: &str,
) -> Result<Option<Desired>, InvalidSpec> {
    let Some(spec) = &object.spec.secret else {
        return Ok(None);
    };
    let name = object.name_any();
    let origin = Origin {
        managed_secret: &name,
        version_id: version,
    };
    let mut content =
        native_secret::content(spec, &making::plain(value), origin).map_err(|error| InvalidSpec {
            reason: error.reason(),
            field: "spec.secret".to_owned(),
            problem: error.to_string(),
        })?;
    content.labels.insert(MANAGED_LABEL.to_owned(), "true".to_owned());
    content.annotations.insert(SECRET_ID.to_owned(), id.to_string());
    let namespace = object.namespace().unwrap_or_default();
    Ok(Some(Desired {
        name: spec.name.clone(),
        version: version.to_owned(),
        namespace,
        content,
    }))
}

impl Desired {
    /// How this Secret differs from what it has to be.
    pub(super) fn drift(&self, found: &Secret) -> Option<Drift> {
        let held = || found.annotations().contains_key(HELD_ANNOTATION);
        self.content
            .drift(found)
            .or_else(|| held().then_some(Drift::Content))
    }

    /// Takes on the type of a Secret that was adopted, where the spec asks for none.
    pub(super) fn keep_type(&mut self, found: &Secret) {
        if let Some(kind) = &found.type_ {
            self.content.type_.clone_from(kind);
        }
    }

    /// Keys of the Secret that do not belong there.
    pub(super) fn surplus(&self, secret: &Secret) -> Vec<String> {
        let data = secret.data.iter().flat_map(BTreeMap::keys);
        data.filter(|key| self.content.data.key(key).is_none())
            .cloned()
            .collect()
    }

    /// The object to create.
    pub(super) fn to_create(&self) -> Secret {
        self.content.to_secret(&self.namespace, &self.name)
    }

    /// The fields to apply over a Secret of ours: they carry its UID and the `resourceVersion` that was judged.
    pub(super) fn to_apply(&self, over: &NativeRevision) -> Secret {
        let mut secret = self.to_create();
        secret.metadata.uid = Some(over.uid.to_string());
        secret.metadata.resource_version = Some(over.version.to_string());
        secret
    }
}

/// The id of the stored secret that the Secret says it was made from.
pub(super) fn mark(secret: &Secret) -> Option<SecretId> {
    secret.annotations().get(SECRET_ID)?.parse().ok()
}

/// Wipes the values of a Secret that is not needed any more.
pub(super) fn wipe(secret: &mut Secret) {
    for value in secret.data.iter_mut().flat_map(BTreeMap::values_mut) {
        value.0.zeroize();
    }
}
