//! Discovery: what the API server and kubectl ask an API about itself. Pure, and the same for every caller.
//!
//! INVARIANT: neither `delete` nor `list` is among the verbs. The namespace controller deletes everything
//! that it can list and delete in a namespace that is being deleted; a secret has a recovery window instead.

use axum::Json;
use serde_json::{Value, json};

/// The group of people's API: never that of the custom resources.
pub(super) const GROUP: &str = "people.strongroom.dev";
/// The one version of that group.
pub(super) const VERSION: &str = "v1";

/// Resources with the verbs of RBAC that they are asked by, as far as they are told.
const RESOURCES: [(&str, &str, &[&str]); 15] = [
    ("secrets", "Secret", &["create", "get", "patch"]),
    ("secrets/access", "Access", &["get"]),
    ("secrets/consumers", "Consumers", &["get"]),
    ("secrets/history", "History", &["get"]),
    ("secrets/policy", "Policy", &["get", "update"]),
    ("secrets/restore", "Restore", &["create"]),
    ("secrets/rotation", "Rotation", &["create", "update"]),
    ("secrets/stages", "Stage", &["create"]),
    ("secrets/value", "Value", &["get"]),
    ("secrets/versions", "Version", &["get", "update"]),
    ("sealingkeys", "SealingKey", &["create"]),
    ("auditrecords", "AuditRecord", &["get"]),
    ("clusterkeys", "ClusterKey", &["create", "get"]),
    ("deletedsecrets", "DeletedSecret", &["get"]),
    ("purges", "Purge", &["create"]),
];

pub(super) fn group() -> Json<Value> {
    let version = json!({"groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION});
    Json(json!({
        "kind": "APIGroup", "apiVersion": "v1", "name": GROUP,
        "versions": [version], "preferredVersion": version,
    }))
}

pub(super) fn resources() -> Json<Value> {
    let resources: Vec<Value> = RESOURCES
        .iter()
        .map(|(name, kind, verbs)| {
            json!({"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": verbs})
        })
        .collect();
    Json(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/{VERSION}"), "resources": resources,
    }))
}

pub(super) fn openapi_v2() -> Json<Value> {
    Json(json!({"swagger": "2.0", "info": {"title": GROUP, "version": VERSION}, "paths": {}}))
}

pub(super) fn openapi_v3_index() -> Json<Value> {
    let url = format!("/openapi/v3/apis/{GROUP}/{VERSION}");
    let group = format!("apis/{GROUP}/{VERSION}");
    Json(json!({"paths": {group: {"serverRelativeURL": url}}}))
}

pub(super) fn openapi_v3() -> Json<Value> {
    Json(json!({"openapi": "3.0.0", "info": {"title": GROUP, "version": VERSION}, "paths": {}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_that_a_namespace_controller_would_delete() {
        for (name, _, verbs) in RESOURCES {
            for verb in ["delete", "deletecollection", "list", "watch"] {
                assert!(!verbs.contains(&verb), "{name} {verb}");
            }
        }
    }
}
