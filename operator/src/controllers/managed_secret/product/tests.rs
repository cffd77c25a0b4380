//! Objects whose names are a product's: whose may make the secret, and what becomes of it.

use std::collections::HashSet;

use serde_json::{Value as Json, json};

use crate::controllers::declarations;
use crate::controllers::testing::{ControllerFixture, NS, SECRETS, now, says};
use crate::external_sources::{ExternalDeclaration, FirstOwner};
use crate::policies::ObservedPolicy;

const MANAGER: &str = "system:serviceaccount:pg-system:pg";

fn product() -> Json {
    json!({
        "managers": [{"namespace": "pg-system", "name": "pg"}],
        "namespaces": {"matchLabels": {"pg": "enabled"}},
        "hosting": ["Free"],
        "quota": {"free": {"perNamespace": 2, "total": 3}},
    })
}

/// A product that offers paid hosting as well.
fn paid() -> Json {
    let mut product = product();
    product["hosting"] = json!(["Free", "Paid"]);
    product["quota"]["paid"] = json!({"perNamespace": 2, "total": 3});
    product
}

/// A cluster in which `pg` is in force, and `root` may manage it.
async fn world(product: Json) -> ControllerFixture {
    let world = ControllerFixture::new();
    declarations::begin(&world.ctx).await;
    world.homes(&[(NS, "ns-1"), ("pg-system", "n-1")]);
    world.list_products(Vec::new()).await;
    world.product("pg", product).await;
    world.api.script("POST /apis/authorization.k8s.io/", |request| {
        let allowed = request.body["spec"]["user"] == "root";
        async move { Ok((201, json!({"spec": {}, "status": {"allowed": allowed}}))) }
    });
    world.api.script("POST /apis/authentication.k8s.io/", |_| {
        let answer = json!({"status": {"userInfo": {"username": "ourselves"}}});
        async move { Ok((201, answer)) }
    });
    world.ctx.policies.policies_listed(&HashSet::new());
    world.ctx.policies.readers_listed(|_, _| true);
    world
}

fn generates(store_name: &str) -> Json {
    json!({
        "storeName": store_name,
        "source": {"generate": {"keys": {"password": {"password": {}}}}},
        "secret": {"name": "shown"},
    })
}

/// The webhook says that this user is about to write the object as it is.
fn attest(world: &ControllerFixture, name: &str, user: &str) {
    world.attest(&ControllerFixture::path(name), user);
}

/// This user applies an object, and it is reconciled.
async fn apply_as(world: &mut ControllerFixture, user: &str, name: &str, spec: Json) {
    world.apply(name, spec);
    attest(world, name, user);
    world.reconcile(name).await;
}

#[tokio::test]
async fn a_manager_makes_the_secret_and_its_status_counts_it() {
    let mut world = world(product()).await;
    apply_as(&mut world, MANAGER, "orders", generates("pg!orders")).await;
    assert_eq!(world.ready("orders"), says("True", "Ready"));
    assert_eq!(world.versions("pg!orders").await, 1);
    world.look_at_product("pg").await;
    let status = world.product_status("pg");
    assert_eq!(status["used"]["free"], json!({"secrets": 1, "namespaces": 1}));
    // Nobody asks again about what was done.
    world.api.log();
    world.reconcile("orders").await;
    let asked = world.api.log();
    assert!(asked.iter().all(|line| line.starts_with("GET")), "{asked:?}");
}

#[tokio::test]
async fn a_manager_that_works_by_objects_alone_is_seen_when_it_writes_one() {
    let mut world = world(product()).await;
    let seen = |world: &ControllerFixture| {
        world
            .ctx
            .products
            .sightings()
            .last("pg", ("pg-system", "pg"))
            .is_some()
    };
    let mut roots = generates("pg!roots");
    roots["secret"] = json!({"name": "roots"});
    apply_as(&mut world, "root", "roots", roots).await;
    assert_eq!(world.ready("roots"), says("True", "Ready"));
    assert!(!seen(&world), "somebody else wrote it");
    // What is refused is no use of the product.
    world.key("pay", json!({})).await;
    let mut under = generates("pg!orders");
    under["encryptionKey"] = json!("pay");
    apply_as(&mut world, MANAGER, "orders", under).await;
    assert_eq!(world.ready("orders"), says("False", "HostingNotOffered"));
    assert!(!seen(&world));
    apply_as(&mut world, MANAGER, "orders", generates("pg!orders")).await;
    assert_eq!(world.ready("orders"), says("True", "Ready"));
    assert!(seen(&world));
    world.look_at_product("pg").await;
    let status = world.product_status("pg");
    assert_eq!(status["managersSeen"][0]["name"], "pg");
    // In the next process what is there tells of nobody, and what is written does, spec or not.
    world.ctx.products = <_>::default();
    world.ctx.declarations = declarations::Declarations::default();
    world.publish_products().await;
    world.reconcile("orders").await;
    assert!(!seen(&world), "nobody wrote anything");
    world.annotate("orders", "strongroom.dev/rotate-now", "please");
    attest(&world, "orders", MANAGER);
    world.reconcile("orders").await;
    assert_eq!(world.versions("pg!orders").await, 2);
    assert!(seen(&world));
}

#[tokio::test]
async fn nobody_else_makes_one_but_who_may_manage_the_product_and_the_process_itself() {
    let mut world = world(product()).await;
    apply_as(&mut world, "jane", "janes", generates("pg!orders")).await;
    assert_eq!(world.ready("janes"), says("False", "NotManager"));
    let other = "system:serviceaccount:shop:pg";
    apply_as(&mut world, other, "others", generates("pg!orders")).await;
    assert_eq!(world.ready("others"), says("False", "NotManager"));
    world.apply_now("nobodys", generates("pg!orders")).await;
    assert_eq!(world.ready("nobodys"), says("False", "NotAttested"));
    assert_eq!(world.view("pg!orders").await, None);
    apply_as(&mut world, "root", "roots", generates("pg!orders")).await;
    assert_eq!(world.ready("roots"), says("True", "Ready"));
    let mut external = generates("pg!card");
    external["source"] = json!({"external": {}});
    external["secret"] = json!({"name": "card"});
    apply_as(&mut world, "ourselves", "card", external).await;
    assert_eq!(world.ready("card"), says("False", "AwaitingValue"));
}

#[tokio::test]
async fn who_wrote_from_a_namespace_that_was_made_again_is_no_manager_before_that_is_told_either() {
    let mut world = world(product()).await;
    world.apply("orders", generates("pg!orders"));
    attest(&world, "orders", MANAGER);
    let home = "/api/v1/namespaces/pg-system";
    world.api.remove(home);
    let gone = world.reconcile_at("orders", now()).await.unwrap_err();
    assert!(gone.to_string().contains("namespace `pg-system`"), "{gone}");
    world
        .api
        .put(home, json!({"metadata": {"name": "pg-system", "uid": "n-2"}}));
    let again = world.reconcile_at("orders", now()).await.unwrap_err();
    assert!(again.to_string().contains("namespace `pg-system`"), "{again}");
    assert_eq!(world.view("pg!orders").await, None);
    world.homes(&[(NS, "ns-1"), ("pg-system", "n-2")]);
    world.publish_products().await;
    world.reconcile("orders").await;
    assert_eq!(world.ready("orders"), says("False", "ProductChanged"));
}

#[tokio::test]
async fn what_the_name_and_the_product_do_not_allow_is_said() {
    let mut world = world(product()).await;
    for (name, store_name, reason) in [
        ("unknown", "aigw!x", "ProductUnknown"),
        ("upper", "PG!x", "ProductUnknown"),
        ("reserved", "strongroom!sealing", "ProductUnknown"),
        ("two", "a!b!c", "SourceInvalid"),
    ] {
        world.apply(name, generates(store_name));
        attest(&world, name, MANAGER);
        // A name that is none ends the attempt.
        let _ = world.reconcile_at(name, now()).await;
        assert_eq!(world.ready(name), says("False", reason), "{store_name}");
    }
    // It lies under a key, which the product does not offer.
    world.key("pay", json!({})).await;
    let mut under = generates("pg!paid");
    under["encryptionKey"] = json!("pay");
    apply_as(&mut world, MANAGER, "paid", under).await;
    assert_eq!(world.ready("paid"), says("False", "HostingNotOffered"));
    let mut elsewhere = product();
    elsewhere["namespaces"] = json!({"matchLabels": {"pg": "other"}});
    world.product("pg", elsewhere).await;
    apply_as(&mut world, MANAGER, "here", generates("pg!here")).await;
    assert_eq!(world.ready("here"), says("False", "NamespaceNotSelected"));
    world.product("pg", product()).await;
    world.reconcile("here").await;
    assert_eq!(world.ready("here"), says("True", "Ready"));
}

#[tokio::test]
async fn a_name_that_was_there_before_its_product_is_nobodys() {
    let mut world = world(product()).await;
    let path = ControllerFixture::path("squats");
    let metadata = json!({
        "name": "squats", "namespace": NS, "generation": 1, "creationTimestamp": "2025-12-31T00:00:00Z",
    });
    let object = json!({"metadata": metadata, "spec": generates("pg!orders")});
    world.api.put(&path, object);
    world.watch("squats");
    attest(&world, "squats", MANAGER);
    world.reconcile("squats").await;
    assert_eq!(world.ready("squats"), says("False", "ProductNewer"));
    assert_eq!(world.view("pg!orders").await, None);
}

#[tokio::test]
async fn a_product_makes_as_many_secrets_as_its_quota_allows() {
    let mut world = world(product()).await;
    for name in ["one", "two"] {
        let mut spec = generates(&format!("pg!{name}"));
        spec["secret"] = json!({"name": name});
        apply_as(&mut world, MANAGER, name, spec).await;
        assert_eq!(world.ready(name), says("True", "Ready"));
    }
    apply_as(&mut world, MANAGER, "three", generates("pg!three")).await;
    assert_eq!(world.ready("three"), says("False", "QuotaExceeded"));
    world.look_at_product("pg").await;
    assert_eq!(
        world.product_condition("pg", "QuotaAvailable"),
        says("False", "QuotaExceeded")
    );
    let mut more = product();
    more["quota"]["free"]["perNamespace"] = json!(3);
    world.product("pg", more).await;
    world.reconcile("three").await;
    assert_eq!(world.ready("three"), says("True", "Ready"));
}

#[tokio::test]
async fn without_its_product_a_secret_stays_as_it_is() {
    let mut world = world(product()).await;
    apply_as(&mut world, MANAGER, "orders", generates("pg!orders")).await;
    let native = format!("{SECRETS}/shown");
    let before = world.api.get(&native).unwrap();
    world.delete_product("pg").await;
    world.annotate("orders", "strongroom.dev/rotate-now", "please");
    attest(&world, "orders", MANAGER);
    world.reconcile("orders").await;
    assert_eq!(world.ready("orders"), says("False", "ProductAbsent"));
    assert_eq!(world.versions("pg!orders").await, 1);
    assert_eq!(world.api.get(&native).unwrap()["data"], before["data"]);
    world.product("pg", product()).await;
    world.reconcile("orders").await;
    assert_eq!(world.ready("orders"), says("True", "Ready"));
    assert_eq!(world.versions("pg!orders").await, 2, "what was asked for is done");

    let mut suspended = product();
    suspended["suspend"] = json!(true);
    world.product("pg", suspended).await;
    world.reconcile("orders").await;
    assert_eq!(world.ready("orders"), says("False", "ProductSuspended"));
}

#[tokio::test]
async fn an_object_that_was_ready_stays_so_when_its_author_is_no_manager_any_more() {
    let mut world = world(product()).await;
    apply_as(&mut world, MANAGER, "orders", generates("pg!orders")).await;
    let mut others = product();
    others["managers"] = json!([{"namespace": "pg-system", "name": "second"}]);
    world.product("pg", others).await;
    world.reconcile("orders").await;
    assert_eq!(world.ready("orders"), says("True", "Ready"));
    // After a restart nothing is remembered but what the store knows.
    world.ctx.declarations = declarations::Declarations::default();
    world.reconcile("orders").await;
    assert_eq!(world.ready("orders"), says("True", "Ready"));
    // A change is the present managers' to make.
    let mut changed = generates("pg!orders");
    changed["source"]["generate"]["keys"]["user"] = json!({"literal": "orders"});
    apply_as(&mut world, MANAGER, "orders", changed.clone()).await;
    assert_eq!(world.ready("orders"), says("False", "NotManager"));
    assert_eq!(world.versions("pg!orders").await, 1);
}

/// What its status says of the generation that the object has now, and whoever may write that can say.
fn forge_ready(world: &mut ControllerFixture, name: &str) {
    let path = ControllerFixture::path(name);
    let mut object = world.api.get(&path).unwrap();
    let generation = object["metadata"]["generation"].clone();
    object["status"]["observedGeneration"] = generation.clone();
    object["status"]["conditions"] = json!([{
        "type": "Ready", "status": "True", "reason": "Ready", "message": "the secret is current",
        "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]);
    world.api.put(&path, object);
    world.watch(name);
}

/// Admission keeps a tenant from all of this. Where it was not there, nothing comes of it.
#[tokio::test]
async fn what_a_tenant_writes_past_admission_changes_nothing() {
    let mut world = world(product()).await;
    apply_as(&mut world, MANAGER, "orders", generates("pg!orders")).await;
    assert_eq!(world.ready("orders"), says("True", "Ready"));
    // An annotation leaves the generation as it is, and with it what the status says.
    world.annotate("orders", "strongroom.dev/rotate-now", "please");
    attest(&world, "orders", "jane");
    for _ in 0..2 {
        world.reconcile("orders").await;
        assert_eq!(world.ready("orders"), says("False", "NotManager"));
        forge_ready(&mut world, "orders");
        world.ctx.declarations = declarations::Declarations::default();
    }
    let mut changed = generates("pg!orders");
    changed["source"]["generate"]["keys"]["user"] = json!({"literal": "jane"});
    world.apply("orders", changed);
    attest(&world, "orders", "jane");
    for _ in 0..2 {
        forge_ready(&mut world, "orders");
        world.reconcile("orders").await;
        assert_eq!(world.ready("orders"), says("False", "NotManager"));
    }
    assert_eq!(world.versions("pg!orders").await, 1);
    // What was approved is so again, whoever brings it back.
    let path = ControllerFixture::path("orders");
    let mut object = world.api.get(&path).unwrap();
    object["metadata"]["annotations"] = json!({});
    world.api.put(&path, object);
    apply_as(&mut world, "jane", "orders", generates("pg!orders")).await;
    assert_eq!(world.ready("orders"), says("True", "Ready"));
    assert_eq!(world.versions("pg!orders").await, 1);
}

#[tokio::test]
async fn a_secret_under_a_key_waits_until_the_tenant_lets_the_product_use_it() {
    let mut world = world(paid()).await;
    world.key("pay", json!({})).await;
    let mut under = generates("pg!card");
    under["encryptionKey"] = json!("pay");
    apply_as(&mut world, MANAGER, "card", under).await;
    assert_eq!(world.ready("card"), says("False", "KeyNotGranted"));
    let message = world.message("card", "Ready");
    assert!(message.contains("principals: [{product: pg}]"), "{message}");
    grant_keys(&world, json!(["keys:*"]));
    world.reconcile("card").await;
    assert_eq!(world.ready("card"), says("True", "Ready"));
    world.look_at_product("pg").await;
    let used = world.product_status("pg")["used"].clone();
    assert_eq!(used["paid"], json!({"secrets": 1, "namespaces": 1}));
}

/// The tenant lets the product make these uses of its keys.
fn grant_keys(world: &ControllerFixture, actions: Json) {
    let grant = serde_json::from_value(json!({
        "secrets": ["pg!*"],
        "statements": [{"effect": "Allow", "principals": [{"product": "pg"}], "actions": actions}],
    }))
    .unwrap();
    let policies = &world.ctx.policies;
    policies.policy(NS, "grant", ObservedPolicy::first("u-grant", grant));
}

#[tokio::test]
async fn a_secret_leaves_the_tenants_key_once_for_each_leave() {
    let mut world = world(paid()).await;
    world.key("pay", json!({})).await;
    grant_keys(&world, json!(["keys:*"]));
    let free = generates("pg!card");
    let mut under = free.clone();
    under["encryptionKey"] = json!("pay");
    let allows = "strongroom.dev/allow-default-key";
    apply_as(&mut world, MANAGER, "card", under.clone()).await;
    world.annotate("card", allows, "pay/1");
    attest(&world, "card", "jane");
    world.reconcile("card").await;
    assert_eq!(world.ready("card"), says("True", "Ready"));
    apply_as(&mut world, MANAGER, "card", free.clone()).await;
    assert_eq!(world.ready("card"), says("True", "Ready"));
    assert_eq!(world.view("pg!card").await.unwrap().key.customer(), None);
    apply_as(&mut world, MANAGER, "card", under).await;
    assert_eq!(world.ready("card"), says("True", "Ready"));
    apply_as(&mut world, MANAGER, "card", free).await;
    assert_eq!(world.ready("card"), says("False", "KeyRequired"));
    let message = world.message("card", "Ready");
    assert!(message.contains("allow-default-key=pay/GENERATION"), "{message}");
    assert!(world.view("pg!card").await.unwrap().key.customer().is_some());
}

#[tokio::test]
async fn a_secret_leaves_one_key_for_another_where_it_may_be_decrypted() {
    let mut world = world(paid()).await;
    for key in ["pay", "other"] {
        world.key(key, json!({})).await;
    }
    grant_keys(&world, json!(["keys:GenerateDataKey"]));
    let mut spec = generates("pg!card");
    spec["encryptionKey"] = json!("pay");
    apply_as(&mut world, MANAGER, "card", spec.clone()).await;
    assert_eq!(world.ready("card"), says("True", "Ready"));
    let before = world.view("pg!card").await.unwrap().key;
    spec["encryptionKey"] = json!("other");
    apply_as(&mut world, MANAGER, "card", spec).await;
    assert_eq!(world.ready("card"), says("False", "KeyNotGranted"));
    let message = world.message("card", "Ready");
    assert!(message.contains("EncryptionKey `pay`"), "{message}");
    assert_eq!(world.view("pg!card").await.unwrap().key, before);
    grant_keys(&world, json!(["keys:*"]));
    world.reconcile("card").await;
    assert_eq!(world.ready("card"), says("True", "Ready"));
    assert_ne!(world.view("pg!card").await.unwrap().key, before);
}

#[tokio::test]
async fn only_an_object_that_may_make_the_secret_takes_its_first_value() {
    let mut world = world(product()).await;
    let external = |native: &str| json!({"storeName": "pg!card", "source": {"external": {}}, "secret": {"name": native}});
    let declare = |world: &ControllerFixture, name: &str| {
        let object = world.api.get(&ControllerFixture::path(name)).unwrap();
        let declaration = ExternalDeclaration {
            object: name.to_owned(),
            uid: object["metadata"]["uid"].as_str().unwrap().to_owned(),
            created: None,
            key: None,
            native: None,
        };
        let declared = &world.ctx.declared;
        declared.update(NS, name, "pg!card", Some(declaration));
        declared.first_owner(NS, "pg!card")
    };
    world.apply("squats", external("a"));
    assert!(matches!(declare(&world, "squats"), FirstOwner::Undecided));
    attest(&world, "squats", "jane");
    world.reconcile("squats").await;
    assert!(matches!(declare(&world, "squats"), FirstOwner::Refused(name) if name == "squats"));
    apply_as(&mut world, MANAGER, "card", external("b")).await;
    let owner = declare(&world, "card");
    assert!(matches!(&owner, FirstOwner::Object(declaration) if declaration.object == "card"));
}

#[tokio::test]
async fn a_default_secret_always_has_its_window() {
    let mut world = world(product()).await;
    apply_as(&mut world, MANAGER, "orders", generates("pg!orders")).await;
    let id = world.view("pg!orders").await.unwrap().id;
    world.ctx.store.delete(id, 7).await.unwrap();
    world.annotate("orders", "strongroom.dev/purge", &id.to_string());
    attest(&world, "orders", MANAGER);
    world.reconcile("orders").await;
    assert_eq!(world.ready("orders"), says("False", "InRecoveryWindow"));
    assert!(world.view("pg!orders").await.is_some());
}
