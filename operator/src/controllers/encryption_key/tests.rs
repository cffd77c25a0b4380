//! Keys as named scenarios: what an object says, what becomes of the key, and what the secrets under it say.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use strongroom_store::vault::{KeyState, KeyView};

use crate::controllers::deletion::{DeletionMemory, OwnerKind, pass};
use crate::controllers::rewrap;
use crate::controllers::testing::{ControllerFixture, NS, SECRETS, generated, now, says};
use crate::store_handle::timestamp;

const KEY_DELETIONS: &str = "/api/v1/namespaces/strongroom/configmaps/strongroom-key-deletions";

fn at(seconds: i64) -> Timestamp {
    now().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

fn days(days: i64) -> Timestamp {
    at(days * 86_400)
}

/// A spec whose value lies under a key.
fn under(key: &str, native: &str) -> Json {
    let mut spec = generated(native);
    spec["encryptionKey"] = json!(key);
    spec
}

async fn stored(world: &ControllerFixture, name: &str) -> KeyView {
    let store = &world.ctx.store;
    let namespace = store.namespace(NS).await.unwrap().unwrap();
    store
        .key(namespace.id, &name.parse().unwrap())
        .await
        .unwrap()
        .unwrap()
}

/// A key and a secret under it, both ready.
async fn world() -> ControllerFixture {
    let mut world = ControllerFixture::new();
    world.key("pay", json!({})).await;
    world.apply_now("card", under("pay", "card")).await;
    assert_eq!(world.ready("card"), says("True", "Ready"));
    world
}

/// Looks once now, and once when the absences have been collected.
async fn looks(world: &ControllerFixture) -> DeletionMemory {
    let mut memory = DeletionMemory::new(OwnerKind::EncryptionKey);
    pass(&world.ctx, &mut memory, at(0)).await.unwrap();
    pass(&world.ctx, &mut memory, at(31)).await.unwrap();
    memory
}

#[tokio::test]
async fn a_key_says_what_lies_under_it() {
    let mut world = world().await;
    world.key("pay", json!({})).await;
    let status = world.key_status("pay");
    assert_eq!(status["state"], "Enabled");
    assert_eq!(
        (&status["secrets"], &status["secretVersions"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        (&status["primaryVersion"], &status["rewrapPending"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(status["keyId"], stored(&world, "pay").await.id.to_string());
    assert!(status["lastUsed"].is_string());
    let condition = &status["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["status"]),
        (&json!("Ready"), &json!("True"))
    );
    assert_eq!(condition["message"], "the key works; 1 secrets depend on it");
}

#[tokio::test]
async fn a_disabled_key_stops_its_secrets_and_an_enabled_one_brings_them_back() {
    let mut world = world().await;
    let native = format!("{SECRETS}/card");
    let before = world.api.get(&native).unwrap();
    world.key("pay", json!({"enabled": false})).await;
    assert_eq!(world.key_status("pay")["state"], "Disabled");
    world.annotate("card", "strongroom.dev/rotate-now", "please");
    world.reconcile("card").await;
    assert_eq!(world.ready("card"), says("False", "KeyDisabled"));
    let held = world.api.get(&native).unwrap();
    assert_eq!(
        held["metadata"]["annotations"]["strongroom.dev/held"],
        "KeyDisabled"
    );
    assert_eq!(held["data"], before["data"]);
    assert_eq!(world.versions("card").await, 1, "nothing rotates");
    // Again, and nothing is written.
    world.api.log();
    world.reconcile("card").await;
    let writes = world
        .api
        .log()
        .into_iter()
        .filter(|line| !line.starts_with("GET"));
    assert_eq!(writes.count(), 0);

    world.key("pay", json!({"enabled": true})).await;
    world.reconcile("card").await;
    assert_eq!(world.ready("card"), says("True", "Ready"));
    let after = world.api.get(&native).unwrap();
    assert_eq!(after["metadata"]["annotations"].get("strongroom.dev/held"), None);
    assert_eq!(world.versions("card").await, 2, "what was asked for is done");
}

#[tokio::test]
async fn a_secret_waits_for_its_key() {
    let mut world = ControllerFixture::with_secret("card", under("pay", "card")).await;
    assert_eq!(world.ready("card"), says("False", "KeyNotReady"));
    assert_eq!(world.view("card").await, None);
    world.key("pay", json!({"enabled": false})).await;
    world.reconcile("card").await;
    assert_eq!(world.ready("card"), says("False", "KeyDisabled"));
    world.key("pay", json!({})).await;
    world.reconcile("card").await;
    assert_eq!(world.ready("card"), says("True", "Ready"));
}

#[tokio::test]
async fn a_secret_moves_to_a_key_and_away_and_keeps_its_value() {
    let mut world = ControllerFixture::new();
    world.key("pay", json!({})).await;
    world.apply_now("card", generated("card")).await;
    let password = world.api.secret_key("card", "password").unwrap();
    let versions = world.view("card").await.unwrap().versions;
    let counts = async |world: &mut ControllerFixture| {
        world.key("pay", json!({})).await;
        let status = world.key_status("pay");
        ["secrets", "secretVersions", "rewrapPending"].map(|field| status[field].as_i64().unwrap())
    };
    world.apply_now("card", under("pay", "card")).await;
    assert_eq!(counts(&mut world).await, [1, 0, 1]);
    rewrap::pass(&world.ctx).await.unwrap();
    assert_eq!(counts(&mut world).await, [1, 1, 0]);
    world.apply_now("card", generated("card")).await;
    assert_eq!(counts(&mut world).await, [1, 1, 0]);
    rewrap::pass(&world.ctx).await.unwrap();
    assert_eq!(counts(&mut world).await, [0, 0, 0]);
    assert_eq!(world.api.secret_key("card", "password").unwrap(), password);
    assert_eq!(world.view("card").await.unwrap().versions, versions);
}

#[tokio::test]
async fn a_key_rotates_in_time_and_its_old_version_goes() {
    let mut world = world().await;
    let spec = json!({"rotation": {"every": "7d"}});
    world.key("pay", spec.clone()).await;
    assert_eq!(world.key_status("pay")["primaryVersion"], 1);
    assert!(world.key_status("pay")["nextRotation"].is_string());
    let key = stored(&world, "pay").await;
    let late = timestamp(key.primary_created)
        .checked_add(SignedDuration::from_hours(7 * 24))
        .unwrap();
    world.key_at("pay", spec, json!({}), late).await;
    let status = world.key_status("pay");
    assert_eq!(
        (&status["primaryVersion"], &status["rewrapPending"]),
        (&json!(2), &json!(1))
    );
    assert!(status["lastRotation"].is_string());
    assert_eq!(stored(&world, "pay").await.versions, [1, 2]);
    rewrap::pass(&world.ctx).await.unwrap();
    assert_eq!(stored(&world, "pay").await.versions, [2]);
    world.reconcile("card").await;
    assert_eq!(world.ready("card"), says("True", "Ready"));
}

#[tokio::test]
async fn a_key_that_secrets_depend_on_outlives_its_object() {
    let mut world = world().await;
    let id = stored(&world, "pay").await.id;
    world.delete_key("pay");
    looks(&world).await;
    assert_eq!(stored(&world, "pay").await.state, KeyState::Enabled);
    world.reconcile("card").await;
    assert_eq!(world.ready("card"), says("False", "KeyObjectMissing"));
    world.annotate("card", "strongroom.dev/rotate-now", "please");
    world.reconcile("card").await;
    assert_eq!(world.versions("card").await, 2, "it works on");
    // Applied again, it is the same key.
    world.key("pay", json!({})).await;
    assert_eq!(stored(&world, "pay").await.id, id);
    world.reconcile("card").await;
    assert_eq!(world.ready("card"), says("True", "Ready"));
    // When nothing depends on it any more, it goes.
    world.delete_key("pay");
    world.apply_now("card", generated("card")).await;
    rewrap::pass(&world.ctx).await.unwrap();
    looks(&world).await;
    assert!(matches!(
        stored(&world, "pay").await.state,
        KeyState::PendingDeletion { .. }
    ));
}

#[tokio::test]
async fn with_consent_a_key_goes_and_applying_it_again_keeps_it() {
    let mut world = world().await;
    let spec = json!({"deletion": {"window": "7d"}});
    let consent = json!({"strongroom.dev/confirm-data-loss": "true"});
    world.key_at("pay", spec.clone(), consent, now()).await;
    world.delete_key("pay");
    looks(&world).await;
    let KeyState::PendingDeletion { until } = stored(&world, "pay").await.state else {
        panic!("it stays");
    };
    let until = timestamp(until);
    assert!(
        until > days(6)
            && until
                < Timestamp::now()
                    .checked_add(SignedDuration::from_hours(7 * 24 + 1))
                    .unwrap()
    );
    world.reconcile("card").await;
    assert_eq!(world.ready("card"), says("False", "KeyDisabled"));
    world.key("pay", spec).await;
    assert_eq!(stored(&world, "pay").await.state, KeyState::Enabled);
    world.reconcile("card").await;
    assert_eq!(world.ready("card"), says("True", "Ready"));
}

#[tokio::test]
async fn many_keys_that_vanish_at_once_wait_for_a_person() {
    let mut world = ControllerFixture::new();
    for number in 0..4 {
        world.key(&format!("key-{number}"), json!({})).await;
    }
    for number in 0..3 {
        world.delete_key(&format!("key-{number}"));
    }
    let mut memory = looks(&world).await;
    assert_eq!(stored(&world, "key-0").await.state, KeyState::Enabled);
    assert_eq!(world.ctx.metrics.deletions_waiting("EncryptionKey"), 3);
    let mut asked = world.api.get(KEY_DELETIONS).unwrap();
    let batch = asked["data"]["batch"].clone();
    assert!(
        asked["data"]["confirm-with"]
            .as_str()
            .unwrap()
            .contains("strongroom-key-deletions")
    );
    asked["metadata"]["annotations"]["strongroom.dev/confirm"] = batch;
    world.api.put(KEY_DELETIONS, asked);
    pass(&world.ctx, &mut memory, at(40)).await.unwrap();
    for number in 0..3 {
        let state = stored(&world, &format!("key-{number}")).await.state;
        assert!(
            matches!(state, KeyState::PendingDeletion { .. }),
            "{number}: {state:?}"
        );
    }
    assert_eq!(stored(&world, "key-3").await.state, KeyState::Enabled);
}

#[tokio::test]
async fn a_key_whose_crd_is_gone_stays() {
    let mut world = ControllerFixture::new();
    world.key("pay", json!({})).await;
    world.delete_key("pay");
    let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/encryptionkeys.strongroom.dev";
    world.api.remove(crd);
    looks(&world).await;
    assert_eq!(stored(&world, "pay").await.state, KeyState::Enabled);
}
