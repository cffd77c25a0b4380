//! How a default secret moves from free hosting to paid, and back.

use super::*;

#[tokio::test]
async fn a_free_secret_becomes_paid_and_back_only_as_the_tenant_allows() {
    let world = World::with_product(facts());
    let object = object_name("pg!free");
    assert_eq!(
        world.move_to(USER, "db-main", json!("pay")).await,
        says(400, "InvalidRequest")
    );
    assert_eq!(
        world.move_to(USER, "pg!free", json!("pay")).await,
        says(403, "ProductManaged")
    );
    assert_eq!(
        world.move_to(MANAGER, "pg!free", json!("nothing")).await,
        says(409, "KeyNotFound")
    );
    world.grant_key(false);
    assert_eq!(
        world.move_to(MANAGER, "pg!free", json!("pay")).await,
        says(403, "PolicyDenied")
    );
    assert_eq!(world.stored("pg!free").key, KeyRef::Default);
    world.grant_key(true);
    assert_eq!(
        world.move_to(MANAGER, "pg!free", json!("pay")).await,
        says(200, "")
    );
    let answer = world.get(MANAGER, "/pg!free").await.json();
    assert_eq!(
        (
            &answer["hosting"],
            &answer["encryptionKey"],
            &answer["stages"]["Current"]
        ),
        (&json!("Paid"), &json!("pay"), &json!("v-1"))
    );
    let kept = world.kept("managedsecrets", &object).unwrap();
    assert_eq!(kept["spec"]["encryptionKey"], "pay");
    let read = world.operate(USER, Action::GetSecretValue, Hosting::Free).await;
    assert_eq!(read, says(200, ""));
    // The same again changes nothing.
    assert_eq!(
        world.move_to(MANAGER, "pg!free", json!("pay")).await,
        says(200, "")
    );
    assert_eq!(
        world.move_to(MANAGER, "pg!free", Json::Null).await,
        says(403, "HostingRefused")
    );
    world.let_leave(&object, "pay/1");
    assert_eq!(world.move_to(MANAGER, "pg!free", Json::Null).await, says(200, ""));
    assert_eq!(world.stored("pg!free").key, KeyRef::Default);
    let kept = world.kept("managedsecrets", &object).unwrap();
    assert_eq!(kept["spec"].get("encryptionKey"), None);
}

#[tokio::test]
async fn the_tenants_leave_counts_for_one_move_from_under_one_key() {
    let world = World::with_product(facts());
    world.key("other");
    let object = object_name("pg!free");
    let back = async || world.move_to(MANAGER, "pg!free", Json::Null).await;
    let under = async |key: &str| {
        let moved = world.move_to(MANAGER, "pg!free", json!(key)).await;
        assert_eq!(moved, says(200, ""), "{key}");
    };
    under("pay").await;
    for value in ["true", "pay", "other/1", "pay/0", "pay/2"] {
        world.let_leave(&object, value);
        assert_eq!(back().await, says(403, "HostingRefused"), "{value}");
    }
    world.let_leave(&object, "pay/1");
    assert_eq!(back().await, says(200, ""));
    under("pay").await;
    assert_eq!(back().await, says(403, "HostingRefused"));
    let body = json!({"encryptionKey": null}).to_string();
    let told = world
        .write(Method::PATCH, MANAGER, "/pg!free", &body)
        .await
        .json();
    let detail = told["detail"].as_str().unwrap();
    assert!(
        detail.contains("strongroom.dev/allow-default-key=pay/3"),
        "{detail}"
    );
    // It is not another key's.
    world.let_leave(&object, "pay/3");
    under("other").await;
    assert_eq!(back().await, says(403, "HostingRefused"));
    world.let_leave(&object, "other/4");
    assert_eq!(back().await, says(200, ""));
}

#[tokio::test]
async fn a_secret_leaves_one_key_for_another_where_it_may_be_decrypted() {
    let world = World::with_product(facts());
    world.key("other");
    let grant = |actions: Json| {
        let statement = json!({"effect": "Allow", "principals": [{"product": "pg"}], "actions": actions});
        world.shop_policy("grant", json!({"secrets": ["pg!*"], "statements": [statement]}));
    };
    grant(json!(["keys:GenerateDataKey"]));
    let before = world.stored("pg!paid").key;
    let body = json!({"encryptionKey": "other"}).to_string();
    let told = world.write(Method::PATCH, MANAGER, "/pg!paid", &body).await;
    assert_eq!(told.code(), says(403, "PolicyDenied"));
    let told = told.json();
    assert!(
        told["detail"].as_str().unwrap().contains("keys:Decrypt"),
        "{told}"
    );
    let policy = told["missingPolicies"][0].as_str().unwrap();
    assert!(policy.contains(r#"principals: [{product: "pg"}]"#), "{policy}");
    assert_eq!(world.stored("pg!paid").key, before);
    // Its description is changed as ever.
    let describe = world.operate(MANAGER, Action::UpdateSecret, Hosting::Paid);
    assert_eq!(describe.await, says(200, ""));
    grant(json!(["keys:*"]));
    let moved = world.move_to(MANAGER, "pg!paid", json!("other")).await;
    assert_eq!(moved, says(200, ""));
    assert_ne!(world.stored("pg!paid").key, before);
}

#[tokio::test]
async fn a_move_without_room_in_the_paid_quota_leaves_the_object_as_it_was() {
    let mut edited = facts();
    let full = QuotaLimits {
        per_namespace: 1,
        total: 1,
    };
    edited.hosting.insert(Hosting::Paid, full);
    let world = World::with_product(edited);
    assert_eq!(
        world.move_to(MANAGER, "pg!free", json!("pay")).await,
        says(403, "QuotaExceeded")
    );
    let kept = world.kept("managedsecrets", &object_name("pg!free")).unwrap();
    assert_eq!(kept["spec"].get("encryptionKey"), None);
    assert_eq!(world.stored("pg!free").key, KeyRef::Default);
}

#[tokio::test]
async fn whoever_asks_for_a_move_is_shown_no_more_of_the_secret_than_before() {
    let world = World::with_product(facts());
    // Of a paid secret it counts, of a free one it does not.
    let statement = json!({"effect": "Allow", "principals": [{"serviceAccount": "stranger"}],
        "actions": ["secrets:DescribeSecret"]});
    world.shop_policy("sees", json!({"secrets": ["pg!*"], "statements": [statement]}));
    for (name, told) in [
        ("pg!paid", says(403, "ProductManaged")),
        ("pg!free", says(404, "SecretNotFound")),
    ] {
        let moved = world.move_to("shop/stranger", name, json!("pay")).await;
        assert_eq!(moved, told, "{name}");
    }
}
