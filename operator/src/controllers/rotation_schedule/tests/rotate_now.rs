//! The annotation `strongroom.dev/rotate-now` of a schedule.

use super::*;

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
        attempt(&world, &kept, in_days(0)).await;
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
        attempt(&world, &kept, in_days(0)).await;
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
    attempt(&world, &kept, in_days(0)).await;
    assert_eq!(world.api.logged("events"), Vec::<String>::new());
    let kept = asked(&world, "third");
    for name in ["one", "two", "new"] {
        world.reconcile(name).await;
    }
    attempt(&world, &kept, in_days(0)).await;
    assert_eq!(ready(&world, "all"), says("True", "Ready"));
}
