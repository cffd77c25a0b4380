//! Default secrets at the gateway: a world with a product, and who may do and is told what.

mod creation;
mod explanation;
mod matrix;
mod moves;
mod rotations;

use std::collections::BTreeSet;

use strongroom_model::Hosting;
use strongroom_rules::policy::Action;
use strongroom_rules::product::{
    ManagerFacts, NamespaceSelection, ProductDirectory, ProductFacts, ProductState, QuotaLimits,
};
use strongroom_rules::uid::Uid;
use strongroom_store::vault::{
    BindObject, ObjectRef, ProductManager, ProductQuota, ProductRecord, PutProduct,
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
            namespace_uid: Some(Uid::new("uid-system")),
        }],
        managers_before: Vec::new(),
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
        for manager in &facts.managers {
            let mut uids = self.api.uids.lock();
            let uid = format!("uid-{}", manager.namespace);
            uids.entry(manager.namespace.clone()).or_insert(uid);
        }
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

    /// The tenant annotates the object so, to let its secret leave its key.
    fn let_leave(&self, object: &str, value: &str) {
        let place = ("managedsecrets".to_owned(), object.to_owned());
        let mut objects = self.api.objects.lock();
        objects.get_mut(&place).unwrap()["metadata"]["annotations"] =
            json!({"strongroom.dev/allow-default-key": value});
    }

    /// Asks for another key of the secret, or for none of its own.
    async fn move_to(&self, account: &str, name: &str, key: Json) -> (u16, String) {
        let body = json!({"encryptionKey": key}).to_string();
        let answer = self
            .write(Method::PATCH, account, &format!("/{name}"), &body)
            .await;
        answer.code()
    }
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
async fn a_deny_against_a_product_outlasts_it_and_an_allow_does_not() {
    let manager = |name: &str| ManagerFacts {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        namespace_uid: Some(Uid::new("uid-shop")),
    };
    let (both, robot) = (vec![manager("app"), manager("robot")], vec![manager("robot")]);
    let none = Vec::new();
    let says_of_product = |effect: &str| {
        json!({"secrets": ["db-main"], "statements": [
            {"effect": effect, "principals": [{"product": "pg"}], "actions": ["secrets:GetSecretValue"]}]})
    };
    for (state, suspend, managers, managers_before, robot_reads) in [
        (ProductState::Present, false, &both, &none, says(200, "")),
        (ProductState::Present, true, &both, &none, says(200, "")),
        (
            ProductState::Absent,
            false,
            &both,
            &none,
            says(404, "SecretNotFound"),
        ),
        (
            ProductState::Changed,
            false,
            &robot,
            &both,
            says(404, "SecretNotFound"),
        ),
    ] {
        let world = World::with_product(ProductFacts {
            state,
            suspend,
            managers: managers.clone(),
            managers_before: managers_before.clone(),
            ..facts()
        });
        // An identity policy allows `app`, and nothing but the product allows `robot`.
        world.shop_policy("allow", says_of_product("Allow"));
        let read = async |account: &'static str| world.get(account, "/db-main/value").await.code();
        assert_eq!(read(USER).await, says(200, ""), "{state:?}");
        assert_eq!(read("shop/robot").await, robot_reads, "{state:?}");
        world.shop_policy("deny", says_of_product("Deny"));
        assert_eq!(read(USER).await, says(403, "PolicyDenied"), "{state:?}");
    }
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
async fn who_comes_from_a_namespace_that_was_made_again_is_no_manager_before_that_is_told_either() {
    let world = World::with_product(facts());
    let read = async |account: &'static str| world.get(account, "/pg!free/value").await.code();
    assert_eq!(read(MANAGER).await, says(200, ""));
    // Where a ServiceAccount is from is asked once.
    world.api.uids.lock().remove("system");
    assert_eq!(read(MANAGER).await, says(200, ""));
    // No watch has told that it was made again.
    let again = "uid-system-again".to_owned();
    world.api.uids.lock().insert("system".to_owned(), again);
    world.gateway.authenticator.age();
    assert_eq!(read(MANAGER).await, says(503, "PoliciesUnavailable"));
    let refused = record(
        "serviceaccount system/manager",
        "Authenticate",
        "PoliciesUnavailable",
    );
    assert_eq!(world.last(), refused);
    assert_eq!(read(USER).await, says(200, ""));
    // Then it tells.
    world.product(ProductFacts {
        state: ProductState::Changed,
        ..facts()
    });
    assert_eq!(read(MANAGER).await, says(404, "SecretNotFound"));
    let create = world.operate(MANAGER, Action::CreateSecret, Hosting::Free).await;
    assert_eq!(create.1, "ProductChanged");
}

#[tokio::test]
async fn a_manager_whose_namespace_is_gone_is_none() {
    let world = World::with_product(facts());
    world.api.uids.lock().remove("system");
    let read = world.get(MANAGER, "/pg!free/value").await;
    assert_eq!(read.code(), says(503, "PoliciesUnavailable"));
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
