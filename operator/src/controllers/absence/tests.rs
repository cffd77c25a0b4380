//! Deletions as named scenarios: what is gone, what the API server says about it, and what happens to the secret and its native Secret.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Memory, pass};
use crate::controllers::store::View;
use crate::controllers::testing::{NS, SECRETS, World, generated, now, says};

const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/managedsecrets.strongroom.dev";
const DELETIONS: &str = "/api/v1/namespaces/strongroom/configmaps/strongroom-deletions";

fn at(seconds: i64) -> Timestamp {
    now().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

/// A world with so many objects, all of them ready.
async fn world(count: usize) -> World {
    let mut world = World::new();
    for number in 0..count {
        let name = format!("db-{number}");
        world.apply(&name, generated(&name));
        world.reconcile(&name).await;
    }
    world
}

/// Looks once now, and once when the absences have been collected.
async fn looks(world: &World, memory: &mut Memory) {
    pass(&world.ctx, memory, at(0)).await.unwrap();
    pass(&world.ctx, memory, at(31)).await.unwrap();
}

async fn view(world: &World, name: &str) -> View {
    world.view(name).await.unwrap()
}

fn native(name: &str) -> String {
    format!("{SECRETS}/{name}")
}

#[tokio::test]
async fn a_deleted_object_opens_the_window_after_the_collection() {
    let mut world = world(2).await;
    world.delete("db-0");
    let mut memory = Memory::default();
    let wake = pass(&world.ctx, &mut memory, at(0)).await.unwrap();
    assert_eq!(wake, Some(at(30)));
    assert!(
        view(&world, "db-0").await.until.is_none(),
        "nothing happens at once"
    );
    pass(&world.ctx, &mut memory, at(30)).await.unwrap();
    let gone = view(&world, "db-0").await;
    assert!(gone.until.is_some() && gone.materialized.is_none());
    assert_eq!(world.api.get(&native("db-0")), None);
    assert!(world.api.get(&native("db-1")).is_some());
    assert!(view(&world, "db-1").await.until.is_none());
}

#[tokio::test]
async fn restoring_brings_the_same_value_back_and_purging_a_new_one() {
    let mut world = world(1).await;
    let password = world.api.secret_key("db-0", "password");
    world.delete("db-0");
    looks(&world, &mut Memory::default()).await;
    world.apply("db-0", generated("db-0"));
    world.reconcile("db-0").await;
    assert_eq!(world.ready("db-0"), says("False", "InRecoveryWindow"));
    let id = view(&world, "db-0").await.id.to_string();
    let message = world.status("db-0")["conditions"][0]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains(&format!("strongroom.dev/restore={id}")),
        "{message}"
    );
    assert!(
        message.contains(&format!("strongroom.dev/purge={id}")),
        "{message}"
    );

    world.annotate("db-0", "strongroom.dev/restore", &id);
    world.reconcile("db-0").await;
    assert_eq!(world.ready("db-0"), says("True", "Ready"));
    assert_eq!(world.api.secret_key("db-0", "password"), password);

    world.delete("db-0");
    looks(&world, &mut Memory::default()).await;
    world.apply("db-0", generated("db-0"));
    world.annotate("db-0", "strongroom.dev/purge", &id);
    world.reconcile("db-0").await;
    assert_eq!(world.ready("db-0"), says("True", "Ready"));
    assert_ne!(world.api.secret_key("db-0", "password"), password);
    assert_ne!(view(&world, "db-0").await.id.to_string(), id);
}

#[tokio::test]
async fn an_object_made_again_in_time_keeps_its_secret() {
    let mut world = world(1).await;
    let before = view(&world, "db-0").await;
    world.delete("db-0");
    let mut memory = Memory::default();
    pass(&world.ctx, &mut memory, at(0)).await.unwrap();
    world.apply("db-0", generated("db-0"));
    world.reconcile("db-0").await;
    pass(&world.ctx, &mut memory, at(31)).await.unwrap();
    let after = view(&world, "db-0").await;
    assert_eq!(
        (after.id, after.until, after.versions),
        (before.id, None, before.versions)
    );
    assert_ne!(after.object, before.object, "it belongs to the new object");
    assert_eq!(world.ready("db-0"), says("True", "Ready"));
}

#[tokio::test]
async fn our_cache_alone_proves_nothing() {
    let mut world = world(1).await;
    let path = World::path("db-0");
    let object = world.api.get(&path).unwrap();
    world.delete("db-0");
    // The API server has it still: the watch was wrong, or late.
    world.api.put(&path, object);
    looks(&world, &mut Memory::default()).await;
    assert!(view(&world, "db-0").await.until.is_none());
    assert!(world.api.get(&native("db-0")).is_some());
}

#[tokio::test]
async fn a_missing_or_terminating_crd_stops_everything() {
    let terminating = json!({"metadata": {"name": "managedsecrets.strongroom.dev", "deletionTimestamp": "2026-11-23T20:00:00Z"}});
    for crd in [None, Some(terminating)] {
        let mut world = world(1).await;
        match crd {
            None => world.api.remove(CRD),
            Some(crd) => drop(world.api.put(CRD, crd)),
        }
        world.delete("db-0");
        looks(&world, &mut Memory::default()).await;
        assert!(view(&world, "db-0").await.until.is_none());
        assert!(world.api.get(&native("db-0")).is_some());
    }
}

#[tokio::test]
async fn what_an_earlier_crd_took_along_waits_for_a_person() {
    let mut world = world(1).await;
    let mut crd = world.api.get(CRD).unwrap();
    crd["metadata"]["creationTimestamp"] = json!("2100-01-01T00:00:00Z");
    world.api.put(CRD, crd);
    world.delete("db-0");
    let mut memory = Memory::default();
    looks(&world, &mut memory).await;
    assert!(memory.asked.is_some());
    assert!(view(&world, "db-0").await.until.is_none());
}

#[tokio::test]
async fn much_at_once_waits_for_a_person() {
    let mut world = world(4).await;
    for name in ["db-0", "db-1", "db-2"] {
        world.delete(name);
    }
    let mut memory = Memory::default();
    looks(&world, &mut memory).await;
    let listed = world.api.get(DELETIONS).unwrap();
    let batch = listed["data"]["batch"].as_str().unwrap().to_owned();
    assert_eq!(listed["data"]["count"], "3");
    assert!(
        listed["data"]["deletions"]
            .as_str()
            .unwrap()
            .contains("shop/db-1 secret=")
    );
    assert!(view(&world, "db-0").await.until.is_none());
    assert_eq!(world.ctx.metrics.deletions_waiting("ManagedSecret"), 3);
    let events = world
        .api
        .log()
        .iter()
        .filter(|line| line.contains("/events"))
        .count();
    assert_eq!(events, 1);

    // Another batch id confirms nothing, and asking again writes nothing.
    let mut confirmed = listed;
    confirmed["metadata"]["annotations"] = json!({"strongroom.dev/confirm": "another"});
    world.api.put(DELETIONS, confirmed.clone());
    pass(&world.ctx, &mut memory, at(60)).await.unwrap();
    assert!(view(&world, "db-0").await.until.is_none());
    assert!(!world.api.log().iter().any(|line| line.starts_with("PATCH")));

    confirmed["metadata"]["annotations"] = json!({"strongroom.dev/confirm": batch});
    world.api.put(DELETIONS, confirmed);
    pass(&world.ctx, &mut memory, at(90)).await.unwrap();
    for name in ["db-0", "db-1", "db-2"] {
        assert!(view(&world, name).await.until.is_some(), "{name}");
        assert_eq!(world.api.get(&native(name)), None);
    }
    assert!(view(&world, "db-3").await.until.is_none());
    pass(&world.ctx, &mut memory, at(120)).await.unwrap();
    assert_eq!(world.ctx.metrics.deletions_waiting("ManagedSecret"), 0);
    assert_eq!(world.api.get(DELETIONS).unwrap()["data"]["count"], "0");
}

#[tokio::test]
async fn a_deleted_namespace_opens_the_windows_once_it_is_gone() {
    let mut world = world(1).await;
    let path = format!("/api/v1/namespaces/{NS}");
    world.api.put(
        &path,
        json!({"metadata": {"name": NS, "uid": "ns-1", "deletionTimestamp": "2026-11-23T20:00:00Z"}}),
    );
    world.delete("db-0");
    let mut memory = Memory::default();
    looks(&world, &mut memory).await;
    assert!(
        view(&world, "db-0").await.until.is_none(),
        "terminating is not gone"
    );
    world.api.remove(&path);
    pass(&world.ctx, &mut memory, at(62)).await.unwrap();
    assert!(view(&world, "db-0").await.until.is_some());
}

#[tokio::test]
async fn a_retained_secret_stays_with_its_native_secret() {
    let mut world = World::new();
    let mut spec = generated("db");
    spec["deletion"] = json!({"policy": "Retain"});
    world.apply("db", spec);
    world.reconcile("db").await;
    world.delete("db");
    looks(&world, &mut Memory::default()).await;
    assert!(view(&world, "db").await.until.is_none());
    assert!(world.api.get(&native("db")).is_some());
}

#[tokio::test]
async fn a_native_secret_of_others_is_not_deleted() {
    let mut world = world(1).await;
    world.api.remove(&native("db-0"));
    let theirs = world
        .api
        .put(&native("db-0"), json!({"metadata": {"name": "db-0"}, "data": {}}));
    world.delete("db-0");
    looks(&world, &mut Memory::default()).await;
    assert!(view(&world, "db-0").await.until.is_some());
    assert_eq!(world.api.get(&native("db-0")), Some(theirs));
}

#[tokio::test]
async fn a_failure_in_the_middle_is_finished_later() {
    let mut world = world(1).await;
    world.delete("db-0");
    let mut memory = Memory::default();
    pass(&world.ctx, &mut memory, at(0)).await.unwrap();
    world.api.fail("DELETE", 500);
    let again = pass(&world.ctx, &mut memory, at(31)).await.unwrap();
    assert!(again.is_some());
    assert!(view(&world, "db-0").await.until.is_none());
    pass(&world.ctx, &mut memory, at(42)).await.unwrap();
    assert!(view(&world, "db-0").await.until.is_some());
    assert_eq!(world.api.get(&native("db-0")), None);
}
