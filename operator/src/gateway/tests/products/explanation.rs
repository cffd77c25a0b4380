//! What ExplainAccess says of a default secret.

use super::*;

#[tokio::test]
async fn an_explanation_says_the_matrix_before_policies() {
    let world = World::with_product(facts());
    let explain = async |action: &str, principal: &str| {
        let path = format!("/pg!free/access?action={action}&principal={principal}");
        world.get(USER, &path).await.json()
    };
    let denied = explain("PutSecretValue", "shop/app").await;
    assert_eq!(denied["allowed"], false);
    let text = denied["explanation"].as_str().unwrap();
    assert!(
        text.starts_with("denied: ") && text.contains("managed by product `pg`"),
        "{text}"
    );
    let product = denied["product"].as_str().unwrap();
    for part in ["product `pg` (Postgres)", "hosted Free", "a user of it", PAGE] {
        assert!(product.contains(part), "{product}");
    }
    assert_eq!(denied["missingPolicies"], json!([]));
    assert_eq!(
        check(&denied, "permission"),
        ("ProductDecides".to_owned(), "irrelevant".to_owned())
    );
    assert_eq!(
        check(&denied, "product"),
        ("ManagedBy".to_owned(), "failing".to_owned())
    );
    let manager = explain("PutSecretValue", MANAGER).await;
    assert_eq!(manager["allowed"], true, "{manager}");
    assert!(manager["product"].as_str().unwrap().contains("a manager of it"));
    assert_eq!(
        check(&manager, "product"),
        ("Manager".to_owned(), "passing".to_owned())
    );
}

#[tokio::test]
async fn a_manager_hears_of_a_key_once_it_is_granted() {
    let world = World::with_product(facts());
    let explain = async |key: &str, principal: &str| {
        let path = format!("/pg!new/access?action=CreateSecret&encryptionKey={key}{principal}");
        let explained = world.get(MANAGER, &path).await.json();
        let mut checks = explained["checks"].as_array().unwrap().iter();
        checks.find(|check| check["check"] == "key").unwrap().clone()
    };
    world.grant_key(false);
    for principal in ["", "&principal=shop/app"] {
        let there = explain("pay", principal).await;
        assert_eq!(there["result"], "KeyNotGranted", "{there}");
        assert_eq!(there, explain("nothing", principal).await);
    }
    world.grant_key(true);
    assert_eq!(explain("pay", "").await["result"], "KeyUsable");
    assert_eq!(explain("nothing", "").await["result"], "KeyAbsent");
}

/// Result and state of a check.
fn check(explained: &Json, name: &str) -> (String, String) {
    let mut checks = explained["checks"].as_array().unwrap().iter();
    let found = checks.find(|check| check["check"] == name).unwrap();
    let text = |field: &str| found[field].as_str().unwrap().to_owned();
    (text("result"), text("state"))
}

#[tokio::test]
async fn an_explanation_of_a_creation_or_a_move_counts_the_quota() {
    let mut edited = facts();
    let full = QuotaLimits {
        per_namespace: 1,
        total: 1,
    };
    edited.hosting.insert(Hosting::Paid, full);
    let world = World::with_product(edited);
    for (path, expected) in [
        ("/pg!new/access?action=CreateSecret", ("Within", "passing")),
        (
            "/pg!new/access?action=CreateSecret&encryptionKey=pay",
            ("QuotaExceeded", "failing"),
        ),
        (
            "/pg!free/access?action=UpdateSecret&encryptionKey=pay",
            ("QuotaExceeded", "failing"),
        ),
        ("/pg!free/access?action=UpdateSecret", ("NoQuota", "irrelevant")),
        ("/pg!free/access?action=PutSecretValue", ("NoQuota", "irrelevant")),
    ] {
        let explained = world.get(MANAGER, path).await.json();
        let expected = (expected.0.to_owned(), expected.1.to_owned());
        assert_eq!(check(&explained, "quota"), expected, "{path}");
    }
    // How many other tenants have is for the product to know.
    for (account, tells) in [(MANAGER, true), (USER, false)] {
        let explained = world
            .get(account, "/pg!new/access?action=CreateSecret")
            .await
            .json();
        let mut checks = explained["checks"].as_array().unwrap().iter();
        let quota = checks.find(|check| check["check"] == "quota").unwrap();
        let detail = quota["detail"].as_str().unwrap();
        assert_eq!(detail.contains("of 500 in all"), tells, "{detail}");
    }
}
