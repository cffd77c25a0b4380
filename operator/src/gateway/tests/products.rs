//! Default secrets at the gateway: every cell of the operation matrix, who is told what, how they are made
//! and how they move from free hosting to paid.

use std::collections::BTreeSet;

use strongroom_model::Hosting;
use strongroom_rules::policy::Action;
use strongroom_rules::product::{
    ListenerKind, MATRIX_CSV, ManagerFacts, MatrixCell, NamespaceSelection, ProductDirectory, ProductFacts,
    ProductRole, ProductState, QuotaLimits, cell,
};
use strongroom_store::vault::{
    BindObject, DisableKey, ObjectRef, ProductManager, ProductQuota, ProductRecord, PutProduct,
};

use super::writes::says;
use super::*;
use crate::external_manifest::object_name;
use crate::external_sources::ExternalDeclaration;

const MANAGER: &str = "system/manager";
const USER: &str = "shop/app";
const PAGE: &str = "https://wiki.example.org/pg";

/// A product of both hostings that owns secrets everywhere.
pub(super) fn facts() -> ProductFacts {
    let limits = QuotaLimits {
        per_namespace: 20,
        total: 500,
    };
    ProductFacts {
        code: "pg".parse().unwrap(),
        state: ProductState::Present,
        since: Timestamp::UNIX_EPOCH,
        display_name: Some("Postgres".to_owned()),
        docs: Some(PAGE.to_owned()),
        managers: vec![ManagerFacts {
            namespace: "system".to_owned(),
            name: "manager".to_owned(),
            namespace_uid: None,
        }],
        namespaces: NamespaceSelection::All,
        hosting: Hosting::ALL.map(|hosting| (hosting, limits)).into(),
        secret_policies: true,
        gateway: None,
        users_rotate: false,
        suspend: false,
    }
}

const fn name_of(hosting: Hosting) -> &'static str {
    match hosting {
        Hosting::Free => "pg!free",
        Hosting::Paid => "pg!paid",
    }
}

impl World {
    /// The product is like this, and the store knows its quotas.
    fn product(&self, facts: ProductFacts) {
        let quota = |limits: &QuotaLimits| ProductQuota {
            per_namespace: limits.per_namespace,
            total: limits.total,
        };
        let record = ProductRecord {
            code: facts.code.clone(),
            incarnation: "uid-product".parse().unwrap(),
            since: strongroom_model::time::Timestamp::from_millis(0),
            managers: BTreeSet::from([ProductManager {
                namespace: "system".parse().unwrap(),
                name: "manager".to_owned(),
                namespace_uid: None,
            }]),
            hosting: facts
                .hosting
                .iter()
                .map(|(hosting, limits)| (*hosting, quota(limits)))
                .collect(),
            adopted: false,
        };
        self.gateway.store.run(PutProduct(record), meta()).unwrap();
        self.gateway.products.publish(ProductDirectory::new([facts]));
    }

    /// With the product, a key that the tenant lets it use, a secret of each hosting, and a user whom
    /// identity policies allow everything.
    fn with_product(facts: ProductFacts) -> Self {
        Self::new(0).owned_by(facts)
    }

    /// The same of a world that is there.
    pub(super) fn owned_by(self, facts: ProductFacts) -> Self {
        self.product(facts);
        let key = self.key("pay");
        self.grant_key(true);
        for hosting in Hosting::ALL {
            let secret = self.secret("shop", name_of(hosting), "s3cr3t");
            if hosting == Hosting::Paid {
                self.under(secret, key);
            }
            self.owned(name_of(hosting));
        }
        self.shop_policy(
            "user",
            json!({"identities": {"serviceAccounts": ["app"]}, "statements": [
                {"effect": "Allow", "actions": ["secrets:*"], "resources": ["secret/*"]},
                {"effect": "Allow", "actions": ["keys:*"], "resources": ["key/*"]}]}),
        );
        self
    }

    fn shop_policy(&self, name: &str, spec: Json) {
        let spec = serde_json::from_value(spec).unwrap();
        let policies = &self.gateway.policies;
        policies.policy("shop", name, ObservedPolicy::first(name, spec));
    }

    /// The tenant lets the product use its keys, or no more.
    fn grant_key(&self, granted: bool) {
        if granted {
            self.shop_policy(
                "grant",
                json!({"secrets": ["pg!*"], "statements": [
                    {"effect": "Allow", "principals": [{"product": "pg"}], "actions": ["keys:*"]}]}),
            );
        } else {
            self.gateway.policies.remove_policy("shop", "grant");
        }
    }

    /// The secret of this name has an object that takes values.
    fn owned(&self, name: &str) {
        let object = self.object_for(name);
        let bind = BindObject {
            secret: self.stored(name).id,
            object: Some(ObjectRef {
                uid: format!("uid-{object}").parse().unwrap(),
                name: object,
            }),
        };
        self.gateway.store.run(bind, meta()).unwrap();
    }

    /// An object that takes values for a secret of this name, whoever made it.
    fn object_for(&self, name: &str) -> String {
        let object = object_name(name);
        let made =
            json!({"metadata": {"name": object}, "spec": {"storeName": name, "source": {"external": {}}}});
        let manager = format!("fieldManager={}", crate::kube::field_manager::GATEWAY);
        let answer = self
            .api
            .resource(&Method::POST, "managedsecrets", &manager, &made);
        assert_eq!(answer.0, 201);
        let declaration = ExternalDeclaration {
            object: object.clone(),
            uid: format!("uid-{object}"),
            created: None,
            key: None,
            native: None,
        };
        let sources = &self.gateway.external_sources;
        sources.update("shop", &object, name, Some(declaration));
        object
    }

    /// Asks for an operation on the secret of this hosting, and how it ends.
    async fn operate(&self, account: &str, action: Action, hosting: Hosting) -> (u16, String) {
        let name = name_of(hosting);
        let value = json!({"password": data_encoding::BASE64.encode(b"new")});
        let statement = json!({"effect": "Allow", "principals": [{"serviceAccount": "app"}], "actions": ["secrets:GetSecretValue"]});
        let (method, rest, body) = match action {
            Action::CreateSecret => {
                let mut body = json!({"name": "pg!new", "versionId": "v-1", "data": value});
                if hosting == Hosting::Paid {
                    body["encryptionKey"] = json!("pay");
                }
                return self.create(account, &body).await.code();
            }
            Action::ListSecrets => {
                let page = self.get(account, "").await;
                let listed = page.json()["secrets"].as_array().unwrap().clone();
                let is_listed = listed.iter().any(|secret| secret["name"] == name);
                return (
                    page.status.as_u16(),
                    if is_listed { "" } else { "absent" }.to_owned(),
                );
            }
            Action::DescribeSecret => (Method::GET, "", json!({})),
            Action::UpdateSecret => (Method::PATCH, "", json!({"description": "d"})),
            Action::PutSecretValue => (Method::PUT, "/versions/v-2", json!({"data": value})),
            Action::UpdateSecretVersionStage => (Method::POST, "/stages/mine", json!({"moveTo": "v-1"})),
            Action::DeleteSecret => (Method::DELETE, "", json!({})),
            Action::PurgeSecret => (Method::DELETE, "?force=true", json!({})),
            Action::RestoreSecret => (Method::POST, "/restore", json!({})),
            Action::ListSecretVersionIds => (Method::GET, "/versions", json!({})),
            Action::RotateSecret => (Method::POST, "/rotation", json!({"token": "t"})),
            Action::UpdateSecretRotationPolicy => {
                (Method::PUT, "/rotation", json!({"enabled": true, "every": "30d"}))
            }
            Action::SetSecretPolicy => (Method::PUT, "/policy", json!({"statements": [statement]})),
            Action::GetSecretPolicy => (Method::GET, "/policy", json!({})),
            Action::GetSecretValue => (Method::GET, "/value", json!({})),
            Action::Decrypt | Action::GenerateDataKey => panic!("no operation"),
        };
        let path = format!("/{name}{rest}");
        self.write(method, account, &path, &body.to_string()).await.code()
    }
}

/// The operations of the matrix, as its file has them.
fn operations() -> Vec<Action> {
    let rows = MATRIX_CSV.lines().skip(1).filter(|line| !line.is_empty());
    let names = rows.map(|line| line.split(',').next().unwrap().to_owned());
    names
        .map(|name| Action::named(&format!("secrets:{name}")).unwrap())
        .collect()
}

const fn account_of(role: ProductRole) -> &'static str {
    match role {
        ProductRole::Manager => MANAGER,
        ProductRole::User => USER,
    }
}

/// How an operation ends that nothing refuses: there is a secret that lives, and its value comes from
/// outside.
fn allowed(action: Action) -> (u16, String) {
    match action {
        Action::CreateSecret | Action::PutSecretValue => says(201, ""),
        Action::RestoreSecret => says(409, "NotInRecoveryWindow"),
        Action::RotateSecret | Action::UpdateSecretRotationPolicy => says(409, "NotRotatable"),
        Action::GetSecretPolicy => says(404, "PolicyNotFound"),
        _ => says(200, ""),
    }
}

/// Asks for the cells of a kind of listener, each in a world of its own, and answers how many there were.
async fn every_cell_at(listener: ListenerKind) -> usize {
    let world = |facts: ProductFacts| {
        let world = World::with_product(facts);
        match listener {
            ListenerKind::Shared => world,
            ListenerKind::Dedicated => world.asked_at("products=other+pg"),
        }
    };
    let mut cells = 0;
    for action in operations() {
        for role in ProductRole::ALL {
            for hosting in Hosting::ALL {
                let said = cell(action, role, hosting, listener);
                let expected = match said {
                    MatrixCell::Yes | MatrixCell::Identity | MatrixCell::Both => allowed(action),
                    MatrixCell::Managed | MatrixCell::UserMay => says(403, "ProductManaged"),
                    // It is not listed.
                    MatrixCell::Hosting if action == Action::ListSecrets => says(200, "absent"),
                    MatrixCell::Hosting => says(403, "HostingRefused"),
                    MatrixCell::NoPolicy if action == Action::GetSecretPolicy => says(404, "PolicyNotFound"),
                    MatrixCell::NoPolicy => says(403, "HostingRefused"),
                };
                let what = format!("{} {role:?} {hosting:?} {listener:?}: {said:?}", action.as_str());
                let answer = world(facts()).operate(account_of(role), action, hosting).await;
                assert_eq!(answer, expected, "{what}");
                if matches!(said, MatrixCell::UserMay) {
                    let world = world(ProductFacts {
                        users_rotate: true,
                        ..facts()
                    });
                    let answer = world.operate(account_of(role), action, hosting).await;
                    assert_eq!(answer, allowed(action), "{what}, and the product lets users");
                }
                cells += 1;
            }
        }
    }
    cells
}

#[tokio::test]
async fn every_cell_of_the_matrix_at_the_shared_listener() {
    assert_eq!(every_cell_at(ListenerKind::Shared).await, 56);
}

#[tokio::test]
async fn every_cell_of_the_matrix_at_a_dedicated_listener() {
    assert_eq!(every_cell_at(ListenerKind::Dedicated).await, 56);
}

#[tokio::test]
async fn a_gateway_for_other_products_serves_nothing_of_this_one() {
    let world = World::with_product(ProductFacts {
        users_rotate: true,
        ..facts()
    });
    let world = world.asked_at("products=other+pg-2");
    for action in operations() {
        for role in ProductRole::ALL {
            for hosting in Hosting::ALL {
                let answer = world.operate(account_of(role), action, hosting).await;
                let expected = match action {
                    Action::ListSecrets => says(200, "absent"),
                    _ => says(403, "HostingRefused"),
                };
                assert_eq!(answer, expected, "{} {role:?} {hosting:?}", action.as_str());
            }
        }
    }
}

/// What this account reads by a batch: codes of what it does not get, and how many values it gets.
async fn batch(world: &World, account: &str, names: &[&str]) -> (Vec<String>, usize) {
    let secrets: Vec<Json> = names.iter().map(|name| json!({"name": name})).collect();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v1/namespaces/shop/secrets:batchGet")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {account}"));
    let body = Body::from(json!({"secrets": secrets}).to_string());
    let answer = world.send(request, body).await.json();
    let errors = answer["errors"].as_array().unwrap().iter();
    let codes = errors.map(|error| error["code"].as_str().unwrap().to_owned());
    (codes.collect(), answer["values"].as_array().unwrap().len())
}

#[tokio::test]
async fn a_dedicated_gateway_has_no_ordinary_secret_however_it_is_asked_for() {
    let world = World::with_product(facts()).asked_at("products=pg");
    let value = json!({"data": {"password": data_encoding::BASE64.encode(b"x")}}).to_string();
    let none = String::new;
    for (method, path, body) in [
        (Method::GET, "/db-main", none()),
        (Method::GET, "/db-main/value", none()),
        (Method::GET, "/db-main/versions", none()),
        (Method::GET, "/db-main/watch", none()),
        (Method::GET, "/db-main/history", none()),
        (Method::GET, "/db-main/consumers", none()),
        (Method::GET, "/db-main/access", none()),
        (Method::GET, "/db-main/policy", none()),
        (Method::PUT, "/db-main/versions/v-2", value),
        (Method::PATCH, "/db-main", json!({"description": "d"}).to_string()),
        (Method::DELETE, "/db-main", none()),
    ] {
        let answer = world.write(method.clone(), USER, path, &body).await;
        assert_eq!(answer.code(), says(403, "HostingRefused"), "{method} {path}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("use the shared gateway"), "{detail}");
        let stranger = world.write(method.clone(), "shop/stranger", path, &body).await;
        assert_eq!(stranger.code(), says(404, "SecretNotFound"), "{method} {path}");
    }
    let body = json!({"name": "new", "versionId": "v-1", "data": {"a": ""}});
    assert_eq!(
        world.create(USER, &body).await.code(),
        says(403, "HostingRefused")
    );
    assert_eq!(world.kept("managedsecrets", "new"), None);
    let listed = world.get(USER, "").await.json();
    let listed: Vec<&str> = listed["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| secret["name"].as_str().unwrap())
        .collect();
    assert_eq!(listed, ["pg!paid"]);
    let (refused, values) = batch(&world, USER, &["db-main", "pg!free", "pg!paid", "nothing"]).await;
    assert_eq!(values, 1);
    assert_eq!(refused, ["HostingRefused", "HostingRefused", "SecretNotFound"]);
    // Refusals are on record as others are.
    let read = world.get(USER, "/db-main/value").await;
    assert_eq!(read.code(), says(403, "HostingRefused"));
    world.a_minute_later();
    world.get(USER, "/db-main/value").await;
    assert_eq!(
        world.last(),
        record("serviceaccount shop/app", "GetSecretValue", "HostingRefused")
    );
    let explained = world.get(USER, "/pg!paid/access").await.json();
    assert_eq!(explained["allowed"], true, "{explained}");
    // It becomes paid at the shared gateway.
    let moved = world.move_to(MANAGER, "pg!free", json!("pay")).await;
    assert_eq!(moved, says(403, "HostingRefused"));
}

#[tokio::test]
async fn nobody_purges_a_default_secret() {
    for account in [MANAGER, USER] {
        let world = World::with_product(facts());
        world.shop_policy(
            "purge",
            json!({"identities": {"serviceAccounts": ["app"]}, "statements": [
                {"effect": "Allow", "actions": ["secrets:PurgeSecret"], "resources": ["secret/*"]}]}),
        );
        for hosting in Hosting::ALL {
            let answer = world.operate(account, Action::PurgeSecret, hosting).await;
            assert_eq!(answer, says(403, "ProductManaged"), "{account} {hosting:?}");
            assert!(world.stored(name_of(hosting)).is_live());
        }
    }
}

#[tokio::test]
async fn a_deletion_has_its_window_and_the_product_undoes_it() {
    let world = World::with_product(facts());
    let delete = world.operate(MANAGER, Action::DeleteSecret, Hosting::Free);
    assert_eq!(delete.await, says(200, ""));
    assert!(world.stored("pg!free").until().is_some());
    let restore = world.operate(USER, Action::RestoreSecret, Hosting::Free);
    assert_eq!(restore.await, says(403, "ProductManaged"));
    let restore = world.operate(MANAGER, Action::RestoreSecret, Hosting::Free);
    assert_eq!(restore.await, says(200, ""));
    assert!(world.stored("pg!free").is_live());
}

#[tokio::test]
async fn whoever_may_not_know_of_the_secret_is_told_of_no_product() {
    let world = World::with_product(facts());
    let stranger = world.operate("shop/stranger", Action::PutSecretValue, Hosting::Free);
    assert_eq!(stranger.await, says(404, "SecretNotFound"));
    // The record says it all the same.
    let refused = record("serviceaccount shop/stranger", "PutSecretValue", "ProductManaged");
    assert_eq!(world.last(), refused);
    let stranger = world.operate("shop/stranger", Action::CreateSecret, Hosting::Free);
    assert_eq!(stranger.await, says(404, "SecretNotFound"));
    let body = json!({"data": {"password": data_encoding::BASE64.encode(b"x")}}).to_string();
    let told = world
        .write(Method::PUT, USER, "/pg!free/versions/v-2", &body)
        .await;
    assert_eq!(told.code(), says(403, "ProductManaged"));
    let detail = told.json()["detail"].as_str().unwrap().to_owned();
    for part in ["managed by product `pg`", "Postgres", PAGE] {
        assert!(detail.contains(part), "{detail}");
    }
    let nothing = world
        .write(Method::PUT, USER, "/pg!nothing/versions/v-2", &body)
        .await;
    assert_eq!(nothing.code(), says(404, "SecretNotFound"));
}

#[tokio::test]
async fn a_name_whose_code_no_product_can_have_is_refused_and_one_without_a_product_is_nobodys() {
    let world = World::with_product(facts());
    let value = json!({"password": data_encoding::BASE64.encode(b"x")});
    for (name, expected) in [
        ("strongroom!x", says(400, "InvalidRequest")),
        ("PG!x", says(400, "InvalidRequest")),
        ("pg!", says(400, "InvalidRequest")),
        ("!x", says(400, "InvalidRequest")),
        ("pg!a!b", says(400, "InvalidRequest")),
        ("other!x", says(409, "ProductUnknown")),
    ] {
        let body = json!({"name": name, "versionId": "v-1", "data": value});
        assert_eq!(world.create(USER, &body).await.code(), expected, "{name}");
    }
    let answer = world.get(USER, "/pg!free").await.json();
    assert_eq!(
        (&answer["owningProduct"], &answer["hosting"]),
        (&json!("pg"), &json!("Free"))
    );
    let answer = world.get(USER, "/pg!paid").await.json();
    assert_eq!(answer["hosting"], "Paid");
    let answer = world.get(USER, "/db-main").await.json();
    assert_eq!((answer.get("owningProduct"), answer.get("hosting")), (None, None));
}

#[tokio::test]
async fn a_product_that_may_not_act_writes_nothing_and_its_secrets_are_read() {
    let none = NamespaceSelection::none();
    for (edited, code) in [
        (
            ProductFacts {
                suspend: true,
                ..facts()
            },
            "ProductSuspended",
        ),
        (
            ProductFacts {
                namespaces: none.clone(),
                ..facts()
            },
            "NamespaceNotSelected",
        ),
        (
            ProductFacts {
                state: ProductState::Changed,
                ..facts()
            },
            "ProductChanged",
        ),
    ] {
        let world = World::with_product(edited);
        let create = world.operate(MANAGER, Action::CreateSecret, Hosting::Free).await;
        assert_eq!(create.1, code, "{create:?}");
        let read = world.operate(USER, Action::GetSecretValue, Hosting::Free).await;
        assert_eq!(read, says(200, ""), "{code}");
        let read = world.operate(USER, Action::GetSecretValue, Hosting::Paid).await;
        assert_eq!(read, says(200, ""), "{code}");
        let object = world.kept("managedsecrets", &object_name("pg!new"));
        assert_eq!(object, None, "{code}");
    }
    let world = World::with_product(ProductFacts {
        state: ProductState::Absent,
        ..facts()
    });
    let put = world.operate(USER, Action::PutSecretValue, Hosting::Free).await;
    assert_eq!(put, says(409, "ProductAbsent"));
    let read = world.operate(USER, Action::GetSecretValue, Hosting::Paid).await;
    assert_eq!(read, says(200, ""));
}

#[tokio::test]
async fn hosting_that_is_not_offered_makes_nothing() {
    let only = |hosting: Hosting| ProductFacts {
        hosting: facts()
            .hosting
            .into_iter()
            .filter(|(offered, _)| *offered == hosting)
            .collect::<BTreeMap<_, _>>(),
        ..facts()
    };
    let create = async |offered: Hosting, asked: Hosting| {
        let world = World::new(0);
        world.product(only(offered));
        world.key("pay");
        world.grant_key(true);
        world.operate(MANAGER, Action::CreateSecret, asked).await
    };
    assert_eq!(create(Hosting::Free, Hosting::Free).await, says(201, ""));
    assert_eq!(create(Hosting::Paid, Hosting::Paid).await, says(201, ""));
    let no_key = create(Hosting::Paid, Hosting::Free).await;
    assert_eq!(no_key, says(409, "KeyRequired"));
    let paid = create(Hosting::Free, Hosting::Paid).await;
    assert_eq!(paid, says(403, "HostingRefused"));
}

#[tokio::test]
async fn a_paid_secret_takes_the_tenants_grant_of_the_key_and_its_key_stops_everybody() {
    let world = World::with_product(facts());
    world.grant_key(false);
    for action in [
        Action::CreateSecret,
        Action::PutSecretValue,
        Action::GetSecretValue,
    ] {
        let answer = world.operate(MANAGER, action, Hosting::Paid).await;
        assert_eq!(answer, says(403, "PolicyDenied"), "{}", action.as_str());
    }
    assert_eq!(world.kept("managedsecrets", &object_name("pg!new")), None);
    world.grant_key(true);
    let create = world.operate(MANAGER, Action::CreateSecret, Hosting::Paid).await;
    assert_eq!(create, says(201, ""));
    let object = world.kept("managedsecrets", &object_name("pg!new")).unwrap();
    assert_eq!(object["spec"]["encryptionKey"], "pay");
    assert_eq!(object["metadata"]["labels"]["strongroom.dev/product"], "pg");
    let store = &world.gateway.store;
    let namespace = world.namespace_id();
    let key = store
        .find_key(namespace, &"pay".parse().unwrap())
        .unwrap()
        .unwrap();
    let disable = DisableKey {
        namespace,
        key: key.id,
    };
    store.run(disable, meta()).unwrap();
    for account in [MANAGER, USER] {
        let read = world
            .operate(account, Action::GetSecretValue, Hosting::Paid)
            .await;
        assert_eq!(read, says(409, "KeyDisabled"), "{account}");
    }
}

#[tokio::test]
async fn a_tenants_deny_wins_over_the_product() {
    let world = World::with_product(facts());
    world.shop_policy(
        "deny",
        json!({"secrets": ["pg!*"], "statements": [
            {"effect": "Deny", "principals": [{"product": "pg"}], "actions": ["secrets:GetSecretValue"]}]}),
    );
    let read = world
        .operate(MANAGER, Action::GetSecretValue, Hosting::Free)
        .await;
    assert_eq!(read, says(403, "PolicyDenied"));
    let put = world
        .operate(MANAGER, Action::PutSecretValue, Hosting::Free)
        .await;
    assert_eq!(put, says(201, ""));
}

#[tokio::test]
async fn an_object_that_was_there_first_never_gets_the_products_first_value() {
    let world = World::with_product(facts());
    let body = json!({"data": {"password": data_encoding::BASE64.encode(b"x")}}).to_string();
    let put = async || {
        world
            .write(Method::PUT, MANAGER, "/pg!early/versions/v-1", &body)
            .await
    };
    assert_eq!(put().await.code(), says(404, "SecretNotFound"));
    let object = world.object_for("pg!early");
    let uid = format!("uid-{object}");
    assert_eq!(put().await.code(), says(503, "ClusterUnavailable"));
    let sources = &world.gateway.external_sources;
    sources.set_claim("shop", &object, &uid, false);
    let refused = put().await;
    assert_eq!(refused.code(), says(409, "ManagedElsewhere"));
    assert!(refused.json()["detail"].as_str().unwrap().contains(&object));
    // By the API it is no way either.
    let create = json!({"name": "pg!early", "versionId": "v-1", "data": {"a": ""}});
    assert_eq!(
        world.create(MANAGER, &create).await.code(),
        says(409, "ManagedElsewhere")
    );
    sources.set_claim("shop", &object, &uid, true);
    assert_eq!(put().await.status, 201);
    let owner = world.stored("pg!early").object.unwrap();
    assert_eq!(owner.uid.as_str(), uid);
}

#[tokio::test]
async fn of_many_that_ask_for_the_last_place_one_gets_it_and_no_object_is_left() {
    let limits = QuotaLimits {
        per_namespace: 3,
        total: 500,
    };
    let world = World::with_product(ProductFacts {
        hosting: Hosting::ALL.map(|hosting| (hosting, limits)).into(),
        ..facts()
    });
    // One is there; of these two get a place.
    let create = |number: usize| {
        let world = &world;
        async move {
            let value = json!({"password": data_encoding::BASE64.encode(b"x")});
            let body = json!({"name": format!("pg!many-{number}"), "versionId": "v-1", "data": value});
            world.create(MANAGER, &body).await.code()
        }
    };
    let answers = futures::future::join_all((0..64).map(create)).await;
    let made = answers.iter().filter(|answer| **answer == says(201, "")).count();
    let refused = answers
        .iter()
        .filter(|answer| **answer == says(403, "QuotaExceeded"))
        .count();
    assert_eq!((made, refused), (2, 62), "{answers:?}");
    let objects = world.api.objects.lock();
    let left = objects.keys().filter(|(_, name)| name.starts_with("pg-many"));
    assert_eq!(left.count(), 2);
}

impl World {
    async fn move_to(&self, account: &str, name: &str, key: Json) -> (u16, String) {
        let body = json!({"encryptionKey": key}).to_string();
        let answer = self
            .write(Method::PATCH, account, &format!("/{name}"), &body)
            .await;
        answer.code()
    }
}

#[tokio::test]
async fn a_free_secret_becomes_paid_and_back_only_as_the_tenant_allows() {
    let world = World::with_product(facts());
    let object = object_name("pg!free");
    assert_eq!(
        world.move_to(USER, "db-main", json!("pay")).await,
        says(400, "InvalidRequest")
    );
    assert_eq!(
        world.move_to(USER, "pg!free", json!("pay")).await,
        says(403, "ProductManaged")
    );
    assert_eq!(
        world.move_to(MANAGER, "pg!free", json!("nothing")).await,
        says(409, "KeyNotFound")
    );
    world.grant_key(false);
    assert_eq!(
        world.move_to(MANAGER, "pg!free", json!("pay")).await,
        says(403, "PolicyDenied")
    );
    assert_eq!(world.stored("pg!free").key, KeyRef::Default);
    world.grant_key(true);
    assert_eq!(
        world.move_to(MANAGER, "pg!free", json!("pay")).await,
        says(200, "")
    );
    let answer = world.get(MANAGER, "/pg!free").await.json();
    assert_eq!(
        (
            &answer["hosting"],
            &answer["encryptionKey"],
            &answer["stages"]["Current"]
        ),
        (&json!("Paid"), &json!("pay"), &json!("v-1"))
    );
    let kept = world.kept("managedsecrets", &object).unwrap();
    assert_eq!(kept["spec"]["encryptionKey"], "pay");
    let read = world.operate(USER, Action::GetSecretValue, Hosting::Free).await;
    assert_eq!(read, says(200, ""));
    // The same again changes nothing.
    assert_eq!(
        world.move_to(MANAGER, "pg!free", json!("pay")).await,
        says(200, "")
    );
    assert_eq!(
        world.move_to(MANAGER, "pg!free", Json::Null).await,
        says(403, "HostingRefused")
    );
    {
        let mut objects = world.api.objects.lock();
        let place = ("managedsecrets".to_owned(), object.clone());
        objects.get_mut(&place).unwrap()["metadata"]["annotations"] =
            json!({"strongroom.dev/allow-default-key": "true"});
    }
    assert_eq!(world.move_to(MANAGER, "pg!free", Json::Null).await, says(200, ""));
    assert_eq!(world.stored("pg!free").key, KeyRef::Default);
    let kept = world.kept("managedsecrets", &object).unwrap();
    assert_eq!(kept["spec"].get("encryptionKey"), None);
}

#[tokio::test]
async fn a_move_without_room_in_the_paid_quota_leaves_the_object_as_it_was() {
    let mut edited = facts();
    let full = QuotaLimits {
        per_namespace: 1,
        total: 1,
    };
    edited.hosting.insert(Hosting::Paid, full);
    let world = World::with_product(edited);
    assert_eq!(
        world.move_to(MANAGER, "pg!free", json!("pay")).await,
        says(403, "QuotaExceeded")
    );
    let kept = world.kept("managedsecrets", &object_name("pg!free")).unwrap();
    assert_eq!(kept["spec"].get("encryptionKey"), None);
    assert_eq!(world.stored("pg!free").key, KeyRef::Default);
}

#[tokio::test]
async fn an_explanation_says_the_matrix_before_policies() {
    let world = World::with_product(facts());
    let explain = async |action: &str, principal: &str| {
        let path = format!("/pg!free/access?action={action}&principal={principal}");
        world.get(USER, &path).await.json()
    };
    let denied = explain("PutSecretValue", "shop/app").await;
    assert_eq!(denied["allowed"], false);
    let text = denied["explanation"].as_str().unwrap();
    assert!(
        text.starts_with("denied: ") && text.contains("managed by product `pg`"),
        "{text}"
    );
    let product = denied["product"].as_str().unwrap();
    for part in ["product `pg` (Postgres)", "hosted Free", "a user of it", PAGE] {
        assert!(product.contains(part), "{product}");
    }
    assert_eq!(denied["missingPolicies"], json!([]));
    assert_eq!(
        check(&denied, "permission"),
        ("ProductDecides".to_owned(), "irrelevant".to_owned())
    );
    assert_eq!(
        check(&denied, "product"),
        ("ManagedBy".to_owned(), "failing".to_owned())
    );
    let manager = explain("PutSecretValue", MANAGER).await;
    assert_eq!(manager["allowed"], true, "{manager}");
    assert!(manager["product"].as_str().unwrap().contains("a manager of it"));
    assert_eq!(
        check(&manager, "product"),
        ("Manager".to_owned(), "passing".to_owned())
    );
}

/// Result and state of a check.
fn check(explained: &Json, name: &str) -> (String, String) {
    let mut checks = explained["checks"].as_array().unwrap().iter();
    let found = checks.find(|check| check["check"] == name).unwrap();
    let text = |field: &str| found[field].as_str().unwrap().to_owned();
    (text("result"), text("state"))
}

#[tokio::test]
async fn a_manager_that_acts_for_its_product_is_seen() {
    let world = World::with_product(facts());
    let seen = |code, manager| world.gateway.products.sightings().last(code, manager);
    let manager = ("system", "manager");
    assert_eq!(world.get(USER, "/pg!free/value").await.status, 200);
    // Refused, and about a secret of nobody's.
    assert_eq!(world.get(MANAGER, "/aigw!free").await.code().0, 404);
    world.get(MANAGER, "/db-main").await;
    assert_eq!(seen("pg", manager), None);
    assert_eq!(world.get(MANAGER, "/pg!free").await.status, 200);
    assert!(seen("pg", manager).is_some());
    assert_eq!(seen("pg", ("shop", "app")), None);
    assert_eq!(seen("aigw", manager), None);
}

#[tokio::test]
async fn an_explanation_of_a_creation_or_a_move_counts_the_quota() {
    let mut edited = facts();
    let full = QuotaLimits {
        per_namespace: 1,
        total: 1,
    };
    edited.hosting.insert(Hosting::Paid, full);
    let world = World::with_product(edited);
    for (path, expected) in [
        ("/pg!new/access?action=CreateSecret", ("Within", "passing")),
        (
            "/pg!new/access?action=CreateSecret&encryptionKey=pay",
            ("QuotaExceeded", "failing"),
        ),
        (
            "/pg!free/access?action=UpdateSecret&encryptionKey=pay",
            ("QuotaExceeded", "failing"),
        ),
        ("/pg!free/access?action=UpdateSecret", ("NoQuota", "irrelevant")),
        ("/pg!free/access?action=PutSecretValue", ("NoQuota", "irrelevant")),
    ] {
        let explained = world.get(MANAGER, path).await.json();
        let expected = (expected.0.to_owned(), expected.1.to_owned());
        assert_eq!(check(&explained, "quota"), expected, "{path}");
    }
}

#[tokio::test]
async fn nothing_is_decided_before_the_products_are_loaded() {
    let world = World::unloaded();
    world.allow("p", "app", "*", "*");
    let policies = &world.gateway.policies;
    policies.policies_listed(&[("shop".to_owned(), "p".to_owned())].into());
    policies.readers_listed(|_, _| false);
    assert_eq!(
        world.get(USER, "/db-main/value").await.code(),
        says(503, "PoliciesUnavailable")
    );
    world.gateway.products.publish(ProductDirectory::default());
    assert_eq!(world.get(USER, "/db-main/value").await.status, 200);
}
