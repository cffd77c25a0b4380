//! What others set on a native Secret, which stays when the Secret has to be made anew: labels, annotations
//! and owner references, and whose they are.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, OwnerReference};
use serde_json::{Map, Value as Json, json};

use super::owners::{self, FIELD_MANAGER, Part};
use super::{NativeSecretContent, OWN_PREFIX};

/// The name under which a Secret is made anew, until the owners of its fields are those that they were.
pub const REPLACER: &str = "strongroom-replace";

/// Labels, annotations and owner references of others, and the entries of those who own them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ForeignMetadata {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    owner_references: Vec<OwnerReference>,
    owners: Vec<ManagedFieldsEntry>,
}

impl ForeignMetadata {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty() && self.owner_references.is_empty()
    }

    /// Puts it on the Secret that is about to be made.
    pub fn put_on(&self, secret: &mut Secret) {
        let metadata = &mut secret.metadata;
        for (into, from) in [
            (&mut metadata.labels, &self.labels),
            (&mut metadata.annotations, &self.annotations),
        ] {
            let into = into.get_or_insert_default();
            for (key, value) in from {
                into.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        if !self.owner_references.is_empty() {
            metadata.owner_references = Some(self.owner_references.clone());
        }
    }
}

impl NativeSecretContent {
    /// What others set on a Secret, beside this content. Copies of the data that tools leave there are none
    /// of it.
    #[must_use]
    pub fn foreign_metadata(&self, found: &Secret) -> ForeignMetadata {
        let metadata = &found.metadata;
        let entries = metadata.managed_fields.as_deref().unwrap_or_default();
        let theirs = |part: Part, of: &Option<BTreeMap<String, String>>| {
            let ours = owners::ours(entries, part);
            of.iter()
                .flatten()
                .filter(|(key, _)| {
                    let ours_alone =
                        ours.contains(key.as_str()) && owners::other(entries, part, key).is_none();
                    !self.has(part, key)
                        && !ours_alone
                        && !key.starts_with(OWN_PREFIX)
                        && !owners::COPIES.contains(&key.as_str())
                })
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
        ForeignMetadata {
            labels: theirs(Part::Labels, &metadata.labels),
            annotations: theirs(Part::Annotations, &metadata.annotations),
            owner_references: metadata.owner_references.clone().unwrap_or_default(),
            owners: entries
                .iter()
                .filter(|entry| entry.manager.as_deref() != Some(FIELD_MANAGER))
                .cloned()
                .collect(),
        }
    }

    /// The owners of the fields of a Secret that was made anew by [`REPLACER`]: we of this content, and
    /// others of what was theirs.
    #[must_use]
    pub fn field_owners(&self, made: &Secret, beside: &ForeignMetadata) -> Vec<ManagedFieldsEntry> {
        let entries = made.metadata.managed_fields.as_deref().unwrap_or_default();
        let by_replacer = entries
            .iter()
            .find(|entry| entry.manager.as_deref() == Some(REPLACER));
        let ours = ManagedFieldsEntry {
            manager: Some(FIELD_MANAGER.to_owned()),
            operation: Some("Apply".to_owned()),
            fields_v1: Some(FieldsV1(self.fields())),
            ..by_replacer.cloned().unwrap_or_default()
        };
        let others = beside.owners.iter().filter_map(|entry| {
            let fields = entry.fields_v1.as_ref()?;
            let kept = metadata_of(&fields.0, beside)?;
            Some(ManagedFieldsEntry {
                fields_v1: Some(FieldsV1(kept)),
                ..entry.clone()
            })
        });
        std::iter::once(ours).chain(others).collect()
    }

    /// The fields of this content.
    fn fields(&self) -> Json {
        let names = |keys: &mut dyn Iterator<Item = &str>| -> Json {
            keys.map(|key| (format!("f:{key}"), json!({})))
                .collect::<Map<_, _>>()
                .into()
        };
        json!({
            "f:type": {},
            "f:immutable": {},
            "f:data": names(&mut self.data.names()),
            "f:metadata": {
                "f:labels": names(&mut self.labels.keys().map(String::as_str)),
                "f:annotations": names(&mut self.annotations.keys().map(String::as_str)),
            },
        })
    }
}

/// Of the fields that another one owned, those that were kept.
fn metadata_of(fields: &Json, beside: &ForeignMetadata) -> Option<Json> {
    let metadata = fields.get("f:metadata")?.as_object()?;
    let mut kept = Map::new();
    for (name, there) in [
        ("f:labels", &beside.labels),
        ("f:annotations", &beside.annotations),
    ] {
        let keys = metadata.get(name).and_then(Json::as_object).into_iter().flatten();
        let keys: Map<_, _> = keys
            .filter(|(key, _)| key.strip_prefix("f:").is_some_and(|key| there.contains_key(key)))
            .map(|(key, below)| (key.clone(), below.clone()))
            .collect();
        if !keys.is_empty() {
            kept.insert(name.to_owned(), keys.into());
        }
    }
    if let Some(references) = metadata.get("f:ownerReferences")
        && !beside.owner_references.is_empty()
    {
        kept.insert("f:ownerReferences".to_owned(), references.clone());
    }
    (!kept.is_empty()).then(|| json!({"f:metadata": kept}))
}
