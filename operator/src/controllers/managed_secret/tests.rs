//! Named scenarios against the small API server, with the real store underneath.

mod adoption;
mod full;
mod native_secret;
mod rebinding;
mod refused;
mod removal;
mod spec;

use kube::runtime::reflector::ObjectRef;
use serde_json::json;
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_testing::store::{meta, new_secret, new_version, value_under};

use crate::controllers::runtime::Reconciler;
use crate::controllers::testing::{ControllerFixture, NS, SECRETS, generated, now, says};

fn native(name: &str) -> String {
    format!("{SECRETS}/{name}")
}

#[tokio::test]
async fn a_new_object_costs_one_create_and_one_status_write() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let log = world.api.log();
    assert_eq!(
        log,
        [
            format!("GET /api/v1/namespaces/{NS}"),
            format!("PATCH {}", native("db")),
            format!("PATCH {}/status", ControllerFixture::path("db")),
        ]
    );
    assert_eq!(world.ready("db"), says("True", "Ready"));
    assert_eq!(world.api.secret_key("db", "password").unwrap().len(), 32);
    let status = world.status("db");
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(status["versions"].as_array().unwrap().len(), 1);
    assert_eq!(status["versions"][0]["id"], status["stages"]["Current"]);
    // Nothing changed, so nothing is read or written.
    world.reconcile("db").await;
    assert_eq!(world.api.log(), Vec::<String>::new());
}

#[tokio::test]
async fn a_status_that_the_watch_has_not_brought_back_is_not_written_again() {
    let mut world = ControllerFixture::new();
    world.apply("db", generated("db"));
    let kept = world.kept("db");
    let status = format!("PATCH {}/status", ControllerFixture::path("db"));
    for writes in [1, 0, 0] {
        ManagedSecret::reconcile(&kept, &world.ctx, now()).await.unwrap();
        let written = world.api.log().into_iter().filter(|line| *line == status);
        assert_eq!(written.count(), writes);
    }
    // A status that somebody else took away is written again.
    let mut emptied = world.api.get(&ControllerFixture::path("db")).unwrap();
    emptied["status"] = json!({});
    world.api.put(&ControllerFixture::path("db"), emptied);
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
}

#[tokio::test]
async fn what_the_status_says_no_more_is_gone_whoever_wrote_it_too() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    // A restore writes the status of a backup.
    let mut restored = world.api.get(&ControllerFixture::path("db")).unwrap();
    restored["status"]["pendingDeletion"] = json!({"secretId": "abc", "until": "2026-12-01T00:00:00Z"});
    restored["status"]["conditions"]
        .as_array_mut()
        .unwrap()
        .push(json!({
            "type": "Stalled", "status": "True", "reason": "Old", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }));
    world
        .api
        .put_as("velero", &ControllerFixture::path("db"), restored);
    world.watch("db");
    world.reconcile("db").await;
    assert_eq!(world.status("db")["pendingDeletion"], json!(null));
    assert_eq!(world.condition("db", "Stalled"), None);
    world.api.log();
    world.reconcile("db").await;
    assert_eq!(world.api.log(), Vec::<String>::new());
}

#[tokio::test]
async fn the_status_holds_no_value() {
    let world = ControllerFixture::with_secret("db", generated("db")).await;
    let password = String::from_utf8(world.api.secret_key("db", "password").unwrap()).unwrap();
    let object = world.api.get(&ControllerFixture::path("db")).unwrap().to_string();
    assert!(!object.contains(&password));
}

#[tokio::test]
async fn a_name_that_is_taken_is_left_alone() {
    let mut world = ControllerFixture::new();
    let before = world.api.put(
        &native("db"),
        json!({"metadata": {"name": "db"}, "data": {"a": "Yg=="}, "type": "Opaque"}),
    );
    world.apply_now("db", generated("db")).await;
    assert_eq!(world.ready("db"), says("False", "TargetNotOwned"));
    assert_eq!(
        world.condition("db", "Stalled").unwrap(),
        says("True", "TargetNotOwned")
    );
    assert_eq!(world.api.get(&native("db")).unwrap(), before);
    // The condition heals when the cause is gone.
    world.api.remove(&native("db"));
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
    assert_eq!(world.condition("db", "Stalled"), None);
}

#[tokio::test]
async fn a_create_whose_record_was_lost_is_recognised() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let uid = world.api.get(&native("db")).unwrap()["metadata"]["uid"].clone();
    // As after a crash between the create and its record.
    let view = world.view("db").await.unwrap();
    world.forget_native(view.id).await;
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
    assert_eq!(world.api.get(&native("db")).unwrap()["metadata"]["uid"], uid);
    assert_eq!(world.versions("db").await, 1);
}

#[tokio::test]
async fn drift_is_repaired_and_surplus_keys_go() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let password = world.api.secret_key("db", "password");
    let mut edited = world.api.get(&native("db")).unwrap();
    edited["data"] = json!({"password": "ZWRpdGVk", "mine": "bWluZQ=="});
    edited["metadata"]["labels"]["theirs"] = json!("kept");
    world.edited_natively(&native("db"), edited);
    world.reconcile("db").await;
    assert_eq!(world.api.secret_key("db", "password"), password);
    assert_eq!(world.api.secret_key("db", "mine"), None);
    assert_eq!(
        world.api.get(&native("db")).unwrap()["metadata"]["labels"]["theirs"],
        "kept"
    );
    assert_eq!(world.ready("db"), says("True", "Ready"));
}

#[tokio::test]
async fn a_secret_deleted_by_hand_comes_back_with_the_same_value() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let password = world.api.secret_key("db", "password");
    world.deleted_natively(&native("db"));
    world.reconcile("db").await;
    assert_eq!(world.api.secret_key("db", "password"), password);
    assert_eq!(world.versions("db").await, 1);
}

#[tokio::test]
async fn a_changed_type_replaces_the_secret() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let before = world.api.get(&native("db")).unwrap();
    let password = world.api.secret_key("db", "password");
    let mut spec = generated("db");
    spec["secret"]["type"] = json!("example.com/password");
    world.apply("db", spec);
    world.api.log();
    world.reconcile("db").await;
    let after = world.api.get(&native("db")).unwrap();
    assert_eq!(after["type"], "example.com/password");
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(world.api.secret_key("db", "password"), password);
}

#[tokio::test]
async fn a_renamed_secret_leaves_no_old_one_behind() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let password = world.api.secret_key("db", "password");
    world.apply_now("db", generated("db2")).await;
    assert_eq!(world.api.get(&native("db")), None);
    assert_eq!(world.api.secret_key("db2", "password"), password);
    world
        .apply_now("db", json!({"source": generated("")["source"]}))
        .await;
    assert_eq!(world.api.get(&native("db2")), None);
    assert_eq!(world.ready("db"), says("True", "Ready"));
}

#[tokio::test]
async fn an_import_adopts_the_secret_with_its_content() {
    let mut world = ControllerFixture::new();
    let old = world.api.put(
        &native("old"),
        json!({"metadata": {"name": "old"}, "data": {"password": "b2xk"}, "type": "example.com/old"}),
    );
    world
        .apply_now(
            "db",
            json!({"source": {"import": {"secretRef": {"name": "old"}}}, "secret": {"name": "old"}}),
        )
        .await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
    let after = world.api.get(&native("old")).unwrap();
    assert_eq!(
        after["metadata"]["uid"], old["metadata"]["uid"],
        "adopted, not replaced"
    );
    assert_eq!(after["type"], "example.com/old");
    assert_eq!(world.api.secret_key("old", "password").unwrap(), b"old");
    let view = world.view("db").await.unwrap();
    assert_eq!(
        (view.versions.len(), view.materialized.unwrap().uid.as_str()),
        (1, old["metadata"]["uid"].as_str().unwrap())
    );
    world.reconcile("db").await;
    assert_eq!(world.versions("db").await, 1);
}

#[tokio::test]
async fn an_import_refuses_what_is_not_free() {
    let owned =
        json!([{"apiVersion": "v1", "kind": "Other", "name": "tool", "uid": "u", "controller": true}]);
    let table = [
        (
            json!({"type": "kubernetes.io/service-account-token", "data": {"token": "YQ=="}}),
            "ImportRefused",
        ),
        (
            json!({"type": "bootstrap.kubernetes.io/token", "data": {"token-id": "YQ=="}}),
            "ImportRefused",
        ),
        (json!({"type": "Opaque", "data": {}}), "ImportRefused"),
        (
            json!({"type": "Opaque", "data": {"a": "YQ=="}, "metadata": {"ownerReferences": owned}}),
            "ImportRefused",
        ),
    ];
    for (mut secret, reason) in table {
        let mut world = ControllerFixture::new();
        secret["metadata"]["name"] = json!("old");
        let before = world.api.put(&native("old"), secret);
        world
            .apply_now(
                "db",
                json!({"source": {"import": {"secretRef": {"name": "old"}}}}),
            )
            .await;
        assert_eq!(world.ready("db"), says("False", reason), "{before}");
        assert!(world.view("db").await.is_none());
        assert_eq!(world.api.get(&native("old")).unwrap(), before);
    }
    let world = ControllerFixture::with_secret(
        "db",
        json!({"source": {"import": {"secretRef": {"name": "absent"}}}}),
    )
    .await;
    assert_eq!(world.ready("db"), says("False", "ImportSourceMissing"));
}

#[tokio::test]
async fn faults_are_retried_and_make_no_second_version() {
    for (part, code, class) in [
        ("PATCH /api/v1", 403, "forbidden"),
        ("PATCH /api/v1", 422, "rejected"),
        ("PATCH /api/v1", 429, "throttled"),
        ("PATCH /api/v1", 500, "api_unavailable"),
        ("GET /api/v1/namespaces", 503, "api_unavailable"),
        ("/status", 500, "api_unavailable"),
    ] {
        let mut world = ControllerFixture::new();
        world.apply("db", generated("db"));
        world.api.fail(part, code);
        let failure = world.reconcile_at("db", now()).await.unwrap_err();
        assert_eq!(failure.class().name(), class, "{part} {code}");
        world.reconcile("db").await;
        assert_eq!(world.ready("db"), says("True", "Ready"), "{part} {code}");
        assert_eq!(world.versions("db").await, 1, "{part} {code}");
    }
}

#[tokio::test]
async fn a_forbidden_write_is_said_aloud() {
    let mut world = ControllerFixture::new();
    world.apply("db", generated("db"));
    world.api.fail("PATCH /api/v1", 403);
    world.reconcile_at("db", now()).await.unwrap_err();
    assert_eq!(world.ready("db"), says("False", "ApiForbidden"));
    assert_eq!(
        world.condition("db", "Stalled").unwrap(),
        says("True", "ApiForbidden")
    );
}

#[tokio::test]
async fn a_conflicting_write_is_judged_anew() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let password = world.api.secret_key("db", "password");
    let mut edited = world.api.get(&native("db")).unwrap();
    edited["data"] = json!({"password": "ZWRpdGVk"});
    world.edited_natively(&native("db"), edited);
    world.api.fail("PATCH /api/v1", 409);
    let failure = world.reconcile_at("db", now()).await.unwrap_err();
    assert_eq!(failure.class().name(), "conflict");
    assert_eq!(
        world.ready("db"),
        says("True", "Ready"),
        "one conflict is nothing to speak of"
    );
    world.reconcile("db").await;
    assert_eq!(world.api.secret_key("db", "password"), password);
}

#[tokio::test]
async fn a_terminating_namespace_gets_nothing() {
    let mut world = ControllerFixture::new();
    world.api.put(
        &format!("/api/v1/namespaces/{NS}"),
        json!({"metadata": {"name": NS, "uid": "ns-1", "deletionTimestamp": "2026-11-23T20:00:00Z"}}),
    );
    world.apply_now("db", generated("db")).await;
    assert_eq!(world.ready("db"), says("False", "NamespaceTerminating"));
    assert!(world.view("db").await.is_none());
}

#[tokio::test]
async fn a_namespace_made_again_has_to_be_accepted() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let path = format!("/api/v1/namespaces/{NS}");
    world.namespace(json!({"metadata": {"name": NS, "uid": "ns-2"}}));
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("False", "NamespaceRecreated"));
    let annotations = json!({"strongroom.dev/accept-namespace": "ns-1"});
    world.namespace(json!({"metadata": {"name": NS, "uid": "ns-2", "annotations": annotations}}));
    world.reconcile("db").await;
    assert_eq!(
        world.ready("db"),
        says("True", "Ready"),
        "{:?}",
        world.api.get(&path)
    );
    assert_eq!(world.versions("db").await, 1);
}

#[tokio::test]
async fn a_lost_secret_is_not_made_again_until_somebody_readopts() {
    let mut world = ControllerFixture::new();
    world.apply("db", generated("db"));
    let secret = world.api.put(
        &native("db"),
        json!({"metadata": {"name": "db"}, "data": {"password": "b2xk"}, "type": "Opaque"}),
    );
    let lost = "0123456789abcdef0123456789abcdef";
    let mut object = world.api.get(&ControllerFixture::path("db")).unwrap();
    object["status"] = json!({"observedGeneration": 1, "secretId": lost});
    world.api.put(&ControllerFixture::path("db"), object);
    world.watch("db");
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("False", "StoreLost"));
    assert_eq!(world.api.get(&native("db")).unwrap(), secret);
    assert!(world.view("db").await.is_none());
    assert_eq!(world.status("db")["secretId"], lost);

    world.annotate("db", "strongroom.dev/readopt", lost);
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
    assert_eq!(world.api.secret_key("db", "password").unwrap(), b"old");
    assert_eq!(
        world.api.get(&native("db")).unwrap()["metadata"]["uid"],
        secret["metadata"]["uid"]
    );
    assert_ne!(world.status("db")["secretId"], lost);
}

#[tokio::test]
async fn two_objects_do_not_share_a_name() {
    let mut world = ControllerFixture::new();
    world.apply(
        "one",
        json!({"storeName": "shared", "source": generated("")["source"]}),
    );
    world.apply(
        "two",
        json!({"storeName": "shared", "source": generated("")["source"]}),
    );
    world.reconcile("one").await;
    world.reconcile("two").await;
    assert_eq!(world.ready("one"), says("True", "Ready"));
    assert_eq!(world.ready("two"), says("False", "DuplicateStoreName"));
    // The other one gone, the secret is taken over, value and all.
    let view = world.view("shared").await.unwrap();
    world.delete("one");
    world.reconcile("two").await;
    assert_eq!(world.ready("two"), says("True", "Ready"));
    assert_eq!(world.view("shared").await.unwrap().id, view.id);
}

#[tokio::test]
async fn a_rotation_that_is_asked_for_costs_two_commits_one_apply_and_one_status_write() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let head = world.ctx.store.blocking().mutation_head();
    world.api.log();
    world.annotate("db", "strongroom.dev/rotate-now", "word");
    world.reconcile("db").await;
    // The native Secret is known, and the write carries the state that is.
    let wrote = |log: Vec<String>| {
        assert_eq!(
            log,
            [
                format!("PATCH {}", native("db")),
                format!("PATCH {}/status", ControllerFixture::path("db")),
            ]
        );
    };
    wrote(world.api.log());
    let records = world.ctx.store.blocking().mutations_after(head, 10).unwrap();
    let actions: Vec<&str> = records.iter().map(|(_, entry)| entry.action.name()).collect();
    // Who asked is audited by itself: whatever comes of it.
    assert_eq!(actions, ["DeclareObject", "RotateSecret"]);
    // The word is remembered with the version.
    world.reconcile("db").await;
    assert_eq!(world.api.log(), Vec::<String>::new());
    assert_eq!(world.ctx.store.blocking().mutation_head(), head + 2);
    world.annotate("db", "strongroom.dev/rotate-now", "other");
    world.reconcile("db").await;
    wrote(world.api.log());
}

#[tokio::test]
async fn a_change_that_no_watch_has_told_is_met_by_the_write() {
    for gone in [false, true] {
        let mut world = ControllerFixture::with_secret("db", generated("db")).await;
        let mut edited = world.api.get(&native("db")).unwrap();
        edited["data"] = json!({"password": "ZWRpdGVk", "more": "ZWRpdGVk"});
        if gone {
            world.api.remove(&native("db"));
        } else {
            world.api.put(&native("db"), edited);
        }
        world.annotate("db", "strongroom.dev/rotate-now", "word");
        world.api.log();
        world.reconcile("db").await;
        let refused = world.api.log();
        assert_eq!(refused[0], format!("PATCH {}", native("db")), "gone: {gone}");
        assert_eq!(refused[1], format!("GET {}", native("db")), "gone: {gone}");
        assert_eq!(world.ready("db"), says("True", "Ready"));
        assert_eq!(world.api.secret_key("db", "password").unwrap().len(), 32);
        assert_eq!(world.api.secret_key("db", "more"), None);
        let found = world.api.get(&native("db")).unwrap();
        assert_eq!(
            found["metadata"]["annotations"]["strongroom.dev/version"],
            world.status("db")["stages"]["Current"]
        );
    }
}

#[tokio::test]
async fn a_suspended_object_is_left_as_it_is() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let mut spec = generated("db2");
    spec["suspend"] = json!(true);
    world.apply("db", spec);
    world.annotate("db", "strongroom.dev/rotate-now", "word");
    world.deleted_natively(&native("db"));
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("True", "Suspended"));
    assert_eq!(world.api.get(&native("db2")), None);
    assert_eq!(world.versions("db").await, 1);
}

#[tokio::test]
async fn an_object_that_does_not_fit_its_type_says_so() {
    let world = ControllerFixture::with_secret("db", json!({"source": {"unknown": {}}})).await;
    assert_eq!(world.ready("db"), says("False", "SourceInvalid"));
    assert!(
        world
            .ctx
            .managed_secrets
            .get(&ObjectRef::new("db").within(NS))
            .is_some()
    );
}

#[tokio::test]
async fn a_template_that_cannot_be_filled_stops_before_writing() {
    let mut world = ControllerFixture::new();
    let mut spec = generated("db");
    spec["secret"]["template"] = json!({"url": "postgres://{{ user }}"});
    world.apply_now("db", spec).await;
    assert_eq!(world.ready("db"), says("False", "TemplateInvalid"));
    assert_eq!(world.api.get(&native("db")), None);
}

#[tokio::test]
async fn an_external_object_waits_for_its_first_value_and_follows_what_is_current() {
    let mut world = ControllerFixture::new();
    let spec = json!({"source": {"external": {}}, "secret": {"name": "partner"}});
    world.apply_now("partner", spec).await;
    assert_eq!(world.ready("partner"), says("False", "AwaitingValue"));
    assert_eq!(world.view("partner").await, None);

    let value = |text: &str| value_under("token", text.as_bytes());
    let store = world.ctx.store.blocking().clone();
    let namespace = store.namespace_named(&NS.parse().unwrap()).unwrap().unwrap().id;
    // Made for nobody yet: whoever declares it takes it over, and shows it when that is granted.
    let create = new_secret(namespace, "partner", value("first"));
    let secret = store.run(create, meta()).unwrap().secret.id;
    world.reconcile("partner").await;
    assert_eq!(world.ready("partner"), says("False", "NameTaken"));
    world.annotate("partner", "strongroom.dev/restore", &secret.to_string());
    world.reconcile("partner").await;
    assert_eq!(world.ready("partner"), says("True", "Ready"));
    assert_eq!(world.api.secret_key("partner", "token").unwrap(), b"first");

    store
        .run(new_version(secret, "v-2", value("second")), meta())
        .unwrap();
    world.reconcile("partner").await;
    assert_eq!(world.api.secret_key("partner", "token").unwrap(), b"second");
    assert_eq!(world.status("partner")["stages"]["Previous"], "v-1");
    // A rotation has nothing to do here, and says so.
    world.annotate("partner", "strongroom.dev/rotate-now", "please");
    world.reconcile("partner").await;
    assert_eq!(
        world.condition("partner", "Rotated").unwrap(),
        says("False", "NothingToRotate")
    );
}
