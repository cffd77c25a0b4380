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
    {
        let mut objects = world.api.objects.lock();
        let place = ("managedsecrets".to_owned(), object.clone());
        objects.get_mut(&place).unwrap()["metadata"]["annotations"] =
            json!({"strongroom.dev/allow-default-key": "true"});
    }
    assert_eq!(world.move_to(MANAGER, "pg!free", Json::Null).await, says(200, ""));
    assert_eq!(world.stored("pg!free").key, KeyRef::Default);
    let kept = world.kept("managedsecrets", &object).unwrap();
    assert_eq!(kept["spec"].get("encryptionKey"), None);
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
