//! Rotations and what they report, and what an edit of the source does.

use crate::runner::{Case, cases};
use crate::support::eventually;
use crate::tenant::Tenant;

pub(crate) const CASES: &[Case] = cases![
    a_volume_with_all_keys_follows_an_edit_of_the_source,
    what_an_immutable_secret_cannot_follow_is_refused_at_admission,
    a_jitter_longer_than_the_interval_is_refused_and_a_selector_that_matches_nothing_is_ready,
];

fn a_volume_with_all_keys_follows_an_edit_of_the_source(it: &Tenant<'_>) {
    let spec = |keys: &str| {
        format!("{{readers: [default], secret: {{name: app}}, source: {{generate: {{keys: {keys}}}}}}}")
    };
    it.manage(
        "app",
        &spec("{user: {literal: one}, password: {password: {}}, old: {uuid: {}}}"),
    );
    it.wait_ready("app", "True", "Ready");
    it.run_pod(
        "app",
        "volumeMounts: [{name: s, mountPath: /s, readOnly: true}]",
        "volumes: [{name: s, csi: {driver: csi.strongroom.dev, readOnly: true, volumeAttributes: {secrets: app}}}]",
    );
    let password = it.exec("app", &["cat", "/s/password"]);
    assert_eq!(it.exec("app", &["cat", "/s/user"]), "one");
    it.manage(
        "app",
        &spec("{user: {literal: two}, password: {password: {length: 40}}}"),
    );
    eventually("the edit to arrive in the volume", || {
        let there = it.exec("app", &["ls", "/s"]);
        (it.exec("app", &["cat", "/s/user"]) == "two" && !there.contains("old")).then_some(())
    });
    assert_eq!(it.exec("app", &["cat", "/s/password"]), password);
    let native = it.secret_where("the edit", "app", |secret| secret["data"]["user"] == "dHdv");
    assert_eq!(native["data"]["old"], serde_json::Value::Null);
    let object = it.wait_condition("app", "GeneratorCurrent", "False", "GeneratorChanged");
    it.wait_ready("app", "True", "Ready");
    // The command of the message, as it stands there.
    let text = object["status"]["conditions"].to_string();
    let command = text
        .split("`kubectl ")
        .nth(1)
        .and_then(|rest| rest.split('`').next())
        .unwrap();
    let words: Vec<&str> = command.split(' ').collect();
    it.f.kubectl(&words);
    eventually("the generator to be applied", || {
        (it.exec("app", &["cat", "/s/password"]).len() == 40).then_some(())
    });
}

fn what_an_immutable_secret_cannot_follow_is_refused_at_admission(it: &Tenant<'_>) {
    let object = |annotations: &str, literal: &str, immutable: bool| {
        format!(
            "{{apiVersion: strongroom.dev/v1alpha1, kind: ManagedSecret, metadata: {{name: fixed, annotations: {{{annotations}}}}}, \
             spec: {{source: {{generate: {{keys: {{a: {{literal: {literal}}}, b: {{uuid: {{}}}}}}}}}}, \
             secret: {{name: fixed, immutable: {immutable}}}}}}}"
        )
    };
    let apply = ["apply", "-f", "-"];
    it.apply(&object("", "one", true));
    it.wait_ready("fixed", "True", "Ready");
    let said = it.refused(&apply, &object("\"strongroom.dev/rotate-now\": x", "one", true));
    assert!(said.contains("an immutable Secret keeps its value"), "{said}");
    let said = it.refused(&apply, &object("", "two", true));
    assert!(
        said.contains("literals and the names of the keys cannot change"),
        "{said}"
    );
    it.apply(
        "{apiVersion: strongroom.dev/v1alpha1, kind: RotationSchedule, metadata: {name: often}, spec: {secrets: {names: [fixed]}, \
         schedule: {every: 1m}, rotator: {generate: {}}}}",
    );
    it.wait_condition("fixed", "Rotated", "False", "ImmutableNotRotatable");
    it.apply(&object("", "two", false));
    it.secret_where("the edit", "fixed", |secret| secret["data"]["a"] == "dHdv");
}

fn a_jitter_longer_than_the_interval_is_refused_and_a_selector_that_matches_nothing_is_ready(
    it: &Tenant<'_>,
) {
    let schedule = |jitter: &str| {
        format!(
            "{{apiVersion: strongroom.dev/v1alpha1, kind: RotationSchedule, metadata: {{name: hourly}}, spec: {{secrets: \
             {{selector: {{matchLabels: {{rotate: hourly}}}}}}, schedule: {{every: 1h}}, jitter: {jitter}, rotator: {{generate: {{}}}}}}}}"
        )
    };
    let said = it.refused(&["apply", "-f", "-"], &schedule("30d"));
    assert!(said.contains("jitter is longer than schedule.every"), "{said}");
    it.apply(&schedule("30m"));
    it.kubectl(&[
        "wait",
        "--for=condition=Ready",
        "rotationschedule/hourly",
        "--timeout=60s",
    ]);
    let reason = "-o=jsonpath={.status.conditions[?(@.type=='Ready')].reason}";
    assert_eq!(
        it.kubectl(&["get", "rotationschedule", "hourly", reason]),
        "NothingSelected"
    );
}
