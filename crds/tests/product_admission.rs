//! The chart's ValidatingAdmissionPolicies: which of them let pass what they cannot evaluate, and that nobody
//! makes the one of default secrets too costly to be evaluated.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests"
)]

mod cel_variables;

use std::path::{Path, PathBuf};

use kube::core::cel::{VapEvaluator, VapExpression};
use serde_json::{Map, Value, json};

use cel_variables::in_place;

fn templates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/strongroom/templates")
}

/// The `spec`s of all ValidatingAdmissionPolicies, as texts.
fn policies() -> Vec<String> {
    let files = std::fs::read_dir(templates()).expect("templates");
    let texts = files.map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("a text"));
    let documents = texts.flat_map(|text| {
        let documents: Vec<String> = text.split("\n---\n").map(str::to_owned).collect();
        documents
    });
    documents
        .filter(|text| text.lines().any(|line| line == "kind: ValidatingAdmissionPolicy"))
        .collect()
}

/// Errors of a kind of parameters that is not there come before all conditions: they would stop every object.
#[test]
fn a_policy_fails_closed_unless_it_has_parameters() {
    let policies = policies();
    assert!(policies.len() >= 8, "{}", policies.len());
    let mut with_parameters = 0;
    for policy in policies {
        let has_parameters = policy.contains("\n  paramKind:");
        with_parameters += usize::from(has_parameters);
        let expected = if has_parameters { "Ignore" } else { "Fail" };
        let line = format!("\n  failurePolicy: {expected}\n");
        assert!(policy.contains(&line), "{policy}");
    }
    assert_eq!(with_parameters, 2);
}

/// Whether the policy of default secrets takes a write for the tenant's own act.
fn is_only_key_control(object: &Value, old: &Value) -> bool {
    let template = std::fs::read_to_string(templates().join("product-admission-policies.yaml"));
    let template = template.expect("a template");
    let document = template.split("\n---\n").next().expect("a document");
    let lines: Vec<&str> = document.lines().filter(|line| !line.contains("{{")).collect();
    let policy: Value = serde_saphyr::from_str(&lines.join("\n")).expect("a policy");
    let variables = policy["spec"]["variables"].as_array().expect("variables").clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let expression =
        variables
            .iter()
            .rev()
            .fold("variables.onlyKeyControl".to_owned(), |expression, variable| {
                in_place(
                    &expression,
                    &text(&variable["name"]),
                    &text(&variable["expression"]),
                )
            });
    let expression = VapExpression {
        // The evaluator escapes what is reserved in keys of maps; the API server does so only where it knows
        // the schema.
        expression: expression.replace(
            "'strongroom.dev/allow-default-key'",
            "'strongroom__dot__dev__slash__allow__dash__default__dash__key'",
        ),
        message: None,
        message_expression: None,
    };
    let evaluator = VapEvaluator::builder()
        .object(object.clone())
        .old_object(old.clone());
    let results = evaluator.build().evaluate(&[expression]);
    results.iter().all(|result| result.passed)
}

/// An object with so many annotations, and those of ours.
fn annotated(others: usize, ours: &[&str]) -> Value {
    let mut annotations: Map<String, Value> = (0..others)
        .map(|number| (format!("n{number}"), json!("")))
        .collect();
    for name in ours {
        annotations.insert(format!("strongroom.dev/{name}"), json!("pay/1"));
    }
    json!({
        "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
        "metadata": {"name": "card", "namespace": "shop", "annotations": annotations},
        "spec": {"storeName": "pg!card", "source": {"external": {}}},
    })
}

#[test]
fn what_a_tenant_annotates_has_a_bound_beyond_which_it_is_no_act_of_theirs() {
    let gives_up = ["allow-default-key"];
    for (old, new, expected) in [
        (annotated(0, &[]), annotated(0, &gives_up), true),
        (annotated(63, &[]), annotated(63, &gives_up), true),
        (annotated(63, &gives_up), annotated(63, &[]), true),
        (annotated(3, &[]), annotated(3, &["rotate-now"]), false),
        (annotated(3, &[]), annotated(4, &gives_up), false),
        (annotated(64, &[]), annotated(64, &gives_up), false),
        (annotated(65, &[]), annotated(0, &[]), false),
    ] {
        assert_eq!(is_only_key_control(&new, &old), expected, "{old} {new}");
    }
}
