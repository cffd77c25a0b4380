//! Products that come, go and come back.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use strongroom_rules::policy::Identity;
use strongroom_rules::product::{NamespaceSelection, ProductState};

use crate::controllers::testing::{ControllerFixture, now, says};
use crate::products::{ProductEndpoints, SinkBacklog, SinkBacklogHandle};

const ACCOUNT: &str = "/api/v1/namespaces/pg-system/serviceaccounts/pg";

/// A product that offers free hosting, with these managers of namespace `pg-system`.
fn spec(managers: &[&str]) -> Json {
    let managers: Vec<Json> = managers
        .iter()
        .map(|name| json!({"namespace": "pg-system", "name": name}))
        .collect();
    json!({
        "managers": managers,
        "namespaces": {"matchLabels": {"pg": "enabled"}},
        "hosting": ["Free"],
        "quota": {"free": {"perNamespace": 2, "total": 3}},
    })
}

fn world() -> ControllerFixture {
    let world = ControllerFixture::new();
    world.homes(&[("shop", "ns-1"), ("pg-system", "n-1")]);
    let account = json!({"metadata": {"name": "pg", "namespace": "pg-system"}});
    world.api.put(ACCOUNT, account);
    world
}

/// A cluster in which the product `pg` is in force.
async fn with_product() -> ControllerFixture {
    let world = world();
    world.list_products(Vec::new()).await;
    world.product("pg", spec(&["pg"])).await;
    assert_eq!(world.product_condition("pg", "Ready"), says("True", "Ready"));
    world
}

fn state(world: &ControllerFixture) -> Option<ProductState> {
    let directory = world.ctx.products.current().unwrap();
    directory.product("pg").map(|product| product.state)
}

/// As a manager of how many products `pg` and `other` have rights, and of how many they are denied what is
/// denied to them.
fn named(world: &ControllerFixture) -> [(usize, usize); 2] {
    let directory = world.ctx.products.current().unwrap();
    ["pg", "other"].map(|name| {
        let identity = Identity::ServiceAccount {
            namespace: "pg-system".to_owned(),
            name: name.to_owned(),
        };
        let caller = directory.caller(&identity);
        (caller.managed.len(), caller.named_by.len())
    })
}

/// Applies the product with these managers as another object.
async fn applied_again(world: &ControllerFixture, managers: &[&str]) {
    world.delete_product("pg").await;
    world.product("pg", spec(managers)).await;
}

/// Reasons of all Events, in the order of the alphabet.
fn reasons(world: &ControllerFixture) -> Vec<String> {
    let events = world.api.events();
    let mut reasons: Vec<String> = events.into_iter().map(|(reason, _)| reason).collect();
    reasons.sort();
    reasons
}

#[tokio::test]
async fn a_product_is_in_force_where_its_selector_selects() {
    let world = with_product().await;
    let directory = world.ctx.products.current().unwrap();
    let product = directory.product("pg").unwrap();
    assert_eq!(product.state, ProductState::Present);
    let expected = ["pg-system", "shop"].map(str::to_owned);
    assert_eq!(product.namespaces, NamespaceSelection::Named(expected.into()));
    let status = world.product_status("pg");
    assert_eq!(
        (&status["quota"], &status["used"]["secrets"]),
        (&json!(3), &json!(0))
    );
    let quota = world.product_condition("pg", "QuotaAvailable");
    assert_eq!(quota, says("True", "QuotaAvailable"));
    let recorded = world.ctx.store.products().await.unwrap();
    assert_eq!(recorded.products.len(), 1);
    // Nothing is written again where nothing changed.
    world.api.log();
    world.look_at_product("pg").await;
    let writes = world
        .api
        .log()
        .into_iter()
        .filter(|line| !line.starts_with("GET"));
    assert_eq!(writes.collect::<Vec<_>>(), Vec::<String>::new());
}

#[tokio::test]
async fn before_all_lists_have_come_nothing_is_decided_and_without_the_kind_what_was_recorded_is_absent() {
    let world = with_product().await;
    let next = ControllerFixture::new();
    for product in world.ctx.store.products().await.unwrap().products {
        next.ctx.store.put_product(product).await.unwrap();
    }
    let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/secretproducts.strongroom.dev";
    next.api.put(
        crd,
        json!({"metadata": {"name": "secretproducts.strongroom.dev"}}),
    );
    next.publish_products().await;
    assert!(next.ctx.products.current().is_err(), "its list is still to come");
    next.api.remove(crd);
    next.publish_products().await;
    assert_eq!(state(&next), Some(ProductState::Absent));
}

#[tokio::test]
async fn a_product_that_is_deleted_is_absent_and_returns_with_the_same_managers() {
    let world = with_product().await;
    assert_eq!(named(&world), [(1, 1), (0, 0)]);
    world.delete_product("pg").await;
    assert_eq!(state(&world), Some(ProductState::Absent));
    assert_eq!(named(&world), [(0, 1), (0, 0)]);
    world.product("pg", spec(&["pg"])).await;
    assert_eq!(state(&world), Some(ProductState::Present));
    assert_eq!(world.product_condition("pg", "Ready"), says("True", "Ready"));
    assert_eq!(reasons(&world), ["ProductReturned"]);
}

#[tokio::test]
async fn a_product_goes_on_while_its_kind_goes_and_is_absent_when_that_is_back() {
    let world = with_product().await;
    let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/secretproducts.strongroom.dev";
    let going = json!({"metadata": {
        "name": "secretproducts.strongroom.dev", "deletionTimestamp": "2026-11-30T00:00:00Z",
    }});
    let stays = world.api.get(crd).unwrap();
    world.api.put(crd, going);
    world.delete_product("pg").await;
    assert_eq!(state(&world), Some(ProductState::Present));
    world.api.remove(crd);
    world.publish_products().await;
    assert_eq!(state(&world), Some(ProductState::Present));
    world.api.put(crd, stays);
    world.publish_products().await;
    assert_eq!(state(&world), Some(ProductState::Absent));
}

#[tokio::test]
async fn with_other_managers_it_waits_until_somebody_adopts_it() {
    let world = with_product().await;
    applied_again(&world, &["other"]).await;
    assert_eq!(state(&world), Some(ProductState::Changed));
    assert_eq!(
        world.product_condition("pg", "Ready"),
        says("False", "ProductChanged")
    );
    let token = world.product_status("pg")["adoptionToken"].clone();
    world.look_at_product("pg").await;
    assert_eq!(reasons(&world), ["ProductChanged"], "told once");
    let recorded = world.ctx.store.products().await.unwrap().products.remove(0);
    assert!(recorded.managers.iter().all(|manager| manager.name == "pg"));
    assert_eq!(
        named(&world),
        [(0, 1), (0, 1)],
        "what is denied is denied to both"
    );

    let adopt = json!({"strongroom.dev/adopt-product": token});
    world.product_with("pg", spec(&["other"]), adopt).await;
    assert_eq!(state(&world), Some(ProductState::Present));
    assert_eq!(world.product_status("pg")["adoptionToken"], Json::Null);
    assert_eq!(reasons(&world), ["ProductAdopted", "ProductChanged"]);
    // Its ServiceAccount is still to come.
    assert_eq!(
        world.product_condition("pg", "Ready"),
        says("False", "ManagerMissing")
    );
}

#[tokio::test]
async fn a_namespace_of_a_manager_that_somebody_makes_again_takes_the_product_from_him() {
    let world = with_product().await;
    world.homes(&[("shop", "ns-1")]);
    world.look_at_product("pg").await;
    assert_eq!(state(&world), Some(ProductState::Present), "it is only away");
    assert_eq!(
        world.product_condition("pg", "Ready"),
        says("False", "ManagerMissing")
    );
    world.homes(&[("shop", "ns-1"), ("pg-system", "n-2")]);
    world.publish_products().await;
    assert_eq!(
        state(&world),
        Some(ProductState::Changed),
        "before anything else is done"
    );
    world.look_at_product("pg").await;
    assert_eq!(
        world.product_condition("pg", "Ready"),
        says("False", "ProductChanged")
    );
}

#[tokio::test]
async fn an_edit_of_the_product_counts_at_once_and_a_removed_manager_is_none() {
    let world = with_product().await;
    world.product("pg", spec(&["pg", "second"])).await;
    assert_eq!(state(&world), Some(ProductState::Present));
    world.product("pg", spec(&["second"])).await;
    let directory = world.ctx.products.current().unwrap();
    let names: Vec<&str> = directory
        .product("pg")
        .unwrap()
        .managers
        .iter()
        .map(|manager| manager.name.as_str())
        .collect();
    assert_eq!(names, ["second"]);
    let mut suspended = spec(&["pg"]);
    suspended["suspend"] = json!(true);
    world.product("pg", suspended).await;
    assert_eq!(world.product_condition("pg", "Ready"), says("False", "Suspended"));
    assert!(
        world
            .ctx
            .products
            .current()
            .unwrap()
            .product("pg")
            .unwrap()
            .suspend
    );
}

#[tokio::test]
async fn what_the_installation_does_not_have_is_said() {
    let mut world = with_product().await;
    for (option, reason) in [("gateway", "GatewayMissing"), ("auditSink", "SinkMissing")] {
        let mut wanted = spec(&["pg"]);
        wanted["hosting"] = json!(["Free", "Paid"]);
        wanted["paid"] = json!({option: "own"});
        world.product("pg", wanted).await;
        assert_eq!(world.product_condition("pg", "Ready"), says("False", reason));
        assert_eq!(state(&world), Some(ProductState::Present), "it acts all the same");
    }
    let (pg, other) = ("pg".parse().unwrap(), "other".parse().unwrap());
    world.ctx.options.endpoints = ProductEndpoints::new(
        [("own".to_owned(), vec![pg]), ("theirs".to_owned(), vec![other])],
        [(
            "own".to_owned(),
            "pg".parse().unwrap(),
            SinkBacklogHandle::default(),
        )],
    );
    for (name, expected) in [
        ("own", says("True", "Ready")),
        ("theirs", says("False", "GatewayMissing")),
        ("other", says("False", "GatewayMissing")),
    ] {
        let mut wanted = spec(&["pg"]);
        wanted["hosting"] = json!(["Free", "Paid"]);
        wanted["paid"] = json!({"gateway": name, "auditSink": "own"});
        world.product("pg", wanted).await;
        assert_eq!(world.product_condition("pg", "Ready"), expected, "{name}");
    }
    // A quota that is not said is none.
    assert_eq!(
        world.product_condition("pg", "QuotaAvailable"),
        says("False", "QuotaExceeded")
    );
    world.product("strongroom", spec(&["pg"])).await;
    assert_eq!(
        world.product_condition("strongroom", "Ready"),
        says("False", "CodeReserved")
    );
    let directory = world.ctx.products.current().unwrap();
    assert!(directory.product("strongroom").is_none());
}

#[tokio::test]
async fn what_waits_for_the_sink_of_a_product_is_said() {
    let mut world = with_product().await;
    let backlog = SinkBacklogHandle::default();
    world.ctx.options.endpoints =
        ProductEndpoints::new([], [("siem".to_owned(), "pg".parse().unwrap(), backlog.clone())]);
    let delivered = |world: &ControllerFixture| {
        let conditions = world.product_status("pg")["conditions"].take();
        let mut conditions = conditions.as_array().unwrap().iter();
        let found = conditions.find(|condition| condition["type"] == "Delivered");
        found.map(|condition| (condition["status"].clone(), condition["reason"].clone()))
    };
    assert_eq!(delivered(&world), None, "it names no sink");
    let mut wanted = spec(&["pg"]);
    wanted["hosting"] = json!(["Free", "Paid"]);
    wanted["paid"] = json!({"auditSink": "siem"});
    let old = SinkBacklog::Waiting(now() - SignedDuration::from_mins(2));
    for (waits, status, reason) in [
        (SinkBacklog::Empty, "True", "Delivered"),
        (SinkBacklog::Waiting(now()), "True", "Delivered"),
        (old, "False", "SinkLagging"),
        (SinkBacklog::PassedBy, "False", "RecordsLost"),
        (SinkBacklog::Empty, "True", "Delivered"),
    ] {
        backlog.set(waits);
        world.product("pg", wanted.clone()).await;
        assert_eq!(
            delivered(&world),
            Some((json!(status), json!(reason))),
            "{waits:?}"
        );
        // It acts all the same.
        assert_eq!(world.product_condition("pg", "Ready"), says("True", "Ready"));
    }
    wanted["paid"] = json!({"auditSink": "other"});
    world.product("pg", wanted).await;
    assert_eq!(delivered(&world), None, "there is none, which Ready says");
}

#[tokio::test]
async fn when_managers_were_last_seen_is_written_in_steps_and_stays() {
    let mut world = with_product().await;
    let seen = |world: &ControllerFixture| -> Vec<(String, Timestamp)> {
        let status = world.product_status("pg");
        let seen = status["managersSeen"].as_array().cloned().unwrap_or_default();
        let text = |value: &Json| value.as_str().unwrap().to_owned();
        seen.iter()
            .map(|seen| (text(&seen["name"]), text(&seen["last"]).parse().unwrap()))
            .collect()
    };
    assert_eq!(seen(&world), []);
    let manager = ("pg-system", "pg");
    world.ctx.products.sightings().record("pg", manager, now());
    world.ctx.products.sightings().record("other", manager, now());
    world.look_at_product("pg").await;
    let last = world.ctx.products.sightings().last("pg", manager).unwrap();
    assert_eq!(seen(&world), [("pg".to_owned(), last)]);
    // The next process has seen nobody, and nothing is written again.
    world.ctx.products = <_>::default();
    world.api.log();
    world.look_at_product("pg").await;
    let mut writes = world.api.log().into_iter();
    assert_eq!(writes.find(|line| !line.starts_with("GET")), None);
    assert_eq!(seen(&world), [("pg".to_owned(), last)]);
    let later = last + SignedDuration::from_mins(10);
    world.ctx.products.sightings().record("pg", manager, later);
    world.look_at_product("pg").await;
    assert_eq!(seen(&world), [("pg".to_owned(), later)]);
    // Who is no manager any more is not told of.
    world.product("pg", spec(&["second"])).await;
    assert_eq!(seen(&world), []);
}

#[tokio::test]
async fn a_store_that_does_not_record_a_product_does_not_bring_it_into_force() {
    let world = world();
    world.list_products(Vec::new()).await;
    let path = ControllerFixture::product_path("pg");
    let metadata = json!({"name": "pg", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"});
    let object = world
        .api
        .put(&path, json!({"metadata": metadata, "spec": spec(&["pg"])}));
    world.list_products(vec![object]).await;
    assert_eq!(state(&world), None);
    world.look_at_product("pg").await;
    assert_eq!(state(&world), Some(ProductState::Present));
}
