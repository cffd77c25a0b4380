//! What a product's managers may with its own secrets, who else may of them, and the principal `product`.

use serde_json::json;
use strongroom_crds::{Manifest, parse_manifest};
use strongroom_model::ProductCode;

use super::{account, book, policy, request, user};
use crate::policy::{
    Action, Decision, MissingPermission, PolicyKind, PolicyScope, PolicySet, PolicySource, Principal,
    ProductContext, Request, RequestFacts, decide, denial, explain, readers_policy,
};

const NAME: &str = "aigw!payments";

fn codes() -> Vec<ProductCode> {
    vec![ProductCode::new("aigw").unwrap()]
}

/// What is decided about `aigw!payments` in `shop`.
fn decided(
    book: &PolicySet,
    principal: &Principal,
    action: Action,
    key: Option<(Action, &str)>,
    products: ProductContext<'_>,
) -> Decision {
    let facts = RequestFacts::default();
    let request = Request {
        key,
        products,
        ..request(principal, action, NAME, &facts)
    };
    decide(book, &request).unwrap()
}

fn acting(codes: &[ProductCode], scope: PolicyScope) -> ProductContext<'_> {
    ProductContext {
        acts_for: codes.first(),
        scope,
        ..managing(codes)
    }
}

/// The caller manages these, which may act; the secret is none of theirs.
fn managing(codes: &[ProductCode]) -> ProductContext<'_> {
    ProductContext {
        managed: codes,
        named_by: codes,
        ..ProductContext::default()
    }
}

/// The caller was a manager of these, which may not act.
fn named_by(codes: &[ProductCode]) -> ProductContext<'_> {
    ProductContext {
        named_by: codes,
        ..ProductContext::default()
    }
}

fn scoped(scope: PolicyScope) -> ProductContext<'static> {
    ProductContext {
        scope,
        ..ProductContext::default()
    }
}

/// The tenant lets the product use its keys.
fn key_grant() -> serde_json::Value {
    json!({"secrets": ["aigw!*"], "statements": [
        {"effect": "Allow", "principals": [{"product": "aigw"}], "actions": ["keys:*"]}]})
}

#[test]
fn a_manager_may_what_products_may_from_whichever_namespace() {
    let codes = codes();
    for home in ["aigw-system", "shop"] {
        for scope in [PolicyScope::Both, PolicyScope::IdentityOnly] {
            for action in Action::ALL.iter().filter(|action| !action.uses_key()) {
                let manager = account(home, "controller");
                let decision = decided(
                    &PolicySet::default(),
                    &manager,
                    *action,
                    None,
                    acting(&codes, scope),
                );
                assert_eq!(
                    decision.allowed,
                    action.is_products(),
                    "{home} {scope:?} {action}"
                );
                if decision.allowed {
                    let [statement] = &*decision.statements else {
                        panic!("{decision:?}");
                    };
                    assert_eq!(statement.source, PolicySource::Product("aigw".to_owned()));
                    let text = "the grant to the managers of SecretProduct `aigw`";
                    assert_eq!(statement.text(), text);
                }
            }
        }
    }
}

#[test]
fn a_tenants_deny_wins_over_the_product() {
    let codes = codes();
    let manager = account("aigw-system", "controller");
    for principal in [
        json!({"product": "aigw"}),
        json!({"serviceAccount": "aigw-system/controller"}),
        json!({"group": "system:serviceaccounts"}),
    ] {
        let denying = json!({"secrets": ["aigw!*"], "statements": [
            {"effect": "Deny", "principals": [principal], "actions": ["*"]}]});
        let book = book(&[("shop", denying)]);
        for scope in [PolicyScope::Both, PolicyScope::IdentityOnly] {
            let decision = decided(
                &book,
                &manager,
                Action::PutSecretValue,
                None,
                acting(&codes, scope),
            );
            assert!(!decision.allowed && decision.missing.is_empty(), "{decision:?}");
            let source = &decision.statements[0].source;
            assert_eq!(*source, PolicySource::Policy("p0".to_owned()));
        }
    }
    // A Deny of the product's own namespace does as well.
    let own = json!({"identities": {"serviceAccounts": ["*"]}, "statements": [
        {"effect": "Deny", "actions": ["secrets:Put*"], "resources": ["*:secret/*"]}]});
    let book = book(&[("aigw-system", own)]);
    let acting = acting(&codes, PolicyScope::Both);
    assert!(!decided(&book, &manager, Action::PutSecretValue, None, acting).allowed);
    assert!(decided(&book, &manager, Action::GetSecretValue, None, acting).allowed);
}

#[test]
fn the_use_of_a_key_is_the_tenants_to_give() {
    let codes = codes();
    let key = Some((Action::GenerateDataKey, "payments"));
    for (home, kind) in [("aigw-system", PolicyKind::Secret), ("shop", PolicyKind::Either)] {
        let manager = account(home, "controller");
        for scope in [PolicyScope::Both, PolicyScope::IdentityOnly] {
            let acting = acting(&codes, scope);
            let put = |book: &PolicySet| decided(book, &manager, Action::PutSecretValue, key, acting);
            let denied = put(&PolicySet::default());
            let missing = MissingPermission {
                action: Action::GenerateDataKey,
                policy: kind,
            };
            assert_eq!(
                (denied.allowed, &*denied.missing),
                (false, &[missing][..]),
                "{home}"
            );
            assert!(put(&book(&[("shop", key_grant())])).allowed, "{home} {scope:?}");
            // It is for the product's secrets, and for the product.
            let others = json!({"secrets": ["pg!*"], "statements": key_grant()["statements"]});
            assert!(!put(&book(&[("shop", others)])).allowed, "{home}");
        }
        // Who manages another product is nobody here.
        let other = [ProductCode::new("pg").unwrap()];
        let pg = managing(&other);
        let decision = decided(
            &book(&[("shop", key_grant())]),
            &manager,
            Action::PutSecretValue,
            key,
            pg,
        );
        assert!(!decision.allowed);
    }
}

#[test]
fn what_is_missing_for_a_key_is_the_policy_of_the_product() {
    let codes = codes();
    let manager = account("aigw-system", "controller");
    let facts = RequestFacts::default();
    let request = Request {
        key: Some((Action::GenerateDataKey, "payments")),
        products: acting(&codes, PolicyScope::Both),
        ..request(&manager, Action::CreateSecret, NAME, &facts)
    };
    let denied = decide(&PolicySet::default(), &request).unwrap();
    let explanation = explain(&request, &denied, "aigw-system");
    let [yaml] = &*explanation.yaml else {
        panic!("{explanation:?}");
    };
    let Ok(Manifest::SecretPolicy(wanted)) = parse_manifest(yaml) else {
        panic!("{yaml}");
    };
    assert_eq!(wanted.spec, policy(key_grant()));
    let mut book = PolicySet::default();
    book.put("shop", &PolicySource::Policy("p".to_owned()), &wanted.spec)
        .unwrap();
    assert!(decide(&book, &request).unwrap().allowed);
    let text = denial(&request, &denied, NAME);
    assert!(text.contains("`keys:*` to the product"), "{text}");
}

#[test]
fn what_is_denied_to_a_product_outlasts_it_and_what_is_allowed_does_not() {
    let codes = codes();
    let other = [ProductCode::new("pg").unwrap()];
    let manager = account("shop", "controller");
    let of_product = |effect: &str, actions: &str| {
        json!({"secrets": ["db"], "statements": [
            {"effect": effect, "principals": [{"product": "aigw"}], "actions": [actions]}]})
    };
    let of_account = json!({"identities": {"serviceAccounts": ["controller"]}, "statements": [
        {"effect": "Allow", "actions": ["secrets:GetSecretValue"], "resources": ["secret/db"]}]});
    let facts = RequestFacts::default();
    let reads = |book: &PolicySet, products| {
        let request = Request {
            products,
            ..request(&manager, Action::GetSecretValue, "db", &facts)
        };
        decide(book, &request).unwrap().allowed
    };
    let allowing = book(&[("shop", of_product("Allow", "*"))]);
    let denying = book(&[("shop", of_account), ("shop", of_product("Deny", "secrets:Get*"))]);
    for (products, may_as_product, may_as_account) in [
        (managing(&codes), true, false),
        (named_by(&codes), false, false),
        (named_by(&other), false, true),
        (ProductContext::default(), false, true),
    ] {
        assert_eq!(reads(&allowing, products), may_as_product, "{products:?}");
        assert_eq!(reads(&denying, products), may_as_account, "{products:?}");
    }
}

#[test]
fn the_principal_product_is_who_manages_it_now_and_nothing_that_a_token_says() {
    let codes = codes();
    let allowing = json!({"secrets": ["db"], "statements": [
        {"effect": "Allow", "principals": [{"product": "aigw"}], "actions": ["secrets:GetSecretValue"]}]});
    let book = book(&[("shop", allowing)]);
    let facts = RequestFacts::default();
    let mut manager = account("shop", "controller");
    let reads = |principal: &Principal, products| {
        let request = Request {
            products,
            ..request(principal, Action::GetSecretValue, "db", &facts)
        };
        decide(&book, &request).unwrap().allowed
    };
    // In turn, so that no answer of before is given again.
    for _ in 0..2 {
        assert!(reads(&manager, managing(&codes)));
        assert!(!reads(&manager, ProductContext::default()));
    }
    manager
        .groups
        .extend(["aigw", "product:aigw", "strongroom.dev:product:aigw"].map(str::to_owned));
    assert!(!reads(&manager, ProductContext::default()));
    assert!(!reads(&user("aigw"), ProductContext::default()));
}

#[test]
fn of_a_free_secret_identity_policies_decide_for_accounts_and_its_own_for_users() {
    let by_identity = |namespace: &'static str| {
        let spec = json!({"identities": {"serviceAccounts": ["app"]}, "statements": [
            {"effect": "Allow", "actions": ["secrets:GetSecretValue"], "resources": ["shop:secret/aigw!*"]}]});
        (namespace, spec)
    };
    let by_secret = |principal: serde_json::Value| {
        let spec = json!({"secrets": ["aigw!*"], "statements": [
            {"effect": "Allow", "principals": [principal], "actions": ["secrets:GetSecretValue"]}]});
        ("shop", spec)
    };
    let reads = |book: &PolicySet, principal: &Principal, scope| {
        decided(book, principal, Action::GetSecretValue, None, scoped(scope))
    };
    let (free, paid) = (PolicyScope::IdentityOnly, PolicyScope::Both);
    let app = account("shop", "app");
    let identity = book(&[by_identity("shop")]);
    assert!(reads(&identity, &app, free).allowed && reads(&identity, &app, paid).allowed);
    // A secret policy allows no ServiceAccount, not by a group either.
    for principal in [
        json!({"serviceAccount": "app"}),
        json!({"group": "system:serviceaccounts"}),
    ] {
        let secret = book(&[by_secret(principal)]);
        let decision = reads(&secret, &app, free);
        assert!(!decision.allowed, "{decision:?}");
        assert_eq!(decision.missing[0].policy, PolicyKind::Identity);
        assert!(decision.statements.is_empty(), "{decision:?}");
        assert!(reads(&secret, &app, paid).allowed);
    }
    // People have no identity policies.
    for principal in [json!({"user": "jane"}), json!({"group": "team-db"})] {
        let secret = book(&[by_secret(principal)]);
        assert!(reads(&secret, &user("jane"), free).allowed);
    }
    // Nobody of another namespace, whatever there is.
    let other = account("team-b", "app");
    let both = book(&[
        by_identity("team-b"),
        by_secret(json!({"serviceAccount": "team-b/app"})),
    ]);
    assert!(reads(&both, &other, paid).allowed);
    let decision = reads(&both, &other, free);
    assert!(!decision.allowed && decision.barred, "{decision:?}");
    assert!(
        decision.missing.is_empty() && decision.statements.is_empty(),
        "{decision:?}"
    );
    let facts = RequestFacts::default();
    let request = Request {
        products: scoped(free),
        ..request(&other, Action::GetSecretValue, NAME, &facts)
    };
    for text in [
        denial(&request, &decision, NAME),
        explain(&request, &decision, "team-b").text,
    ] {
        assert!(text.contains("no policy can allow it"), "{text}");
    }
}

#[test]
fn a_deny_counts_wherever_it_stands() {
    let denying = json!({"secrets": ["aigw!*"], "statements": [
        {"effect": "Deny", "principals": [{"serviceAccount": "app"}], "actions": ["*"]}]});
    let allowing = json!({"identities": {"serviceAccounts": ["app"]}, "statements": [
        {"effect": "Allow", "actions": ["*"], "resources": ["secret/aigw!*"]}]});
    let book = book(&[("shop", allowing), ("shop", denying)]);
    let app = account("shop", "app");
    for scope in [PolicyScope::IdentityOnly, PolicyScope::Both] {
        let decision = decided(&book, &app, Action::GetSecretValue, None, scoped(scope));
        assert!(!decision.allowed && decision.missing.is_empty(), "{decision:?}");
    }
}

#[test]
fn readers_of_an_object_say_nothing_about_a_products_secret() {
    let mut book = PolicySet::default();
    for name in [NAME, "db"] {
        let readers = readers_policy(name, &["app".to_owned()]);
        let source = PolicySource::Readers(name.to_owned());
        book.put("shop", &source, &readers).unwrap();
    }
    let (app, facts) = (account("shop", "app"), RequestFacts::default());
    let reads = |name| {
        let request = request(&app, Action::GetSecretValue, name, &facts);
        decide(&book, &request).unwrap().allowed
    };
    assert!(reads("db") && !reads(NAME));
}

#[test]
fn who_may_get_the_object_by_rbac_may_describe_a_free_secret_of_another_namespace() {
    let other = account("team-b", "app");
    let describes = || {
        let free = scoped(PolicyScope::IdentityOnly);
        decided(&PolicySet::default(), &other, Action::DescribeSecret, None, free)
    };
    assert!(describes().barred);
    let by_rbac = describes().or_by_rbac(Action::DescribeSecret);
    assert!(by_rbac.allowed && by_rbac.rbac && !by_rbac.barred);
}
