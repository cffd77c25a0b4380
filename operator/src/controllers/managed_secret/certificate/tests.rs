//! Certificates as named scenarios: they are renewed, their authorities get new keys, and what ends is said.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use strongroom_rules::generate::Chain;

use crate::controllers::certificates::Certificates;
use crate::controllers::managed_secret::plain_value;
use crate::controllers::testing::{ControllerFixture, NS, now, says};

const WEB: &str = "web";
const CA: &str = "ca";

fn days(days: i64) -> Timestamp {
    now() + SignedDuration::from_hours(24 * days)
}

fn holding(x509: Json) -> Json {
    json!({"source": {"generate": {"keys": {"tls": {"x509": x509}, "token": {"uuid": {}}}}}})
}

fn web(change: impl FnOnce(&mut Json)) -> Json {
    let mut x509 = json!({"dnsNames": ["web.shop.svc"]});
    change(&mut x509);
    holding(x509)
}

fn by(authority: &str) -> Json {
    web(|x509| x509["ca"] = json!({"managedSecret": {"name": authority}}))
}

fn authority(valid_for: &str) -> Json {
    json!({"source": {"generate": {"keys": {"ca": {"x509": {"commonName": "shop CA", "isCA": true, "validFor": valid_for}}}}}})
}

async fn plain(world: &ControllerFixture, name: &str) -> strongroom_rules::value::Value {
    let view = world.view(name).await.unwrap();
    let version = view.current_id().unwrap();
    let value = world.ctx.store.open(view.id, version).await.unwrap();
    plain_value::plain(&value)
}

async fn chain(world: &ControllerFixture, name: &str) -> Chain {
    let key = if name == WEB { "tls" } else { CA };
    Chain::from_value(&plain(world, name).await, key).unwrap()
}

async fn token(world: &ControllerFixture) -> Vec<u8> {
    plain(world, WEB).await.key("token").unwrap().expose().to_vec()
}

/// Reconciles what is queued until nothing is.
async fn settle(world: &mut ControllerFixture, names: &[&str], at: Timestamp) {
    for name in names {
        world.reconcile_at(name, at).await.unwrap();
    }
    for _ in 0..50 {
        let mut touched = world.ctx.certificates.take_touched();
        touched.dedup();
        if touched.is_empty() {
            return;
        }
        for (namespace, name) in touched {
            assert_eq!(namespace, NS);
            world.reconcile_at(&name, at).await.unwrap();
        }
    }
    panic!("no end");
}

#[tokio::test]
async fn a_leaf_is_renewed_with_a_new_key_and_all_else_stays() {
    let mut world = ControllerFixture::with_secret(WEB, web(|_| {})).await;
    let (first, kept) = (plain(&world, WEB).await, token(&world).await);
    let status = world.status(WEB);
    assert_eq!(status["certificate"]["key"], "tls.crt");
    assert_eq!(status["certificate"]["renewalTime"], status["nextRotation"]);
    assert_eq!(
        world.condition(WEB, "CertificateCurrent").unwrap(),
        says("True", "CertificateCurrent")
    );
    world.reconcile_at(WEB, days(59)).await.unwrap();
    assert_eq!(world.versions(WEB).await, 1);
    world.reconcile_at(WEB, days(61)).await.unwrap();
    assert_eq!(world.versions(WEB).await, 2);
    assert_ne!(plain(&world, WEB).await.key("tls.key"), first.key("tls.key"));
    assert_eq!(token(&world).await, kept);
    assert_eq!(world.status(WEB)["lastRotation"], json!(null));
    assert!(
        world
            .api
            .logged("POST")
            .iter()
            .any(|line| line.contains("events"))
    );
    // And so on.
    world.reconcile_at(WEB, days(122)).await.unwrap();
    assert_eq!(world.versions(WEB).await, 3);
    assert_eq!(world.ready(WEB), says("True", "Ready"));
}

#[tokio::test]
async fn a_life_of_seconds_is_renewed_as_any_other() {
    let mut world = ControllerFixture::with_secret(WEB, web(|x509| x509["validFor"] = json!("20s"))).await;
    assert_eq!(world.versions(WEB).await, 1);
    let seconds = SignedDuration::from_secs;
    world.reconcile_at(WEB, now() + seconds(13)).await.unwrap();
    assert_eq!(world.versions(WEB).await, 1);
    world.reconcile_at(WEB, now() + seconds(14)).await.unwrap();
    assert_eq!(world.versions(WEB).await, 2);
}

#[tokio::test]
async fn what_is_never_renewed_is_said_to_end_and_to_have_ended() {
    let mut world = ControllerFixture::new();
    let spec = web(|x509| x509["renewBefore"] = json!("never"));
    world.apply_now(WEB, spec.clone()).await;
    assert_eq!(world.status(WEB)["nextRotation"], json!(null));
    world.reconcile_at(WEB, days(80)).await.unwrap();
    assert_eq!(
        world.condition(WEB, "CertificateCurrent").unwrap(),
        says("False", "CertificateExpiring")
    );
    assert_eq!(world.ready(WEB), says("True", "Ready"));
    assert_eq!(world.api.logged("events").len(), 1);
    world.reconcile_at(WEB, days(91)).await.unwrap();
    assert_eq!(
        world.condition(WEB, "CertificateCurrent").unwrap(),
        says("False", "CertificateExpired")
    );
    assert_eq!(world.ready(WEB), says("False", "CertificateExpired"));
    assert_eq!(
        world.condition(WEB, "Stalled").unwrap(),
        says("True", "CertificateExpired")
    );
    assert_eq!(
        (world.versions(WEB).await, world.api.logged("events").len()),
        (1, 1)
    );
    // A suspended object is no better.
    let mut suspended = web(|_| {});
    suspended["suspend"] = json!(true);
    world.apply(WEB, suspended);
    world.reconcile_at(WEB, days(91)).await.unwrap();
    assert_eq!(world.ready(WEB), says("False", "CertificateExpired"));
    // A renewal heals it.
    world.apply(WEB, web(|_| {}));
    world.reconcile_at(WEB, days(91)).await.unwrap();
    assert_eq!(world.ready(WEB), says("True", "Ready"));
    assert_eq!(world.versions(WEB).await, 2);
}

#[tokio::test]
async fn what_was_due_before_the_process_began_is_not_renewed_in_its_first_hour() {
    let mut world = ControllerFixture::with_secret(WEB, web(|_| {})).await;
    world.ctx.certificates = Certificates::new(days(70));
    world
        .reconcile_at(WEB, days(70) + SignedDuration::from_mins(59))
        .await
        .unwrap();
    assert_eq!(world.versions(WEB).await, 1);
    world.reconcile_at(WEB, days(80)).await.unwrap();
    assert_eq!(world.versions(WEB).await, 2);
}

#[tokio::test]
async fn an_authority_is_renewed_with_its_key_and_its_leaves_get_the_new_root() {
    let mut world = ControllerFixture::new();
    world.apply(CA, authority("300d"));
    world.apply(WEB, by(CA));
    settle(&mut world, &[CA, WEB], now()).await;
    let (root, leaf) = (chain(&world, CA).await, plain(&world, WEB).await);
    settle(&mut world, &[CA], days(201)).await;
    let renewed = chain(&world, CA).await;
    assert!(renewed.own.not_after > root.own.not_after);
    assert_eq!(
        (renewed.own.key, renewed.own.subject),
        (root.own.key, root.own.subject)
    );
    assert!(!renewed.roots.is_empty() && renewed.roots.len() == 1);
    // It was due itself by then; what it had before is what it would have kept.
    let chain = chain(&world, WEB).await;
    assert_eq!(chain.above, self::chain(&world, CA).await.bundle);
    assert_ne!(plain(&world, WEB).await.key("ca.crt"), leaf.key("ca.crt"));
}

#[tokio::test]
async fn an_authority_with_a_new_key_takes_its_leaves_along() {
    let mut world = ControllerFixture::new();
    world.apply(CA, authority("300d"));
    for name in [WEB, "api"] {
        world.apply(name, by(CA));
    }
    settle(&mut world, &[CA, WEB, "api"], now()).await;
    let (root, leaf) = (chain(&world, CA).await, plain(&world, WEB).await);
    assert_eq!(
        world.condition(WEB, "CertificateCurrent").unwrap(),
        says("True", "CertificateCurrent")
    );
    // A day later somebody has the authority make a new key. A consumer of `api` keeps it from being trusted
    // at once.
    let asked = days(1);
    let view = world.view("api").await.unwrap();
    let account = strongroom_rules::policy::Identity::from_username("system:serviceaccount:shop:api");
    let who = crate::consumers::readers::ReaderIdentity {
        identity: &account,
        pod: None,
        node: None,
    };
    let version = view.current_id().unwrap();
    world
        .ctx
        .consumers
        .readers()
        .record_read(view.id, version, who, asked);
    world.annotate(CA, "strongroom.dev/rotate-now", "leaked");
    settle(&mut world, &[CA], asked).await;
    let new_root = chain(&world, CA).await;
    assert_ne!(new_root.own.key, root.own.key);
    assert_eq!(new_root.roots.len(), 2);
    // The leaf trusts both, and has its key and certificate still.
    let trusting = plain(&world, WEB).await;
    assert_eq!(trusting.key("ca.crt"), plain(&world, CA).await.key("ca.crt"));
    assert_eq!(trusting.key("tls.crt"), leaf.key("tls.crt"));
    assert_eq!(
        world.condition(WEB, "CertificateCurrent").unwrap(),
        says("False", "AuthorityChanged")
    );
    // When it is time the leaves are signed anew; the old root stays while somebody has an older version.
    let later = asked + SignedDuration::from_mins(11);
    settle(&mut world, &[WEB, "api"], later).await;
    for name in [WEB, "api"] {
        let chain = Chain::from_value(&plain(&world, name).await, "tls").unwrap();
        assert!(chain.is_signed_by(&new_root), "{name}");
        assert_eq!(
            world.condition(name, "CertificateCurrent").unwrap(),
            says("True", "CertificateCurrent")
        );
    }
    assert_eq!(chain(&world, CA).await.roots.len(), 2);
    // The consumer reads the current one.
    let moved = later + SignedDuration::from_mins(1);
    let view = world.view("api").await.unwrap();
    let version = view.current_id().unwrap();
    world
        .ctx
        .consumers
        .readers()
        .record_read(view.id, version, who, moved);
    settle(&mut world, &["api", CA], moved).await;
    for name in [CA, WEB, "api"] {
        let value = plain(&world, name).await;
        let key = if name == CA { CA } else { "tls" };
        assert_eq!(
            Chain::from_value(&value, key).unwrap().roots,
            [new_root.own.key.clone().unwrap()],
            "{name}"
        );
    }
    // Then nothing moves any more.
    let before = (world.versions(CA).await, world.versions(WEB).await);
    settle(
        &mut world,
        &[CA, WEB, "api"],
        moved + SignedDuration::from_hours(1),
    )
    .await;
    assert_eq!((world.versions(CA).await, world.versions(WEB).await), before);
}

#[tokio::test]
async fn a_former_root_stays_while_a_leaf_was_not_looked_at() {
    let mut world = ControllerFixture::new();
    world.apply(CA, authority("300d"));
    world.apply(WEB, by(CA));
    settle(&mut world, &[CA, WEB], now()).await;
    world.annotate(CA, "strongroom.dev/rotate-now", "leaked");
    world.reconcile(CA).await;
    // A new process, which has seen the authority alone.
    world.ctx.certificates = Certificates::new(days(1));
    world.reconcile_at(CA, days(1)).await.unwrap();
    world.reconcile_at(CA, days(1)).await.unwrap();
    assert_eq!(chain(&world, CA).await.roots.len(), 2);
    assert!(
        world
            .message(CA, "CertificateCurrent")
            .contains("it waits for `web`")
    );
}

#[tokio::test]
async fn a_leaf_of_another_authority_is_named_and_not_signed_unasked() {
    let mut world = ControllerFixture::new();
    world.apply(CA, authority("300d"));
    world.apply(
        "other",
        json!({"source": {"generate": {"keys": {"ca": {"x509": {"commonName": "other CA", "isCA": true}}}}}}),
    );
    world.apply(WEB, by(CA));
    settle(&mut world, &[CA, "other", WEB], now()).await;
    world.apply(WEB, by("other"));
    settle(&mut world, &[WEB], now()).await;
    assert_eq!(
        world.condition(WEB, "CertificateCurrent").unwrap(),
        says("False", "AuthorityChanged")
    );
    assert!(world.message(WEB, "CertificateCurrent").contains("`other`"));
    assert_eq!(world.versions(WEB).await, 1);
    world.annotate(WEB, "strongroom.dev/rotate-now", "please");
    settle(&mut world, &[WEB], now()).await;
    assert_eq!(
        world.condition(WEB, "CertificateCurrent").unwrap(),
        says("True", "CertificateCurrent")
    );
}

#[tokio::test]
async fn a_validity_that_was_cut_is_said() {
    let mut world = ControllerFixture::new();
    world.apply(CA, authority("30d"));
    world.apply(WEB, by(CA));
    settle(&mut world, &[CA, WEB], now()).await;
    assert_eq!(
        world.condition(WEB, "CertificateCurrent").unwrap(),
        says("True", "ValidityCut")
    );
    assert_eq!(
        chain(&world, WEB).await.own.not_after,
        chain(&world, CA).await.own.not_after
    );
    // With its authority it gets a new end, and not before.
    settle(&mut world, &[WEB], days(19)).await;
    assert_eq!(world.versions(WEB).await, 1);
    settle(&mut world, &[CA, WEB], days(21)).await;
    assert_eq!(
        chain(&world, WEB).await.own.not_after,
        chain(&world, CA).await.own.not_after
    );
    assert!(chain(&world, WEB).await.own.not_after > days(50));
}

#[tokio::test]
async fn the_certificate_is_a_metric_while_its_object_is_there() {
    let mut world = ControllerFixture::with_secret(WEB, web(|_| {})).await;
    assert_eq!(world.ctx.metrics.certificates(), [format!("{NS}/{WEB} tls.crt")]);
    world
        .apply_now(
            WEB,
            json!({"source": {"generate": {"keys": {"token": {"uuid": {}}}}}}),
        )
        .await;
    assert_eq!(world.ctx.metrics.certificates(), Vec::<String>::new());
}

#[tokio::test]
async fn a_certificate_that_comes_from_elsewhere_is_watched_for_its_end_and_never_renewed() {
    let mut world = ControllerFixture::new();
    let mut made = web(|x509| x509["renewBefore"] = json!("never"));
    made["secret"] = json!({"name": "made"});
    world.apply_now(WEB, made).await;
    let secrets = crate::controllers::testing::SECRETS;
    let data = world.api.get(&format!("{secrets}/made")).unwrap()["data"].clone();
    world.api.put(
        &format!("{secrets}/bought"),
        json!({"metadata": {"name": "bought"}, "data": {"tls.crt": data["tls.crt"], "tls.key": data["tls.key"]}}),
    );
    let spec = json!({"source": {"import": {"secretRef": {"name": "bought"}}}});
    world.apply_now("shop-tls", spec).await;
    let current = |world: &ControllerFixture| world.condition("shop-tls", "CertificateCurrent").unwrap();
    assert_eq!(current(&world), says("True", "CertificateCurrent"));
    assert_eq!(world.status("shop-tls")["certificate"]["key"], "tls.crt");
    assert_eq!(world.status("shop-tls")["nextRotation"], json!(null));
    for (day, reason) in [(80, "CertificateExpiring"), (91, "CertificateExpired")] {
        world.api.log();
        world.reconcile_at("shop-tls", days(day)).await.unwrap();
        assert_eq!(current(&world), says("False", reason));
        let said = world.message("shop-tls", "CertificateCurrent");
        assert!(said.contains("its value comes from elsewhere"), "{said}");
        assert!(world.api.events().iter().any(|(told, _)| told == reason));
        // It is only said: what brings the value decides.
        assert_eq!(world.ready("shop-tls"), says("True", "Ready"));
        assert_eq!(world.versions("shop-tls").await, 1);
    }
}
