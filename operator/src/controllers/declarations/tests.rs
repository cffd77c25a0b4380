//! Who wrote what, from the hand-over to the record: objects as the API server shows them, joined with what
//! the webhook said.

mod restarts;

use std::collections::HashSet;
use std::pin::pin;

use futures::{FutureExt as _, StreamExt as _};
use kube::ResourceExt;
use serde_json::{Value as Json, json};
use strongroom_crds::v1alpha1::{ManagedSecret, RotationSchedule};
use strongroom_model::name::NamespaceName;
use strongroom_rules::declaration::{DeclarationScope, Digest};
use strongroom_store::audit::{Action, Actor, Author, Entry, Requester};
use strongroom_store::vault::{Attest, ObjectChange, ObjectDigest};
use strongroom_testing::store::{NOW, meta_by};

use super::state::{self, WatchEvent};
use super::{Declarations, begin, events, saw_namespaces, take};
use crate::controllers::cached_object::CachedObject;
use crate::controllers::deletion;
use crate::controllers::runtime::Reconciler;
use crate::controllers::testing::{ControllerFixture, NS, SECRETS, generated, now};

/// A world in which changes count, and an object that is not reconciled yet.
async fn world(spec: Json) -> ControllerFixture {
    let mut world = ControllerFixture::new();
    begin(&world.ctx).await;
    let object = json!({
        "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
        "metadata": {"name": "db", "namespace": NS, "generation": 1, "creationTimestamp": "2126-01-01T00:00:00Z"},
        "spec": spec, "status": {"observedGeneration": -1},
    });
    world.api.put(&ControllerFixture::path("db"), object);
    world.watch("db");
    world
}

fn jane() -> Requester {
    by("jane")
}

fn by(user: &str) -> Requester {
    Requester::Attested(Author {
        user: user.to_owned(),
        groups: vec!["ops".to_owned()],
        uid: "u-7".to_owned(),
    })
}

/// The webhook says that somebody is about to do this.
fn attest(world: &ControllerFixture, user: &str, object: &Json, change: ObjectChange) {
    let uid = object["metadata"]["uid"].as_str().unwrap();
    attest_in(world, user, (DeclarationScope::All, uid, NS), object, change);
}

fn attest_in(
    world: &ControllerFixture,
    user: &str,
    (scope, uid, namespace): (DeclarationScope, &str, &str),
    object: &Json,
    change: ObjectChange,
) {
    let Requester::Attested(author) = by(user) else {
        unreachable!()
    };
    let digest = Digest::from_object(scope, object);
    let attest = Attest {
        uid: uid.parse().unwrap(),
        namespace: namespace.parse().unwrap(),
        change,
        digest: ObjectDigest(*digest.bytes()),
        author,
        forget: Vec::new(),
    };
    let store = world.ctx.store.blocking();
    store.run(attest, meta_by(Actor::System, NOW)).unwrap();
}

fn object(world: &ControllerFixture) -> Json {
    world.api.get(&ControllerFixture::path("db")).unwrap()
}

/// The records of changes since `after`, and where they end.
fn records(world: &ControllerFixture, after: u64) -> (Vec<Entry>, u64) {
    let all = world.ctx.store.blocking().mutations_after(after, 1_000).unwrap();
    let end = all.last().map_or(after, |(sequence, _)| *sequence);
    (all.into_iter().map(|(_, entry)| entry).collect(), end)
}

/// What they say: the action, and who asked for it.
fn said(entries: &[Entry]) -> Vec<(Action, Option<Requester>)> {
    entries
        .iter()
        .map(|entry| (entry.action, entry.requester.clone()))
        .collect()
}

#[tokio::test]
async fn what_is_done_because_of_an_object_names_who_wrote_it() {
    let mut world = world(generated("db")).await;
    let (_, start) = records(&world, 0);
    attest(&world, "jane", &object(&world), ObjectChange::Written);
    world.reconcile("db").await;
    let (entries, end) = records(&world, start);
    let jane = Some(jane());
    assert_eq!(
        said(&entries),
        [
            (Action::DeclareObject, jane.clone()),
            (Action::BindNamespace, jane.clone()),
            (Action::CreateSecret, jane.clone()),
            (Action::BindMaterialized, jane),
        ]
    );
    assert_eq!(entries[0].detail, "ManagedSecret db");
    assert_eq!(world.ctx.metrics.unattested_changes("ManagedSecret"), 0);

    // What happens besides is nobody's: somebody deleted the native Secret.
    world.deleted_natively(&format!("{SECRETS}/db"));
    world.reconcile("db").await;
    assert_eq!(said(&records(&world, end).0), [(Action::BindMaterialized, None)]);
}

#[tokio::test]
async fn a_refused_change_lends_its_author_to_nobody_else() {
    let mut world = world(generated("db")).await;
    attest(&world, "jane", &object(&world), ObjectChange::Written);
    world.reconcile("db").await;
    let (_, end) = records(&world, 0);
    // Another webhook refuses what the manager wants; then somebody else's comes past ours.
    let mut refused = object(&world);
    refused["spec"]["description"] = json!("the manager's");
    attest(&world, "manager", &refused, ObjectChange::Written);
    let mut spec = generated("db");
    spec["description"] = json!("somebody else's");
    world.apply_now("db", spec).await;
    let unattested = Some(Requester::Unattested);
    let (entries, end) = (said(&records(&world, end).0), records(&world, end).1);
    assert_eq!(
        entries,
        [
            (Action::DeclareObject, unattested.clone()),
            (Action::UpdateSecret, unattested)
        ]
    );
    assert_eq!(world.ctx.metrics.unattested_changes("ManagedSecret"), 1);
    // Once, however often it is looked at, also by the next process.
    world.reconcile("db").await;
    world.ctx.declarations = Declarations::default();
    world.reconcile("db").await;
    assert_eq!(records(&world, end).0, []);
    assert_eq!(world.ctx.metrics.unattested_changes("ManagedSecret"), 1);
}

#[tokio::test]
async fn an_annotation_counts_although_it_moves_no_generation_and_one_of_others_does_not() {
    let mut world = world(generated("db")).await;
    attest(&world, "jane", &object(&world), ObjectChange::Written);
    world.reconcile("db").await;
    let (_, end) = records(&world, 0);
    world.annotate("db", "other.dev/x", "1");
    world.reconcile("db").await;
    assert_eq!(records(&world, end).0, []);

    world.annotate("db", "strongroom.dev/rotate-now", "once");
    attest(&world, "jim", &object(&world), ObjectChange::Written);
    world.reconcile("db").await;
    let actions = said(&records(&world, end).0);
    let rotated = (Action::RotateSecret, Some(by("jim")));
    assert_eq!(actions[0], (Action::DeclareObject, Some(by("jim"))));
    assert!(actions.contains(&rotated), "{actions:?}");
}

#[tokio::test]
async fn what_cannot_be_done_yet_is_on_record_at_once_and_keeps_its_author() {
    let mut spec = generated("db");
    spec["source"] = json!({"import": {"secretRef": {"name": "theirs"}}});
    let mut world = world(spec).await;
    attest(&world, "jane", &object(&world), ObjectChange::Written);
    let (_, start) = records(&world, 0);
    // There is nothing to import.
    let _ = world.reconcile_at("db", now()).await;
    let (entries, end) = records(&world, start);
    assert_eq!(entries[0].action, Action::DeclareObject);
    assert!(entries.iter().all(|entry| entry.action != Action::CreateSecret));
    // After hours.
    let theirs = json!({"metadata": {"name": "theirs"}, "type": "Opaque", "data": {"a": "Yg=="}});
    world.api.put(&format!("{SECRETS}/theirs"), theirs);
    let later = now().checked_add(jiff::SignedDuration::from_hours(5)).unwrap();
    world.reconcile_at("db", later).await.unwrap();
    let made = records(&world, end).0;
    let made = made.iter().find(|entry| entry.action == Action::CreateSecret);
    assert_eq!(made.unwrap().requester, Some(jane()));
}

#[tokio::test]
async fn who_deletes_an_object_is_on_record_at_once_and_where_its_secret_goes() {
    let mut world = world(generated("db")).await;
    attest(&world, "jane", &object(&world), ObjectChange::Written);
    world.reconcile("db").await;
    let (_, end) = records(&world, 0);
    attest(&world, "jim", &object(&world), ObjectChange::Deleted);
    let kept = world.kept("db");
    world.delete("db");
    let gone = WatchEvent::Gone(
        state::object("ManagedSecret", &kept).unwrap(),
        Some(kept.declared()),
    );
    events::take_in(&world.ctx, gone).await;
    let mut memory = deletion::DeletionMemory::new(deletion::OwnerKind::ManagedSecret);
    for seconds in [0, 31] {
        let at = now()
            .checked_add(jiff::SignedDuration::from_secs(seconds))
            .unwrap();
        deletion::pass(&world.ctx, &mut memory, at).await.unwrap();
    }
    let jim = Some(by("jim"));
    assert_eq!(
        said(&records(&world, end).0),
        [
            (Action::WithdrawObject, jim.clone()),
            (Action::BindMaterialized, jim.clone()),
            (Action::DeleteSecret, jim),
        ]
    );
    // A look that was under way finds the object as it was, and says nothing about it.
    let (_, end) = records(&world, 0);
    let asked = take(&world.ctx, "ManagedSecret", &kept).await.unwrap();
    assert_eq!(asked.requester(), &None);
    assert_eq!(records(&world, end).0, []);
}

#[tokio::test]
async fn who_deleted_an_object_is_known_once_what_was_seen_is_on_record() {
    let mut world = world(generated("db")).await;
    attest(&world, "jane", &object(&world), ObjectChange::Written);
    world.reconcile("db").await;
    attest(&world, "jim", &object(&world), ObjectChange::Deleted);
    let kept = world.kept("db");
    let declarations = &world.ctx.declarations;
    declarations.gone("ManagedSecret", &kept);
    let uid = kept.uid().unwrap();
    let mut deleted_by = pin!(declarations.deleted_by(&uid));
    assert_eq!(
        deleted_by.as_mut().now_or_never(),
        None,
        "it is not on record yet"
    );
    let mut events = declarations.receiver.lock().take().unwrap();
    events::take_in(&world.ctx, events.next().await.unwrap()).await;
    assert_eq!(deleted_by.await, Some(by("jim")));
}

#[tokio::test]
async fn what_went_while_nobody_looked_is_found_by_the_next_list() {
    let mut world = world(generated("db")).await;
    attest(&world, "jane", &object(&world), ObjectChange::Written);
    world.reconcile("db").await;
    let (_, end) = records(&world, 0);
    attest(&world, "jim", &object(&world), ObjectChange::Deleted);
    let uid = world.kept("db").uid().unwrap();
    let listed = |there: HashSet<String>| WatchEvent::Listed("ManagedSecret", there);
    events::take_in(&world.ctx, listed([uid].into())).await;
    assert_eq!(records(&world, end).0, []);
    for _ in 0..2 {
        events::take_in(&world.ctx, listed(HashSet::new())).await;
    }
    let (entries, _) = records(&world, end);
    assert_eq!(said(&entries), [(Action::WithdrawObject, Some(by("jim")))]);
    assert_eq!(entries[0].detail, "ManagedSecret db");
}

#[tokio::test]
async fn what_was_there_before_is_nobodys_and_its_next_change_is_somebodys() {
    let mut world = ControllerFixture::new();
    world.api.put(
        &ControllerFixture::path("db"),
        json!({
            "metadata": {"name": "db", "namespace": NS, "generation": 1, "creationTimestamp": "2020-01-01T00:00:00Z"},
            "spec": generated("db"), "status": {"observedGeneration": -1},
        }),
    );
    begin(&world.ctx).await;
    world.watch("db");
    world.reconcile("db").await;
    let (entries, end) = records(&world, 0);
    assert!(
        entries.iter().all(|entry| entry.requester.is_none()),
        "{entries:?}"
    );
    assert!(entries.iter().all(|entry| entry.action != Action::DeclareObject));
    world
        .apply_now("db", json!({"source": generated("db")["source"]}))
        .await;
    let (entries, _) = records(&world, end);
    assert_eq!(entries[0].requester, Some(Requester::Unattested));
}

#[tokio::test]
async fn what_a_namespace_carries_of_ours_is_on_record_and_the_rest_is_not() {
    use k8s_openapi::api::core::v1::Namespace;
    use kube::core::PartialObjectMeta;

    use crate::kube::watch::WatchChange;

    let world = ControllerFixture::new();
    begin(&world.ctx).await;
    let mut told = world.ctx.declarations.receiver.lock().take().unwrap();
    let namespace = |labels: Json, more: Json| {
        let mut metadata = json!({
            "name": "pay", "uid": "ns-2", "labels": labels, "creationTimestamp": "2126-01-01T00:00:00Z",
        });
        metadata
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    };
    let saw = |object: &Json, deleted: bool| {
        let object: PartialObjectMeta<Namespace> = serde_json::from_value(object.clone()).unwrap();
        let change = if deleted {
            WatchChange::Deleted(object)
        } else {
            WatchChange::applied(object)
        };
        saw_namespaces(&world.ctx, &change);
    };
    let (_, start) = records(&world, 0);
    let kept_for = json!({"strongroom.dev/recovery": "none"});
    let plain = namespace(json!({"team": "a"}), json!({}));
    let marked = namespace(kept_for.clone(), json!({}));
    let relabelled = namespace(json!({"strongroom.dev/recovery": "none", "team": "b"}), json!({}));
    let leaving = namespace(
        kept_for.clone(),
        json!({"deletionTimestamp": "2126-01-02T00:00:00Z"}),
    );
    let attest = |user: &str, object: &Json, change: ObjectChange| {
        attest_in(
            &world,
            user,
            (DeclarationScope::Marks, "ns-2", "pay"),
            object,
            change,
        );
    };
    saw(&plain, false);
    attest("jane", &marked, ObjectChange::Written);
    saw(&marked, false);
    saw(&relabelled, false);
    attest("jim", &leaving, ObjectChange::Deleted);
    saw(&leaving, false);
    saw(&leaving, true);
    while let Ok(news) = told.try_recv() {
        events::take_in(&world.ctx, news).await;
    }
    let (entries, _) = records(&world, start);
    assert_eq!(
        said(&entries),
        [
            (Action::DeclareObject, Some(jane())),
            (Action::WithdrawObject, Some(by("jim")))
        ]
    );
    assert_eq!(entries[0].detail, "Namespace pay");
    assert_eq!(
        entries[0].namespace.as_ref().map(NamespaceName::as_str),
        Some("pay")
    );
}

#[tokio::test]
async fn each_kind_is_taken_in() {
    let mut world = ControllerFixture::new();
    begin(&world.ctx).await;
    world.key("k", json!({})).await;
    let old = json!({"apiVersion": "strongroom.dev/v1alpha1", "metadata":
        {"name": "p", "namespace": NS, "uid": "p-1", "generation": 1, "creationTimestamp": "2126-01-01T00:00:00Z"},
        "spec": {"secrets": ["*"], "statements": []}});
    let policy = serde_json::from_value(old.clone()).unwrap();
    take::<strongroom_crds::v1alpha1::SecretPolicy>(&world.ctx, "SecretPolicy", &policy)
        .await
        .unwrap();
    let mut schedule = old;
    schedule["metadata"]["uid"] = json!("s-1");
    let schedule = serde_json::from_value(schedule).unwrap();
    RotationSchedule::reconcile(&schedule, &world.ctx, now())
        .await
        .unwrap_or_else(|_| kube::runtime::controller::Action::await_change());
    for kind in ["SecretPolicy", "RotationSchedule"] {
        assert_eq!(world.ctx.metrics.unattested_changes(kind), 1, "{kind}");
    }
    let known = world
        .ctx
        .store
        .declarations_without("EncryptionKey", HashSet::new())
        .await
        .unwrap();
    assert_eq!(known.len(), 1);
    let kept: CachedObject<ManagedSecret> =
        serde_json::from_value(json!({"metadata": {"name": "x"}})).unwrap();
    assert!(
        state::object("ManagedSecret", &kept).is_err(),
        "an object without a namespace is none"
    );
}
