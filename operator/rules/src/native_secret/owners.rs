//! Who owns which field of a native Secret, as the API server records it in `metadata.managedFields`
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>).

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use serde_json::{Map, Value as Json, json};

use super::foreign_metadata::REPLACER;

/// The name under which our fields are recorded in `metadata.managedFields`.
pub const FIELD_MANAGER: &str = "strongroom";
/// Copies of a Secret's content that tools keep on it, as annotations.
pub const COPIES: [&str; 4] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "objectset.rio.cattle.io/applied",
    "kapp.k14s.io/original",
    "banzaicloud.com/last-applied",
];
/// Operation of an entry whose fields go when they are applied no more.
const APPLY: &str = "Apply";

/// A part of a Secret whose keys have owners each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// `metadata.labels`.
    Labels,
    /// `metadata.annotations`.
    Annotations,
    /// `data`, whose keys hold the values.
    Data,
}

impl Part {
    /// Each of them once.
    pub const ALL: [Self; 3] = [Self::Labels, Self::Annotations, Self::Data];

    /// What a person calls one of its keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Labels => "label",
            Self::Annotations => "annotation",
            Self::Data => "key",
        }
    }

    fn owned_in(self, fields: &Json) -> Option<&Map<String, Json>> {
        match self {
            Self::Labels => fields.get("f:metadata")?.get("f:labels"),
            Self::Annotations => fields.get("f:metadata")?.get("f:annotations"),
            Self::Data => fields.get("f:data"),
        }?
        .as_object()
    }
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER) && !is_status(entry)
}

/// An entry of a Secret that was made anew, and whose owners were not set yet.
fn is_passing(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(REPLACER)
}

fn is_status(entry: &ManagedFieldsEntry) -> bool {
    entry
        .subresource
        .as_deref()
        .is_some_and(|subresource| !subresource.is_empty())
}

fn applies(entry: &ManagedFieldsEntry) -> bool {
    entry.operation.as_deref() == Some(APPLY)
}

fn owns(entry: &ManagedFieldsEntry, part: Part, key: &str) -> bool {
    entry
        .fields_v1
        .as_ref()
        .and_then(|fields| part.owned_in(&fields.0))
        .is_some_and(|keys| keys.contains_key(&format!("f:{key}")))
}

/// The keys of a part that our manager owns.
#[must_use]
pub fn ours(entries: &[ManagedFieldsEntry], part: Part) -> BTreeSet<&str> {
    entries
        .iter()
        .filter(|entry| is_ours(entry))
        .filter_map(|entry| part.owned_in(&entry.fields_v1.as_ref()?.0))
        .flat_map(Map::keys)
        .filter_map(|key| key.strip_prefix("f:"))
        .collect()
}

/// Whether our manager owns a field of the Secret itself, such as `immutable`.
#[must_use]
pub fn is_ours_itself(entries: &[ManagedFieldsEntry], field: &str) -> bool {
    let name = format!("f:{field}");
    entries.iter().filter(|entry| is_ours(entry)).any(|entry| {
        entry
            .fields_v1
            .as_ref()
            .is_some_and(|fields| fields.0.get(&name).is_some())
    })
}

/// The other manager that owns a key, the one that wrote last where several do.
#[must_use]
pub fn other<'a>(entries: &'a [ManagedFieldsEntry], part: Part, key: &str) -> Option<&'a str> {
    entries
        .iter()
        .filter(|entry| !is_ours(entry) && !is_passing(entry) && owns(entry, part, key))
        .max_by_key(|entry| entry.time.as_ref().map(|time| time.0))
        .and_then(|entry| entry.manager.as_deref())
}

/// Whether our manager owns anything by apply; an entry that only comes before the first one is nothing yet.
#[must_use]
pub fn is_applied(entries: &[ManagedFieldsEntry]) -> bool {
    let before = first_apply().fields_v1;
    entries
        .iter()
        .any(|entry| is_ours(entry) && applies(entry) && entry.fields_v1 != before)
}

/// The entries with everything that our manager owns owned by apply, so that what is applied no more goes.
/// `None`: it is so.
///
/// The first releases created native Secrets by a plain create, whose fields no apply takes back; a merge
/// patch leaves such an entry too.
#[must_use]
pub fn applied(entries: &[ManagedFieldsEntry]) -> Option<Vec<ManagedFieldsEntry>> {
    let is_so = |entry: &ManagedFieldsEntry| !is_passing(entry) && (!is_ours(entry) || applies(entry));
    if entries.iter().all(is_so) {
        return None;
    }
    let mut fields = json!({});
    let mut all: Vec<ManagedFieldsEntry> = Vec::new();
    let (ours, others): (Vec<_>, Vec<_>) = entries.iter().cloned().partition(is_ours);
    let mut newest: Option<ManagedFieldsEntry> = None;
    for entry in ours {
        if let Some(FieldsV1(of)) = &entry.fields_v1 {
            union(&mut fields, of);
        }
        if newest.as_ref().is_none_or(|newest| {
            newest.time.as_ref().map(|time| time.0) <= entry.time.as_ref().map(|time| time.0)
        }) {
            newest = Some(entry);
        }
    }
    all.extend(newest.map(|entry| ManagedFieldsEntry {
        operation: Some(APPLY.to_owned()),
        fields_v1: Some(FieldsV1(fields)),
        ..entry
    }));
    all.extend(others.into_iter().filter(|entry| !is_passing(entry)));
    if all.is_empty() {
        all.push(first_apply());
    }
    Some(all)
}

/// An entry of ours by apply, for a Secret that has no other. INVARIANT: no Secret is left without an entry
/// before it is applied: the API server would give all that is there to a manager `before-first-apply`, which
/// never lets go.
pub(super) fn first_apply() -> ManagedFieldsEntry {
    ManagedFieldsEntry {
        manager: Some(FIELD_MANAGER.to_owned()),
        operation: Some(APPLY.to_owned()),
        api_version: Some("v1".to_owned()),
        fields_type: Some("FieldsV1".to_owned()),
        fields_v1: Some(FieldsV1(json!({"f:type": {}}))),
        ..ManagedFieldsEntry::default()
    }
}

fn union(into: &mut Json, from: &Json) {
    let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) else {
        return;
    };
    for (key, below) in from {
        union(into.entry(key.clone()).or_insert_with(|| json!({})), below);
    }
}
