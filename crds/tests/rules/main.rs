//! What one object can say about itself is refused by a rule of the schema, with a message that says what to
//! do.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests"
)]

mod keys;
mod names;
mod native_secrets;
mod policies;
mod products;
mod schedules;
mod sources;

use kube::core::cel::Validator;
use serde_json::{Value, json};

/// The schema of a kind.
fn schema(kind: &str) -> Value {
    let definition = strongroom_crds::all()
        .into_iter()
        .find(|definition| definition.spec.names.kind == kind)
        .expect("one of our kinds");
    let schema = definition.spec.versions[0].schema.as_ref().expect("a schema");
    serde_json::to_value(&schema.open_api_v3_schema).expect("serializable")
}

/// The errors of the CEL rules as `path: message`.
fn errors(object: &Value, old: Option<&Value>) -> Vec<String> {
    let schema = schema(object["kind"].as_str().expect("a kind"));
    match Validator::new().validate(&schema, object, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .iter()
            .map(|error| format!("{}: {}", error.field_path, error.message))
            .collect(),
    }
}

/// Exactly one rule refuses the object, with this path and a message that starts so.
fn refused(object: &Value, expected: &str) {
    refuses(object, None, expected);
}

/// The same of a change.
fn refused_change(old: &Value, new: &Value, expected: &str) {
    refuses(new, Some(old), expected);
}

fn refuses(object: &Value, old: Option<&Value>, expected: &str) {
    let errors = errors(object, old);
    assert!(
        errors.len() == 1 && errors[0].starts_with(expected),
        "expected {expected:?}, got {errors:?} for {object}"
    );
}

/// No rule refuses the object.
fn accepted(object: &Value) {
    assert_eq!(errors(object, None), Vec::<String>::new(), "{object}");
}

/// The same of a change.
fn accepted_change(old: &Value, new: &Value) {
    assert_eq!(errors(new, Some(old)), Vec::<String>::new(), "{new}");
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "strongroom.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn managed_secret(spec: Value) -> Value {
    object("ManagedSecret", "db", spec)
}

fn generating(keys: Value) -> Value {
    managed_secret(json!({"source": {"generate": {"keys": keys}}}))
}

/// One with a generated key and this beside it.
fn generated_with(field: &str, value: Value) -> Value {
    let mut object = generating(json!({"a": {"uuid": {}}}));
    object["spec"][field] = value;
    object
}

/// A schedule whose spec is as usual but for these fields.
fn schedule(changes: Value) -> Value {
    let mut spec = json!({
        "secrets": {"names": ["db"]}, "schedule": {"every": "30d"},
        "window": {"start": "02:00", "end": "05:00"}, "rotator": {"generate": {}},
    });
    for (field, value) in changes.as_object().expect("fields") {
        spec[field] = value.clone();
    }
    object("RotationSchedule", "monthly", spec)
}

#[test]
fn good_objects_pass() {
    for object in [
        generating(json!({"a": {"uuid": {}}})),
        managed_secret(
            json!({"source": {"import": {"secretRef": {"name": "old"}}}, "storeName": "shop/db@1"}),
        ),
        managed_secret(json!({
            "source": {"generate": {"keys": {"tls": {"x509": {"dnsNames": ["a.b"], "ca": {"managedSecret": {"name": "ca"}}}}}}},
            "secret": {"name": "db", "type": "kubernetes.io/tls", "labels": {"a": "b"}},
            "deletion": {"recoveryWindow": "7d"},
        })),
        generating(
            json!({"p": {"password": {"length": 8, "symbolSet": "!", "atLeast": {"symbols": 2}, "upper": false}}}),
        ),
        generating(json!({"ca": {"x509": {"commonName": "ca", "isCA": true, "ca": {"selfSigned": {}}}}})),
        schedule(json!({})),
        schedule(json!({"schedule": {"cron": "0 3 * * *", "timeZone": "Europe/Berlin"}})),
        schedule(json!({"secrets": {"selector": {}}})),
        managed_secret(json!({"source": {"external": {}}})),
        managed_secret(json!({"source": {"external": {"wait": false}}})),
    ] {
        accepted(&object);
    }
}
