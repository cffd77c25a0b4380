//! What callers see of records.

use crate::format::{Head, HeadVersion, KeyRecord, Namespace};
use crate::vault::types::{KeyRef, KeyView, NamespaceView, SecretView, VersionView};

/// What callers see of a head.
pub(crate) fn secret_view(head: &Head) -> SecretView {
    let versions = head
        .versions
        .iter()
        .map(|version| version_view(head, version))
        .collect();
    SecretView {
        id: head.id,
        namespace: head.namespace,
        name: head.name.clone(),
        description: head.description.clone(),
        labels: head.labels.clone(),
        state: head.state,
        key: if head.customer_key {
            KeyRef::Customer(head.key)
        } else {
            KeyRef::Default
        },
        stages: head
            .stages
            .keys()
            .filter_map(|stage| Some((stage.clone(), head.staged(stage)?.id.clone())))
            .collect(),
        versions,
        created: head.created,
        updated: head.updated,
        revision: head.revision,
        object: head.object.clone(),
        materialized: head.materialized.clone(),
        rotation: head.rotation.clone(),
        recovery: head.recovery,
    }
}

/// What callers see of one of its versions.
pub(crate) fn version_view(head: &Head, version: &HeadVersion) -> VersionView {
    VersionView {
        id: version.id.clone(),
        sequence: version.sequence,
        created: version.created,
        data_type: version.data_type,
        stages: head
            .stages
            .iter()
            .filter(|(_, of)| **of == version.sequence)
            .map(|(stage, _)| stage.clone())
            .collect(),
    }
}

/// What callers see of a head that is about to be written.
pub(super) fn view_after(head: &Head) -> SecretView {
    SecretView {
        revision: head.revision + 1,
        ..secret_view(head)
    }
}

/// What callers see of a customer's key; a default key is not shown.
pub(crate) fn key_view(key: &KeyRecord) -> Option<KeyView> {
    Some(KeyView {
        id: key.id,
        namespace: key.namespace,
        name: key.name.clone()?,
        state: key.state,
        primary: key.primary,
        primary_created: key
            .versions
            .iter()
            .find(|version| version.version == key.primary)
            .map_or(key.created, |version| version.created),
        versions: key.versions.iter().map(|version| version.version).collect(),
        created: key.created,
        declaration: key.declaration.clone(),
    })
}

/// What callers see of a namespace.
pub(super) fn namespace_view(namespace: Namespace) -> NamespaceView {
    NamespaceView {
        id: namespace.id,
        name: namespace.name,
        uid: namespace.uid,
    }
}
