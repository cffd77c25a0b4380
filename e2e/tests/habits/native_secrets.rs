//! Native Secrets follow what the object says.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::runner::{Case, cases};
use crate::support::{condition, eventually};
use crate::tenant::Tenant;

pub(crate) const CASES: &[Case] = cases![
    what_leaves_the_spec_leaves_the_native_secret,
    a_secret_of_an_older_release_becomes_owned_by_apply,
    a_secret_of_somebody_else_is_left_alone_and_its_holder_is_named,
    names_are_exchanged_and_a_rename_leaves_no_gap,
    a_changed_type_keeps_what_others_set_and_a_finalizer_is_named,
    whoever_edits_is_named_and_put_back_later_each_time,
    admission_that_adds_a_key_is_named,
];

const GENERATED: &str = "{generate: {keys: {password: {password: {}}}}}";

fn spec(secret: &str) -> String {
    format!("{{source: {GENERATED}, secret: {secret}}}")
}

fn message(object: &Value) -> String {
    let ready = condition(object, "Ready").unwrap();
    ready["message"].as_str().unwrap().to_owned()
}

/// The owners of a Secret's fields, as `MANAGER OPERATION`.
fn owners(t: &Tenant<'_>, name: &str) -> Vec<String> {
    let found = t.json(&["get", "secret", name, "--show-managed-fields"]);
    let entries = found["metadata"]["managedFields"].as_array().unwrap().clone();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
    entries
        .iter()
        .map(|entry| format!("{} {}", text(entry, "manager"), text(entry, "operation")))
        .collect()
}

fn what_leaves_the_spec_leaves_the_native_secret(t: &Tenant<'_>) {
    let full = "{name: app, labels: {team: a, tier: b}, annotations: {example.com/x: kept}}";
    t.manage("app", &spec(full));
    t.wait_ready("app", "True", "Ready");
    assert_eq!(owners(t, "app"), ["strongroom Apply"]);
    t.kubectl(&["label", "secret", "app", "theirs=kept"]);
    t.manage("app", &spec("{name: app, labels: {team: a}}"));
    let left = |found: &Value| {
        let metadata = &found["metadata"];
        metadata["labels"]["tier"].is_null() && metadata["annotations"]["example.com/x"].is_null()
    };
    let before = t.secret_where("without what left the spec", "app", left);
    t.kubectl(&[
        "annotate",
        "managedsecret",
        "app",
        "strongroom.dev/rotate-now=once",
    ]);
    let after = t.secret_where("with another password", "app", |found| {
        found["data"] != before["data"]
    });
    for found in [before, after] {
        assert!(left(&found));
        assert_eq!(found["metadata"]["labels"]["team"], "a");
        assert_eq!(found["metadata"]["labels"]["theirs"], "kept");
    }
}

fn a_secret_of_an_older_release_becomes_owned_by_apply(t: &Tenant<'_>) {
    t.manage("app", &spec("{name: app, labels: {team: a, tier: b}}"));
    t.wait_ready("app", "True", "Ready");
    // As a plain create of the first releases left it.
    let found = t.json(&["get", "secret", "app", "--show-managed-fields"]);
    let mut entries = found["metadata"]["managedFields"].clone();
    entries[0]["operation"] = json!("Update");
    let patch = json!({"metadata": {"managedFields": entries}}).to_string();
    t.kubectl(&["patch", "secret", "app", "--type=merge", "-p", &patch]);
    eventually("one owner by apply", || {
        (owners(t, "app") == ["strongroom Apply"]).then_some(())
    });
    t.manage("app", &spec("{name: app, labels: {team: a}}"));
    t.secret_where("without `tier`", "app", |found| {
        found["metadata"]["labels"]["tier"].is_null()
    });
}

fn a_secret_of_somebody_else_is_left_alone_and_its_holder_is_named(t: &Tenant<'_>) {
    t.kubectl(&["create", "secret", "generic", "theirs", "--from-literal=a=b"]);
    let before = t.secret("theirs").unwrap();
    t.manage("one", &spec("{name: theirs}"));
    let says = message(&t.wait_ready("one", "False", "TargetNotOwned"));
    assert_eq!(t.secret("theirs").unwrap(), before);
    // The advice is followed as it is given.
    assert!(says.contains("take `spec.secret` out of this object"), "{says}");
    t.manage("one", &format!("{{source: {GENERATED}}}"));
    t.manage(
        "adopter",
        "{source: {import: {secretRef: {name: theirs}}}, secret: {name: theirs}}",
    );
    t.wait_ready("adopter", "True", "Ready");
    t.wait_ready("one", "True", "Ready");
    let after = t.secret("theirs").unwrap();
    assert_eq!(
        (&after["metadata"]["uid"], &after["data"]),
        (&before["metadata"]["uid"], &before["data"])
    );

    t.manage("two", &spec("{name: theirs}"));
    let says = message(&t.wait_ready("two", "False", "TargetNotOwned"));
    assert!(
        says.contains("is the native Secret of ManagedSecret `adopter`"),
        "{says}"
    );
}

fn password(t: &Tenant<'_>, name: &str) -> Option<Value> {
    Some(t.secret(name)?["data"]["password"].clone())
}

fn names_are_exchanged_and_a_rename_leaves_no_gap(t: &Tenant<'_>) {
    for name in ["a", "b"] {
        t.manage(name, &spec(&format!("{{name: of-{name}}}")));
        t.wait_ready(name, "True", "Ready");
    }
    let (of_a, of_b) = (password(t, "of-a"), password(t, "of-b"));
    t.manage("a", &spec("{name: of-b}"));
    t.manage("b", &spec("{name: of-a}"));
    for name in ["a", "b"] {
        t.wait_ready(name, "True", "Ready");
    }
    assert_eq!((password(t, "of-b"), password(t, "of-a")), (of_a.clone(), of_b));

    t.manage("a", &spec("{name: renamed}"));
    let started = Instant::now();
    // One list shows both names at one moment.
    loop {
        let list = t.json(&["get", "secrets", "-l", "strongroom.dev/managed"]);
        let items = list["items"].as_array().unwrap();
        let has = |name: &str| items.iter().any(|item| item["metadata"]["name"] == name);
        assert!(
            has("of-b") || has("renamed"),
            "neither the old nor the new one is there"
        );
        if !has("of-b") {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "the old one stays");
    }
    assert_eq!(password(t, "renamed"), of_a);
}

fn a_changed_type_keeps_what_others_set_and_a_finalizer_is_named(t: &Tenant<'_>) {
    t.kubectl(&["create", "configmap", "owner"]);
    let owner = t.json(&["get", "configmap", "owner"]);
    t.manage("app", &spec("{name: app}"));
    t.wait_ready("app", "True", "Ready");
    let reference = json!([{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"],
    }]);
    let theirs = json!({"metadata": {
        "labels": {"backup": "daily"}, "annotations": {"example.com/seen": "1"}, "ownerReferences": reference,
    }});
    t.kubectl(&[
        "patch",
        "secret",
        "app",
        "--type=merge",
        "--field-manager=backup-tool",
        "-p",
        &theirs.to_string(),
    ]);
    let kept = |found: &Value| {
        let metadata = &found["metadata"];
        assert_eq!(metadata["labels"]["backup"], "daily");
        assert_eq!(metadata["annotations"]["example.com/seen"], "1");
        assert_eq!(metadata["ownerReferences"][0]["name"], "owner");
    };
    t.manage(
        "app",
        &spec("{name: app, immutable: true, type: example.com/first}"),
    );
    kept(&t.secret_where("of the first type", "app", |found| {
        found["type"] == "example.com/first"
    }));
    t.wait_ready("app", "True", "Ready");
    assert_eq!(owners(t, "app"), ["strongroom Apply", "backup-tool Update"]);

    let hold = r#"{"metadata":{"finalizers":["example.com/hold"]}}"#;
    t.kubectl(&["patch", "secret", "app", "--type=merge", "-p", hold]);
    t.manage("app", &spec("{name: app, type: example.com/second}"));
    let says = message(&t.wait_ready("app", "False", "NativeSecretTerminating"));
    assert!(says.contains("finalizer `example.com/hold`"), "{says}");
    let released = Instant::now();
    t.kubectl(&[
        "patch",
        "secret",
        "app",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ]);
    kept(&t.secret_where("of the second type", "app", |found| {
        found["type"] == "example.com/second"
    }));
    assert!(released.elapsed() < Duration::from_secs(30));
    t.wait_ready("app", "True", "Ready");
}

fn whoever_edits_is_named_and_put_back_later_each_time(t: &Tenant<'_>) {
    t.manage("app", &spec("{name: app}"));
    t.wait_ready("app", "True", "Ready");
    let right = password(t, "app");
    t.kubectl(&[
        "patch",
        "secret",
        "app",
        "-p",
        r#"{"data":{"password":"bWluZQ=="}}"#,
    ]);
    eventually("the password to be put back", || {
        (password(t, "app") == right).then_some(())
    });
    t.event("app", "field manager `kubectl-patch` changed key `password`");
    let mut contested = None;
    for round in 0..200 {
        let patch = json!({"stringData": {"password": format!("mine {round}")}}).to_string();
        t.kubectl(&["patch", "secret", "app", "-p", &patch]);
        let object = t.managed("app");
        if condition(&object, "Ready").is_some_and(|ready| ready["reason"] == "NativeSecretContested") {
            contested = Some(object);
            break;
        }
    }
    let says = message(&contested.unwrap());
    assert!(
        says.contains("field manager `kubectl-patch` changed key `password`"),
        "{says}"
    );
    t.wait_ready("app", "True", "Ready");
    assert_eq!(password(t, "app"), right);
}

fn admission_that_adds_a_key_is_named(t: &Tenant<'_>) {
    t.apply(&format!(
        "{{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingAdmissionPolicy, metadata: {{name: adds-a-key}}, spec: {{failurePolicy: \
         Fail, reinvocationPolicy: Never, matchConstraints: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {ns}}}}}, \
         resourceRules: [{{apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [secrets]}}]}}, mutations: \
         [{{patchType: JSONPatch, jsonPatch: {{expression: \"[JSONPatch{{op: 'add', path: '/data/extra', value: 'bW9yZQ=='}}]\"}}}}]}}}}",
        ns = t.name
    ));
    t.apply(
        "{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingAdmissionPolicyBinding, metadata: {name: adds-a-key}, spec: {policyName: \
         adds-a-key}}",
    );
    eventually("the policy to be in force", || {
        t.kubectl(&["delete", "secret", "probe", "--ignore-not-found"]);
        t.kubectl(&["create", "secret", "generic", "probe", "--from-literal=a=b"]);
        let probe = t.secret("probe")?;
        (!probe["data"]["extra"].is_null()).then_some(())
    });
    t.manage("app", &spec("{name: app}"));
    let says = message(&t.wait_ready("app", "False", "NativeSecretMutated"));
    assert!(
        says.contains("mutating admission of the cluster changes key `extra`"),
        "{says}"
    );
    t.kubectl(&[
        "delete",
        "mutatingadmissionpolicybinding,mutatingadmissionpolicy",
        "adds-a-key",
    ]);
    t.wait_ready("app", "True", "Ready");
    assert!(t.secret("app").unwrap()["data"]["extra"].is_null());
}
