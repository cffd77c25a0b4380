//! What the native Secret has to be, and whether it is. No reading or writing here.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt;
use strongroom_crds::v1alpha1::{ManagedSecret, NativeSecret};
use strongroom_model::id::SecretId;
use strongroom_rules::managed_secret::facts::InvalidSpec;
use strongroom_rules::native_secret::edits::{DriftedKey, Edit};
use strongroom_rules::native_secret::foreign_metadata::ForeignMetadata;
use strongroom_rules::native_secret::{
    self, ADOPTED_ANNOTATION, Drift, HELD_ANNOTATION, ImmutableField, NativeSecretContent, Origin,
    SECRET_ID_ANNOTATION,
};
use strongroom_store::value::Value;
use zeroize::Zeroize;

use super::plain_value;
use crate::controllers::cluster::NativeRevision;

/// The label by which the watch of native Secrets finds those of ours. It narrows a cache and proves nothing.
pub(crate) const MANAGED_LABEL: &str = "strongroom.dev/managed";

/// A native Secret as it has to be.
pub(super) struct RenderedSecret {
    pub(super) name: String,
    pub(super) version: String,
    namespace: String,
    content: NativeSecretContent,
}

/// Whether making it is long work: templates are.
pub(super) fn takes_long(object: &ManagedSecret) -> bool {
    let native = object.spec.secret.as_ref();
    native
        .and_then(|native| native.template.as_ref())
        .is_some_and(|templates| !templates.is_empty())
}

/// Where a native Secret is, and what of: all that making it needs beside the spec and the value.
pub(super) struct NativeSecretContext {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) id: SecretId,
    pub(super) version: String,
}

/// Makes it from the spec and a version's value.
pub(super) fn render(
    spec: &NativeSecret,
    value: &Value,
    context: NativeSecretContext,
) -> Result<RenderedSecret, InvalidSpec> {
    let origin = Origin {
        managed_secret: &context.name,
        version_id: &context.version,
    };
    let mut content =
        native_secret::content(spec, &plain_value::plain(value), origin).map_err(|error| InvalidSpec {
            reason: error.reason(),
            field: "spec.secret".to_owned(),
            problem: error.to_string(),
        })?;
    content.labels.insert(MANAGED_LABEL.to_owned(), "true".to_owned());
    content
        .annotations
        .insert(SECRET_ID_ANNOTATION.to_owned(), context.id.to_string());
    Ok(RenderedSecret {
        name: spec.name.clone(),
        version: context.version,
        namespace: context.namespace,
        content,
    })
}

impl RenderedSecret {
    /// How this Secret differs from what it has to be.
    pub(super) fn drift(&self, found: &Secret) -> Option<Drift> {
        let held = || found.annotations().contains_key(HELD_ANNOTATION);
        self.content
            .drift(found)
            .or_else(|| held().then_some(Drift::Content))
    }

    /// Takes on what the spec leaves open of a Secret that others made.
    pub(super) fn adopt(&mut self, object: &ManagedSecret, found: &Secret) {
        if let Some(spec) = &object.spec.secret {
            self.content.adopt(spec, found);
        }
    }

    /// What others changed in it; `known`: it was found right before.
    pub(super) fn edits(&self, found: &Secret, known: bool) -> Vec<Edit> {
        self.content.edits(found, known)
    }

    /// What in it is not as wanted.
    pub(super) fn differences(&self, found: &Secret) -> Vec<DriftedKey> {
        self.content.differences(found)
    }

    /// What others set on a Secret that is to be made anew.
    pub(super) fn foreign_metadata(&self, found: &Secret) -> ForeignMetadata {
        self.content.foreign_metadata(found)
    }

    /// Who owns what in a Secret that was made anew with what others had set on it.
    pub(super) fn field_owners(&self, made: &Secret, beside: &ForeignMetadata) -> Vec<ManagedFieldsEntry> {
        self.content.field_owners(made, beside)
    }

    /// Whether it takes the place of a Secret that others made, which has to be read to know what it is.
    pub(super) fn adopted(&self) -> bool {
        self.content.annotations.contains_key(ADOPTED_ANNOTATION)
    }

    /// What of this Secret only a new one could change.
    pub(super) fn immutable_fields(&self, found: &Secret) -> Vec<ImmutableField> {
        self.content.immutable_fields(found)
    }

    /// The copies of an old value that tools left on it.
    pub(super) fn copies(&self, found: &Secret) -> Vec<&'static str> {
        self.content.copies(found).collect()
    }

    /// Keys of the Secret that do not belong there.
    pub(super) fn surplus(&self, secret: &Secret) -> Vec<String> {
        let data = secret.data.iter().flat_map(BTreeMap::keys);
        data.filter(|key| self.content.data.key(key).is_none())
            .cloned()
            .collect()
    }

    /// The fields to apply where no Secret of the name exists: they carry a `resourceVersion` that no object
    /// has, so that one which exists is never written, and no UID, which would be wanted of one that exists.
    pub(super) fn to_create(&self) -> Secret {
        const NO_VERSION: &str = "1";
        let mut secret = self.content.to_secret(&self.namespace, &self.name);
        secret.metadata.resource_version = Some(NO_VERSION.to_owned());
        secret
    }

    /// The fields to apply over a Secret of ours: they carry its UID and the `resourceVersion` that was
    /// judged.
    pub(super) fn to_apply(&self, over: &NativeRevision) -> Secret {
        let mut secret = self.content.to_secret(&self.namespace, &self.name);
        secret.metadata.uid = Some(over.uid.to_string());
        secret.metadata.resource_version = Some(over.version.to_string());
        secret
    }
}

/// The id of the stored secret that the Secret says it was made from.
pub(super) fn marked_secret_id(secret: &Secret) -> Option<SecretId> {
    secret.annotations().get(SECRET_ID_ANNOTATION)?.parse().ok()
}

/// Wipes the values of a Secret that is not needed any more.
pub(super) fn wipe(secret: &mut Secret) {
    for value in secret.data.iter_mut().flat_map(BTreeMap::values_mut) {
        value.0.zeroize();
    }
}
