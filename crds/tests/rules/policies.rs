//! Policies, and the keys of customers.

use serde_json::{Value, json};

use super::{accepted, object, refused};

#[test]
fn a_policy_is_about_identities_or_about_secrets() {
    let policy = |spec: Value| object("SecretPolicy", "p", spec);
    let of_identities = json!({"effect": "Allow", "actions": ["*"], "resources": ["secret/db"]});
    let of_secrets = json!({"effect": "Allow", "actions": ["*"], "principals": [{"serviceAccount": "app"}]});
    let identities = json!({"serviceAccounts": ["app"]});
    accepted(&policy(
        json!({"identities": identities, "statements": [of_identities]}),
    ));
    accepted(&policy(json!({"secrets": ["db"], "statements": [of_secrets]})));
    let ram = json!({"ram": "acs:ram::190325303126****:user/key_ramuser3"});
    accepted(&policy(json!({"secrets": ["db"], "statements": [
        {"effect": "Deny", "actions": ["*"], "principals": [ram]}]})));
    for (spec, expected) in [
        (
            json!({"statements": []}),
            ": set exactly one of identities, secrets",
        ),
        (
            json!({"identities": identities, "statements": [of_secrets]}),
            ": a statement for identities has resources and no principals",
        ),
        (
            json!({"secrets": ["db"], "statements": [of_identities]}),
            ": a statement for secrets has principals and no resources",
        ),
        (
            json!({"secrets": ["db"], "statements": [
                {"effect": "Deny", "actions": ["*"], "principals": [{"user": "a", "group": "b"}]}]}),
            ".statements[0].principals[0]: set exactly one of: serviceAccount, user, group, ram, product",
        ),
        (
            json!({"secrets": ["db"], "statements": [{"effect": "Deny", "actions": ["*"], "principals": [{"user": "a"}],
                "conditions": {"notBefore": "2026-02-01T00:00:00Z", "notAfter": "2026-01-01T00:00:00Z"}}]}),
            ".statements[0].conditions: notBefore must be earlier than notAfter",
        ),
    ] {
        refused(&policy(spec), &format!("spec{expected}"));
    }
}

#[test]
fn a_key_rotates_and_goes_within_bounds() {
    let key = |name: &str, spec: Value| object("EncryptionKey", name, spec);
    for spec in [
        json!({}),
        json!({"enabled": false, "rotation": {"every": "7d"}, "deletion": {"window": "7d"}}),
        json!({"rotation": {"every": "365d"}, "deletion": {"window": "30d"}}),
    ] {
        accepted(&key("payments", spec));
    }
    for every in ["6d", "366d", "1w", "90m"] {
        refused(
            &key("payments", json!({"rotation": {"every": every}})),
            "spec.rotation.every: every must be 7d to 365d",
        );
    }
    for window in ["6d", "31d", "1w"] {
        refused(
            &key("payments", json!({"deletion": {"window": window}})),
            "spec.deletion.window: window must be 7d to 30d",
        );
    }
    for name in ["a.b", &"a".repeat(64)] {
        refused(
            &key(name, json!({})),
            ": the name of an EncryptionKey has up to 63",
        );
    }
}
