//! What is ours to take or delete, and what is not.

use std::fs;
use std::process::Command;

use serde_json::Value;
use strongroom_e2e::Programs;

use crate::runner::{Case, cases};
use crate::support::eventually;
use crate::tenant::Tenant;

pub(crate) const CASES: &[Case] = cases![
    a_secret_of_somebody_else_is_left_alone_and_the_condition_says_so,
    a_secret_that_was_replaced_within_the_half_minute_stays,
    a_secret_that_a_helm_release_declares_with_the_same_value_stays,
    an_untouched_native_secret_goes_with_its_object,
    an_adopted_secret_keeps_everything_and_loses_only_copies_of_its_value,
    what_a_tool_keeps_moves_in_and_what_it_pruned_can_be_brought_back,
    a_strongroom_ca_of_somebody_else_stays_and_ours_is_back_within_seconds,
];

const APP: &str = "{source: {generate: {keys: {password: {literal: hunter2}}}}, secret: {name: app}}";
const ADOPTING: &str = "{source: {import: {secretRef: {name: app}}}, secret: {name: app}}";
const COPY: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The Secret `app` as a file has it, with a value of its own.
fn plain(value: &str) -> String {
    format!("{{apiVersion: v1, kind: Secret, metadata: {{name: app}}, stringData: {{password: {value}}}}}")
}

/// helm in the namespace of the case, which must succeed.
fn helm(it: &Tenant<'_>, arguments: &[&str]) {
    let output = Command::new(Programs::helm().unwrap())
        .env("KUBECONFIG", it.f.cluster.kubeconfig())
        .args(["--namespace", &it.name])
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "helm {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The chart of the case, with this one template.
fn chart(it: &Tenant<'_>, template: &str) -> String {
    let chart = it.f.keep.path().join(format!("chart-{}", it.name));
    fs::create_dir_all(chart.join("templates")).unwrap();
    fs::write(
        chart.join("Chart.yaml"),
        "{apiVersion: v2, name: app, version: 1.0.0}",
    )
    .unwrap();
    fs::write(chart.join("templates/app.yaml"), template).unwrap();
    chart.display().to_string()
}

fn uid(object: &Value) -> &Value {
    &object["metadata"]["uid"]
}

/// An annotation of Secret `app`, if it is there.
fn annotation(it: &Tenant<'_>, key: &str) -> Option<Value> {
    it.secret("app").unwrap()["metadata"]["annotations"]
        .get(key)
        .cloned()
}

fn a_secret_of_somebody_else_is_left_alone_and_the_condition_says_so(it: &Tenant<'_>) {
    it.kubectl(&[
        "create",
        "secret",
        "generic",
        "app",
        "--from-literal=password=theirs",
    ]);
    let before = it.secret("app").unwrap();
    it.manage(
        "app",
        "{source: {generate: {keys: {password: {password: {}}}}}, secret: {name: app}}",
    );
    let object = it.wait_ready("app", "False", "TargetNotOwned");
    assert_eq!(it.secret("app").unwrap(), before, "{object}");
}

fn a_secret_that_was_replaced_within_the_half_minute_stays(it: &Tenant<'_>) {
    it.manage("app", APP);
    it.wait_ready("app", "True", "Ready");
    let before = it.secret("app").unwrap();
    it.kubectl(&["delete", "managedsecret", "app"]);
    let (success, _, stderr) = it.piped(&["replace", "-f", "-"], &plain("theirs"));
    assert!(success, "{stderr}");
    let replaced = it.secret("app").unwrap();
    assert_eq!(uid(&replaced), uid(&before), "a replacement keeps the UID");
    it.event("app", "is not deleted: it was replaced");
    assert_eq!(it.secret("app"), Some(replaced));
}

fn a_secret_that_a_helm_release_declares_with_the_same_value_stays(it: &Tenant<'_>) {
    it.manage("app", APP);
    it.wait_ready("app", "True", "Ready");
    let empty = chart(it, "{apiVersion: v1, kind: ConfigMap, metadata: {name: other}}");
    helm(it, &["install", "app", &empty]);
    let declares = chart(it, &plain("hunter2"));
    helm(
        it,
        &[
            "upgrade",
            "app",
            &declares,
            "--take-ownership",
            "--force-conflicts",
        ],
    );
    it.kubectl(&["delete", "managedsecret", "app"]);
    it.event("app", "Helm tracks it");
    let secret = it.secret("app").unwrap();
    assert_eq!(secret["data"]["password"], "aHVudGVyMg==");
}

fn an_untouched_native_secret_goes_with_its_object(it: &Tenant<'_>) {
    // One that we made, with labels of others, and one that we took over.
    it.manage("app", APP);
    it.kubectl(&["create", "secret", "generic", "old", "--from-literal=password=x"]);
    it.manage(
        "old",
        "{source: {import: {secretRef: {name: old}}}, secret: {name: old}}",
    );
    it.wait_ready("app", "True", "Ready");
    it.wait_ready("old", "True", "Ready");
    it.kubectl(&["label", "secret", "app", "backup=daily"]);
    it.kubectl(&["delete", "managedsecret", "app", "old"]);
    for name in ["app", "old"] {
        eventually(&format!("Secret {name} to go"), || {
            it.secret(name).is_none().then_some(())
        });
    }
}

fn an_adopted_secret_keeps_everything_and_loses_only_copies_of_its_value(it: &Tenant<'_>) {
    let theirs = "{apiVersion: v1, kind: Secret, type: example.com/own, immutable: true, metadata: {name: app, labels: {backup: daily, \
                  app.kubernetes.io/managed-by: Helm}, annotations: {note: theirs}}, stringData: {password: old}}";
    it.apply(theirs);
    let before = it.secret("app").unwrap();
    assert!(annotation(it, COPY).is_some());
    it.manage("app", ADOPTING);
    it.wait_ready("app", "True", "Ready");
    let after = it.secret("app").unwrap();
    assert_eq!(uid(&after), uid(&before));
    for field in ["type", "immutable", "data"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    for (key, value) in before["metadata"]["labels"].as_object().unwrap() {
        assert_eq!(after["metadata"]["labels"][key], *value);
    }
    assert_eq!(annotation(it, "note"), Some("theirs".into()));
    assert_eq!(annotation(it, COPY), None);
    it.event("app", "a copy of its content");
    // It comes again, and goes again.
    it.apply(theirs);
    eventually("the copy to go again", || {
        annotation(it, COPY).is_none().then_some(())
    });
    it.wait_ready("app", "True", "Ready");
}

fn what_a_tool_keeps_moves_in_and_what_it_pruned_can_be_brought_back(it: &Tenant<'_>) {
    let managed = format!(
        "{{apiVersion: strongroom.dev/v1alpha1, kind: ManagedSecret, metadata: {{name: app}}, spec: {ADOPTING}}}"
    );
    let declares = chart(it, &plain("released"));
    helm(it, &["install", "app", &declares]);
    let before = it.secret("app").unwrap();
    it.kubectl(&["annotate", "secret", "app", "helm.sh/resource-policy=keep"]);
    let moved = chart(it, &managed);
    helm(it, &["upgrade", "app", &moved]);
    it.wait_ready("app", "True", "Ready");
    let after = it.secret("app").unwrap();
    assert_eq!((uid(&after), &after["data"]), (uid(&before), &before["data"]));

    // What was pruned is said to be so, and what is brought back is imported.
    it.manage(
        "lost",
        "{source: {import: {secretRef: {name: lost}}}, secret: {name: lost}}",
    );
    let missing = it.wait_ready("lost", "False", "ImportSourceMissing");
    assert!(missing.to_string().contains("pruned"), "{missing}");
    it.apply("{apiVersion: v1, kind: Secret, metadata: {name: lost}, stringData: {password: kept}}");
    it.wait_ready("lost", "True", "Ready");
}

fn a_strongroom_ca_of_somebody_else_stays_and_ours_is_back_within_seconds(it: &Tenant<'_>) {
    it.kubectl(&[
        "create",
        "configmap",
        "strongroom-ca",
        "--from-literal=ca.crt=mine",
    ]);
    it.manage("app", APP);
    it.wait_ready("app", "True", "Ready");
    it.event("strongroom-ca", "is not strongroom's");
    let read = || {
        it.json(&[
            "get",
            "configmaps",
            "--field-selector",
            "metadata.name=strongroom-ca",
        ])
    };
    assert_eq!(read()["items"][0]["data"]["ca.crt"], "mine");
    // Free, it is ours at once; and so it is whenever somebody deletes it.
    for _ in 0..2 {
        it.kubectl(&["delete", "configmap", "strongroom-ca"]);
        eventually("the authority to be back", || {
            let map = &read()["items"][0];
            map["data"]["ca.crt"]
                .as_str()?
                .contains("BEGIN CERTIFICATE")
                .then_some(())
        });
    }
}
