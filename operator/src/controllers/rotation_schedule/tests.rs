//! Schedules as named scenarios: which secrets they rotate, when, and what they say.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use strongroom_crds::v1alpha1::RotationSchedule;

use super::reconcile_at;
use crate::controllers::cached_object::CachedObject;
use crate::controllers::declarations;
use crate::controllers::testing::{ControllerFixture, NS, generated, says};

fn path(name: &str) -> String {
    format!("/apis/strongroom.dev/v1alpha1/namespaces/{NS}/rotationschedules/{name}")
}

/// Applies a schedule, and the watch says so.
fn schedule(world: &ControllerFixture, name: &str, spec: Json) -> CachedObject<RotationSchedule> {
    schedule_with(world, name, spec, json!({}))
}

fn schedule_with(
    world: &ControllerFixture,
    name: &str,
    spec: Json,
    annotations: Json,
) -> CachedObject<RotationSchedule> {
    let written = world.api.put(
        &path(name),
        json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "RotationSchedule", "spec": spec,
            "metadata": {"name": name, "namespace": NS, "generation": 1, "uid": format!("uid-{name}"), "annotations": annotations},
        }),
    );
    let kept: CachedObject<RotationSchedule> = serde_json::from_value(written).unwrap();
    world
        .ctx
        .coverage
        .saw_schedule(NS, Arc::new(kept.parse().unwrap()));
    kept
}

fn every(days: u32, secrets: Json) -> Json {
    json!({"secrets": secrets, "schedule": {"every": format!("{days}d")}, "rotator": {"generate": {}}})
}

fn named(names: &[&str]) -> Json {
    json!({"names": names})
}

/// The real time, by which the store dates what it makes, and so many days.
fn in_days(days: i64) -> Timestamp {
    Timestamp::now()
        .checked_add(SignedDuration::from_hours(24 * days))
        .unwrap()
}

fn ready(world: &ControllerFixture, name: &str) -> (String, String) {
    let status = &world.api.get(&path(name)).unwrap()["status"];
    let conditions = status["conditions"].as_array().unwrap();
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == "Ready")
        .unwrap();
    says(
        found["status"].as_str().unwrap(),
        found["reason"].as_str().unwrap(),
    )
}

#[tokio::test]
async fn what_is_due_is_rotated_once() {
    let mut world = ControllerFixture::new();
    world.apply("db", generated("db"));
    schedule(&world, "monthly", every(30, named(&["db"])));
    world.reconcile("db").await;
    assert_eq!(
        world.condition("db", "Rotated").unwrap(),
        says("Unknown", "RotationPending")
    );
    assert!(world.status("db")["nextRotation"].is_string());
    assert_eq!(world.status("db")["rotationSchedule"], "monthly");
    let before = world.api.secret_key("db", "password");
    world.reconcile_at("db", in_days(29)).await.unwrap();
    assert_eq!(world.versions("db").await, 1);
    world.reconcile_at("db", in_days(31)).await.unwrap();
    assert_eq!(world.versions("db").await, 2);
    assert_ne!(world.api.secret_key("db", "password"), before);
    assert_eq!(world.condition("db", "Rotated").unwrap(), says("True", "Rotated"));
    let current = world.status("db")["stages"]["Current"].clone();
    assert_eq!(world.status("db")["nativeSecret"]["versionId"], current);
    // The next one counts from this one.
    world.reconcile_at("db", in_days(60)).await.unwrap();
    assert_eq!(world.versions("db").await, 2);
    world.reconcile_at("db", in_days(62)).await.unwrap();
    assert_eq!(world.versions("db").await, 3);
}

#[tokio::test]
async fn only_the_named_keys_are_made_again() {
    let mut world = ControllerFixture::new();
    let mut spec = generated("db");
    spec["source"]["generate"]["keys"] =
        json!({"password": {"password": {}}, "token": {"uuid": {}}, "user": {"literal": "app"}});
    world.apply("db", spec);
    let mut rotation = every(1, named(&["db"]));
    rotation["rotator"]["generate"] = json!({"keys": ["token"]});
    schedule(&world, "daily", rotation);
    world.reconcile("db").await;
    let (password, token) = (
        world.api.secret_key("db", "password"),
        world.api.secret_key("db", "token"),
    );
    world.reconcile_at("db", in_days(2)).await.unwrap();
    assert_eq!(world.api.secret_key("db", "password"), password);
    assert_ne!(world.api.secret_key("db", "token"), token);
    assert_eq!(world.api.secret_key("db", "user").unwrap(), b"app");
}

#[tokio::test]
async fn two_equal_claims_rotate_nothing_and_both_say_so() {
    let mut world = ControllerFixture::new();
    world.apply("db", generated("db"));
    let one = schedule(&world, "one", every(1, named(&["db"])));
    let two = schedule(&world, "two", every(2, named(&["db"])));
    world.reconcile_at("db", in_days(9)).await.unwrap();
    assert_eq!(world.versions("db").await, 1);
    assert_eq!(
        world.condition("db", "Rotated").unwrap(),
        says("False", "ScheduleConflict")
    );
    assert_eq!(world.ready("db"), says("True", "Ready"));
    for (name, kept) in [("one", one), ("two", two)] {
        reconcile_at(&kept, &world.ctx, in_days(9)).await.unwrap();
        assert_eq!(ready(&world, name), says("False", "ScheduleConflict"));
    }
}

#[tokio::test]
async fn naming_beats_selecting() {
    let mut world = ControllerFixture::new();
    world.apply("db", generated("db"));
    let wide = schedule(&world, "wide", every(1, json!({"selector": {}})));
    let own = schedule(&world, "own", every(30, named(&["db"])));
    world.reconcile_at("db", in_days(9)).await.unwrap();
    assert_eq!(world.status("db")["rotationSchedule"], "own");
    assert_eq!(world.versions("db").await, 1);
    reconcile_at(&own, &world.ctx, in_days(9)).await.unwrap();
    assert_eq!(ready(&world, "own"), says("True", "Ready"));
    assert_eq!(world.api.get(&path("own")).unwrap()["status"]["selected"], 1);
    reconcile_at(&wide, &world.ctx, in_days(9)).await.unwrap();
    assert_eq!(ready(&world, "wide"), says("True", "NothingSelected"));
}

#[tokio::test]
async fn a_secret_with_another_label_goes_to_another_schedule_and_both_say_so() {
    let mut world = ControllerFixture::new();
    world.apply("db", generated("db"));
    let team = |team: &str| json!({"selector": {"matchLabels": {"team": team}}});
    let red = schedule(&world, "red", every(1, team("red")));
    let blue = schedule(&world, "blue", every(30, team("blue")));
    for (label, selected) in [("red", [1, 0]), ("blue", [0, 1]), ("red", [1, 0])] {
        let object_path = ControllerFixture::path("db");
        let mut object = world.api.get(&object_path).unwrap();
        object["metadata"]["labels"] = json!({"team": label});
        world.api.put(&object_path, object);
        world.watch("db");
        world.reconcile("db").await;
        assert_eq!(world.status("db")["rotationSchedule"], label);
        for (name, kept, selected) in [("red", &red, selected[0]), ("blue", &blue, selected[1])] {
            reconcile_at(kept, &world.ctx, in_days(0)).await.unwrap();
            let status = &world.api.get(&path(name)).unwrap()["status"];
            assert_eq!(
                status["selected"], selected,
                "{name} while the label says {label}"
            );
        }
    }
}

#[tokio::test]
async fn what_cannot_rotate_says_why() {
    let mut world = ControllerFixture::new();
    world.api.put(
        &format!("{}/old", crate::controllers::testing::SECRETS),
        json!({"metadata": {"name": "old"}, "data": {"a": "YQ=="}}),
    );
    world.apply(
        "imported",
        json!({"source": {"import": {"secretRef": {"name": "old"}}}}),
    );
    world.apply(
        "literal",
        json!({"source": {"generate": {"keys": {"a": {"literal": "b"}}}}}),
    );
    let names = ["imported", "literal"];
    let kept = schedule(
        &world,
        "daily",
        every(1, named(&["imported", "literal", "absent"])),
    );
    for name in names {
        world.reconcile(name).await;
        world.reconcile_at(name, in_days(9)).await.unwrap();
        assert_eq!(world.versions(name).await, 1);
        assert_eq!(
            world.condition(name, "Rotated").unwrap(),
            says("False", "NothingToRotate"),
            "{name}"
        );
    }
    reconcile_at(&kept, &world.ctx, in_days(9)).await.unwrap();
    let status = world.api.get(&path("daily")).unwrap()["status"].clone();
    assert_eq!(ready(&world, "daily"), says("False", "NothingToRotate"));
    let reasons: Vec<&str> = status["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, ["NothingSelected", "NothingToRotate", "NothingToRotate"]);
}

#[tokio::test]
async fn a_suspended_schedule_rotates_nothing_not_even_when_asked() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let mut spec = every(1, named(&["db"]));
    spec["suspend"] = json!(true);
    let kept = schedule_with(
        &world,
        "daily",
        spec,
        json!({"strongroom.dev/rotate-now": "word"}),
    );
    world.reconcile_at("db", in_days(9)).await.unwrap();
    assert_eq!(world.versions("db").await, 1);
    assert_eq!(
        world.condition("db", "Rotated").unwrap(),
        says("Unknown", "Suspended")
    );
    reconcile_at(&kept, &world.ctx, in_days(9)).await.unwrap();
    assert_eq!(ready(&world, "daily"), says("True", "Suspended"));
}

#[tokio::test]
async fn a_schedule_that_is_asked_rotates_each_of_its_secrets_once() {
    let mut world = ControllerFixture::new();
    for name in ["one", "two"] {
        world.apply_now(name, generated(name)).await;
    }
    schedule_with(
        &world,
        "all",
        every(30, json!({"selector": {}})),
        json!({"strongroom.dev/rotate-now": "word"}),
    );
    for name in ["one", "two", "one", "two"] {
        world.reconcile(name).await;
    }
    assert_eq!((world.versions("one").await, world.versions("two").await), (2, 2));
    // What is made afterwards is new enough.
    world.apply_now("three", generated("three")).await;
    world.reconcile("three").await;
    assert_eq!(world.versions("three").await, 1);
}

#[tokio::test]
async fn a_schedule_without_meaning_says_so_on_both_sides() {
    let mut world = ControllerFixture::new();
    world.apply("db", generated("db"));
    let mut spec = every(1, named(&["db"]));
    spec["schedule"] = json!({"cron": "0 3 * * *", "timeZone": "Mars/Olympus"});
    let kept = schedule(&world, "odd", spec);
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
    assert_eq!(
        world.condition("db", "Rotated").unwrap(),
        says("False", "ScheduleInvalid")
    );
    reconcile_at(&kept, &world.ctx, in_days(0)).await.unwrap();
    assert_eq!(ready(&world, "odd"), says("False", "ScheduleInvalid"));
}

#[tokio::test]
async fn a_schedule_whose_selector_matches_nothing_yet_is_ready() {
    let world = ControllerFixture::new();
    let selecting = json!({"selector": {"matchLabels": {"rotate": "monthly"}}});
    let kept = schedule(&world, "monthly", every(30, selecting));
    reconcile_at(&kept, &world.ctx, in_days(0)).await.unwrap();
    assert_eq!(ready(&world, "monthly"), says("True", "NothingSelected"));
    // A name is a promise that somebody makes the object.
    let kept = schedule(&world, "named", every(30, named(&["absent"])));
    reconcile_at(&kept, &world.ctx, in_days(0)).await.unwrap();
    assert_eq!(ready(&world, "named"), says("False", "NothingSelected"));
}

#[tokio::test]
async fn a_rotator_that_names_a_wrong_key_is_refused_whoever_asks() {
    let mut world = ControllerFixture::new();
    world.apply("db", generated("db"));
    let mut spec = every(1, named(&["db"]));
    spec["rotator"]["generate"] = json!({"keys": ["passwrd"]});
    let kept = schedule(&world, "daily", spec.clone());
    world.reconcile("db").await;
    let before = world.api.secret_key("db", "password");
    let refused = |world: &ControllerFixture| {
        assert_eq!(
            world.condition("db", "Rotated").unwrap(),
            says("False", "ScheduleInvalid")
        );
        let said = world.status("db").to_string();
        assert!(
            said.contains("`passwrd`") && said.contains("it generates `password`"),
            "{said}"
        );
        assert_eq!(world.status("db")["lastRotation"], json!(null));
        assert_eq!(world.api.secret_key("db", "password"), before);
    };
    world.reconcile_at("db", in_days(2)).await.unwrap();
    refused(&world);
    world.annotate("db", "strongroom.dev/rotate-now", "word");
    world.reconcile_at("db", in_days(2)).await.unwrap();
    refused(&world);
    schedule_with(
        &world,
        "daily",
        spec,
        json!({"strongroom.dev/rotate-now": "other"}),
    );
    world.reconcile_at("db", in_days(2)).await.unwrap();
    refused(&world);
    assert_eq!(world.versions("db").await, 1);
    reconcile_at(&kept, &world.ctx, in_days(2)).await.unwrap();
    assert_eq!(ready(&world, "daily"), says("False", "ScheduleInvalid"));
}

#[tokio::test]
async fn what_is_asked_for_under_a_suspended_schedule_waits_and_says_so() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let mut spec = every(30, named(&["db"]));
    spec["suspend"] = json!(true);
    schedule(&world, "monthly", spec.clone());
    world.annotate("db", "strongroom.dev/rotate-now", "word");
    world.reconcile("db").await;
    assert_eq!(world.versions("db").await, 1);
    assert_eq!(
        world.condition("db", "Rotated").unwrap(),
        says("Unknown", "Suspended")
    );
    let said = world.status("db").to_string();
    assert!(
        said.contains(
            "what `strongroom.dev/rotate-now` asks for waits: RotationSchedule `monthly` is suspended"
        ),
        "{said}"
    );
    spec["suspend"] = json!(false);
    schedule(&world, "monthly", spec);
    world.reconcile("db").await;
    assert_eq!(world.versions("db").await, 2);
}

#[tokio::test]
async fn an_immutable_native_secret_under_a_schedule_keeps_its_value_and_both_say_so() {
    let mut world = ControllerFixture::new();
    let mut spec = generated("db");
    spec["secret"]["immutable"] = json!(true);
    world.apply("db", spec);
    let kept = schedule(&world, "daily", every(1, named(&["db"])));
    world.reconcile("db").await;
    let before = world.api.secret_key("db", "password");
    world.reconcile_at("db", in_days(2)).await.unwrap();
    assert_eq!(world.api.secret_key("db", "password"), before);
    assert_eq!(world.ready("db"), says("True", "Ready"));
    assert_eq!(
        world.condition("db", "Rotated").unwrap(),
        says("False", "ImmutableNotRotatable")
    );
    let said = world.status("db").to_string();
    assert!(
        said.contains("remove `spec.secret.immutable`, or RotationSchedule `daily`"),
        "{said}"
    );
    reconcile_at(&kept, &world.ctx, in_days(2)).await.unwrap();
    assert_eq!(ready(&world, "daily"), says("False", "ImmutableNotRotatable"));
}

#[tokio::test]
async fn a_schedule_longer_than_the_life_of_a_certificate_is_said_at_both() {
    for (renew_before, schedule_says, secret_says) in [
        (None, says("True", "Ready"), says("True", "CertificateCurrent")),
        (
            Some("never"),
            says("False", "ScheduleTooLong"),
            says("False", "ScheduleTooLong"),
        ),
    ] {
        let mut world = ControllerFixture::new();
        let mut x509 = json!({"dnsNames": ["web.shop.svc"], "validFor": "7d"});
        if let Some(renew_before) = renew_before {
            x509["renewBefore"] = json!(renew_before);
        }
        world.apply(
            "web",
            json!({"source": {"generate": {"keys": {"tls": {"x509": x509}}}}}),
        );
        // The store dates what it makes by the real time.
        let now = Timestamp::now();
        let monthly = schedule(&world, "monthly", every(30, named(&["web"])));
        world.reconcile_at("web", now).await.unwrap();
        reconcile_at(&monthly, &world.ctx, now).await.unwrap();
        assert_eq!(ready(&world, "monthly"), schedule_says);
        let status = &world.api.get(&path("monthly")).unwrap()["status"];
        assert_eq!(status["secrets"][0]["reason"], "ScheduleTooLong", "{status}");
        assert!(
            status["secrets"][0]["nextRotation"].is_string(),
            "it rotates all the same"
        );
        assert!(status.to_string().contains("`tls.crt`"), "{status}");
        assert_eq!(world.condition("web", "CertificateCurrent").unwrap(), secret_says);
        assert!(world.message("web", "CertificateCurrent").contains("`monthly`"));
        // One that is shorter has nothing to say.
        let daily = schedule(&world, "monthly", every(1, named(&["web"])));
        world.reconcile_at("web", now).await.unwrap();
        reconcile_at(&daily, &world.ctx, now).await.unwrap();
        assert_eq!(ready(&world, "monthly"), says("True", "Ready"));
        assert_eq!(
            world.condition("web", "CertificateCurrent").unwrap(),
            says("True", "CertificateCurrent")
        );
    }
}

#[tokio::test]
async fn a_text_of_rotate_now_that_was_used_before_is_said_at_the_schedule_too() {
    let mut world = ControllerFixture::new();
    for name in ["one", "two"] {
        world.apply_now(name, generated(name)).await;
    }
    let asked = |world: &ControllerFixture, word: &str| {
        let annotations = json!({"strongroom.dev/rotate-now": word});
        schedule_with(world, "all", every(30, json!({"selector": {}})), annotations)
    };
    for word in ["first", "second"] {
        let kept = asked(&world, word);
        for name in ["one", "two"] {
            world.reconcile(name).await;
        }
        reconcile_at(&kept, &world.ctx, in_days(0)).await.unwrap();
        assert_eq!(ready(&world, "all"), says("True", "Ready"));
    }
    // What is made meanwhile has no version of the first text.
    world.apply_now("new", generated("new")).await;
    let kept = asked(&world, "first");
    for name in ["one", "two"] {
        world.reconcile(name).await;
        assert_eq!(world.versions(name).await, 3);
    }
    for _ in 0..2 {
        reconcile_at(&kept, &world.ctx, in_days(0)).await.unwrap();
        assert_eq!(ready(&world, "all"), says("True", "RotateNowRepeated"));
        let status = world.api.get(&path("all")).unwrap()["status"].clone();
        let message = status["conditions"][0]["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains("of `one` and 1 more") && message.contains("use a new text"),
            "{message}"
        );
        let reasons: Vec<(&Json, &Json)> = status["secrets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (&row["name"], &row["reason"]))
            .collect();
        let repeated = json!("RotateNowRepeated");
        for row in [
            (&json!("one"), &repeated),
            (&json!("two"), &repeated),
            (&json!("new"), &Json::Null),
        ] {
            assert!(reasons.contains(&row), "{reasons:?}");
        }
        let told: Vec<String> = world
            .api
            .events()
            .into_iter()
            .filter(|(reason, _)| reason == "RotateNowRepeated")
            .map(|(_, note)| note)
            .collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("ManagedSecret `one`"), "{told:?}");
    }
    // It is told once, also where the status has come back.
    let again = world.api.get(&path("all")).unwrap();
    world.api.log();
    let kept: CachedObject<RotationSchedule> = serde_json::from_value(again).unwrap();
    reconcile_at(&kept, &world.ctx, in_days(0)).await.unwrap();
    assert_eq!(world.api.logged("events"), Vec::<String>::new());
    let kept = asked(&world, "third");
    for name in ["one", "two", "new"] {
        world.reconcile(name).await;
    }
    reconcile_at(&kept, &world.ctx, in_days(0)).await.unwrap();
    assert_eq!(ready(&world, "all"), says("True", "Ready"));
}

#[tokio::test]
async fn a_jitter_longer_than_the_least_gap_of_a_calendar_is_said_and_it_rotates_all_the_same() {
    let mut world = ControllerFixture::with_secret("db", generated("db")).await;
    let calendar = |jitter: &str| {
        let mut spec = every(1, named(&["db"]));
        spec["schedule"] = json!({"cron": "0 1,4,13 * * *"});
        spec["jitter"] = json!(jitter);
        spec
    };
    let kept = schedule(&world, "often", calendar("4h"));
    reconcile_at(&kept, &world.ctx, in_days(0)).await.unwrap();
    assert_eq!(ready(&world, "often"), says("False", "JitterTooLong"));
    let status = world.api.get(&path("often")).unwrap()["status"].clone();
    assert!(
        status.to_string().contains("`spec.jitter` is longer than the 3h"),
        "{status}"
    );
    assert!(status["nextRotation"].is_string(), "{status}");
    world.reconcile_at("db", in_days(2)).await.unwrap();
    assert_eq!(world.versions("db").await, 2);
    let kept = schedule(&world, "often", calendar("3h"));
    reconcile_at(&kept, &world.ctx, in_days(0)).await.unwrap();
    assert_eq!(ready(&world, "often"), says("True", "Ready"));
}

#[tokio::test]
async fn what_is_overdue_is_said_and_told_and_so_is_its_rotation() {
    let mut world = ControllerFixture::new();
    world.apply("db", generated("db"));
    world.reconcile("db").await;
    schedule(&world, "monthly", every(30, named(&["db"])));
    let told = |world: &ControllerFixture| -> Vec<String> {
        let mut told: Vec<String> = world.api.events().into_iter().map(|(reason, _)| reason).collect();
        told.sort();
        told
    };
    let look = async |world: &ControllerFixture, days: i64| {
        let kept = serde_json::from_value(world.api.get(&path("monthly")).unwrap()).unwrap();
        reconcile_at(&kept, &world.ctx, in_days(days)).await.unwrap();
        world.api.get(&path("monthly")).unwrap()["status"]["secrets"][0].clone()
    };
    assert_eq!(look(&world, 29).await["reason"], json!(null));
    assert_eq!(told(&world), Vec::<String>::new());
    for _ in 0..2 {
        let row = look(&world, 31).await;
        assert_eq!(row["reason"], "RotationOverdue", "{row}");
        assert!(
            row["message"].as_str().unwrap().starts_with("it was due at "),
            "{row}"
        );
        assert_eq!(told(&world), ["RotationOverdue"]);
    }
    world.reconcile_at("db", in_days(31)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(look(&world, 31).await["reason"], json!(null));
        assert_eq!(told(&world), ["RotationOverdue", "SecretsRotated"]);
    }
}

#[tokio::test]
async fn a_conflict_is_told_at_both_schedules() {
    let mut world = ControllerFixture::new();
    world.apply("db", generated("db"));
    let one = schedule(&world, "one", every(1, named(&["db"])));
    let two = schedule(&world, "two", every(2, named(&["db"])));
    world.reconcile("db").await;
    for kept in [one, two] {
        reconcile_at(&kept, &world.ctx, in_days(0)).await.unwrap();
    }
    let told = world.api.events();
    assert_eq!(told.len(), 2, "{told:?}");
    for (reason, note) in told {
        assert_eq!(reason, "RotationFailed");
        assert!(note.starts_with("not rotated: ManagedSecret `db`: "), "{note}");
    }
}

const MANAGER: &str = "system:serviceaccount:pg-system:pg";

/// With `pg!orders`, a secret of the product `pg` that its manager declares as `orders`.
async fn with_default_secret() -> ControllerFixture {
    let mut world = ControllerFixture::new();
    declarations::begin(&world.ctx).await;
    world.homes(&[(NS, "ns-1"), ("pg-system", "n-1")]);
    world.list_products(Vec::new()).await;
    let product = json!({
        "managers": [{"namespace": "pg-system", "name": "pg"}],
        "namespaces": {}, "hosting": ["Free"], "quota": {"free": {"perNamespace": 2, "total": 3}},
    });
    world.product("pg", product).await;
    let mut spec = generated("orders");
    spec["storeName"] = json!("pg!orders");
    world.apply("orders", spec);
    world.ctx.product_index.saw_secret(NS, "orders", "pg!orders");
    world.attest(&ControllerFixture::path("orders"), MANAGER);
    world.reconcile("orders").await;
    assert_eq!(world.ready("orders"), says("True", "Ready"));
    world
}

/// This user applies a schedule, and it is reconciled.
async fn schedule_as(world: &ControllerFixture, user: &str, name: &str, spec: Json) {
    let kept = schedule(world, name, spec);
    world.attest(&path(name), user);
    reconcile_at(&kept, &world.ctx, in_days(0)).await.unwrap();
}

#[tokio::test]
async fn a_default_secret_is_rotated_by_schedules_of_its_product_alone() {
    let mut world = with_default_secret().await;
    let mut looked_at = world.ctx.declared.take_changes().unwrap();
    schedule_as(&world, "jane", "hers", every(1, named(&["orders"]))).await;
    schedule_as(&world, "jane", "all", every(1, json!({"selector": {}}))).await;
    world.reconcile_at("orders", in_days(2)).await.unwrap();
    assert_eq!(world.versions("pg!orders").await, 1);
    assert_eq!(ready(&world, "hers"), says("False", "NotManager"));
    assert_eq!(ready(&world, "all"), says("True", "NothingSelected"));
    // Nor does hers keep the product's from it.
    schedule_as(&world, MANAGER, "theirs", every(1, named(&["orders"]))).await;
    assert_eq!(ready(&world, "theirs"), says("True", "Ready"));
    let (namespace, name) = looked_at.try_recv().unwrap();
    assert_eq!((namespace.as_str(), name.as_str()), (NS, "orders"));
    world.reconcile_at("orders", in_days(2)).await.unwrap();
    assert_eq!(world.status("orders")["rotationSchedule"], "theirs");
    assert_eq!(world.versions("pg!orders").await, 2);
}

#[tokio::test]
async fn a_schedule_of_a_product_that_somebody_else_changes_is_not_the_products_any_more() {
    let mut world = with_default_secret().await;
    schedule_as(&world, MANAGER, "theirs", every(30, named(&["orders"]))).await;
    let changed = schedule(&world, "theirs", every(1, named(&["orders"])));
    // Before anybody knows who it was, and afterwards.
    world.reconcile_at("orders", in_days(2)).await.unwrap();
    assert_eq!(world.versions("pg!orders").await, 1);
    world.attest(&path("theirs"), "jane");
    reconcile_at(&changed, &world.ctx, in_days(2)).await.unwrap();
    assert_eq!(ready(&world, "theirs"), says("False", "NotManager"));
    world.reconcile_at("orders", in_days(2)).await.unwrap();
    assert_eq!(world.versions("pg!orders").await, 1);
}
