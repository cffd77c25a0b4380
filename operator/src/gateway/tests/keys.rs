//! Secrets under customers' keys: who may use the key, what its state does, and every cell of that with the
//! state of the secret.

use strongroom_model::id::{KeyId, NamespaceId};
use strongroom_store::vault::{CreateKey, DisableKey, EnableKey, ScheduleKeyDeletion, UpdateSecret};

use super::*;

impl World {
    pub(super) fn namespace_id(&self) -> NamespaceId {
        let shop = "shop".parse().unwrap();
        self.gateway.store.namespace_named(&shop).unwrap().unwrap().id
    }

    pub(super) fn key(&self, name: &str) -> KeyId {
        let id = KeyId::generate().unwrap();
        let create = CreateKey {
            id,
            namespace: self.namespace_id(),
            name: name.parse().unwrap(),
        };
        self.gateway.store.run(create, meta()).unwrap();
        id
    }

    pub(super) fn under(&self, secret: SecretId, key: KeyId) {
        let update = UpdateSecret {
            secret,
            description: None,
            labels: None,
            key: Some(KeyRef::Customer(key)),
        };
        self.gateway.store.run(update, meta()).unwrap();
    }

    /// A policy of this name and namespace, or none.
    fn policy(&self, there: bool, namespace: &str, name: &str, spec: Json) {
        let policies = &self.gateway.policies;
        if !there {
            return policies.remove_policy(namespace, name);
        }
        policies.policy(
            namespace,
            name,
            ObservedPolicy::first(name, serde_json::from_value(spec).unwrap()),
        );
    }

    fn of_secrets(&self, there: bool, name: &str, effect: &str, action: &str) {
        let anybody = json!([{"serviceAccount": "*/*"}]);
        let statement = json!({"effect": effect, "principals": anybody, "actions": [action]});
        let spec = json!({"secrets": ["*"], "statements": [statement]});
        self.policy(there, "shop", name, spec);
    }

    fn of_identities(&self, there: bool, home: &str, name: &str, action: &str, resource: &str) {
        let statement = json!({"effect": "Allow", "actions": [action], "resources": [resource]});
        let spec = json!({"identities": {"serviceAccounts": ["app"]}, "statements": [statement]});
        self.policy(there, home, name, spec);
    }
}

#[tokio::test]
async fn every_cell_of_relation_policies_key_and_states() {
    let world = World::new(0);
    world.namespace("reports");
    let states = ["Enabled", "Disabled", "PendingDeletion"];
    let namespace = world.namespace_id();
    let store = &world.gateway.store;
    for state in states {
        let key = world.key(&state.to_lowercase());
        for life in ["live", "deleted"] {
            let secret = world.secret("shop", &format!("{state}-{life}"), "s3cr3t");
            world.under(secret, key);
            if life == "deleted" {
                let deletion = Deletion::default();
                store.run(DeleteSecret { secret, deletion }, meta()).unwrap();
            }
        }
        match state {
            "Disabled" => drop(store.run(DisableKey { namespace, key }, meta()).unwrap()),
            "PendingDeletion" => {
                let schedule = ScheduleKeyDeletion {
                    namespace,
                    key,
                    window_days: 7,
                    lose_dependents: true,
                };
                store.run(schedule, meta()).unwrap();
            }
            _ => {}
        }
    }
    let mut cells = 0;
    for home in ["shop", "reports"] {
        world.of_secrets(true, "sees", "Allow", "secrets:DescribeSecret");
        world.of_identities(true, home, "sees-too", "secrets:DescribeSecret", "shop:secret/*");
        for bits in 0..16_u32 {
            let bit = |n: u32| bits & (1 << n) != 0;
            let (by_identity, by_secret, denied, key) = (bit(0), bit(1), bit(2), bit(3));
            let value = "secrets:GetSecretValue";
            world.of_identities(by_identity, home, "reads", value, "shop:secret/*");
            world.of_secrets(by_secret, "is-read", "Allow", value);
            world.of_secrets(denied, "denies", "Deny", value);
            world.of_identities(key, home, "uses", "keys:Decrypt", "shop:key/*");
            world.of_secrets(key, "is-used", "Allow", "keys:Decrypt");
            let by_policy = match home {
                "shop" => by_identity || by_secret,
                _ => by_identity && by_secret,
            };
            for state in states {
                for life in ["live", "deleted"] {
                    let expected = match (by_policy && !denied && key, life, state) {
                        (false, ..) => (403, "PolicyDenied"),
                        (true, "deleted", _) => (409, "InRecoveryWindow"),
                        (true, _, "Disabled") => (409, "KeyDisabled"),
                        (true, _, "PendingDeletion") => (409, "KeyPendingDeletion"),
                        (true, ..) => (200, ""),
                    };
                    let answer = world
                        .get(&format!("{home}/app"), &format!("/{state}-{life}/value"))
                        .await;
                    let (status, code) = answer.code();
                    assert_eq!(
                        (status, code.as_str()),
                        expected,
                        "{home}, {bits:04b}, {state}, {life}"
                    );
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, 2 * 16 * 3 * 2);
}

#[tokio::test]
async fn readers_may_use_the_key_and_others_are_told_what_is_missing() {
    let world = World::new(0);
    let key = world.key("pay");
    let secret = world.secret("shop", "card", "s3cr3t");
    world.under(secret, key);
    world.read_by("card", &["app"]);
    assert_eq!(world.get("shop/app", "/card/value").await.status, 200);
    let described = world.get("shop/app", "/card").await.json();
    assert_eq!(described["encryptionKey"], "pay");
    // The namespace's own key is shown nowhere.
    world.allow("sees", "app", "secrets:*", "db-main");
    let own = world.get("shop/app", "/db-main").await.json();
    assert_eq!(
        (&own["name"], own.get("encryptionKey")),
        (&json!("db-main"), None)
    );
    assert_eq!(
        world.records().iter().rev().find_map(|entry| entry.key),
        Some(key)
    );
    // The secret alone is not enough, and the missing half is told.
    world.allow("values", "batch", "secrets:*", "card");
    let answer = world.get("shop/batch", "/card/value").await;
    assert_eq!(answer.code(), (403, "PolicyDenied".to_owned()));
    let missing = answer.json()["missingPolicies"][0].as_str().unwrap().to_owned();
    assert!(missing.contains("keys:Decrypt"), "{missing}");
    let Ok(strongroom_crds::Manifest::SecretPolicy(wanted)) = strongroom_crds::parse_manifest(&missing)
    else {
        panic!("{missing}");
    };
    let spec = serde_json::to_value(&wanted.spec).unwrap();
    world.policy(true, "shop", "missing", spec);
    assert_eq!(world.get("shop/batch", "/card/value").await.status, 200);
}

#[tokio::test]
async fn whoever_is_of_another_namespace_is_told_which_key_their_own_policy_lacks() {
    let world = World::new(0);
    world.namespace("reports");
    let key = world.key("pay");
    world.under(world.secret("shop", "card", "s3cr3t"), key);
    world.of_secrets(true, "secrets", "Allow", "secrets:*");
    world.of_secrets(true, "keys", "Allow", "keys:*");
    world.of_identities(true, "reports", "reads", "secrets:*", "shop:secret/*");
    let read = async || world.get("reports/app", "/card/value").await;
    let told = read().await;
    assert_eq!(told.code(), (403, "PolicyDenied".to_owned()));
    let missing = told.json()["missingPolicies"][0].as_str().unwrap().to_owned();
    let Ok(strongroom_crds::Manifest::SecretPolicy(wanted)) = strongroom_crds::parse_manifest(&missing)
    else {
        panic!("{missing}");
    };
    let spec = serde_json::to_value(&wanted.spec).unwrap();
    assert_eq!(
        spec["statements"][0]["resources"],
        json!(["shop:key/pay"]),
        "{missing}"
    );
    world.policy(true, "reports", "missing", spec);
    assert_eq!(read().await.status, 200);
}

#[tokio::test]
async fn of_a_move_the_key_is_told_whose_use_is_missing() {
    let world = World::new(0);
    world.namespace("reports");
    let key = world.key("pay");
    world.key("other");
    world.under(world.secret("shop", "card", "s3cr3t"), key);
    world.allow("sees", "owner", "secrets:DescribeSecret", "*");
    world.of_secrets(true, "secrets", "Allow", "secrets:*");
    world.of_secrets(true, "keys", "Allow", "keys:*");
    world.of_identities(true, "reports", "moves", "secrets:*", "shop:secret/*");
    let explain = async || {
        let path = "/card/access?principal=reports/app&action=UpdateSecret&encryptionKey=other";
        let told = world.get("shop/owner", path).await.json();
        let policy = told["missingPolicies"][0].as_str().unwrap_or_default().to_owned();
        (told["allowed"].as_bool().unwrap(), policy)
    };
    // It comes under one key, and leaves another.
    let (allowed, told) = explain().await;
    assert!(
        !allowed && told.contains("keys:GenerateDataKey") && told.contains("shop:key/other"),
        "{told}"
    );
    world.of_identities(true, "reports", "comes", "keys:GenerateDataKey", "shop:key/other");
    let (allowed, told) = explain().await;
    assert!(
        !allowed && told.contains("keys:Decrypt") && told.contains("shop:key/pay"),
        "{told}"
    );
    world.of_identities(true, "reports", "leaves", "keys:Decrypt", "shop:key/pay");
    assert_eq!(explain().await, (true, String::new()));
}

#[tokio::test]
async fn disabling_the_key_stops_reads_and_enabling_brings_the_same_answer_back() {
    let world = World::new(0);
    let key = world.key("pay");
    let namespace = world.namespace_id();
    let secret = world.secret("shop", "card", "s3cr3t");
    world.under(secret, key);
    world.read_by("card", &["app"]);
    let before = world.get("shop/app", "/card/value").await;
    let store = &world.gateway.store;
    store.run(DisableKey { namespace, key }, meta()).unwrap();
    for path in [
        "/card/value",
        "/card/value?key=password",
        "/card/value?versionId=v-1",
    ] {
        let answer = world.get("shop/app", path).await;
        assert_eq!(answer.code(), (409, "KeyDisabled".to_owned()), "{path}");
    }
    // Also for whoever has the newest version, and would go on with it.
    let held = || {
        let request = Request::builder()
            .uri("/v1/namespaces/shop/secrets/card/value")
            .header("authorization", "Bearer shop/app")
            .header("if-none-match", "\"v-1\"");
        world.send(request, Body::empty())
    };
    assert_eq!(held().await.code(), (409, "KeyDisabled".to_owned()));
    let told = world.get("shop/app", "/card/access").await.json();
    assert_eq!(told["allowed"], true);
    assert!(
        told["key"]
            .as_str()
            .unwrap()
            .starts_with("EncryptionKey `pay` is disabled"),
        "{told}"
    );
    assert_eq!(world.get("shop/app", "/card").await.status, 200, "describe works");
    store.run(EnableKey { namespace, key }, meta()).unwrap();
    assert_eq!(world.get("shop/app", "/card/value").await.body, before.body);
    assert_eq!(held().await.status, 304);
}
