//! A full namespace over the API, and the room that administrators make in it.

use strongroom_store::audit;

use super::*;

fn quota(secrets: u64) -> Quota {
    Quota {
        secrets,
        bytes: 100_000,
    }
}

fn secret(name: &str) -> String {
    let data = json!({"token": data_encoding::BASE64.encode(b"t0ken")});
    json!({"name": name, "versionId": "v-1", "data": data}).to_string()
}

/// A request of an administrator, or of whoever else comes over the extension API.
async fn over_the_front(world: &World, method: &str, path: &str, body: Json) -> TestAnswer {
    let request = Request::builder()
        .method(method)
        .uri(format!("/v1/namespaces/{path}"))
        .header("x-strongroom-user", "root");
    world.arriving(request, Body::from(body.to_string()), true).await
}

fn deleted(world: &World, name: &str) {
    let delete = DeleteSecret {
        secret: world.stored(name).id,
        deletion: Deletion::default(),
    };
    world.gateway.store.run(delete, meta()).unwrap();
}

#[tokio::test]
async fn a_full_namespace_takes_no_new_secret_and_no_larger_value() {
    let world = World::within(quota(2));
    world.allow("p", "app", "*", "*");
    let create = async |name: &str| world.write(Method::POST, "shop/app", "", &secret(name)).await;
    assert_eq!(create("partner").await.status, StatusCode::CREATED);
    let refused = create("more").await;
    assert_eq!(refused.code(), (409, "NamespaceFull".to_owned()));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("2 of 2 secrets") && detail.contains("purge --namespace shop"),
        "{detail}"
    );
    assert!(
        !world
            .api
            .objects
            .lock()
            .contains_key(&("managedsecrets".to_owned(), "more".to_owned())),
        "no object is left that waits"
    );
    let record = world.records().pop().unwrap();
    assert_eq!(record.outcome, AuditOutcome::Refused("NamespaceFull".to_owned()));
    // A first value over PutSecretValue is a new secret as well.
    world.declare("declared", None);
    let put = async |name: &str, version: &str, bytes: usize| {
        let data = json!({"token": data_encoding::BASE64.encode("t".repeat(bytes).as_bytes())});
        let path = format!("/{name}/versions/{version}");
        world
            .write(Method::PUT, "shop/app", &path, &json!({"data": data}).to_string())
            .await
    };
    assert_eq!(
        put("declared", "v-1", 5).await.code(),
        (409, "NamespaceFull".to_owned())
    );
    // Of what is there the values change as long as there is room, and then as long as they do not grow.
    world.declare("partner", None);
    for version in ["v-2", "v-3", "v-4", "v-5"] {
        put("partner", version, 20_000).await;
    }
    assert_eq!(
        put("partner", "v-6", 20_001).await.code(),
        (409, "NamespaceFull".to_owned())
    );
    assert_eq!(put("partner", "v-6", 20_000).await.status, StatusCode::CREATED);
    assert!(world.gateway.store.stats().namespace_full >= 3);
}

#[tokio::test]
async fn administrators_see_what_is_in_recovery_windows_and_destroy_what_they_saw() {
    let world = World::within(quota(3));
    for name in ["old", "older"] {
        world.secret("shop", name, "x");
        deleted(&world, name);
    }
    // Of a pod's token, however much its policies allow, there is no such path.
    world.allow("p", "app", "*", "*");
    for (method, path) in [("GET", "deletedsecrets"), ("POST", "purges")] {
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1/namespaces/shop/{path}"))
            .header("authorization", "Bearer shop/app");
        let refused = world.send(request, Body::empty()).await;
        assert_eq!(refused.code(), (404, "NoSuchPath".to_owned()), "{path}");
    }
    let list = over_the_front(&world, "GET", "shop/deletedsecrets", json!({}))
        .await
        .json();
    let names: Vec<&str> = list["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| secret["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["old", "older"]);
    assert_eq!(
        (&list["used"]["secrets"], &list["limit"]["secrets"]),
        (&json!(3), &json!(3))
    );
    assert!(list["secrets"][0]["bytes"].as_u64().unwrap() > 200, "{list}");
    assert_eq!(list.get("next"), None);
    assert!(!list.to_string().contains("s3cr3t"));
    let record = world.records().pop().unwrap();
    assert_eq!((record.action, record.secret), (audit::Action::ListSecrets, None));

    // What goes after the list was seen stays: here that is what was seen a minute before.
    let purge = async |before: &Json| {
        over_the_front(&world, "POST", "shop/purges", json!({"deletedBefore": before})).await
    };
    let nothing = purge(&json!("2026-01-01T00:00:00Z")).await.json();
    assert_eq!(nothing, json!({"destroyed": 0, "bytes": 0, "more": false}));
    assert_eq!(world.records().pop().unwrap().action, audit::Action::PurgeSecret);
    let after = |seconds: i64| {
        let time = Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        json!(time.to_string())
    };
    let done = purge(&after(60)).await.json();
    let bytes = list["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| secret["bytes"].as_u64().unwrap())
        .sum::<u64>();
    assert_eq!(done, json!({"destroyed": 2, "bytes": bytes, "more": false}));
    let entries = world.gateway.store.mutations_after(0, 1_000).unwrap();
    let mut purged: Vec<String> = entries
        .iter()
        .filter(|(_, entry)| entry.action == audit::Action::PurgeSecret)
        .map(|(_, entry)| format!("{:?} {}", entry.actor, entry.secret.as_ref().unwrap()))
        .collect();
    purged.sort();
    assert_eq!(purged.len(), 2);
    assert!(
        purged[0].contains("root") && purged[0].ends_with(" old"),
        "{purged:?}"
    );
    let list = over_the_front(&world, "GET", "shop/deletedsecrets", json!({}))
        .await
        .json();
    assert_eq!(
        (&list["secrets"], &list["used"]["secrets"]),
        (&json!([]), &json!(1))
    );
    // What is live stays, and a namespace that the store has never seen has nothing.
    assert_eq!(world.stored("db-main").versions.len(), 1);
    let unknown = over_the_front(&world, "GET", "nowhere/deletedsecrets", json!({}))
        .await
        .json();
    assert_eq!(unknown["used"], json!({"secrets": 0, "bytes": 0}));
    let wrong = over_the_front(&world, "POST", "shop/purges", json!({"deletedBefore": "soon"})).await;
    assert_eq!(wrong.code(), (400, "InvalidRequest".to_owned()));
    let wrong = over_the_front(&world, "GET", "Shop!/deletedsecrets", json!({})).await;
    assert_eq!(wrong.code(), (400, "InvalidRequest".to_owned()));
}

#[tokio::test]
async fn a_namespace_that_is_gone_is_purged_all_the_same() {
    let world = World::within(quota(100));
    world.namespace("gone");
    for number in 0..70 {
        world.secret("gone", &format!("db-{number}"), "x");
    }
    let ids: Vec<SecretId> = {
        let store = &world.gateway.store;
        let gone = store.namespace_named(&"gone".parse().unwrap()).unwrap().unwrap();
        store
            .list(Some(gone.id), None, 100)
            .unwrap()
            .iter()
            .map(|secret| secret.id)
            .collect()
    };
    for secret in ids {
        let deletion = Deletion::default();
        world
            .gateway
            .store
            .run(DeleteSecret { secret, deletion }, meta())
            .unwrap();
    }
    world.api.uids.lock().remove("gone");
    let time = Timestamp::now() + jiff::SignedDuration::from_secs(60);
    let body = json!({"deletedBefore": time.to_string()});
    let done = over_the_front(&world, "POST", "gone/purges", body).await.json();
    assert_eq!((&done["destroyed"], &done["more"]), (&json!(70), &json!(false)));
}
