//! Objects from Git: what a tool sees of them, what it prunes, and how that comes back.

use std::fs;

use serde_json::Value;

use crate::runner::{Case, cases};
use crate::support::{condition, eventually};
use crate::tenant::Tenant;

pub(crate) const CASES: &[Case] = cases![
    what_was_applied_differs_in_nothing_once_it_is_reconciled,
    two_field_managers_apply_one_object_and_take_nothing_from_each_other,
    what_was_pruned_says_how_it_comes_back_when_it_is_applied_again,
];

/// One object of each kind as Git has it, with what kubectl calls it.
const OBJECTS: [(&str, &str); 4] = [
    (
        "encryptionkey/payments",
        "{apiVersion: strongroom.dev/v1alpha1, kind: EncryptionKey, metadata: {name: payments}, spec: {rotation: {every: 90d}}}",
    ),
    (
        "managedsecret/card",
        "{apiVersion: strongroom.dev/v1alpha1, kind: ManagedSecret, metadata: {name: card, labels: {rotate: monthly}}, spec: {encryptionKey: payments, \
         readers: [checkout], source: {generate: {keys: {user: {literal: card}, password: {password: {}}}}}, secret: {name: card}}}",
    ),
    (
        "secretpolicy/reports",
        "{apiVersion: strongroom.dev/v1alpha1, kind: SecretPolicy, metadata: {name: reports}, spec: {secrets: [\"db-*\"], statements: [{effect: Allow, \
         principals: [{serviceAccount: reports/reader}], actions: [\"secrets:GetSecretValue\"]}]}}",
    ),
    (
        "rotationschedule/monthly",
        "{apiVersion: strongroom.dev/v1alpha1, kind: RotationSchedule, metadata: {name: monthly}, spec: {secrets: {selector: {matchLabels: \
         {rotate: monthly}}}, schedule: {every: 30d}, rotator: {generate: {}}}}",
    ),
];

/// A ManagedSecret, or a part of one, by its fields in flow style.
fn managed(fields: &str) -> String {
    format!("{{apiVersion: strongroom.dev/v1alpha1, kind: ManagedSecret, {fields}}}\n---\n")
}

/// A whole one, with a native Secret of its name.
fn generated(name: &str) -> String {
    managed(&format!(
        "metadata: {{name: {name}}}, spec: {{source: {{generate: {{keys: {{password: {{password: {{}}}}}}}}}}, secret: {{name: {name}}}}}"
    ))
}

/// Server-side apply by a field manager: whether it went well, and both of its outputs.
fn apply_as(it: &Tenant<'_>, manager: &str, objects: &str) -> (bool, String, String) {
    let manager = format!("--field-manager={manager}");
    it.piped(&["apply", "--server-side", manager.as_str(), "-f", "-"], objects)
}

/// Applies objects as one set and prunes what is no longer in it; what kubectl printed.
fn apply_set(it: &Tenant<'_>, objects: &str) -> String {
    let file = it.f.keep.path().join(format!("set-{}.yaml", it.name));
    fs::write(&file, objects).unwrap();
    let mut command = it.f.cluster.kubectl_command();
    command
        .env("KUBECTL_APPLYSET", "true")
        .args([
            "--namespace",
            &it.name,
            "apply",
            "--server-side",
            "--field-manager=git",
        ])
        .args(["--prune", "--applyset=configmaps/objects", "-f"])
        .arg(&file);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// What `kubectl diff` says; none where nothing differs. It looks twice, and a status that is written in
/// between differs too: so it is asked again.
fn difference(it: &Tenant<'_>, how: &[&str], object: &str) -> Option<String> {
    let mut said = None;
    for _ in 0..10 {
        let (same, stdout, stderr) = it.piped(&[&["diff", "-f", "-"], how].concat(), object);
        if same {
            return None;
        }
        said = Some(stdout + &stderr);
    }
    said
}

fn what_was_applied_differs_in_nothing_once_it_is_reconciled(it: &Tenant<'_>) {
    let file = OBJECTS.map(|(_, object)| object).join("\n---\n");
    let ready = || {
        for (name, _) in OBJECTS {
            it.kubectl(&["wait", "--for=condition=Ready", name, "--timeout=120s"]);
        }
    };
    let same = |how: &[&str]| {
        for (name, object) in OBJECTS {
            assert_eq!(difference(it, how, object), None, "{name}, {how:?}");
        }
    };
    it.apply(&file);
    ready();
    same(&[]);
    // As Argo CD does it, and as Flux does.
    for manager in ["argocd-controller", "kustomize-controller"] {
        let manager = format!("--field-manager={manager}");
        let server_side = ["--server-side", "--force-conflicts", manager.as_str()];
        let apply = [&["apply", "-f", "-"], &server_side[..]].concat();
        let (success, _, stderr) = it.piped(&apply, &file);
        assert!(success, "{stderr}");
        ready();
        same(&server_side);
    }
    let edited = OBJECTS[0].1.replace("90d", "60d");
    let said = difference(it, &[], &edited).unwrap();
    assert!(said.contains("every: 60d"), "{said}");
}

fn two_field_managers_apply_one_object_and_take_nothing_from_each_other(it: &Tenant<'_>) {
    let from_git = generated("app");
    let applied = |manager: &str, objects: &str| {
        let (success, _, stderr) = apply_as(it, manager, objects);
        assert!(success, "{stderr}");
    };
    applied("git", &from_git);
    it.wait_ready("app", "True", "Ready");
    let before = it.secret("app").unwrap();

    // A part that Git says nothing of.
    let asks = managed("metadata: {name: app, annotations: {strongroom.dev/rotate-now: once}}");
    applied("operations", &asks);
    it.secret_where("the rotation", "app", |secret| secret["data"] != before["data"]);
    it.wait_ready("app", "True", "Ready");
    applied("git", &from_git);
    let how = ["--server-side", "--field-manager=git"];
    assert_eq!(difference(it, &how, &from_git), None);
    let object = it.json(&["get", "managedsecret", "app", "--show-managed-fields"]);
    assert_eq!(
        object["metadata"]["annotations"]["strongroom.dev/rotate-now"],
        "once"
    );

    // A part that Git says something else of.
    let differs = managed("metadata: {name: app}, spec: {secret: {name: other}}");
    let (success, _, stderr) = apply_as(it, "operations", &differs);
    assert!(
        !success && stderr.contains("conflict with \"git\": .spec.secret.name"),
        "{stderr}"
    );

    // Strongroom itself writes nothing but the status.
    let fields = object["metadata"]["managedFields"].as_array().unwrap();
    let ours: Vec<_> = fields
        .iter()
        .filter(|entry| entry["manager"] == "strongroom")
        .collect();
    assert!(!ours.is_empty(), "{object}");
    for entry in ours {
        assert_eq!(entry["subresource"], "status", "{entry}");
    }
}

fn what_was_pruned_says_how_it_comes_back_when_it_is_applied_again(it: &Tenant<'_>) {
    let both = generated("app") + &generated("other");
    apply_set(it, &both);
    let secret_id = it.wait_ready("app", "True", "Ready")["status"]["secretId"]
        .as_str()
        .unwrap()
        .to_owned();
    it.wait_ready("other", "True", "Ready");
    let (app, other) = (it.secret("app").unwrap(), it.secret("other").unwrap());

    // The native Secret is nobody's member and nobody's child, so nothing prunes it.
    for secret in [&app, &other] {
        let metadata = &secret["metadata"];
        assert!(metadata["ownerReferences"].is_null(), "{metadata}");
        let mark = &metadata["labels"]["applyset.kubernetes.io/part-of"];
        assert!(mark.is_null(), "{metadata}");
    }
    let stays = |before: &Value| {
        let name = before["metadata"]["name"].as_str().unwrap();
        let after = it.secret(name).unwrap();
        assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"], "{name}");
        assert_eq!(after["data"], before["data"], "{name}");
    };
    let printed = apply_set(it, &both);
    assert!(!printed.contains("pruned"), "{printed}");
    stays(&app);
    stays(&other);

    let printed = apply_set(it, &generated("other"));
    assert!(
        printed.contains("managedsecret.strongroom.dev/app pruned"),
        "{printed}"
    );
    eventually("the native Secret to go", || {
        it.secret("app").is_none().then_some(())
    });
    apply_set(it, &both);
    let waits = it.wait_ready("app", "False", "InRecoveryWindow");
    let restore = format!("strongroom.dev/restore={secret_id}");
    let message = condition(&waits, "Ready").unwrap()["message"].to_string();
    assert!(message.contains(&restore), "{message}");
    assert!(it.secret("app").is_none());

    it.kubectl(&["annotate", "managedsecret", "app", &restore]);
    it.wait_ready("app", "True", "Ready");
    let back = it.secret_where("its value", "app", |secret| secret["data"] == app["data"]);
    // The annotation is none of Git's, so it is left, and does nothing more.
    apply_set(it, &both);
    let object = it.wait_ready("app", "True", "Ready");
    let annotation = &object["metadata"]["annotations"]["strongroom.dev/restore"];
    assert_eq!(annotation, &secret_id);
    stays(&back);
    stays(&other);
}
