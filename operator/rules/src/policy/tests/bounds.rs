//! What a namespace may have in force, and that more of it counts in nobody's decision.

use serde_json::{Value as Json, json};

use super::{policy, request};
use crate::policy::{
    Action, BOUNDS, BOUNDS_WITH_DENIALS, CompiledPolicy, NamespacePolicies, PolicySource, RequestFacts,
    SharedStatements, Weight, compile, decide_by,
};

fn compiled(shared: &SharedStatements, spec: Json) -> CompiledPolicy {
    compile("shop", &policy(spec), shared).unwrap()
}

fn named(number: usize) -> PolicySource {
    PolicySource::Policy(format!("p{number}"))
}

/// A policy of so many statements, attached to these names.
fn compiled_policy(
    shared: &SharedStatements,
    secrets: &[&str],
    statements: usize,
    account: &str,
) -> CompiledPolicy {
    let statements: Vec<Json> = (0..statements)
        .map(|number| {
            json!({"effect": "Allow", "principals": [{"serviceAccount": format!("{account}{number}")}],
                "actions": ["secrets:GetSecretValue"]})
        })
        .collect();
    compiled(shared, json!({"secrets": secrets, "statements": statements}))
}

#[test]
fn a_thousand_policies_of_ten_thousand_statements_fit_and_one_more_of_anything_does_not() {
    const {
        assert!(
            BOUNDS.policies >= 1_000 && BOUNDS.statements >= 10_000 && BOUNDS.wildcard_statements >= 1_000
        );
    }
    let shared = SharedStatements::default();
    let mut namespace = NamespacePolicies::default();
    let mut add = |number: usize, policy: CompiledPolicy| {
        namespace
            .fits(&named(number), &policy, BOUNDS)
            .map(|()| namespace.put(named(number), policy))
    };
    // 800 of 12 or 13 statements, and 200 of 5 with wildcards.
    for number in 0..800 {
        add(
            number,
            compiled_policy(&shared, &["db"], 12 + usize::from(number % 2 == 0), "app-"),
        )
        .unwrap();
    }
    for number in 800..1_000 {
        add(number, compiled_policy(&shared, &["db-*"], 5, "app-")).unwrap();
    }
    for (secret, account, expected) in [
        ("db", "app-", "1001 SecretPolicies"),
        ("db-*", "app-", "1001 SecretPolicies"),
    ] {
        let refused = add(1_000, compiled_policy(&shared, &[secret], 1, account))
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains(expected) && refused.contains("1000 are allowed"),
            "{refused}"
        );
    }
    // In the place of another there is room for it, and not for more than it had.
    add(0, compiled_policy(&shared, &["db"], 13, "other-")).unwrap();
    let refused = add(0, compiled_policy(&shared, &["db"], 14, "other-"))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("10001 statements without wildcards"),
        "{refused}"
    );
    let refused = add(900, compiled_policy(&shared, &["db-*"], 6, "app-"))
        .unwrap_err()
        .to_string();
    assert!(refused.contains("1001 statements with wildcards"), "{refused}");
}

#[test]
fn what_denies_has_room_beside_all_that_is_allowed() {
    let expected = Weight {
        policies: 1_100,
        statements: 10_100,
        wildcard_statements: 1_100,
        wildcards: 5_000,
    };
    assert_eq!(BOUNDS_WITH_DENIALS, expected);
}

#[test]
fn wildcards_count_wherever_they_stand_in_names() {
    let shared = SharedStatements::default();
    let window = json!({"window": {"start": "02:00", "end": "05:00", "timeZone": "UTC"}});
    for (spec, statements, wildcard_statements, wildcards) in [
        (
            json!({"secrets": ["db", "d"], "statements": [
            {"effect": "Deny", "principals": [{"user": "a"}], "actions": ["*"]}]}),
            1,
            0,
            0,
        ),
        (
            json!({"secrets": ["db"], "statements": [
            {"effect": "Deny", "principals": [{"group": "a"}, {"serviceAccount": "a"}], "actions": ["*"]}]}),
            1,
            0,
            0,
        ),
        (
            json!({"secrets": ["d**b*", "x"], "statements": [
            {"effect": "Deny", "principals": [{"user": "a"}], "actions": ["*"]},
            {"effect": "Deny", "principals": [{"group": "a*"}], "actions": ["*"]}]}),
            0,
            2,
            3,
        ),
        (
            json!({"secrets": ["db"], "statements": [
            {"effect": "Deny", "principals": [{"user": "a"}], "actions": ["*"]},
            {"effect": "Deny", "principals": [{"serviceAccount": "*/*"}], "actions": ["*"]},
            {"effect": "Deny", "principals": [{"user": "a"}], "actions": ["*"], "conditions": window}]}),
            1,
            2,
            2,
        ),
        (
            json!({"identities": {"serviceAccounts": ["app"]}, "statements": [
            {"effect": "Allow", "actions": ["*"], "resources": ["*:secret/a*", "key/k"]}]}),
            0,
            1,
            2,
        ),
    ] {
        let expected = Weight {
            policies: 1,
            statements,
            wildcard_statements,
            wildcards,
        };
        let mut namespace = NamespacePolicies::default();
        let exactly = |namespace: &NamespacePolicies, bounds| {
            namespace
                .fits(&named(0), &compiled(&shared, spec.clone()), bounds)
                .is_ok()
        };
        assert!(exactly(&namespace, expected), "{spec}");
        for less in [
            Weight {
                policies: 0,
                ..expected
            },
            Weight {
                statements: expected.statements.wrapping_sub(1),
                ..expected
            },
            Weight {
                wildcard_statements: expected.wildcard_statements.wrapping_sub(1),
                ..expected
            },
            Weight {
                wildcards: expected.wildcards.wrapping_sub(1),
                ..expected
            },
        ] {
            let none = [less.statements, less.wildcard_statements, less.wildcards].contains(&usize::MAX);
            assert_eq!(exactly(&namespace, less), none, "{spec}");
        }
        namespace.put(named(0), compiled(&shared, spec.clone()));
        namespace.remove(&named(0));
        assert!(namespace.is_empty() && exactly(&namespace, expected));
    }
}

#[test]
fn what_was_in_force_before_keeps_its_room_until_every_policy_came() {
    let shared = SharedStatements::default();
    let bounds = Weight {
        policies: 1,
        ..BOUNDS
    };
    let one = || compiled_policy(&shared, &["db"], 1, "app-");
    let mut namespace = NamespacePolicies::default();
    namespace.expect(named(0), one());
    assert!(namespace.fits(&named(1), &one(), bounds).is_err());
    assert!(namespace.fits(&named(0), &one(), bounds).is_ok());
    namespace.put(named(0), one());
    assert!(namespace.fits(&named(1), &one(), bounds).is_err());
    namespace.remove(&named(0));
    assert!(namespace.fits(&named(1), &one(), bounds).is_ok());
    namespace.expect(named(0), one());
    namespace.expect_nothing();
    assert!(namespace.fits(&named(1), &one(), bounds).is_ok() && namespace.is_empty());
}

#[test]
fn a_policy_without_room_to_deny_shuts_its_kind_and_takes_no_room() {
    let shared = SharedStatements::default();
    let mut namespace = NamespacePolicies::default();
    namespace.put(named(0), compiled_policy(&shared, &["db"], 1, "app-"));
    let principal = super::account("shop", "app-0");
    let facts = RequestFacts::default();
    let allowed = |namespace: &NamespacePolicies| {
        let request = request(&principal, Action::GetSecretValue, "db", &facts);
        decide_by(None, Some(namespace), &request).unwrap().allowed
    };
    assert!(allowed(&namespace));
    let other = compiled_policy(&shared, &["other-*"], 1, "app-");
    namespace.deny_all(named(1), &other);
    assert!(!allowed(&namespace) && namespace.has(&named(1)));
    assert!(
        namespace
            .fits(
                &named(2),
                &other,
                Weight {
                    policies: 2,
                    ..BOUNDS
                }
            )
            .is_ok()
    );
    namespace.put(named(1), other);
    assert!(allowed(&namespace));
    namespace.deny_all(named(1), &compiled_policy(&shared, &["x"], 1, "app-"));
    namespace.remove(&named(1));
    assert!(allowed(&namespace));
}
