//! Principals of RAM: nothing is decided before it is known whom they stand for, and what is in force follows
//! the directory.

use std::collections::HashSet;

use serde_json::json;
use strongroom_api::ram_policy::{PolicyTarget, RamAccounts, import};
use strongroom_rules::policy::{Action, Identity, Principal, Request, RequestFacts, SecretRef};
use strongroom_rules::ram_directory::RamAliases;

use super::*;
use crate::policies::{DecisionError, ObservedPolicy, Policies, PolicyGeneration};

const ACCOUNT: &str = "190325303126****";

fn spec(effect: &str, action: &str) -> SecretPolicySpec {
    serde_json::from_value(json!({"secrets": ["db"], "statements": [{
        "effect": effect, "actions": [action],
        "principals": [{"ram": format!("acs:ram::{ACCOUNT}:user/key_ramuser3")}],
    }]}))
    .unwrap()
}

fn generation(number: i64, effect: &str, action: &str) -> ObservedPolicy {
    ObservedPolicy {
        seen: PolicyGeneration {
            uid: "u".to_owned(),
            generation: number,
        },
        told: None,
        spec: Ok(spec(effect, action)),
    }
}

fn listed() -> Policies {
    let policies = Policies::default();
    policies.policies_listed(&HashSet::new());
    policies.readers_listed(|_, _| false);
    policies
}

/// With a directory that is complete, in which `shop` has the account.
fn complete() -> Policies {
    let policies = listed();
    let ram = policies.ram();
    ram.change(|directory| directory.put_namespace("shop", Some(ACCOUNT)));
    ram.namespaces_listed();
    ram.service_accounts_listed();
    policies
}

/// `app` of `shop` is this user.
fn app_is(policies: &Policies, user: &str) {
    let annotations = [(strongroom_crds::annotation::RAM_USER.to_owned(), user.to_owned())];
    let aliases = RamAliases::from_annotations(&annotations.into());
    policies
        .ram()
        .change(|directory| directory.put_service_account("shop", "app", aliases));
}

/// Whether `app` of a namespace may read `db` there.
fn allowed(policies: &Policies, namespace: &str) -> Result<bool, DecisionError> {
    may(
        policies,
        (namespace, "app"),
        Action::GetSecretValue,
        (namespace, "db"),
    )
}

/// Whether a ServiceAccount may do this with a secret.
fn may(
    policies: &Policies,
    (home, account): (&str, &str),
    action: Action,
    (namespace, name): (&str, &str),
) -> Result<bool, DecisionError> {
    let principal = Principal {
        identity: Identity::from_username(&format!("system:serviceaccount:{home}:{account}")),
        groups: Vec::new(),
    };
    let request = Request {
        principal: &principal,
        action,
        secret: SecretRef { namespace, name },
        key: None,
        owner: Some("uid-db"),
        products: <_>::default(),
        facts: &RequestFacts::default(),
    };
    policies.decide(&request).map(|decision| decision.allowed)
}

/// Resolves what is outdated, and answers with it in its order.
fn resolve(policies: &Policies) -> Vec<String> {
    let (mut done, mut last) = (Vec::new(), String::new());
    while let Some((namespace, name)) = policies.ram().next_outdated(&last) {
        policies.resolve_again(&namespace, &name);
        done.push(format!("{namespace}/{name}"));
        last = namespace;
    }
    done
}

fn unresolved(policies: &Policies) -> usize {
    match policies.principals("shop", "p") {
        Some(PrincipalResolution::Complete(unresolved)) => unresolved.count,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_decided_in_the_namespace_before_the_directory_is_complete() {
    let policies = listed();
    policies.policy("shop", "p", generation(1, "Deny", "*"));
    app_is(&policies, "key_ramuser3");
    policies
        .ram()
        .change(|directory| directory.put_namespace("shop", Some(ACCOUNT)));
    policies.readers("shop", ("db", "uid-db"), "db", &["app".to_owned()]);
    policies.readers("pay", ("db", "uid-db"), "db", &["app".to_owned()]);
    for list in [
        RamPolicies::namespaces_listed,
        RamPolicies::service_accounts_listed,
    ] {
        assert!(resolve(&policies).is_empty());
        assert_eq!(
            policies.principals("shop", "p"),
            Some(PrincipalResolution::Pending)
        );
        list(policies.ram());
        // Not before it was resolved either.
        assert_eq!(allowed(&policies, "shop"), Err(DecisionError::NotLoaded));
        assert_eq!(allowed(&policies, "pay"), Ok(true), "nobody else waits");
    }
    assert_eq!(resolve(&policies), ["shop/p"]);
    assert_eq!(allowed(&policies, "shop"), Ok(false));
    assert_eq!(unresolved(&policies), 0);
}

#[test]
fn what_is_in_force_follows_the_directory() {
    let policies = complete();
    policies.policy("shop", "p", generation(1, "Allow", "secrets:GetSecretValue"));
    assert_eq!(resolve(&policies), ["shop/p"]);
    assert_eq!(
        (allowed(&policies, "shop"), unresolved(&policies)),
        (Ok(false), 1)
    );
    app_is(&policies, "key_ramuser3");
    assert_eq!(resolve(&policies), ["shop/p"]);
    assert_eq!((allowed(&policies, "shop"), unresolved(&policies)), (Ok(true), 0));
    policies
        .ram()
        .change(|directory| directory.put_namespace("pay", Some("another")));
    assert!(resolve(&policies).is_empty(), "it is not concerned");
    app_is(&policies, "somebody");
    assert_eq!(resolve(&policies), ["shop/p"]);
    assert_eq!(
        (allowed(&policies, "shop"), unresolved(&policies)),
        (Ok(false), 1)
    );
    policies.remove_policy("shop", "p");
    app_is(&policies, "key_ramuser3");
    assert!(resolve(&policies).is_empty());
    assert_eq!(allowed(&policies, "shop"), Ok(false));
    assert_eq!(policies.principals("shop", "p"), None);
}

#[test]
fn a_generation_that_stays_in_force_follows_it_too() {
    let policies = complete();
    policies.readers("shop", ("db", "uid-db"), "db", &["app".to_owned()]);
    policies.policy("shop", "p", generation(1, "Deny", "*"));
    policies.policy("shop", "p", generation(2, "Deny", "secrets:Nothing"));
    resolve(&policies);
    assert_eq!(allowed(&policies, "shop"), Ok(true));
    app_is(&policies, "key_ramuser3");
    resolve(&policies);
    assert_eq!(allowed(&policies, "shop"), Ok(false));
    // The store keeps what was written, and not for whom it was taken.
    let kept = policies.to_keep("u").unwrap();
    let kept: SecretPolicySpec = serde_json::from_slice(&kept.statements).unwrap();
    assert_eq!(kept, spec("Deny", "*"));
    // One that names nobody of RAM takes its place.
    let plain = ObservedPolicy {
        spec: Ok(serde_json::from_value(json!({"secrets": ["db"], "statements": [
            {"effect": "Allow", "principals": [{"user": "jane"}], "actions": ["*"]}]}))
        .unwrap()),
        ..generation(3, "Deny", "*")
    };
    policies.policy("shop", "p", plain);
    app_is(&policies, "somebody");
    assert!(resolve(&policies).is_empty());
    assert_eq!(allowed(&policies, "shop"), Ok(true));
    assert_eq!(policies.principals("shop", "p"), None);
}

#[test]
fn namespaces_take_turns() {
    let policies = complete();
    for (namespace, name) in [("a", "1"), ("a", "2"), ("a", "3"), ("a-b", "1"), ("b", "1")] {
        policies.policy(
            namespace,
            name,
            ObservedPolicy::first(&format!("{namespace}/{name}"), spec("Deny", "*")),
        );
    }
    assert_eq!(resolve(&policies), ["a/1", "a-b/1", "b/1", "a/2", "a/3"]);
}

/// A policy of RAM as an object of the namespace.
fn put_imported(policies: &Policies, namespace: &str, text: &str, target: &PolicyTarget) {
    let imported = import(text, namespace, target, &RamAccounts::default()).unwrap();
    policies.policy(namespace, "p", ObservedPolicy::first(namespace, imported.spec));
}

#[test]
fn an_imported_identity_policy_allows_what_it_says() {
    let policies = listed();
    let target = PolicyTarget::ServiceAccounts(vec!["checkout".to_owned()]);
    let text = include_str!("../../../../fuzz/seeds/ram_policy/identity");
    put_imported(&policies, "shop", text, &target);
    let checkout = ("shop", "checkout");
    for (account, action, secret, expected) in [
        (checkout, Action::GetSecretValue, ("shop", "mcp!payments"), true),
        (checkout, Action::DescribeSecret, ("shop", "mcp!payments"), true),
        (checkout, Action::ListSecrets, ("shop", "mcp!payments"), true),
        (checkout, Action::PutSecretValue, ("shop", "mcp!payments"), false),
        (checkout, Action::GetSecretValue, ("shop", "mcp"), false),
        (checkout, Action::GetSecretValue, ("pay", "mcp!payments"), false),
        (
            ("shop", "other"),
            Action::GetSecretValue,
            ("shop", "mcp!payments"),
            false,
        ),
        (
            ("pay", "checkout"),
            Action::GetSecretValue,
            ("shop", "mcp!payments"),
            false,
        ),
    ] {
        assert_eq!(
            may(&policies, account, action, secret),
            Ok(expected),
            "{account:?} {action} {secret:?}"
        );
    }
}

#[test]
fn an_imported_secret_policy_is_for_the_account_as_it_is_written() {
    let policies = complete();
    let secret = ("pay", "ai-gateway!secret-name");
    let target = PolicyTarget::Secrets(vec![secret.1.to_owned()]);
    let text = include_str!("../../../../fuzz/seeds/ram_policy/secret");
    put_imported(&policies, "pay", text, &target);
    app_is(&policies, "key_ramuser3");
    // A number that the mask would fit.
    policies
        .ram()
        .change(|directory| directory.put_namespace("190325303126x", None));
    policies.ram().change(|directory| {
        directory.put_service_account("190325303126x", "key-ramuser3", RamAliases::default())
    });
    resolve(&policies);
    let reader = |home: &str, account: &str| may(&policies, (home, account), Action::GetSecretValue, secret);
    assert_eq!(
        reader("shop", "app"),
        Ok(false),
        "its own namespace does not allow it"
    );
    for home in ["shop", "190325303126x"] {
        let own = serde_json::from_value(json!({"identities": {"serviceAccounts": ["*"]}, "statements": [
            {"effect": "Allow", "actions": ["secrets:*"], "resources": ["pay:secret/*"]}]}));
        policies.policy(home, "own", ObservedPolicy::first(home, own.unwrap()));
    }
    assert_eq!(reader("shop", "app"), Ok(true));
    assert_eq!(reader("shop", "other"), Ok(false));
    assert_eq!(reader("190325303126x", "key-ramuser3"), Ok(false));
    let put = may(&policies, ("shop", "app"), Action::PutSecretValue, secret);
    assert_eq!(put, Ok(false));
}

#[test]
fn each_action_comes_in_from_ram_but_those_that_it_does_not_have() {
    let target = PolicyTarget::ServiceAccounts(vec!["app".to_owned()]);
    for action in Action::ALL {
        let (_, name) = action.as_str().split_once(':').unwrap();
        let statement = json!({"Effect": "Allow", "Action": format!("kms:{name}"), "Resource": "*"});
        let text = json!({"Version": "1", "Statement": statement}).to_string();
        let imported = import(&text, "shop", &target, &RamAccounts::default());
        if action.destroys() {
            assert!(imported.is_err(), "{action}");
        } else {
            assert_eq!(imported.unwrap().spec.statements[0].actions, [action.as_str()]);
        }
    }
}
