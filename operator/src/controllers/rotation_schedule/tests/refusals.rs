//! What keeps a schedule or one of its secrets from rotating, and where it is said.

use super::*;

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
    attempt(&world, &kept, in_days(9)).await;
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
    attempt(&world, &kept, in_days(9)).await;
    assert_eq!(ready(&world, "daily"), says("True", "Suspended"));
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
    attempt(&world, &kept, in_days(0)).await;
    assert_eq!(ready(&world, "odd"), says("False", "ScheduleInvalid"));
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
    attempt(&world, &kept, in_days(2)).await;
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
    attempt(&world, &kept, in_days(2)).await;
    assert_eq!(ready(&world, "daily"), says("False", "ImmutableNotRotatable"));
}
