//! The table of decisions, cell by cell, and the decision against an evaluator without any cleverness.

mod bounds;
mod compile;
mod denial;
mod destroys;
mod explain;
mod filter;
mod naive;
mod namespace;
mod products;
mod shared;

use serde_json::{Value as Json, json};
use strongroom_crds::v1alpha1::SecretPolicySpec;

use super::{
    Action, Decision, Identity, PolicySet, PolicySource, Principal, ProductContext, Request, RequestFacts,
    SecretRef, decide,
};

fn policy(spec: Json) -> SecretPolicySpec {
    serde_json::from_value(spec).unwrap()
}

fn account(namespace: &str, name: &str) -> Principal {
    Principal {
        identity: Identity::ServiceAccount {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        },
        groups: vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
        ],
    }
}

fn user(name: &str) -> Principal {
    Principal {
        identity: Identity::User(name.to_owned()),
        groups: vec!["system:authenticated".to_owned(), "team-db".to_owned()],
    }
}

/// Policies by namespace, in order.
fn book(policies: &[(&str, Json)]) -> PolicySet {
    let mut book = PolicySet::default();
    for (index, (namespace, spec)) in policies.iter().enumerate() {
        book.put(
            namespace,
            &PolicySource::Policy(format!("p{index}")),
            &policy(spec.clone()),
        )
        .unwrap();
    }
    book
}

/// For the secret of this name in `shop`, under the default key.
fn request<'a>(
    principal: &'a Principal,
    action: Action,
    name: &'a str,
    facts: &'a RequestFacts,
) -> Request<'a> {
    Request {
        principal,
        action,
        secret: SecretRef {
            namespace: "shop",
            name,
        },
        key: None,
        owner: None,
        facts,
        products: ProductContext::default(),
    }
}

fn ask(
    book: &PolicySet,
    principal: &Principal,
    action: Action,
    name: &str,
    facts: &RequestFacts,
) -> Decision {
    decide(book, &request(principal, action, name, facts)).unwrap()
}

/// Every cell: who stands how to the secret, which policies allow the secret's action, who denies it, and
/// which policies allow the key's use.
#[test]
fn the_table_of_decisions() {
    let mut cells = 0;
    for who in ["same", "other", "user"] {
        let principal = match who {
            "same" => account("shop", "app"),
            "other" => account("team-b", "app"),
            _ => user("app"),
        };
        let home = if who == "same" { "shop" } else { "team-b" };
        let in_policy = match who {
            "user" => json!({"user": "app"}),
            _ => json!({"serviceAccount": format!("{home}/app")}),
        };
        let facts = RequestFacts::default();
        for bits in 0..128_u32 {
            let bit = |n: u32| bits & (1 << n) != 0;
            let (identity, secret, identity_denies, secret_denies) = (bit(0), bit(1), bit(2), bit(3));
            let (under_key, key_identity, key_secret) = (bit(4), bit(5), bit(6));
            let mut policies = Vec::new();
            let mut by_identity = |effect: &str, action: &str, resource: &str| {
                policies.push((
                    home,
                    json!({"identities": {"serviceAccounts": ["app"]}, "statements": [
                    {"effect": effect, "actions": [action], "resources": [resource]}]}),
                ));
            };
            if identity {
                by_identity("Allow", "secrets:GetSecretValue", "shop:secret/db");
            }
            if identity_denies {
                by_identity("Deny", "secrets:Get*", "*:secret/d*");
            }
            if key_identity {
                by_identity("Allow", "keys:Decrypt", "shop:key/payments");
            }
            let mut by_secret = |effect: &str, action: &str, secret: &str| {
                policies.push((
                    "shop",
                    json!({"secrets": [secret], "statements": [
                    {"effect": effect, "principals": [in_policy.clone()], "actions": [action]}]}),
                ));
            };
            if secret {
                by_secret("Allow", "secrets:GetSecretValue", "db");
            }
            if secret_denies {
                by_secret("Deny", "*", "*");
            }
            if key_secret {
                by_secret("Allow", "keys:Decrypt", "d*");
            }
            let request = Request {
                key: under_key.then_some((Action::Decrypt, "payments")),
                ..request(&principal, Action::GetSecretValue, "db", &facts)
            };
            let decision = decide(&book(&policies), &request).unwrap();

            let enough = |identity: bool, secret: bool| match who {
                "same" => identity || secret,
                "other" => identity && secret,
                _ => secret,
            };
            let denied = (identity_denies && who != "user") || secret_denies;
            let allowed =
                !denied && enough(identity, secret) && (!under_key || enough(key_identity, key_secret));
            let cell = format!("{who} {bits:07b}");
            assert_eq!(decision.allowed, allowed, "{cell}");
            assert_eq!(decision.missing.is_empty(), allowed || denied, "{cell}");
            assert!(!(allowed || denied) || !decision.statements.is_empty(), "{cell}");
            cells += 1;
        }
    }
    assert_eq!(cells, 384);
}

#[test]
fn nobody_reads_without_a_policy() {
    let decision = ask(
        &PolicySet::default(),
        &account("shop", "app"),
        Action::GetSecretValue,
        "db",
        &RequestFacts::default(),
    );
    assert!(!decision.allowed);
    assert_eq!(decision.missing.len(), 1);
}

#[test]
fn a_wildcard_over_accounts_is_not_about_users() {
    let book = book(&[(
        "shop",
        json!({"secrets": ["*"], "statements": [
        {"effect": "Allow", "principals": [{"serviceAccount": "*/*"}], "actions": ["*"]}]}),
    )]);
    let facts = RequestFacts::default();
    assert!(
        ask(
            &book,
            &account("shop", "app"),
            Action::GetSecretValue,
            "db",
            &facts
        )
        .allowed
    );
    assert!(!ask(&book, &user("app"), Action::GetSecretValue, "db", &facts).allowed);
    assert!(!ask(&book, &user(""), Action::GetSecretValue, "db", &facts).allowed);
}

#[test]
fn what_is_unknown_fulfils_a_deny_and_no_allow() {
    for (effect, condition) in [
        ("Allow", json!({"podLabels": {"app": "web"}})),
        ("Deny", json!({"podLabels": {"app": "web"}})),
        ("Allow", json!({"nodeLabels": {"zone": "a"}})),
        ("Deny", json!({"nodeLabels": {"zone": "a"}})),
        ("Allow", json!({"sourceRanges": ["10.0.0.0/8"]})),
        ("Deny", json!({"sourceRanges": ["10.0.0.0/8"]})),
    ] {
        let mut policies = vec![(
            "shop",
            json!({"secrets": ["db"], "statements": [
            {"effect": effect, "principals": [{"serviceAccount": "app"}], "actions": ["*"], "conditions": condition}]}),
        )];
        if effect == "Deny" {
            policies.push((
                "shop",
                json!({"secrets": ["db"], "statements": [
                {"effect": "Allow", "principals": [{"serviceAccount": "app"}], "actions": ["*"]}]}),
            ));
        }
        let book = book(&policies);
        let labels = |text: &str| {
            let (key, value) = text.split_once('=').unwrap();
            Some([(key.to_owned(), value.to_owned())].into())
        };
        let fits = RequestFacts {
            pod_labels: labels("app=web"),
            node_labels: labels("zone=a"),
            source: Some("::ffff:10.1.2.3".parse().unwrap()),
            ..RequestFacts::default()
        };
        let other = RequestFacts {
            pod_labels: labels("app=db"),
            node_labels: labels("zone=b"),
            source: Some("192.168.0.1".parse().unwrap()),
            ..RequestFacts::default()
        };
        let allowed = |facts: &RequestFacts| {
            ask(
                &book,
                &account("shop", "app"),
                Action::GetSecretValue,
                "db",
                facts,
            )
            .allowed
        };
        assert_eq!(allowed(&fits), effect == "Allow", "{effect} {condition}");
        assert_eq!(allowed(&other), effect == "Deny", "{effect} {condition}");
        assert!(!allowed(&RequestFacts::default()), "{effect} {condition}");
    }
}

#[test]
fn a_broken_policy_changes_nothing_and_an_unknown_one_denies() {
    let mut book = book(&[(
        "shop",
        json!({"secrets": ["db"], "statements": [
        {"effect": "Allow", "principals": [{"serviceAccount": "app"}], "actions": ["secrets:GetSecretValue"]}]}),
    )]);
    let facts = RequestFacts::default();
    let allowed = |book: &PolicySet| {
        ask(
            book,
            &account("shop", "app"),
            Action::GetSecretValue,
            "db",
            &facts,
        )
        .allowed
    };
    let broken = policy(json!({"secrets": ["db"], "statements": [
        {"effect": "Deny", "principals": [{"serviceAccount": "app"}], "actions": ["secrets:Nothing"]}]}));
    let source = PolicySource::Policy("p0".to_owned());
    assert!(book.put("shop", &source, &broken).is_err());
    assert!(allowed(&book));
    book.deny("shop", &source, &broken).unwrap();
    assert!(!allowed(&book));
    assert!(book.holds("shop", &source));
    book.remove("shop", &source);
    assert!(!book.holds("shop", &source));
    assert!(book.namespace("shop").unwrap().is_empty());
}

#[test]
fn readers_may_read_and_nothing_else() {
    let mut book = PolicySet::default();
    let source = PolicySource::Readers("db".to_owned());
    book.put("shop", &source, &super::readers_policy("db", &["app".to_owned()]))
        .unwrap();
    let facts = RequestFacts::default();
    for action in Action::ALL {
        let reads = matches!(
            action,
            Action::GetSecretValue | Action::DescribeSecret | Action::ListSecretVersionIds | Action::Decrypt
        );
        assert_eq!(
            ask(&book, &account("shop", "app"), *action, "db", &facts).allowed,
            reads,
            "{action}"
        );
        assert!(!ask(&book, &account("shop", "app"), *action, "db2", &facts).allowed);
        assert!(!ask(&book, &account("team-b", "app"), *action, "db", &facts).allowed);
    }
    let decision = ask(
        &book,
        &account("shop", "app"),
        Action::GetSecretValue,
        "db",
        &facts,
    );
    assert_eq!(decision.statements[0].source, source);
}
