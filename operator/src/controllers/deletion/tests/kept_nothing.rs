//! Namespaces of which nothing is kept.

use serde_json::{Value as Json, json};

use super::{at, looks, make, native, view, world};
use crate::controllers::deletion::{DeletionMemory, pass};
use crate::controllers::testing::{ControllerFixture, NS, generated, says};

/// The Namespace of the tests, with this UID and these labels.
fn labelled(world: &ControllerFixture, uid: &str, labels: Json) {
    world.namespace(json!({"metadata": {"name": NS, "uid": uid, "labels": labels}}));
}

fn preview() -> Json {
    json!({"strongroom.dev/recovery": "none"})
}

fn destructions(world: &ControllerFixture) -> Vec<String> {
    let entries = world.ctx.store.blocking().mutations_after(0, 1000).unwrap();
    let details = entries.into_iter().map(|(_, entry)| entry.detail);
    details
        .filter(|detail| detail.contains("strongroom.dev/recovery=none"))
        .collect()
}

#[tokio::test]
async fn a_namespace_that_keeps_nothing_has_no_window_and_asks_nobody() {
    let mut world = ControllerFixture::new();
    labelled(&world, "ns-1", preview());
    for number in 0..5 {
        let name = format!("db-{number}");
        make(&mut world, &name).await;
    }
    let before = view(&world, "db-0").await.id;
    for number in 0..5 {
        world.delete(&format!("db-{number}"));
    }
    let mut memory = DeletionMemory::default();
    pass(&world.ctx, &mut memory, at(0)).await.unwrap();
    pass(&world.ctx, &mut memory, at(29)).await.unwrap();
    assert!(world.view("db-0").await.is_some());
    pass(&world.ctx, &mut memory, at(30)).await.unwrap();
    assert!(world.view("db-0").await.is_none() && world.api.get(&native("db-0")).is_none());
    assert_eq!((destructions(&world).len(), memory.waits()), (5, false));
    make(&mut world, "db-0").await;
    assert_eq!(world.ready("db-0"), says("True", "Ready"));
    assert_ne!(view(&world, "db-0").await.id, before);
}

#[tokio::test]
async fn the_name_of_a_namespace_that_kept_nothing_works_at_once() {
    // Made again before anybody looked, and after.
    for looked in [false, true] {
        let mut world = ControllerFixture::new();
        labelled(&world, "ns-1", preview());
        make(&mut world, "db-0").await;
        let before = view(&world, "db-0").await.id;
        world.delete("db-0");
        world.api.remove(&native("db-0"));
        if looked {
            world.api.remove(&format!("/api/v1/namespaces/{NS}"));
            looks(&world, &mut DeletionMemory::default()).await;
            assert!(world.view("db-0").await.is_none());
        }
        labelled(&world, "ns-2", json!({}));
        make(&mut world, "db-0").await;
        assert_eq!(world.ready("db-0"), says("True", "Ready"), "{looked}");
        assert_ne!(view(&world, "db-0").await.id, before);
        assert_eq!(destructions(&world).len(), 1);
    }
}

#[tokio::test]
async fn what_was_made_without_the_label_keeps_its_window_and_its_namespace() {
    let mut world = world(1).await;
    labelled(&world, "ns-1", preview());
    make(&mut world, "db-1").await;
    world.reconcile("db-0").await;
    world.delete("db-0");
    world.delete("db-1");
    looks(&world, &mut DeletionMemory::default()).await;
    assert!(!view(&world, "db-0").await.is_live());
    assert!(world.view("db-1").await.is_none());
    labelled(&world, "ns-2", preview());
    make(&mut world, "db-0").await;
    assert_eq!(world.ready("db-0"), says("False", "NamespaceRecreated"));
}

#[tokio::test]
async fn a_label_that_goes_gives_the_window_back_for_good() {
    let mut world = ControllerFixture::new();
    labelled(&world, "ns-1", preview());
    for name in ["db-0", "db-1"] {
        make(&mut world, name).await;
    }
    // Its object is gone before anybody saw that the label is.
    world.delete("db-0");
    world.api.put(
        &format!("/api/v1/namespaces/{NS}"),
        json!({"metadata": {"name": NS, "uid": "ns-1"}}),
    );
    looks(&world, &mut DeletionMemory::default()).await;
    assert!(!view(&world, "db-0").await.is_live());

    labelled(&world, "ns-1", json!({}));
    let mut memory = DeletionMemory::default();
    pass(&world.ctx, &mut memory, at(60)).await.unwrap();
    labelled(&world, "ns-1", preview());
    world.delete("db-1");
    pass(&world.ctx, &mut memory, at(70)).await.unwrap();
    pass(&world.ctx, &mut memory, at(101)).await.unwrap();
    assert!(!view(&world, "db-1").await.is_live(), "the label was away once");
    assert_eq!(destructions(&world), Vec::<String>::new());
}

#[tokio::test]
async fn a_retained_secret_is_kept_where_nothing_is() {
    let mut world = ControllerFixture::new();
    labelled(&world, "ns-1", preview());
    make(&mut world, "db").await;
    let mut spec = generated("db");
    spec["deletion"] = json!({"policy": "Retain"});
    world.apply_now("db", spec).await;
    world.delete("db");
    looks(&world, &mut DeletionMemory::default()).await;
    assert!(view(&world, "db").await.is_live());
    labelled(&world, "ns-2", preview());
    make(&mut world, "db").await;
    assert_eq!(world.ready("db"), says("False", "NamespaceRecreated"));
}
