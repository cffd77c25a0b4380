//! A namespace that has as much of the store as it may have: what is said of it, and that what is there goes
//! on.

use serde_json::json;
use strongroom_store::vault::Quota;
use strongroom_testing::store::{meta, new_secret, value};

use crate::controllers::testing::{ControllerFixture, NS, generated, now, says};

fn keys(length: u32, more: bool) -> serde_json::Value {
    let mut keys = json!({"token": {"password": {"length": length}}});
    if more {
        keys["more"] = json!({"password": {"length": length}});
    }
    json!({"source": {"generate": {"keys": keys}}})
}

#[tokio::test]
async fn a_full_namespace_makes_nothing_new_and_says_what_helps() {
    let mut world = ControllerFixture::within(Some(Quota {
        secrets: 2,
        bytes: u64::MAX,
    }));
    for name in ["one", "two", "three"] {
        world.apply(name, generated(name));
    }
    world.reconcile("one").await;
    world.reconcile("two").await;
    let failure = world.reconcile_at("three", now()).await.unwrap_err();
    assert_eq!(world.ready("three"), says("False", "NamespaceFull"));
    assert_eq!(
        world.condition("three", "Stalled"),
        Some(says("True", "NamespaceFull"))
    );
    let message = world.message("three", "Ready");
    assert_eq!(message, failure.to_string());
    for part in [
        "namespace `shop` is full",
        "2 of 2 secrets",
        "purge --namespace shop",
    ] {
        assert!(message.contains(part), "{message}");
    }
    // Later and later, and never more often than twice a minute.
    let waits: Vec<u64> = (0..6)
        .map(|_| failure.wait(&world.ctx.backoff, "uid").unwrap().as_secs())
        .collect();
    assert!(waits[0] >= 30 && waits[5] >= 300 && waits[5] <= 360, "{waits:?}");

    // What is there rotates.
    world.annotate("one", "strongroom.dev/rotate-now", "word");
    world.reconcile("one").await;
    assert_eq!(
        world.condition("one", "Rotated").unwrap(),
        says("True", "Rotated")
    );

    // A deletion makes no room, its end does.
    let two = world.view("two").await.unwrap().id;
    world.ctx.store.delete(two, 7).await.unwrap();
    world.reconcile_at("three", now()).await.unwrap_err();
    world.ctx.store.purge(two).await.unwrap();
    world.reconcile("three").await;
    assert_eq!(world.ready("three"), says("True", "Ready"));
}

/// Takes what is left of the room, but for a few bytes.
fn fill(world: &ControllerFixture, most: u64) {
    let store = world.ctx.store.blocking();
    let namespace = store.namespace_named(&NS.parse().unwrap()).unwrap().unwrap().id;
    let left = most - store.namespace_usage(namespace).unwrap().used.bytes;
    let made = (0..left).rev().step_by(8).find(|size| {
        let new = new_secret(
            namespace,
            "filler",
            value(&"x".repeat(usize::try_from(*size).unwrap())),
        );
        store.run(new, meta()).is_ok()
    });
    assert!(made.is_some(), "{left} bytes are too few to be filled");
}

#[tokio::test]
async fn in_a_full_namespace_a_value_may_change_and_not_grow() {
    let bytes = 3_000;
    let mut world = ControllerFixture::within(Some(Quota { secrets: 10, bytes }));
    world.apply_now("db", keys(200, false)).await;
    fill(&world, bytes);
    // Another key makes it larger.
    world.apply("db", keys(200, true));
    world.reconcile_at("db", now()).await.unwrap_err();
    assert_eq!(world.ready("db"), says("False", "NamespaceFull"));
    world.apply_now("db", keys(200, false)).await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
    // So does a rotation by a generator that makes a longer one, and not by the one before.
    world.apply_now("db", keys(900, false)).await;
    world.annotate("db", "strongroom.dev/rotate-now", "longer");
    world.reconcile_at("db", now()).await.unwrap_err();
    assert_eq!(world.ready("db"), says("False", "NamespaceFull"));
    assert_eq!(world.versions("db").await, 1);
    world.apply("db", keys(200, false));
    world.annotate("db", "strongroom.dev/rotate-now", "same");
    world.reconcile("db").await;
    assert_eq!(world.condition("db", "Rotated").unwrap(), says("True", "Rotated"));
    assert_eq!(world.versions("db").await, 2);
    // And again, in the place of the version before the last.
    world.annotate("db", "strongroom.dev/rotate-now", "again");
    world.reconcile("db").await;
    assert_eq!(world.versions("db").await, 2);
}
