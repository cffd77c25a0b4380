//! Deletions that a person has to confirm.

use serde_json::{Value as Json, json};

use super::{CRD, at, looks, make, native, view, world};
use crate::controllers::deletion::{DeletionMemory, pass};
use crate::controllers::testing::{ControllerFixture, NS};

const DELETIONS: &str = "/api/v1/namespaces/strongroom/configmaps/strongroom-deletions";

/// The list as it stands there, with a person's confirmation of a batch.
fn confirm(world: &ControllerFixture, mut listed: Json, batch: &str) {
    listed["metadata"]["annotations"] = json!({"strongroom.dev/confirm": batch});
    world.api.put(DELETIONS, listed);
}

#[tokio::test]
async fn what_an_earlier_crd_took_along_waits_for_a_person() {
    let mut world = world(1).await;
    let mut crd = world.api.get(CRD).unwrap();
    crd["metadata"]["creationTimestamp"] = json!("2100-01-01T00:00:00Z");
    world.api.put(CRD, crd);
    world.delete("db-0");
    let mut memory = DeletionMemory::default();
    looks(&world, &mut memory).await;
    assert!(memory.waits());
    assert!(view(&world, "db-0").await.is_live());
}

#[tokio::test]
async fn much_at_once_waits_for_a_person() {
    let mut world = world(4).await;
    for name in ["db-0", "db-1", "db-2"] {
        world.delete(name);
    }
    let mut memory = DeletionMemory::default();
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
    assert!(view(&world, "db-0").await.is_live());
    assert_eq!(world.ctx.metrics.deletions_waiting("ManagedSecret"), 3);
    // The log is taken each time: Events to the administrators, Events to the owners, and writes of the
    // ConfigMap since the last time.
    let told = || {
        let log = world.api.log();
        let count = |what: &str| log.iter().filter(|line| line.contains(what)).count();
        let events = |namespace: &str| count(&format!("/namespaces/{namespace}/events"));
        let writes = log
            .iter()
            .filter(|line| line.starts_with("PATCH") && line.contains("configmaps"));
        (count("/events") - events(NS), events(NS), writes.count())
    };
    assert_eq!(
        told(),
        (1, 1, 2),
        "what is about to wait is remembered, then listed"
    );
    pass(&world.ctx, &mut memory, at(40)).await.unwrap();
    assert_eq!(told(), (0, 0, 0));
    pass(&world.ctx, &mut memory, at(31 + 1800)).await.unwrap();
    assert!(told().1 > 0, "an Event is kept for an hour");

    // Another batch id confirms nothing, and asking again writes nothing.
    confirm(&world, listed.clone(), "another");
    pass(&world.ctx, &mut memory, at(60)).await.unwrap();
    assert!(view(&world, "db-0").await.is_live());
    assert_eq!(told().2, 0);

    confirm(&world, listed, &batch);
    pass(&world.ctx, &mut memory, at(90)).await.unwrap();
    for name in ["db-0", "db-1", "db-2"] {
        assert!(!view(&world, name).await.is_live(), "{name}");
        assert_eq!(world.api.get(&native(name)), None);
    }
    assert!(view(&world, "db-3").await.is_live());
    pass(&world.ctx, &mut memory, at(120)).await.unwrap();
    assert_eq!(world.ctx.metrics.deletions_waiting("ManagedSecret"), 0);
    assert_eq!(world.api.get(DELETIONS).unwrap()["data"]["count"], "0");
}

#[tokio::test]
async fn a_wait_outlives_the_process_with_its_id_and_its_measure() {
    let mut world = world(4).await;
    for name in ["db-0", "db-1", "db-2"] {
        world.delete(name);
    }
    looks(&world, &mut DeletionMemory::default()).await;
    let batch = |world: &ControllerFixture| world.api.get(DELETIONS).unwrap()["data"]["batch"].clone();
    let before = batch(&world);
    for number in 4..9 {
        let name = format!("db-{number}");
        make(&mut world, &name).await;
    }
    let mut memory = DeletionMemory::default();
    pass(&world.ctx, &mut memory, at(100)).await.unwrap();
    assert_eq!(world.ctx.metrics.deletions_waiting("ManagedSecret"), 3);
    pass(&world.ctx, &mut memory, at(131)).await.unwrap();
    assert_eq!(batch(&world), before);
    assert!(
        view(&world, "db-0").await.is_live(),
        "three of four, whatever was made since"
    );

    confirm(
        &world,
        world.api.get(DELETIONS).unwrap(),
        before.as_str().unwrap(),
    );
    world.delete("db-3");
    pass(&world.ctx, &mut memory, at(140)).await.unwrap();
    assert!(!view(&world, "db-0").await.is_live());
    assert!(view(&world, "db-3").await.is_live(), "it was not listed");
    pass(&world.ctx, &mut memory, at(171)).await.unwrap();
    assert!(!view(&world, "db-3").await.is_live(), "one of six is not much");
}

#[tokio::test]
async fn what_the_version_before_had_waiting_goes_on_waiting() {
    let mut world = world(6).await;
    let mut lines = String::new();
    for name in ["db-0", "db-1", "db-2"] {
        let id = view(&world, name).await.id;
        lines.push_str(&format!(
            "shop/{name} secret={id} missing-since=2026-11-23T20:00:00Z\n"
        ));
        world.delete(name);
    }
    world.api.put_as(
        "strongroom",
        DELETIONS,
        json!({
            "metadata": {"name": "strongroom-deletions", "annotations": {"strongroom.dev/confirm": "0123456789abcdef"}},
            "data": {"batch": "fedcba9876543210", "count": "3", "deletions": lines, "confirm-with": "kubectl"},
        }),
    );
    let mut memory = DeletionMemory::default();
    looks(&world, &mut memory).await;
    assert!(view(&world, "db-0").await.is_live());
    let listed = world.api.get(DELETIONS).unwrap();
    assert_eq!(listed["data"]["batch"], "fedcba9876543210");
    confirm(&world, listed, "fedcba9876543210");
    pass(&world.ctx, &mut memory, at(40)).await.unwrap();
    assert!(!view(&world, "db-0").await.is_live());
}

#[tokio::test]
async fn a_list_of_deletions_of_somebody_else_stays_and_an_event_says_so() {
    let mut world = world(6).await;
    // What it says counts for nothing.
    let theirs = world.api.put_as(
        "kubectl-create",
        DELETIONS,
        json!({
            "metadata": {"name": "strongroom-deletions", "namespace": "strongroom"},
            "data": {"batch": "mine", "state": "{}"},
        }),
    );
    for number in 0..4 {
        world.delete(&format!("db-{number}"));
    }
    let mut memory = DeletionMemory::default();
    looks(&world, &mut memory).await;
    pass(&world.ctx, &mut memory, at(40)).await.unwrap();
    assert_eq!(world.api.get(DELETIONS).unwrap(), theirs);
    assert!(
        view(&world, "db-0").await.is_live(),
        "it waits for a confirmation"
    );
    let said = world.api.events();
    let told = said.iter().filter(|(reason, _)| reason == "NotOurs");
    let notes: Vec<&String> = told.map(|(_, note)| note).collect();
    assert_eq!(notes.len(), 1, "{said:?}");
    assert!(notes[0].contains("field manager `kubectl-create`"), "{notes:?}");
    // A confirmation there is none of ours.
    let batch = memory.losses.batches()[0].id.clone();
    let mut confirmed = theirs;
    confirmed["metadata"]["annotations"] = json!({"strongroom.dev/confirm": batch});
    world.api.put_as("kubectl-annotate", DELETIONS, confirmed);
    pass(&world.ctx, &mut memory, at(50)).await.unwrap();
    assert!(view(&world, "db-0").await.is_live());
    // The name is free: ours is there at the next look, and a confirmation counts.
    world.api.remove(DELETIONS);
    pass(&world.ctx, &mut memory, at(60)).await.unwrap();
    let mut ours = world.api.get(DELETIONS).unwrap();
    assert_eq!(ours["data"]["batch"], json!(batch));
    ours["metadata"]["annotations"] = json!({"strongroom.dev/confirm": batch});
    world.api.put_as("kubectl-annotate", DELETIONS, ours);
    pass(&world.ctx, &mut memory, at(70)).await.unwrap();
    assert!(!view(&world, "db-0").await.is_live());
}
