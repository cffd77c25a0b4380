//! What the chart's ValidatingAdmissionPolicy of ManagedSecrets refuses whoever asks for it.

#![expect(clippy::expect_used, reason = "helpers of tests are tests")]

mod cel_variables;

use std::path::Path;

use kube::core::cel::{VapEvaluator, VapExpression};
use serde::Deserialize;
use serde_json::{Value, json};

use cel_variables::in_place;

#[derive(Deserialize)]
struct Policy {
    spec: PolicySpec,
}

#[derive(Deserialize)]
struct PolicySpec {
    variables: Vec<Variable>,
    validations: Vec<Validation>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    expression: String,
}

#[derive(Deserialize)]
struct Validation {
    expression: String,
    message: Option<String>,
}

/// The policy as the template has it. Lines of Helm stand between those of the `spec`, or name things.
fn policy() -> PolicySpec {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/strongroom/templates/admission-policies.yaml");
    let template = std::fs::read_to_string(path).expect("the template");
    let first = template.split("\n---\n").next().expect("a document");
    let lines: Vec<&str> = first.lines().filter(|line| !line.contains("{{")).collect();
    let policy: Policy = serde_saphyr::from_str(&lines.join("\n")).expect("a policy");
    policy.spec
}

/// The messages of what refuses the object. A message that is an expression belongs to a question to the
/// authorizer, which is not here.
fn refusals(object: &Value, old: Option<&Value>) -> Vec<String> {
    let PolicySpec {
        variables,
        validations,
    } = policy();
    let expressions: Vec<VapExpression> = validations
        .into_iter()
        .filter(|validation| validation.message.is_some())
        .map(|validation| VapExpression {
            // A variable may use those before it.
            expression: variables
                .iter()
                .rev()
                .fold(validation.expression, |text, variable| {
                    in_place(&text, &variable.name, &variable.expression)
                }),
            message: validation.message,
            message_expression: None,
        })
        .collect();
    assert!(!expressions.is_empty());
    let mut evaluator = VapEvaluator::builder().object(object.clone());
    if let Some(old) = old {
        evaluator = evaluator.old_object(old.clone());
    }
    let results = evaluator.build().evaluate(&expressions);
    results
        .into_iter()
        .filter(|result| !result.passed)
        .filter_map(|result| result.message)
        .collect()
}

fn managed_secret(keys: &Value, immutable: bool) -> Value {
    json!({
        "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"source": {"generate": {"keys": keys}}, "secret": {"name": "web", "immutable": immutable}},
    })
}

#[test]
fn an_immutable_secret_has_no_certificate_that_renews() {
    let keys = |renew_before: Option<&str>| {
        let mut x509 = json!({"dnsNames": ["web.shop.svc"]});
        if let Some(renew_before) = renew_before {
            x509["renewBefore"] = json!(renew_before);
        }
        json!({"tls": {"x509": x509}, "password": {"password": {}}})
    };
    let object = |renew_before: Option<&str>, immutable| managed_secret(&keys(renew_before), immutable);
    for renews in [None, Some("30d")] {
        let both = object(renews, true);
        let expected = "an immutable Secret keeps its value, so its certificate cannot be renewed: remove spec.secret.immutable, or set \
                        renewBefore of the x509 key to never";
        for old in [
            None,
            Some(object(renews, false)),
            Some(object(Some("never"), true)),
        ] {
            assert_eq!(refusals(&both, old.as_ref()), [expected], "{old:?}");
        }
        // What is so already can be edited, and mended by either.
        let mut edited = object(Some("20d"), true);
        edited["spec"]["description"] = json!("the shop");
        for new in [&edited, &object(Some("never"), true), &object(renews, false)] {
            assert_eq!(refusals(new, Some(&both)), Vec::<String>::new(), "{new}");
        }
        assert_eq!(refusals(&object(renews, false), None), Vec::<String>::new());
    }
    assert_eq!(refusals(&object(Some("never"), true), None), Vec::<String>::new());
    // Other keys, and a source that makes none.
    let password = managed_secret(&json!({"password": {"password": {}}}), true);
    assert_eq!(refusals(&password, None), Vec::<String>::new());
    let mut external = password;
    external["spec"]["source"] = json!({"external": {}});
    assert_eq!(refusals(&external, None), Vec::<String>::new());
    assert_eq!(refusals(&object(None, true), Some(&external)).len(), 1);
}
