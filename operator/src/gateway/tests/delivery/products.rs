//! Default secrets in volumes: which policies count by the hosting, and that a volume ends with them.

use strongroom_api::stream::proto::{Ended, Refusal};
use strongroom_rules::product::ProductDirectory;

use super::node::{Node, POD};
use crate::gateway::tests::products::facts;
use crate::gateway::tests::*;

fn put_policy(world: &World, name: &str, spec: Json) {
    let spec = serde_json::from_value(spec).unwrap();
    let policies = &world.gateway.policies;
    policies.policy("shop", name, ObservedPolicy::first(name, spec));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_secret_reaches_a_volume_by_an_identity_policy_alone() {
    let world = World::new(0).owned_by(facts());
    world.gateway.policies.remove_policy("shop", "user");
    put_policy(
        &world,
        "of-secrets",
        json!({"secrets": ["pg!*"], "statements": [{"effect": "Allow", "principals": [{"serviceAccount": "app"}],
            "actions": ["secrets:GetSecretValue", "keys:Decrypt"]}]}),
    );
    let mut node = Node::attach(&world).await;
    node.subscribe("free", POD, &["pg!free"]).await;
    let denied = node.denied().await;
    assert_eq!(
        (denied.code, denied.secret),
        (Refusal::Policy.into(), Some(0)),
        "{denied:?}"
    );
    // Of a paid one it counts.
    node.subscribe("paid", POD, &["pg!paid"]).await;
    node.value().await;
    node.granted().await;
    put_policy(
        &world,
        "of-app",
        json!({"identities": {"serviceAccounts": ["app"]}, "statements": [
            {"effect": "Allow", "actions": ["secrets:GetSecretValue"], "resources": ["secret/pg!free"]}]}),
    );
    node.subscribe("free", POD, &["pg!free"]).await;
    node.value().await;
    node.granted().await;
    world.gateway.policies.remove_policy("shop", "of-app");
    let ended = node.tombstone().await;
    assert_eq!(
        (ended.subscription.as_str(), ended.reason),
        ("free", Ended::Revoked.into())
    );
    // The product leaves its paid secrets no policies of their own any more.
    let mut without = facts();
    without.secret_policies = false;
    world.gateway.products.publish(ProductDirectory::new([without]));
    let ended = node.tombstone().await;
    assert_eq!(
        (ended.subscription.as_str(), ended.reason),
        ("paid", Ended::Revoked.into())
    );
    assert_eq!(world.last().2, "PolicyDenied");
}
