//! The bundle of one namespace: absent, ours, edited, deleted, somebody else's.

use serde_json::{Value as Json, json};

use super::*;
use crate::controllers::testing::{ControllerFixture, NS};

const PATH: &str = "/api/v1/namespaces/shop/configmaps/strongroom-ca";

/// Looks at what is due, as long as something is.
async fn publish_due(world: &ControllerFixture) {
    for _ in 0..5 {
        let (due, _) = world.ctx.bundles.take_due(Instant::now());
        for namespace in due {
            let outcome = publish(&world.ctx, &namespace, "pem").await;
            world.ctx.bundles.looked(&namespace, outcome);
        }
    }
}

async fn written() -> ControllerFixture {
    let world = ControllerFixture::new();
    world.ctx.bundles.want(NS);
    publish_due(&world).await;
    world
}

fn is_due(world: &ControllerFixture) -> bool {
    world.ctx.bundles.any_due()
}

/// The watch tells how it is now.
fn told(world: &ControllerFixture) {
    let change = match world.api.get(PATH) {
        Some(map) => WatchChange::applied(serde_json::from_value(map).unwrap()),
        None => WatchChange::Deleted(
            serde_json::from_value(json!({"metadata": {"name": NAME, "namespace": NS}})).unwrap(),
        ),
    };
    heard(&world.ctx.bundles, &change);
}

fn put(world: &ControllerFixture, map: Json) -> Json {
    let mut map = map;
    map["metadata"]["namespace"] = json!(NS);
    world.api.put(PATH, map)
}

#[tokio::test]
async fn it_is_made_where_it_is_wanted_and_our_own_write_is_no_news() {
    let world = written().await;
    let mut map = world.api.get(PATH).unwrap();
    assert_eq!(map["data"], json!({"ca.crt": "pem"}));
    map["metadata"]["namespace"] = json!(NS);
    let change = WatchChange::applied(serde_json::from_value(map).unwrap());
    heard(&world.ctx.bundles, &change);
    assert!(!is_due(&world));
}

#[tokio::test]
async fn one_that_was_deleted_is_back_at_once() {
    let world = written().await;
    world.api.remove(PATH);
    told(&world);
    assert!(is_due(&world), "not after minutes");
    publish_due(&world).await;
    assert_eq!(world.api.get(PATH).unwrap()["data"], json!({"ca.crt": "pem"}));

    // And where a watch missed it, the next complete list tells.
    world.api.remove(PATH);
    let listed = WatchChange::Listed(ListedObjects::default());
    heard(&world.ctx.bundles, &listed);
    assert!(is_due(&world));
    publish_due(&world).await;
    assert!(world.api.get(PATH).is_some());
}

#[tokio::test]
async fn an_edit_of_ours_is_undone_and_what_others_add_stays() {
    let world = written().await;
    let mut map = world.api.get(PATH).unwrap();
    map["data"] = json!({"ca.crt": "mine", "other": "x"});
    put(&world, map);
    told(&world);
    publish_due(&world).await;
    let map = world.api.get(PATH).unwrap();
    assert_eq!(map["data"], json!({"ca.crt": "pem", "other": "x"}));
    assert_eq!(world.api.events(), []);
}

#[tokio::test]
async fn one_of_somebody_else_stays_and_an_event_says_so() {
    let world = ControllerFixture::new();
    let theirs = put(
        &world,
        json!({"metadata": {"name": NAME}, "data": {"ca.crt": "mine", "other": "x"}}),
    );
    world.ctx.bundles.want(NS);
    publish_due(&world).await;
    assert_eq!(world.api.get(PATH), Some(theirs));
    let [(reason, note)] = &world.api.events()[..] else {
        panic!("one Event: {:?}", world.api.events())
    };
    assert_eq!(reason, "NotOurs");
    assert!(note.contains("`somebody`"), "{note}");
    // The name is free: it is ours at once.
    world.api.remove(PATH);
    told(&world);
    publish_due(&world).await;
    assert_eq!(world.api.get(PATH).unwrap()["data"], json!({"ca.crt": "pem"}));
}

#[tokio::test]
async fn one_that_somebody_makes_between_look_and_write_stays() {
    let world = ControllerFixture::new();
    world.api.fail("PATCH", 409);
    world.ctx.bundles.want(NS);
    let (due, _) = world.ctx.bundles.take_due(Instant::now());
    assert_eq!(due, [NS]);
    let outcome = publish(&world.ctx, NS, "pem").await;
    assert!(
        matches!(outcome, BundleOutcome::Again(CONFLICT_DELAY)),
        "{outcome:?}"
    );
}
