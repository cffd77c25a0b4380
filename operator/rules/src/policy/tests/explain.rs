//! What is missing can be pasted, and then it is not missing any more.

use strongroom_crds::{Manifest, parse_manifest};

use super::{account, request, user};
use crate::policy::{Action, PolicySet, PolicySource, Request, RequestFacts, decide, explain};

#[test]
fn what_is_missing_allows_it_once_it_is_applied() {
    let facts = RequestFacts::default();
    for principal in [
        account("shop", "app"),
        account("team-b", "batch.1"),
        user("Jane \"J\" O'Neil: x"),
    ] {
        for key in [None, Some((Action::Decrypt, "payments"))] {
            let request = Request {
                key,
                ..request(&principal, Action::GetSecretValue, "Db_main/1", &facts)
            };
            let mut book = PolicySet::default();
            let denied = decide(&book, &request).unwrap();
            let explanation = explain(&request, &denied, "shop");
            assert!(
                explanation
                    .text
                    .starts_with("denied: secrets:GetSecretValue on secret `Db_main/1`"),
                "{}",
                explanation.text
            );
            let sides = if principal.identity.namespace() == Some("team-b") {
                2
            } else {
                1
            };
            assert_eq!(explanation.yaml.len(), sides);
            for yaml in &explanation.yaml {
                let Ok(Manifest::SecretPolicy(policy)) = parse_manifest(yaml) else {
                    panic!("{yaml}: {:?}", parse_manifest(yaml));
                };
                let namespace = policy.metadata.namespace.clone().unwrap();
                let source = PolicySource::Policy(policy.metadata.name.clone().unwrap());
                book.put(&namespace, &source, &policy.spec).unwrap();
            }
            let allowed = decide(&book, &request).unwrap();
            assert!(allowed.allowed, "{:?} of {:?}", allowed.missing, explanation.yaml);
            let explanation = explain(&request, &allowed, "shop");
            assert!(
                (explanation.text.contains("allows it") || explanation.text.contains("allow it"))
                    && explanation.yaml.is_empty(),
                "{}",
                explanation.text
            );
        }
    }
}

#[test]
fn a_deny_names_its_statement_and_offers_nothing() {
    let facts = RequestFacts::default();
    let principal = account("shop", "app");
    let mut book = PolicySet::default();
    let spec = super::policy(serde_json::json!({"secrets": ["db-*"], "statements": [
        {"sid": "never", "effect": "Deny", "principals": [{"serviceAccount": "*"}], "actions": ["*"]}]}));
    book.put("shop", &PolicySource::Policy("lock".to_owned()), &spec)
        .unwrap();
    let request = request(&principal, Action::DescribeSecret, "db-main", &facts);
    let decision = decide(&book, &request).unwrap();
    let explanation = explain(&request, &decision, "shop");
    assert_eq!(
        explanation.text,
        "denied: secrets:DescribeSecret on secret `db-main` of namespace `shop` for serviceaccount shop/app\n\
         statement 1 (`never`) of SecretPolicy `lock` in namespace `shop` denies it\n"
    );
    assert!(explanation.yaml.is_empty());
}

/// Whoever applies one suggestion after the other ends with all of them in force: none has the name of
/// another.
#[test]
fn no_suggested_policy_takes_the_place_of_another() {
    let facts = RequestFacts::default();
    let principals = [
        account("shop", "app"),
        account("shop", "app-db"),
        account("team-b", "app"),
        account("team-b", "a.pp"),
        user("app"),
        user("App"),
        user("\u{1b}[31m"),
        user("\u{7}"),
    ];
    let mut names = std::collections::BTreeMap::new();
    for principal in &principals {
        for name in ["db", "db-db", "Db", "d_b", "d/b"] {
            for action in [Action::GetSecretValue, Action::PutSecretValue] {
                for key in [None, Some((Action::Decrypt, "payments"))] {
                    let request = Request {
                        key,
                        ..request(principal, action, name, &facts)
                    };
                    let denied = decide(&PolicySet::default(), &request).unwrap();
                    for yaml in explain(&request, &denied, "shop").yaml {
                        let Ok(Manifest::SecretPolicy(policy)) = parse_manifest(&yaml) else {
                            panic!("{yaml}: {:?}", parse_manifest(&yaml));
                        };
                        let name = policy.metadata.name.unwrap();
                        assert!(name.len() <= 253, "{name}");
                        let before = names.insert((policy.metadata.namespace.unwrap(), name), yaml.clone());
                        assert_eq!(before, None, "{yaml}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_suggested_policy_is_named_after_who_asks_and_for_what() {
    let facts = RequestFacts::default();
    let long = "a1".repeat(50);
    for (principal, name, expected) in [
        (account("shop", "app-1"), "db", "allow-app-1-db-"),
        (
            user("Jane \"J\" O'Neil: x"),
            "Db_main/1",
            "allow-jane--j--o-neil--x-db-main-1-",
        ),
        (user("\u{7}"), "_db_", "allow-x-db-"),
        (user(&long), "db", format!("allow-{}-db-", &long[..80]).as_str()),
    ] {
        let request = request(&principal, Action::GetSecretValue, name, &facts);
        let denied = decide(&PolicySet::default(), &request).unwrap();
        let yaml = explain(&request, &denied, "shop").yaml.remove(0);
        let Ok(Manifest::SecretPolicy(policy)) = parse_manifest(&yaml) else {
            panic!("{yaml}: {:?}", parse_manifest(&yaml));
        };
        let object = policy.metadata.name.unwrap();
        let digest = object.strip_prefix(expected);
        assert_eq!(digest.map(str::len), Some(8), "{object}");
    }
}

#[test]
fn rbac_allows_describing_and_nothing_else_and_a_deny_wins() {
    let facts = RequestFacts::default();
    let principal = user("jane");
    let request = |action| request(&principal, action, "db", &facts);
    for action in Action::ALL.iter().copied().filter(|action| !action.uses_key()) {
        let decision = decide(&PolicySet::default(), &request(action)).unwrap();
        let decision = decision.or_by_rbac(action);
        let describes = action == Action::DescribeSecret;
        assert_eq!(
            (decision.allowed, decision.rbac, decision.missing.is_empty()),
            (describes, describes, describes),
            "{action}"
        );
    }
    let mut book = PolicySet::default();
    let spec = super::policy(serde_json::json!({"secrets": ["*"], "statements": [
        {"effect": "Deny", "principals": [{"user": "*"}], "actions": ["*"]}]}));
    book.put("shop", &PolicySource::Policy("lock".to_owned()), &spec)
        .unwrap();
    let denied = decide(&book, &request(Action::DescribeSecret)).unwrap();
    assert!(!denied.or_by_rbac(Action::DescribeSecret).allowed);
}

/// A ServiceAccount that may describe a secret of another namespace, and whoever may describe one that others
/// read, see their own namespace's policies alone.
#[test]
fn names_of_another_namespaces_policies_are_told_to_nobody() {
    let facts = RequestFacts::default();
    let principal = account("team-b", "app");
    let mut book = PolicySet::default();
    for (namespace, name, spec) in [
        (
            "shop",
            "merger-with-acme",
            serde_json::json!({"secrets": ["*"], "statements": [
                {"sid": "theirs", "effect": "Allow", "principals": [{"serviceAccount": "*/*"}], "actions": ["*"]}]}),
        ),
        (
            "team-b",
            "layoffs",
            serde_json::json!({"identities": {"serviceAccounts": ["*"]}, "statements": [
                {"sid": "ours", "effect": "Allow", "actions": ["*"], "resources": ["*:secret/*"]}]}),
        ),
    ] {
        let source = PolicySource::Policy(name.to_owned());
        book.put(namespace, &source, &super::policy(spec)).unwrap();
    }
    let request = request(&principal, Action::GetSecretValue, "db", &facts);
    let decision = decide(&book, &request).unwrap();
    assert!(decision.allowed);
    for (reader, sees, not) in [
        ("shop", "merger-with-acme", ["layoffs", "ours"]),
        ("team-b", "layoffs", ["merger-with-acme", "theirs"]),
    ] {
        let explanation = explain(&request, &decision, reader);
        let all = format!("{} {:?}", explanation.text, explanation.statements);
        assert!(
            all.contains(sees) && all.contains("1 statement of another namespace allows it"),
            "{all}"
        );
        assert!(!not.iter().any(|name| all.contains(name)), "{all}");
    }
}
