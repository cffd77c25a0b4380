//! Deletions and restores, which go through the custom resources, and what they destroy.

use super::objects::{body, record_of};
use super::writes::says;
use super::*;

#[tokio::test]
async fn a_deleted_secret_comes_back_with_an_object() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    world.create("shop/app", &body("partner")).await;
    let send = |method: Method, path: &'static str| world.write(method, "shop/app", path, "");
    let restore = || send(Method::POST, "/partner/restore");
    assert_eq!(restore().await.code(), says(409, "NotInRecoveryWindow"));
    for bad in [
        "/partner?recoveryWindowDays=6",
        "/partner?recoveryWindowDays=31",
        "/partner?force=true&recoveryWindowDays=7",
    ] {
        assert_eq!(
            send(Method::DELETE, bad).await.code(),
            says(400, "InvalidRequest")
        );
    }
    let fields = json!({"f:spec": {"f:source": {}}});
    world.kept_by("managedsecrets", "partner", "argocd", fields);
    let delete = || send(Method::DELETE, "/partner?recoveryWindowDays=7");
    assert_eq!(delete().await.code(), says(409, "ManagedElsewhere"));
    world.kept_by("managedsecrets", "partner", "strongroom-api", json!({}));
    let gone = delete().await;
    assert_eq!(gone.status, 200);
    let until: Timestamp = gone.json()["deletion"].as_str().unwrap().parse().unwrap();
    let days = until.duration_since(Timestamp::now()).as_hours();
    assert!((7 * 24 - 1..=7 * 24).contains(&days), "{days}");
    assert_eq!(world.kept("managedsecrets", "partner"), None);
    assert_eq!(delete().await.code(), says(409, "InRecoveryWindow"));
    assert_eq!(
        world.create("shop/app", &body("partner")).await.code(),
        says(409, "InRecoveryWindow")
    );

    let back = restore().await;
    assert_eq!(back.status, 200);
    let object = world.kept("managedsecrets", "partner").unwrap();
    assert_eq!(object["spec"]["description"], "of the partner");
    assert_eq!(object["metadata"]["labels"], json!({"team": "shop"}));
    let read = world.get("shop/app", "/partner/value?key=password").await;
    assert_eq!(read.body, b"first");
    // Its object is bound again: the next deletion finds it.
    assert_eq!(send(Method::DELETE, "/partner").await.status, 200);
    assert_eq!(world.kept("managedsecrets", "partner"), None);
    // Whoever may delete, by whatever pattern, may not therefore destroy.
    let refused = send(Method::DELETE, "/partner?force=true").await;
    assert_eq!(refused.code(), says(403, "PolicyDenied"));
    let missing = refused.json()["missingPolicies"][0].as_str().unwrap().to_owned();
    assert!(missing.contains("secrets:PurgeSecret"), "{missing}");
    assert_eq!(world.last(), record_of("PurgeSecret", "PolicyDenied"));
    world.allow("purges", "app", "secrets:PurgeSecret", "partner");
    let destroyed = send(Method::DELETE, "/partner?force=true").await;
    assert_eq!(destroyed.json(), json!({}));
    assert_eq!(
        send(Method::DELETE, "/partner").await.code(),
        says(404, "SecretNotFound")
    );
}

#[tokio::test]
async fn the_native_secret_goes_with_a_deletion_unless_somebody_claims_it() {
    for claimed in [false, true] {
        let world = World::new(0);
        world.allow("p", "app", "*", "*");
        world.create("shop/app", &body("partner")).await;
        let secret = world.stored("partner");
        let version = secret.current().map(|version| version.id.to_string());
        let mut native = json!({"metadata": {
            "name": "partner",
            "annotations": {"strongroom.dev/secret-id": secret.id.to_string(), "strongroom.dev/version": version},
            "managedFields": [{"manager": "strongroom", "operation": "Apply", "fieldsV1": {"f:data": {"f:token": {}}}}],
        }});
        if claimed {
            native["metadata"]["annotations"]["meta.helm.sh/release-name"] = json!("shop");
        }
        world.api.resource(&Method::POST, "secrets", "", &native);
        let bind = strongroom_store::vault::BindMaterialized {
            secret: secret.id,
            materialized: Some(strongroom_store::vault::ObjectRef {
                uid: "uid-partner".parse().unwrap(),
                name: "partner".to_owned(),
            }),
        };
        world.gateway.store.run(bind, meta()).unwrap();
        let gone = world.write(Method::DELETE, "shop/app", "/partner", "").await;
        assert_eq!(gone.status, 200);
        assert_eq!(world.kept("secrets", "partner").is_some(), claimed);
        let secret = world.gateway.store.describe(secret.id).unwrap();
        assert_eq!(secret.materialized, None);
    }
}

/// A namespace that keeps nothing destroys by every deletion without a window: that is a purge as well.
#[tokio::test]
async fn a_deletion_that_leaves_no_window_asks_whether_it_may_destroy() {
    let world = World::new(0);
    world.allow("p", "app", "secrets:DeleteSecret", "*");
    world.keeps_nothing("shop");
    world.secret_with("shop", "brief", strongroom_store::vault::Recovery::Nothing);
    world.secret("shop", "lasting", "x");
    let send = |path: &'static str| world.write(Method::DELETE, "shop/app", path, "");
    // Not by its own pattern, and not known of either.
    assert_eq!(send("/brief").await.code(), says(404, "SecretNotFound"));
    assert_eq!(world.last(), record_of("PurgeSecret", "PolicyDenied"));
    assert_eq!(send("/lasting").await.status, 200);
    assert!(send("/brief?recoveryWindowDays=7").await.json()["deletion"].is_string());
    world.allow("purges", "app", "secrets:PurgeSecret", "brief-2");
    world.secret_with("shop", "brief-2", strongroom_store::vault::Recovery::Nothing);
    assert_eq!(send("/brief-2").await.json(), json!({}));
}
