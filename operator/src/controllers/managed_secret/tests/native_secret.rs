//! What becomes of the native Secret when the spec changes, when others have it in hand, and when several
//! objects want one.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

use super::native;
use crate::controllers::testing::{ControllerFixture, NS, generated, now, says};

fn spec(name: &str, change: Json) -> Json {
    let mut spec = generated(name);
    for (key, value) in change.as_object().unwrap() {
        spec["secret"][key] = value.clone();
    }
    spec
}

fn found(world: &ControllerFixture, name: &str) -> Json {
    world.api.get(&native(name)).unwrap()
}

/// What `kubectl` or a tool does to a native Secret under this field manager, which the watch tells.
fn edited(world: &ControllerFixture, manager: &str, name: &str, change: impl FnOnce(&mut Json)) {
    let mut object = found(world, name);
    change(&mut object);
    let written = world.api.put_as(manager, &native(name), object);
    let change = crate::kube::watch::WatchChange::applied(serde_json::from_value(written).unwrap());
    world.ctx.cluster.native_change(None, &change);
}

/// Names, by manager and operation, of the entries of a Secret's owners.
fn owners(object: &Json) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let text = |entry: &Json, field: &str| entry[field].as_str().unwrap().to_owned();
    entries
        .iter()
        .map(|entry| format!("{} {}", text(entry, "manager"), text(entry, "operation")))
        .collect()
}

#[tokio::test]
async fn the_secrets_that_the_process_lives_on_are_nobody_elses() {
    let mut world = ControllerFixture::new();
    world.api.put(
        &native("backup-credentials"),
        json!({"metadata": {"uid": "theirs"}, "data": {"secret-access-key": "eA=="}}),
    );
    world.ctx.options.own_namespace = NS.to_owned();
    for (name, spec, field) in [
        ("writes", generated("backup-credentials"), "`spec.secret.name`"),
        (
            "imports",
            json!({"source": {"import": {"secretRef": {"name": "backup-credentials"}}}}),
            "`spec.source.import.secretRef.name`",
        ),
    ] {
        world.apply_now(name, spec).await;
        assert_eq!(world.ready(name), says("False", "TargetReserved"), "{name}");
        let told = world.message(name, "Ready");
        assert!(
            told.contains(field) && told.contains("backup-credentials"),
            "{told}"
        );
        assert!(world.view(name).await.is_none(), "{name}");
    }
    assert_eq!(found(&world, "backup-credentials")["metadata"]["uid"], "theirs");
    // In another namespace it is a name like any other.
    world.ctx.options.own_namespace = "strongroom".to_owned();
    world.apply_now("free", generated("backup-credentials-2")).await;
    assert_eq!(world.ready("free"), says("True", "Ready"));
}

#[tokio::test]
async fn what_leaves_the_spec_leaves_the_secret_and_what_others_set_stays() {
    for of_an_older_release in [false, true] {
        let mut world = ControllerFixture::new();
        let metadata = json!({"labels": {"team": "a", "tier": "b"}, "annotations": {"example.com/x": "y"}});
        world.apply_now("db", spec("db", metadata)).await;
        assert_eq!(owners(&found(&world, "db")), ["strongroom Apply"]);
        if of_an_older_release {
            // It was made by a plain create.
            let mut object = found(&world, "db");
            object["metadata"]["managedFields"][0]["operation"] = json!("Update");
            world.edited_natively(&native("db"), object);
        }
        edited(&world, "kubectl-label", "db", |object| {
            object["metadata"]["labels"]["theirs"] = json!("kept");
        });
        world.apply("db", spec("db", json!({"labels": {"team": "a"}})));
        world.api.log();
        world.reconcile("db").await;
        let log = world.api.log();
        let writes = log
            .iter()
            .filter(|line| **line == format!("PATCH {}", native("db")));
        assert_eq!(writes.count(), if of_an_older_release { 2 } else { 1 }, "{log:?}");
        for round in ["at once", "after a rotation"] {
            let object = found(&world, "db");
            let labels = &object["metadata"]["labels"];
            assert_eq!(
                (&labels["team"], &labels["theirs"]),
                (&json!("a"), &json!("kept")),
                "{round}"
            );
            assert_eq!(labels["tier"], Json::Null, "{round}");
            assert_eq!(
                object["metadata"]["annotations"]["example.com/x"],
                Json::Null,
                "{round}"
            );
            assert_eq!(owners(&object).len(), 2, "{round}: {:?}", owners(&object));
            world.annotate("db", "strongroom.dev/rotate-now", "word");
            world.reconcile("db").await;
        }
        assert_eq!(world.ready("db"), says("True", "Ready"));
    }
}

#[tokio::test]
async fn secrets_of_an_older_release_become_owned_by_apply_once() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let mut object = found(&world, "db");
    object["metadata"]["managedFields"][0]["operation"] = json!("Update");
    world.edited_natively(&native("db"), object);
    world.api.log();
    world.reconcile("db").await;
    assert_eq!(owners(&found(&world, "db")), ["strongroom Apply"]);
    let patches = |log: Vec<String>| {
        log.iter()
            .filter(|line| line.starts_with("PATCH /api/v1"))
            .count()
    };
    assert_eq!(patches(world.api.log()), 1);
    world.reconcile("db").await;
    assert_eq!(patches(world.api.log()), 0);
    assert_eq!(world.api.events(), [], "nobody edited anything");
}

#[tokio::test]
async fn a_key_that_is_copied_no_more_goes() {
    let mut world = ControllerFixture::new();
    let mut spec = generated("db");
    spec["source"]["generate"]["keys"]["token"] = json!({"uuid": {}});
    world.apply_now("db", spec.clone()).await;
    assert!(world.api.secret_key("db", "token").is_some());
    spec["secret"]["keys"] = json!(["password"]);
    world.apply_now("db", spec).await;
    assert_eq!(world.api.secret_key("db", "token"), None);
    assert!(world.api.secret_key("db", "password").is_some());
}

#[tokio::test]
async fn a_rename_writes_the_new_secret_before_the_old_one_goes() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let password = world.api.secret_key("db", "password");
    world.apply("db", generated("db2"));
    world.api.fail(&format!("DELETE {}", native("db")), 500);
    world.reconcile_at("db", now()).await.unwrap_err();
    assert_eq!(world.api.secret_key("db2", "password"), password);
    assert_eq!(world.api.secret_key("db", "password"), password);
    // A third name meanwhile: neither of the others is forgotten.
    world.apply_now("db", generated("db3")).await;
    assert_eq!(world.api.secret_key("db3", "password"), password);
    assert_eq!(
        (world.api.get(&native("db")), world.api.get(&native("db2"))),
        (None, None)
    );
    let labels = world.view("db").await.unwrap().labels;
    assert!(!labels.keys().any(|label| label.contains("former")), "{labels:?}");
    assert_eq!(world.ready("db"), says("True", "Ready"));
}

#[tokio::test]
async fn objects_that_exchange_names_all_arrive() {
    for cycle in [
        vec!["a", "b"],
        vec!["b", "a"],
        vec!["a", "b", "c"],
        vec!["c", "b", "a"],
    ] {
        let mut world = ControllerFixture::new();
        let mut passwords = Vec::new();
        for name in &cycle {
            world.apply_now(name, generated(&format!("of-{name}"))).await;
            passwords.push(world.api.secret_key(&format!("of-{name}"), "password"));
        }
        // Each takes the name of the one before it.
        let wants = |index: usize| format!("of-{}", cycle[(index + cycle.len() - 1) % cycle.len()]);
        for (index, name) in cycle.iter().enumerate() {
            world.apply(name, generated(&wants(index)));
        }
        for _ in 0..3 {
            for name in &cycle {
                world.reconcile(name).await;
            }
        }
        for (index, name) in cycle.iter().enumerate() {
            assert_eq!(world.ready(name), says("True", "Ready"), "{cycle:?} {name}");
            assert_eq!(
                world.api.secret_key(&wants(index), "password"),
                passwords[index],
                "{cycle:?}"
            );
        }
    }
}

#[tokio::test]
async fn nobody_lets_go_for_one_who_does_not_take() {
    let mut world = ControllerFixture::new();
    for name in ["a", "b"] {
        world.apply_now(name, generated(&format!("of-{name}"))).await;
    }
    // It wants the other's name, and would not get there.
    let mut broken = generated("of-a");
    broken["secret"]["template"] = json!({"url": "{{ nothing }}"});
    world.apply("b", broken);
    world.apply("a", generated("of-b"));
    for name in ["b", "a", "b", "a"] {
        world.reconcile(name).await;
    }
    assert!(world.api.get(&native("of-a")).is_some());
    assert!(
        world
            .message("a", "Ready")
            .contains("ManagedSecret `b`, which is releasing it"),
        "{}",
        world.message("a", "Ready")
    );
}

#[tokio::test]
async fn two_objects_that_want_one_secret_name_each_other() {
    let mut world = ControllerFixture::new();
    for name in ["a", "b"] {
        world.apply_now(name, generated("shared")).await;
    }
    assert_eq!(world.ready("a"), says("True", "Ready"));
    assert_eq!(world.ready("b"), says("False", "TargetNotOwned"));
    let says = world.message("b", "Ready");
    assert!(
        says.contains("is the native Secret of ManagedSecret `a`"),
        "{says}"
    );
    // The advice can be followed there and here.
    world.apply_now("a", generated("another")).await;
    world.reconcile("b").await;
    assert_eq!(world.ready("b").0, "True");
}

/// A Secret on which others have set things.
fn with_theirs(world: &ControllerFixture) {
    edited(world, "reloader", "db", |object| {
        object["metadata"]["labels"]["backup"] = json!("daily");
        object["metadata"]["annotations"]["reloader.example.com/seen"] = json!("1");
        object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = json!("{}");
        object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "example.com/v1", "kind": "App", "name": "shop", "uid": "app-1",
        }]);
    });
}

fn has_theirs(object: &Json) {
    let metadata = &object["metadata"];
    assert_eq!(metadata["labels"]["backup"], "daily");
    assert_eq!(metadata["annotations"]["reloader.example.com/seen"], "1");
    assert_eq!(metadata["ownerReferences"][0]["name"], "shop");
    let copy = &metadata["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    assert_eq!(*copy, Json::Null, "a copy of the data is not carried over");
    assert_eq!(owners(object), ["strongroom Apply", "reloader Update"]);
}

#[tokio::test]
async fn a_secret_that_is_made_anew_keeps_what_others_set_on_it() {
    for change in [
        json!({"type": "example.com/password"}),
        json!({"immutable": false}),
    ] {
        let mut world = ControllerFixture::with_secret(
            "db",
            spec("db", json!({"immutable": true, "labels": {"team": "a"}})),
        )
        .await;
        with_theirs(&world);
        world.reconcile("db").await;
        let before = found(&world, "db");
        world.apply("db", spec("db", change));
        world.api.log();
        world.reconcile("db").await;
        let log = world.api.log();
        let deleted = log.iter().position(|line| line.starts_with("DELETE")).unwrap();
        // Nothing comes in between.
        assert_eq!(log[deleted + 1], format!("PATCH {}", native("db")), "{log:?}");
        let after = found(&world, "db");
        assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
        assert_eq!(after["data"], before["data"]);
        assert_eq!(
            after["metadata"]["labels"]["team"],
            Json::Null,
            "it left the spec"
        );
        has_theirs(&after);
        assert_eq!(world.ready("db"), says("True", "Ready"));
        world.reconcile("db").await;
        assert_eq!(world.api.log().len(), 0, "it is settled");
    }
}

/// Time stands still unless somebody waits for it.
#[tokio::test(start_paused = true)]
async fn nothing_waits_between_the_delete_and_the_create_of_a_secret_that_is_made_anew() {
    let mut world = ControllerFixture::with_secret("db", spec("db", json!({"immutable": true}))).await;
    let begun = tokio::time::Instant::now();
    for change in [
        json!({"type": "example.com/password", "immutable": true}),
        json!({"type": "example.com/password"}),
        json!({}),
    ] {
        world.apply("db", spec("db", change));
        world.api.log();
        // One attempt, without an end in between.
        world.reconcile_at("db", now()).await.unwrap();
        let log = world.api.log();
        let of = |start: &str| log.iter().position(|line| line.starts_with(start));
        if let Some(deleted) = of("DELETE") {
            assert_eq!(log[deleted + 1], format!("PATCH {}", native("db")), "{log:?}");
        }
        assert_eq!(world.ready("db"), says("True", "Ready"));
    }
    assert_eq!(tokio::time::Instant::now(), begun);
}

#[tokio::test]
async fn owners_that_could_not_be_set_are_set_later() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    with_theirs(&world);
    world.apply(
        "db",
        spec(
            "db",
            json!({"type": "example.com/password", "labels": {"tier": "b"}}),
        ),
    );
    // The create passes; what follows it does not, and the process ends.
    world.api.fail_after(&format!("PATCH {}", native("db")), 1, 500);
    world.reconcile_at("db", now()).await.unwrap_err();
    assert_eq!(owners(&found(&world, "db")), ["strongroom-replace Apply"]);
    world.ctx.replacing = <_>::default();
    world.reconcile("db").await;
    world
        .apply_now("db", spec("db", json!({"type": "example.com/password"})))
        .await;
    let object = found(&world, "db");
    assert_eq!(object["metadata"]["labels"]["backup"], "daily");
    assert_eq!(object["metadata"]["labels"]["tier"], Json::Null);
    assert_eq!(owners(&object), ["strongroom Apply"]);
}

#[tokio::test]
async fn a_finalizer_that_is_waited_for_is_named() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    with_theirs(&world);
    edited(&world, "holder", "db", |object| {
        object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    });
    world
        .apply_now("db", spec("db", json!({"type": "example.com/password"})))
        .await;
    assert_eq!(world.ready("db"), says("False", "NativeSecretTerminating"));
    let says_it = world.message("db", "Ready");
    assert!(
        says_it.contains("waits for finalizer `example.com/hold`"),
        "{says_it}"
    );
    assert_eq!(world.api.logged("DELETE").len(), 1);
    world.reconcile("db").await;
    assert_eq!(world.api.logged("DELETE").len(), 0);
    // Whoever held it lets go.
    world.deleted_natively(&native("db"));
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
    let after = found(&world, "db");
    assert_eq!(after["type"], "example.com/password");
    has_theirs(&after);
}

#[tokio::test]
async fn whoever_edits_is_named_and_put_back_later_each_time() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let password = world.api.secret_key("db", "password");
    let mut repairs = Vec::new();
    for tenth in 0..300 {
        let at: Timestamp = now() + SignedDuration::from_millis(tenth * 100);
        edited(&world, "kubectl-patch", "db", |object| {
            object["data"]["password"] =
                json!(data_encoding::BASE64.encode(format!("mine {tenth}").as_bytes()));
        });
        world.reconcile_at("db", at).await.unwrap();
        if world.api.secret_key("db", "password") == password {
            repairs.push(tenth);
            assert_eq!(world.ready("db"), says("True", "Ready"));
        } else {
            assert_eq!(world.ready("db"), says("False", "NativeSecretContested"));
            let says_it = world.message("db", "Ready");
            assert!(
                says_it.contains("field manager `kubectl-patch` changed key `password`"),
                "{says_it}"
            );
        }
    }
    assert_eq!(repairs, [0, 1, 2, 12, 32, 72, 152]);
    assert_eq!(world.ctx.metrics.repairs(crate::controllers::testing::NS), 7);
    let told = world.api.events();
    assert!(
        told.iter().any(|(reason, note)| reason == "NativeSecretEdited"
            && note.contains("Secret `db`: field manager `kubectl-patch` changed key `password`")),
        "{told:?}"
    );
    // A rest, and the next one is put back at once.
    let later = now() + SignedDuration::from_secs(600);
    world.reconcile_at("db", later).await.unwrap();
    assert_eq!(world.api.secret_key("db", "password"), password);
}

#[tokio::test]
async fn each_kind_of_edit_is_told_and_our_own_changes_are_none() {
    let mut world = ControllerFixture::with_secret("db", spec("db", json!({"labels": {"team": "a"}}))).await;
    let take: fn(&mut Json) = |object| drop(object["data"].as_object_mut().unwrap().remove("password"));
    let add: fn(&mut Json) = |object| object["data"]["more"] = json!("bW9yZQ==");
    let label: fn(&mut Json) = |object| object["metadata"]["labels"]["team"] = json!("b");
    for (change, expected) in [
        (take, "somebody took away key `password`"),
        (add, "field manager `kubectl-edit` changed key `more`"),
        (label, "field manager `kubectl-edit` changed label `team`"),
    ] {
        edited(&world, "kubectl-edit", "db", change);
        world.reconcile("db").await;
        let told = world.api.events();
        assert!(
            told.iter().any(|(_, note)| note.contains(expected)),
            "{expected}: {told:?}"
        );
        assert_eq!(world.ready("db"), says("True", "Ready"));
    }
    let before = world.api.events().len();
    world
        .apply_now(
            "db",
            spec(
                "db",
                json!({"labels": {"team": "c"}, "template": {"url": "x{{ password }}"}}),
            ),
        )
        .await;
    world.annotate("db", "strongroom.dev/rotate-now", "word");
    world.reconcile("db").await;
    edited(&world, "kubectl-label", "db", |object| {
        object["metadata"]["labels"]["theirs"] = json!("kept")
    });
    world.reconcile("db").await;
    assert_eq!(world.api.events().len(), before, "{:?}", world.api.events());
}

#[tokio::test]
async fn admission_that_changes_what_is_written_is_named_and_causes_no_storm() {
    let mut world = ControllerFixture::new();
    world
        .api
        .admission(|object| object["data"]["extra"] = json!("bW9yZQ=="));
    world.apply_now("db", generated("db")).await;
    assert_eq!(world.ready("db"), says("False", "NativeSecretMutated"));
    let says_it = world.message("db", "Ready");
    assert!(
        says_it.contains("mutating admission of the cluster changes key `extra`"),
        "{says_it}"
    );
    world.api.log();
    world.reconcile("db").await;
    let log = world.api.log();
    assert!(log.iter().all(|line| line.starts_with("GET")), "{log:?}");
    world.api.no_admission();
    world
        .reconcile_at("db", now() + SignedDuration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(world.ready("db"), says("True", "Ready"));
    assert_eq!(world.api.secret_key("db", "extra"), None);
}
