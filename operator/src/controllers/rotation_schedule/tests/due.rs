//! When a secret is due, what is made anew then, and what is said while it is overdue.

use super::*;

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
        attempt(&world, &monthly, now).await;
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
        attempt(&world, &daily, now).await;
        assert_eq!(ready(&world, "monthly"), says("True", "Ready"));
        assert_eq!(
            world.condition("web", "CertificateCurrent").unwrap(),
            says("True", "CertificateCurrent")
        );
    }
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
    attempt(&world, &kept, in_days(0)).await;
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
    attempt(&world, &kept, in_days(0)).await;
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
        attempt(world, &kept, in_days(days)).await;
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
