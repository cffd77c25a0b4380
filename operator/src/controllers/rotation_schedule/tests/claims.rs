//! Which schedule rotates a secret: by name before by label, and none where two claim it equally.

use super::*;

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
        attempt(&world, &kept, in_days(9)).await;
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
    attempt(&world, &own, in_days(9)).await;
    assert_eq!(ready(&world, "own"), says("True", "Ready"));
    assert_eq!(world.api.get(&path("own")).unwrap()["status"]["selected"], 1);
    attempt(&world, &wide, in_days(9)).await;
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
            attempt(&world, kept, in_days(0)).await;
            let status = &world.api.get(&path(name)).unwrap()["status"];
            assert_eq!(
                status["selected"], selected,
                "{name} while the label says {label}"
            );
        }
    }
}

#[tokio::test]
async fn a_schedule_whose_selector_matches_nothing_yet_is_ready() {
    let world = ControllerFixture::new();
    let selecting = json!({"selector": {"matchLabels": {"rotate": "monthly"}}});
    let kept = schedule(&world, "monthly", every(30, selecting));
    attempt(&world, &kept, in_days(0)).await;
    assert_eq!(ready(&world, "monthly"), says("True", "NothingSelected"));
    // A name is a promise that somebody makes the object.
    let kept = schedule(&world, "named", every(30, named(&["absent"])));
    attempt(&world, &kept, in_days(0)).await;
    assert_eq!(ready(&world, "named"), says("False", "NothingSelected"));
}

#[tokio::test]
async fn a_conflict_is_told_at_both_schedules() {
    let mut world = ControllerFixture::new();
    world.apply("db", generated("db"));
    let one = schedule(&world, "one", every(1, named(&["db"])));
    let two = schedule(&world, "two", every(2, named(&["db"])));
    world.reconcile("db").await;
    for kept in [one, two] {
        attempt(&world, &kept, in_days(0)).await;
    }
    let told = world.api.events();
    assert_eq!(told.len(), 2, "{told:?}");
    for (reason, note) in told {
        assert_eq!(reason, "RotationFailed");
        assert!(note.starts_with("not rotated: ManagedSecret `db`: "), "{note}");
    }
}
