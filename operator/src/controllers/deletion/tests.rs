//! Deletions as named scenarios: what is gone, what the API server says about it, and what happens to the
//! secret and its native Secret.

mod confirmation;
mod kept_nothing;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use strongroom_store::vault::SecretView;

use super::{DeletionMemory, pass};
use crate::controllers::testing::{ControllerFixture, NS, SECRETS, generated, now, says};

const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/managedsecrets.strongroom.dev";

fn at(seconds: i64) -> Timestamp {
    now().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

/// A world with so many objects, all of them ready.
async fn world(count: usize) -> ControllerFixture {
    let mut world = ControllerFixture::new();
    for number in 0..count {
        let name = format!("db-{number}");
        make(&mut world, &name).await;
    }
    world
}

/// Makes an object, and its secret.
async fn make(world: &mut ControllerFixture, name: &str) {
    world.apply_now(name, generated(name)).await;
}

/// Looks once now, and once when half a minute is over.
async fn looks(world: &ControllerFixture, memory: &mut DeletionMemory) {
    pass(&world.ctx, memory, at(0)).await.unwrap();
    pass(&world.ctx, memory, at(31)).await.unwrap();
}

async fn view(world: &ControllerFixture, name: &str) -> SecretView {
    world.view(name).await.unwrap()
}

fn native(name: &str) -> String {
    format!("{SECRETS}/{name}")
}

#[tokio::test]
async fn a_deleted_object_opens_the_window_after_half_a_minute() {
    let mut world = world(2).await;
    world.delete("db-0");
    let mut memory = DeletionMemory::default();
    let wake = pass(&world.ctx, &mut memory, at(0)).await.unwrap();
    assert_eq!(wake, Some(at(30)));
    assert!(view(&world, "db-0").await.is_live(), "nothing happens at once");
    pass(&world.ctx, &mut memory, at(30)).await.unwrap();
    let gone = view(&world, "db-0").await;
    assert!(!gone.is_live() && gone.materialized.is_none());
    assert_eq!(world.api.get(&native("db-0")), None);
    assert!(world.api.get(&native("db-1")).is_some());
    assert!(view(&world, "db-1").await.is_live());
}

#[tokio::test]
async fn a_native_secret_before_a_rename_goes_with_the_new_one() {
    let mut world = world(2).await;
    world.apply("db-0", generated("renamed"));
    world.api.fail(&format!("DELETE {}", native("db-0")), 500);
    world.reconcile_at("db-0", now()).await.unwrap_err();
    assert!(world.api.get(&native("db-0")).is_some() && world.api.get(&native("renamed")).is_some());
    world.delete("db-0");
    looks(&world, &mut DeletionMemory::default()).await;
    assert!(!view(&world, "db-0").await.is_live());
    assert_eq!(world.api.get(&native("db-0")), None);
    assert_eq!(world.api.get(&native("renamed")), None);
}

#[tokio::test]
async fn restoring_brings_the_same_value_back_and_purging_a_new_one() {
    let mut world = world(1).await;
    let password = world.api.secret_key("db-0", "password");
    world.delete("db-0");
    looks(&world, &mut DeletionMemory::default()).await;
    make(&mut world, "db-0").await;
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
    looks(&world, &mut DeletionMemory::default()).await;
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
    let mut memory = DeletionMemory::default();
    pass(&world.ctx, &mut memory, at(0)).await.unwrap();
    make(&mut world, "db-0").await;
    pass(&world.ctx, &mut memory, at(31)).await.unwrap();
    let after = view(&world, "db-0").await;
    assert_eq!(
        (after.id, after.until(), after.versions),
        (before.id, None, before.versions)
    );
    assert_ne!(after.object, before.object, "it belongs to the new object");
    assert_eq!(world.ready("db-0"), says("True", "Ready"));
}

#[tokio::test]
async fn our_cache_alone_proves_nothing() {
    let mut world = world(1).await;
    let path = ControllerFixture::path("db-0");
    let object = world.api.get(&path).unwrap();
    world.delete("db-0");
    // The API server has it still: the watch was wrong, or late.
    world.api.put(&path, object);
    looks(&world, &mut DeletionMemory::default()).await;
    assert!(view(&world, "db-0").await.is_live());
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
        looks(&world, &mut DeletionMemory::default()).await;
        assert!(view(&world, "db-0").await.is_live());
        assert!(world.api.get(&native("db-0")).is_some());
    }
}

#[tokio::test]
async fn each_deletion_has_its_own_half_minute() {
    let mut world = world(2).await;
    let mut memory = DeletionMemory::default();
    world.delete("db-0");
    pass(&world.ctx, &mut memory, at(0)).await.unwrap();
    world.delete("db-1");
    assert_eq!(pass(&world.ctx, &mut memory, at(24)).await.unwrap(), Some(at(30)));
    assert_eq!(pass(&world.ctx, &mut memory, at(30)).await.unwrap(), Some(at(54)));
    assert!(!view(&world, "db-0").await.is_live());
    assert!(view(&world, "db-1").await.is_live());
    assert!(world.api.get(&native("db-1")).is_some());
    make(&mut world, "db-1").await;
    pass(&world.ctx, &mut memory, at(54)).await.unwrap();
    assert_eq!(world.ready("db-1"), says("True", "Ready"));
    assert!(view(&world, "db-1").await.is_live());
}

#[tokio::test]
async fn an_object_that_came_and_went_between_two_looks_begins_anew() {
    let mut world = world(1).await;
    let mut memory = DeletionMemory::default();
    world.delete("db-0");
    pass(&world.ctx, &mut memory, at(0)).await.unwrap();
    world.ctx.deletion_signals.saw(NS, "db-0", "another");
    pass(&world.ctx, &mut memory, at(29)).await.unwrap();
    pass(&world.ctx, &mut memory, at(31)).await.unwrap();
    assert!(view(&world, "db-0").await.is_live());
    pass(&world.ctx, &mut memory, at(59)).await.unwrap();
    assert!(!view(&world, "db-0").await.is_live());
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
    let mut memory = DeletionMemory::default();
    looks(&world, &mut memory).await;
    assert!(view(&world, "db-0").await.is_live(), "terminating is not gone");
    world.api.remove(&path);
    pass(&world.ctx, &mut memory, at(62)).await.unwrap();
    assert!(!view(&world, "db-0").await.is_live());
}

#[tokio::test]
async fn a_retained_secret_stays_with_its_native_secret() {
    let mut world = ControllerFixture::new();
    let mut spec = generated("db");
    spec["deletion"] = json!({"policy": "Retain"});
    world.apply_now("db", spec).await;
    world.delete("db");
    looks(&world, &mut DeletionMemory::default()).await;
    assert!(view(&world, "db").await.is_live());
    assert!(world.api.get(&native("db")).is_some());
}

/// Suspended, an object does nothing; but once it is gone, it cannot be asked what becomes of its secret.
#[tokio::test]
async fn a_secret_is_retained_also_where_its_object_was_suspended() {
    let mut world = world(1).await;
    let mut spec = generated("db-0");
    spec["deletion"] = json!({"policy": "Retain"});
    spec["suspend"] = json!(true);
    world.apply_now("db-0", spec).await;
    assert_eq!(world.ready("db-0").1, "Suspended");
    world.delete("db-0");
    looks(&world, &mut DeletionMemory::default()).await;
    assert!(view(&world, "db-0").await.is_live());
    assert!(world.api.get(&native("db-0")).is_some());
}

#[tokio::test]
async fn a_native_secret_of_others_is_not_deleted() {
    let mut world = world(1).await;
    world.api.remove(&native("db-0"));
    let theirs = world
        .api
        .put(&native("db-0"), json!({"metadata": {"name": "db-0"}, "data": {}}));
    world.delete("db-0");
    looks(&world, &mut DeletionMemory::default()).await;
    assert!(!view(&world, "db-0").await.is_live());
    assert_eq!(world.api.get(&native("db-0")), Some(theirs));
}

/// The note of the one Event that says that a native Secret stays.
fn said_to_stay(world: &ControllerFixture) -> String {
    let events = world.api.events();
    let mut claimed = events.into_iter().filter(|(reason, _)| reason == "SecretClaimed");
    let (_, note) = claimed.next().expect("an Event");
    assert_eq!(claimed.next(), None, "it is said once");
    note
}

#[tokio::test]
async fn a_native_secret_that_was_replaced_within_the_half_minute_stays() {
    let mut world = world(1).await;
    world.delete("db-0");
    let mut memory = DeletionMemory::default();
    pass(&world.ctx, &mut memory, at(0)).await.unwrap();
    // As `kubectl replace` does it: the UID stays, our annotations go.
    let uid = world.api.get(&native("db-0")).unwrap()["metadata"]["uid"].clone();
    let plain =
        json!({"metadata": {"name": "db-0", "uid": uid}, "data": {"password": "bXk="}, "type": "Opaque"});
    let theirs = world.api.put_as("kubectl-replace", &native("db-0"), plain);
    pass(&world.ctx, &mut memory, at(31)).await.unwrap();
    assert_eq!(world.api.get(&native("db-0")), Some(theirs));
    let gone = view(&world, "db-0").await;
    assert!(!gone.is_live() && gone.materialized.is_none());
    assert!(said_to_stay(&world).contains("`db-0` is not deleted: it was replaced"));
}

#[tokio::test]
async fn a_native_secret_that_a_helm_release_declares_with_the_same_value_stays() {
    let mut world = world(1).await;
    let mut released = world.api.get(&native("db-0")).unwrap();
    released["metadata"]["annotations"]["meta.helm.sh/release-name"] = json!("shop");
    let released = world.api.put_as("helm", &native("db-0"), released);
    world.reconcile("db-0").await;
    world.delete("db-0");
    looks(&world, &mut DeletionMemory::default()).await;
    assert_eq!(world.api.get(&native("db-0")), Some(released));
    assert!(said_to_stay(&world).contains("Helm tracks it"));
}

#[tokio::test]
async fn a_native_secret_that_changes_while_it_is_judged_is_judged_anew() {
    let mut world = world(1).await;
    world.delete("db-0");
    world.api.fail("DELETE /api/v1/namespaces/shop/secrets/db-0", 409);
    looks(&world, &mut DeletionMemory::default()).await;
    let log = world.api.log();
    let of_secret = log.iter().filter(|line| line.ends_with(&native("db-0")));
    let requests: Vec<&str> = of_secret.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(requests[requests.len() - 4..], ["GET", "DELETE", "GET", "DELETE"]);
    assert_eq!(world.api.get(&native("db-0")), None);
}

#[tokio::test]
async fn a_failure_in_the_middle_is_finished_later() {
    let mut world = world(1).await;
    world.delete("db-0");
    let mut memory = DeletionMemory::default();
    pass(&world.ctx, &mut memory, at(0)).await.unwrap();
    world.api.fail("DELETE", 500);
    let again = pass(&world.ctx, &mut memory, at(31)).await.unwrap();
    assert!(again.is_some());
    assert!(view(&world, "db-0").await.is_live());
    pass(&world.ctx, &mut memory, at(42)).await.unwrap();
    assert!(!view(&world, "db-0").await.is_live());
    assert_eq!(world.api.get(&native("db-0")), None);
}
