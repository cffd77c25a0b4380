//! The sink against an API server.

use std::time::Duration;

use serde_json::json;
use strongroom_api::audit::ACTIONS;
use strongroom_model::id::{KeyId, SecretId, StoreId};
use strongroom_model::time::Timestamp;
use strongroom_store::audit::{Action, Actor, Entry};
use strongroom_store::vault::{
    BindMaterialized, CancelKeyDeletion, CreateKey, DeclareKey, DeleteSecret, Deletion, DisableKey,
    EnableKey, KeyDeclaration, NewKeyVersion, ObjectRef, PurgeSecret, RestoreSecret, ScheduleKeyDeletion,
};
use strongroom_testing::api_server::ApiServer;
use strongroom_testing::store::{Fixture, NOW, meta, new_version, value, version};
use strongroom_testing::wait::until;

use super::aggregation::{BLOCK_RECORDS, aggregate, block_before};
use super::delivery::{DeliveryOutcome, delivery_outcome};
use super::event::{Regarding, event, name};
use super::event_content::event_content;
use super::testing::RunningExporter;
use super::{AuditMetrics, SinkContext, destinations};
use crate::kube::EventReason;

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop/events/";

fn entry(action: Action, secret: u8) -> Entry {
    let mut entry = Entry::new(NOW, Actor::System, action);
    entry.namespace = Some("shop".parse().unwrap());
    entry.secret = Some("db".parse().unwrap());
    entry.secret_id = Some(SecretId::from_bytes([secret; 16]));
    entry.key = Some(KeyId::from_bytes([secret; 16]));
    entry
}

#[test]
fn clients_know_every_action() {
    let mut names: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
    names.push("Gap");
    names.sort_unstable();
    assert_eq!(names, ACTIONS);
}

#[test]
fn every_action_has_its_reason_or_none() {
    let told: Vec<(&str, &str)> = Action::ALL
        .iter()
        .filter_map(|action| Some((action.name(), event_content(&entry(*action, 1))?.reason.as_str())))
        .collect();
    assert_eq!(
        told,
        [
            ("CreateSecret", "SecretCreated"),
            ("PutSecretValue", "VersionCreated"),
            ("RotateSecret", "Rotated"),
            ("UpdateSecret", "SecretUpdated"),
            ("UpdateSecretVersionStage", "StageChanged"),
            ("DeleteSecret", "Purged"),
            ("RestoreSecret", "Restored"),
            ("PurgeSecret", "Purged"),
            ("EnableKey", "KeyEnabled"),
            ("DisableKey", "KeyDisabled"),
            ("ScheduleKeyDeletion", "KeyDeletionScheduled"),
            ("CancelKeyDeletion", "KeyDeletionCanceled"),
            ("RotateKey", "KeyRotated"),
            ("DestroyKey", "KeyDestroyed"),
            ("AcceptNamespace", "NamespaceAccepted"),
            ("BindObject", "Rebound"),
            ("BindMaterialized", "NativeSecretReleased"),
        ]
    );
}

#[test]
fn refusals_and_records_about_nothing_are_not_told() {
    let mut refused = entry(Action::PutSecretValue, 1);
    refused.outcome = strongroom_store::audit::AuditOutcome::Refused("KeyDisabled".into());
    assert_eq!(event_content(&refused), None);
    assert_eq!(
        event_content(&Entry::new(NOW, Actor::System, Action::CreateSecret)),
        None
    );
}

#[test]
fn records_that_say_the_same_become_one_event() {
    let mut other = entry(Action::UpdateSecret, 2);
    other.time = NOW.plus(Duration::from_secs(1));
    let mut later = entry(Action::UpdateSecret, 1);
    later.time = NOW.plus(Duration::from_secs(2));
    let all = aggregate(vec![
        (5, entry(Action::UpdateSecret, 1)),
        (6, other),
        (7, Entry::new(NOW, Actor::System, Action::Checkpoint)),
        (8, later.clone()),
    ]);
    let seen: Vec<_> = all
        .iter()
        .map(|s| (s.sequence, s.last_sequence, s.count, s.last))
        .collect();
    assert_eq!(
        seen,
        [(5, 8, 2, later.time), (6, 6, 1, NOW.plus(Duration::from_secs(1)))]
    );
}

#[test]
fn blocks_do_not_overlap() {
    let block = BLOCK_RECORDS as u64;
    for (place, before) in [(0, 0), (1, 0), (block - 1, 0), (block, block), (block + 1, block)] {
        assert_eq!(block_before(place), before, "{place}");
    }
}

#[test]
fn an_event_shows_what_others_wrote_and_does_nothing() {
    let regarding = Regarding::Namespace {
        name: "shop".into(),
        uid: None,
    };
    let mut deleted = entry(Action::DeleteSecret, 1);
    deleted.detail = "recovery window \u{1b}[2K\n\u{9b}31m\u{202e}".to_owned();
    let one = aggregate(vec![(1, deleted)]).remove(0);
    let event = event(&StoreId::from_bytes([9; 16]), &one, &regarding, "strongroom-0");
    let note = event.note.unwrap();
    assert!(
        note.contains("\\u{1b}[2K\\n\\u{9b}31m\\u{202e}"),
        "{}",
        note.escape_debug()
    );
}

#[test]
fn an_event_is_what_the_api_demands_of_one() {
    let store = StoreId::from_bytes([9; 16]);
    let regarding = Regarding::ManagedSecret {
        namespace: "shop".into(),
        name: "db".into(),
        uid: Some("uid-db".into()),
    };
    let mut rotated = entry(Action::RotateSecret, 1);
    rotated.version = Some(version("v-k3m9"));
    let one = aggregate(vec![(41, rotated.clone())]).remove(0);
    let single = serde_json::to_value(event(&store, &one, &regarding, "strongroom-0")).unwrap();
    assert_eq!(
        single,
        json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {
                "name": name(&store, &one), "namespace": "shop",
                "annotations": {"strongroom.dev/audit-record": "41"},
            },
            "type": "Normal", "reason": "Rotated", "action": "RotateSecret",
            "note": "rotated; version `v-k3m9` was made",
            "eventTime": "2026-11-23T20:22:00.000000Z",
            "regarding": {
                "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
                "namespace": "shop", "name": "db", "uid": "uid-db",
            },
            "reportingController": "strongroom", "reportingInstance": "strongroom-0",
        })
    );
    let two = aggregate(vec![(41, rotated.clone()), (42, rotated)]).remove(0);
    assert_eq!(name(&store, &two), name(&store, &one));
    let repeated = serde_json::to_value(event(&store, &two, &regarding, "strongroom-0")).unwrap();
    assert_eq!(
        repeated["series"],
        json!({"count": 2, "lastObservedTime": "2026-11-23T20:22:00.000000Z"})
    );
    assert_ne!(
        name(&StoreId::from_bytes([8; 16]), &one),
        name(&store, &one),
        "another store's record of the same number is another Event"
    );
}

#[test]
fn answers_mean_what_they_mean() {
    let answer = |code, reason: &str| {
        kube::Error::Api(kube::core::Status::failure("no", reason).with_code(code).boxed())
    };
    for (code, reason, fate) in [
        (404, "NotFound", DeliveryOutcome::Skipped("namespace-gone")),
        (422, "Invalid", DeliveryOutcome::Skipped("invalid")),
        (403, "Forbidden", DeliveryOutcome::Again("forbidden")),
        (409, "Conflict", DeliveryOutcome::Again("conflict")),
        (500, "InternalError", DeliveryOutcome::Again("server-error")),
        (401, "Unauthorized", DeliveryOutcome::Later("unauthorized")),
        (429, "TooManyRequests", DeliveryOutcome::Later("overloaded")),
        (503, "ServiceUnavailable", DeliveryOutcome::Later("overloaded")),
    ] {
        assert_eq!(delivery_outcome(&answer(code, reason)), fate, "{code}");
    }
    let terminating: kube::core::Status = serde_json::from_value(json!({
        "status": "Failure", "code": 403, "reason": "Forbidden", "message": "",
        "details": {"causes": [{"reason": "NamespaceTerminating", "message": "", "field": ""}]},
    }))
    .unwrap();
    assert_eq!(
        delivery_outcome(&kube::Error::Api(terminating.boxed())),
        DeliveryOutcome::Skipped("namespace-terminating")
    );
}

/// Reasons and counts of the Events in the namespace, in the order of their records.
fn told(api: &ApiServer) -> Vec<(String, u64)> {
    let mut told: Vec<(u64, String, u64)> = api
        .below(EVENTS)
        .iter()
        .map(|event| {
            let record = event["metadata"]["annotations"]["strongroom.dev/audit-record"].as_str();
            (
                record.unwrap().parse().unwrap(),
                event["reason"].as_str().unwrap().to_owned(),
                event["series"]["count"].as_u64().unwrap_or(1),
            )
        })
        .collect();
    told.sort();
    told.into_iter()
        .map(|(_, reason, count)| (reason, count))
        .collect()
}

/// The exporter of a store to the sink that is always on.
fn start(fixture: &Fixture, api: &ApiServer) -> RunningExporter {
    let context = SinkContext {
        client: api.client(),
        store: fixture.store.clone(),
        instance: "strongroom-0".to_owned(),
        metrics: AuditMetrics::default(),
    };
    let mut always = destinations(Vec::new(), &context);
    assert_eq!(always.len(), 1);
    RunningExporter::start(fixture, always.remove(0))
}

fn one(reason: EventReason) -> (String, u64) {
    (reason.as_str().to_owned(), 1)
}

fn put(fixture: &Fixture, secret: SecretId, id: &str) {
    let put = new_version(secret, id, value(id));
    fixture.store.run(put, meta()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_secret_is_told_in_order_and_about_its_object() {
    let fixture = Fixture::new();
    let api = ApiServer::default();
    let sink = start(&fixture, &api);
    let secret = fixture.secret("db");
    put(&fixture, secret, "v2");
    let materialized = Some(ObjectRef {
        uid: "uid-native".parse().unwrap(),
        name: "db-native".into(),
    });
    let store = &fixture.store;
    store
        .run(BindMaterialized { secret, materialized }, meta())
        .unwrap();
    let deletion = || DeleteSecret {
        secret,
        deletion: Deletion {
            window_days: Some(7),
            force: false,
        },
    };
    store.run(deletion(), meta()).unwrap();
    store.run(RestoreSecret { secret }, meta()).unwrap();
    until("the first five", || told(&api).len() == 5).await;
    store.run(deletion(), meta()).unwrap();
    store.run(PurgeSecret { secret }, meta()).unwrap();
    until("the end", || told(&api).len() == 6).await;
    let told = told(&api);
    assert_eq!(
        told,
        [
            one(EventReason::SecretCreated),
            one(EventReason::VersionCreated),
            one(EventReason::NativeSecretWritten),
            // Deleted twice, with the same words.
            ("RecoveryWindowOpened".to_owned(), 2),
            one(EventReason::Restored),
            one(EventReason::Purged),
        ]
    );
    for event in api.below(EVENTS) {
        assert_eq!(event["regarding"]["name"], "db");
        let uid = &event["regarding"]["uid"];
        // The store forgets the object with the secret.
        assert!(uid == "uid-db" || event["reason"] == "Purged", "{event}");
    }
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_secret_that_is_written_again_has_a_reason_of_its_own() {
    let fixture = Fixture::new();
    let api = ApiServer::default();
    let sink = start(&fixture, &api);
    let secret = fixture.secret("db");
    let bind = |name: &str, uid: &str| {
        let materialized = Some(ObjectRef {
            uid: uid.parse().unwrap(),
            name: name.into(),
        });
        let bind = BindMaterialized { secret, materialized };
        fixture.store.run(bind, meta()).unwrap();
    };
    bind("db", "uid-1");
    bind("db", "uid-2");
    // That it has another name now is no repair.
    bind("database", "uid-3");
    until("all", || told(&api).len() == 4).await;
    assert_eq!(
        told(&api),
        [
            one(EventReason::SecretCreated),
            one(EventReason::NativeSecretWritten),
            one(EventReason::NativeSecretRepaired),
            one(EventReason::NativeSecretWritten),
        ]
    );
    sink.stop().await;
    // Whoever joins the API server's log with the records goes by these words (`kubectl strongroom audit`).
    let details: Vec<String> = fixture
        .store
        .mutations_after(0, usize::from(u16::MAX))
        .unwrap()
        .into_iter()
        .filter(|(_, entry)| entry.action == Action::BindMaterialized)
        .map(|(_, entry)| entry.detail)
        .collect();
    assert_eq!(
        details,
        [
            "written to `db`, UID uid-1",
            "written again to `db`, UID uid-2",
            "written to `database`, UID uid-3",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_a_key_is_told_about_its_object() {
    let fixture = Fixture::new();
    let api = ApiServer::default();
    let sink = start(&fixture, &api);
    let store = &fixture.store;
    // With a secret its namespace is there.
    let secret = fixture.secret("db");
    let namespace = store.describe(secret).unwrap().namespace;
    let key = KeyId::from_bytes([7; 16]);
    let create = CreateKey {
        id: key,
        namespace,
        name: "pay".parse().unwrap(),
    };
    store.run(create, meta()).unwrap();
    let declaration = KeyDeclaration {
        object: ObjectRef {
            uid: "uid-pay".parse().unwrap(),
            name: "pay".into(),
        },
        window_days: 7,
        loss_accepted: false,
    };
    let declare = DeclareKey {
        namespace,
        key,
        declaration,
    };
    store.run(declare, meta()).unwrap();
    store.run(NewKeyVersion { namespace, key }, meta()).unwrap();
    store.run(DisableKey { namespace, key }, meta()).unwrap();
    store.run(EnableKey { namespace, key }, meta()).unwrap();
    let schedule = ScheduleKeyDeletion {
        namespace,
        key,
        window_days: 7,
        lose_dependents: false,
    };
    store.run(schedule, meta()).unwrap();
    store.run(CancelKeyDeletion { namespace, key }, meta()).unwrap();
    until("all", || told(&api).len() == 7).await;
    assert_eq!(
        told(&api),
        [
            one(EventReason::SecretCreated),
            one(EventReason::KeyDeclared),
            one(EventReason::KeyRotated),
            one(EventReason::KeyDisabled),
            one(EventReason::KeyEnabled),
            one(EventReason::KeyDeletionScheduled),
            one(EventReason::KeyDeletionCanceled),
        ]
    );
    for event in api.below(EVENTS) {
        let object = &event["regarding"];
        if event["reason"] == "SecretCreated" {
            continue;
        }
        assert_eq!(
            (&object["kind"], &object["name"]),
            (&json!("EncryptionKey"), &json!("pay"))
        );
        assert_eq!(object["uid"], "uid-pay", "{event}");
    }
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_tells_nothing_twice_and_loses_nothing() {
    let fixture = Fixture::new();
    let api = ApiServer::default();
    let sink = start(&fixture, &api);
    let secret = fixture.secret("db");
    until("the first", || told(&api).len() == 1).await;
    sink.stop().await;
    let asked = api.requests();

    put(&fixture, secret, "v2");
    let sink = start(&fixture, &api);
    until("the second", || told(&api).len() == 2).await;
    sink.stop().await;
    assert_eq!(
        api.requests(),
        asked + 1,
        "what was told before the restart is behind the cursor"
    );

    // A crash before the cursor was saved: the same records again, to no effect.
    let place = |place: u64| strongroom_store::vault::SetCursor {
        name: "kubernetes-events".parse().unwrap(),
        place: place.to_be_bytes().to_vec(),
    };
    fixture.store.run(place(0), meta()).unwrap();
    put(&fixture, secret, "v3");
    let sink = start(&fixture, &api);
    until("the third", || told(&api).len() == 3).await;
    sink.stop().await;
    assert_eq!(
        told(&api),
        [
            one(EventReason::SecretCreated),
            one(EventReason::VersionCreated),
            one(EventReason::VersionCreated)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_an_api_server_that_is_overloaded() {
    let fixture = Fixture::new();
    let api = ApiServer::default();
    api.outage(Some((503, "ServiceUnavailable")));
    let sink = start(&fixture, &api);
    let secret = fixture.secret("db");
    until("an attempt", || api.requests() > 0).await;
    put(&fixture, secret, "v2");
    api.outage(None);
    until("both", || told(&api).len() == 2).await;
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_gone_holds_up_nobody() {
    let fixture = Fixture::new();
    let api = ApiServer::default();
    api.outage(Some((404, "NotFound")));
    let sink = start(&fixture, &api);
    let secret = fixture.secret("db");
    until("an attempt", || api.requests() == 1).await;
    api.outage(None);
    put(&fixture, secret, "v2");
    until("the next", || told(&api) == [one(EventReason::VersionCreated)]).await;
    sink.stop().await;
}

#[test]
fn a_time_out_of_range_is_no_panic() {
    let mut odd = entry(Action::RotateSecret, 1);
    odd.time = Timestamp::from_millis(i64::MAX);
    let regarding = Regarding::Namespace {
        name: "shop".into(),
        uid: None,
    };
    let one = aggregate(vec![(1, odd)]).remove(0);
    let made = event(&StoreId::from_bytes([1; 16]), &one, &regarding, "x");
    assert_eq!(made.metadata.namespace.as_deref(), Some("default"));
}
