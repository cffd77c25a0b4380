//! What does not compile says where and why.

use serde_json::{Value as Json, json};

use super::policy;
use crate::policy::{PolicySet, PolicySource, check};

fn refusal(spec: Json) -> String {
    let (mut book, spec) = (PolicySet::default(), policy(spec));
    let refused = book.put("shop", &PolicySource::Policy("p".to_owned()), &spec);
    assert_eq!(check("shop", &spec), refused);
    refused.unwrap_err().to_string()
}

#[test]
fn says_statement_field_column_and_reason() {
    let identity = |resource: &str, action: &str| {
        json!({"identities": {"serviceAccounts": ["app"]}, "statements": [
            {"effect": "Allow", "actions": ["*"], "resources": ["secret/*"]},
            {"effect": "Allow", "actions": ["*", action], "resources": [resource]}]})
    };
    let secret = |principal: Json, conditions: Json| {
        json!({"secrets": ["*"], "statements": [
            {"effect": "Deny", "actions": ["*"], "principals": [principal], "conditions": conditions}]})
    };
    for (spec, expected) in [
        (
            identity("secret/a", "secrets:GetSecretValues"),
            "statement 2, actions[1], column 23: `secrets:GetSecretValues` is not an action",
        ),
        (
            identity("secret/a", "secrets:Foo*"),
            "statement 2, actions[1], column 9: `secrets:Foo*` is not an action",
        ),
        (
            identity("b:thing/a", "*"),
            "statement 2, resources[0], column 3: `b:thing/a` is not a resource",
        ),
        (identity(":secret/a", "*"), "statement 2, resources[0], column 1:"),
        (identity("secret/", "*"), "statement 2, resources[0], column 8:"),
        (identity("secret", "*"), "statement 2, resources[0], column 7:"),
        (
            secret(json!({"serviceAccount": "a/b/c"}), json!({})),
            "statement 1, principals[0].serviceAccount, column 4: `a/b/c` is not a ServiceAccount",
        ),
        (
            secret(json!({"serviceAccount": "/app"}), json!({})),
            "statement 1, principals[0].serviceAccount, column 1: `/app` is not a ServiceAccount",
        ),
        (
            secret(json!({"serviceAccount": "shop/"}), json!({})),
            "statement 1, principals[0].serviceAccount, column 5: `shop/` is not a ServiceAccount",
        ),
        (
            secret(json!({"ram": "acs:ram::*:user/a"}), json!({})),
            "statement 1, principals[0].ram, column 1: `acs:ram::*:user/a` is not a principal of RAM",
        ),
        (
            secret(json!({"user": "a"}), json!({"sourceRanges": ["10.0.0.0/33"]})),
            "statement 1, conditions.sourceRanges[0], column 9: `10.0.0.0/33` is not an address range",
        ),
        (
            secret(
                json!({"user": "a"}),
                json!({"window": {"start": "02:00", "end": "05:00", "timeZone": "Mars/Base"}}),
            ),
            "statement 1, conditions.window, column 1: the window is invalid",
        ),
        (
            json!({"secrets": ["*"], "statements": [{"effect": "Deny", "actions": ["*"]}]}),
            "statement 1, principals, column 1: it is missing",
        ),
        (
            json!({"statements": []}),
            "statement 0, spec, column 1: set exactly one",
        ),
    ] {
        let refusal = refusal(spec);
        assert!(refusal.starts_with(expected), "{refusal}");
    }
}
