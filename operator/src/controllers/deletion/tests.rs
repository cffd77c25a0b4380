//! Deletions as named scenarios: what is gone, what the API server says about it, and what happens to the
//! secret and its native Secret.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use strongroom_store::vault::SecretView;

use super::{DeletionMemory, pass};
use crate::controllers::testing::{ControllerFixture, NS, SECRETS, generated, now, says};

const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/managedsecrets.strongroom.dev";
const DELETIONS: &str = "/api/v1/namespaces/strongroom/configmaps/strongroom-deletions";

fn at(seconds: i64) -> Timestamp {
    now().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

/// A world with so many objects, all of them ready.
async fn world(count: usize) -> ControllerFixture {
    let mut world = ControllerFixture::new();
    for number in 0..count {
        let name = format!("db-{number}");
        world.apply_now(&name, generated(&name)).await;
    }
    world
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
    world.apply_now("db-0", generated("db-0")).await;
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
    world.apply_now("db-0", generated("db-0")).await;
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
    world.apply_now("db-1", generated("db-1")).await;
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
    let mut confirmed = listed;
    confirmed["metadata"]["annotations"] = json!({"strongroom.dev/confirm": "another"});
    world.api.put(DELETIONS, confirmed.clone());
    pass(&world.ctx, &mut memory, at(60)).await.unwrap();
    assert!(view(&world, "db-0").await.is_live());
    assert_eq!(told().2, 0);

    confirmed["metadata"]["annotations"] = json!({"strongroom.dev/confirm": batch});
    world.api.put(DELETIONS, confirmed);
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
        world.apply_now(&name, generated(&name)).await;
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

    let mut confirmed = world.api.get(DELETIONS).unwrap();
    confirmed["metadata"]["annotations"] = json!({"strongroom.dev/confirm": before});
    world.api.put(DELETIONS, confirmed);
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
    let mut listed = world.api.get(DELETIONS).unwrap();
    assert_eq!(listed["data"]["batch"], "fedcba9876543210");
    listed["metadata"]["annotations"] = json!({"strongroom.dev/confirm": "fedcba9876543210"});
    world.api.put(DELETIONS, listed);
    pass(&world.ctx, &mut memory, at(40)).await.unwrap();
    assert!(!view(&world, "db-0").await.is_live());
}

/// The Namespace of the tests, with this UID and these labels.
fn labelled(world: &ControllerFixture, uid: &str, labels: serde_json::Value) {
    world.namespace(json!({"metadata": {"name": NS, "uid": uid, "labels": labels}}));
}

fn preview() -> serde_json::Value {
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
        world.apply_now(&name, generated(&name)).await;
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
    world.apply_now("db-0", generated("db-0")).await;
    assert_eq!(world.ready("db-0"), says("True", "Ready"));
    assert_ne!(view(&world, "db-0").await.id, before);
}

#[tokio::test]
async fn the_name_of_a_namespace_that_kept_nothing_works_at_once() {
    // Made again before anybody looked, and after.
    for looked in [false, true] {
        let mut world = ControllerFixture::new();
        labelled(&world, "ns-1", preview());
        world.apply_now("db-0", generated("db-0")).await;
        let before = view(&world, "db-0").await.id;
        world.delete("db-0");
        world.api.remove(&native("db-0"));
        if looked {
            world.api.remove(&format!("/api/v1/namespaces/{NS}"));
            looks(&world, &mut DeletionMemory::default()).await;
            assert!(world.view("db-0").await.is_none());
        }
        labelled(&world, "ns-2", json!({}));
        world.apply_now("db-0", generated("db-0")).await;
        assert_eq!(world.ready("db-0"), says("True", "Ready"), "{looked}");
        assert_ne!(view(&world, "db-0").await.id, before);
        assert_eq!(destructions(&world).len(), 1);
    }
}

#[tokio::test]
async fn what_was_made_without_the_label_keeps_its_window_and_its_namespace() {
    let mut world = world(1).await;
    labelled(&world, "ns-1", preview());
    world.apply_now("db-1", generated("db-1")).await;
    world.reconcile("db-0").await;
    world.delete("db-0");
    world.delete("db-1");
    looks(&world, &mut DeletionMemory::default()).await;
    assert!(!view(&world, "db-0").await.is_live());
    assert!(world.view("db-1").await.is_none());
    labelled(&world, "ns-2", preview());
    world.apply_now("db-0", generated("db-0")).await;
    assert_eq!(world.ready("db-0"), says("False", "NamespaceRecreated"));
}

#[tokio::test]
async fn a_label_that_goes_gives_the_window_back_for_good() {
    let mut world = ControllerFixture::new();
    labelled(&world, "ns-1", preview());
    for name in ["db-0", "db-1"] {
        world.apply_now(name, generated(name)).await;
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
    world.apply_now("db", generated("db")).await;
    let mut spec = generated("db");
    spec["deletion"] = json!({"policy": "Retain"});
    world.apply_now("db", spec).await;
    world.delete("db");
    looks(&world, &mut DeletionMemory::default()).await;
    assert!(view(&world, "db").await.is_live());
    labelled(&world, "ns-2", preview());
    world.apply_now("db", generated("db")).await;
    assert_eq!(world.ready("db"), says("False", "NamespaceRecreated"));
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
