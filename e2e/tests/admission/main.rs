//! The promise: a custom resource gives nobody more than RBAC gave.
//! `charts/strongroom/files/admission-table.yaml` is the one table of that.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod attacks;
mod own_account;
mod page;
mod rows;
#[path = "../support/mod.rs"]
mod support;

use std::fs;

use serde_json::{Value, json};
use support::Fixture;
use support::chart::{CHART, templates};

const TABLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../charts/strongroom/files/admission-table.yaml"
);

/// The object of which every row is tried.
const TRIED: &str = "tried";

fn rows() -> Vec<Value> {
    let table: Value = serde_saphyr::from_str(&fs::read_to_string(TABLE).unwrap()).unwrap();
    table["rows"].as_array().unwrap().clone()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The chart's templates that this is about.
const TEMPLATES: [&str; 3] = [
    "admission-policies",
    "people-clusterroles",
    "serve-admission-policy",
];

/// A cluster with the kinds and the chart's policies and roles; nothing of the release runs.
fn cluster() -> Fixture {
    let f = Fixture::new();
    f.apply(&templates(CHART, &TEMPLATES, &[]));
    f
}

/// An object of the table.
fn object(about: &Value) -> String {
    let mut object = json!({
        "apiVersion": "strongroom.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {"name": TRIED, "namespace": "shop", "annotations": about["annotations"]},
        "spec": about["spec"],
    });
    if let Some(owners) = about.get("owners") {
        object["metadata"]["ownerReferences"] = owners.clone();
    }
    object.to_string()
}

/// A user with these rights beside writing ManagedSecrets.
fn user(user: &str, rights: &[(&Value, Option<String>)]) -> String {
    let mut rules = vec![json!({
        "apiGroups": ["strongroom.dev"], "resources": ["managedsecrets"],
        "verbs": ["get", "list", "create", "update", "patch", "delete"],
    })];
    for (ask, name) in rights {
        let group = if ask["of"] == "secrets" {
            ""
        } else {
            "strongroom.dev"
        };
        let mut rule = json!({"apiGroups": [group], "resources": [ask["of"]], "verbs": [ask["verb"]]});
        if let Some(name) = name {
            rule["resourceNames"] = json!([name]);
        }
        rules.push(rule);
    }
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": user, "namespace": "shop"}, "rules": rules,
    });
    format!("{role}\n---\n{}", bound(user, "Role", user))
}

fn bound(user: &str, kind: &str, role: &str) -> String {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": user, "namespace": "shop"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
    });
    format!("{binding}\n---\n")
}

/// It was refused, and told so.
fn refused(tried: Result<(), String>, why: &str) {
    let Err(said) = tried else {
        panic!("not refused, although it should be: {why}")
    };
    assert!(said.contains(why), "not `{why}`: {said}");
}
