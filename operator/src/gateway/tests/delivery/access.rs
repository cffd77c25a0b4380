//! Who gets values, and when that ends: nodes, their pods, policies and keys.

use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_api::stream::proto::{Ended, OnRevoke, Refusal, Subscribe};
use strongroom_store::vault::{BindObject, DisableKey, EnableKey, ObjectRef};
use tonic::Code as Grpc;

use super::node::{NODE, Node, OTHER_POD, POD, WIPE, connect, hello, hello_with, requested, subscribe};
use crate::gateway::tests::{self, *};

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_may_not_is_told_which_policy_is_missing_and_not_whether_the_secret_is_there() {
    let world = World::new(0);
    let mut node = Node::attach(&world).await;
    let mut messages = Vec::new();
    for name in ["db-main", "nothing"] {
        node.subscribe("vol", POD, &[name]).await;
        let denied = node.denied().await;
        assert_eq!(
            Refusal::try_from(denied.code).unwrap(),
            Refusal::Policy,
            "{denied:?}"
        );
        assert_eq!(denied.secret, Some(0));
        let said = "no policy in namespace `shop` allows secrets:GetSecretValue";
        assert!(denied.message.contains(said), "{}", denied.message);
        // The name of the policy holds a digest of the secret's.
        let policy: Vec<String> = denied.missing_policies[0]
            .lines()
            .filter(|line| !line.starts_with("  name: allow-"))
            .map(|line| line.replace(name, "X"))
            .collect();
        messages.push((denied.message.replace(name, "X"), policy));
        assert_eq!(
            world.last(),
            record("serviceaccount shop/app", "GetSecretValue", "PolicyDenied")
        );
    }
    assert_eq!(messages[0], messages[1]);
    // It holds nothing: a policy that comes later says nothing to it, and the next time it asks it is let in.
    world.allow("read", "app", "secrets:GetSecretValue", "*");
    node.follow_db_main().await;
    // All of a volume's secrets, or none.
    node.subscribe("vol", POD, &["db-main", "nothing"]).await;
    let denied = node.denied().await;
    assert_eq!((denied.code, denied.secret), (Refusal::NotFound.into(), Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_may_know_of_the_secret_is_told_what_it_lacks_and_which_object_declares_it() {
    let world = World::new(0);
    let card = world.secret("shop", "card", "c4rd");
    world.under(card, world.key("main"));
    let bind = BindObject {
        secret: card,
        object: Some(ObjectRef {
            uid: "uid-the-card".parse().unwrap(),
            name: "the-card".to_owned(),
        }),
    };
    world.gateway.store.run(bind, meta()).unwrap();
    world.allow("read", "app", "secrets:GetSecretValue", "card");
    let mut node = Node::attach(&world).await;
    // Who may not know of it is not told that it lies under a key.
    node.subscribe("vol", POD, &["card"]).await;
    let denied = node.denied().await;
    assert!(denied.message.contains("that the pod may read"), "{denied:?}");
    assert!(denied.missing_policies.is_empty(), "{denied:?}");
    world.allow("sees", "app", "secrets:DescribeSecret", "card");
    node.subscribe("vol", POD, &["card"]).await;
    let denied = node.denied().await;
    assert_eq!(denied.code, i32::from(Refusal::Policy));
    let says = "`spec.readers: [app]` on ManagedSecret the-card";
    assert!(denied.message.contains(says), "{}", denied.message);
    assert!(
        denied.missing_policies[0].contains("keys:Decrypt"),
        "{:?}",
        denied.missing_policies
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_node_is_a_node_and_only_its_own_pods_are_its_pods() {
    let world = World::delivering();
    let with = |token: &str| FromNode::Hello(hello(token));
    let (code, _) = connect(&world).refused(with("nobody")).await;
    assert_eq!(code, Grpc::Unauthenticated);
    assert_eq!(world.last(), record("unknown", "Authenticate", "Unauthenticated"));
    for token in [POD, "strongroom/node", "shop/node/plugin-1@n-1"] {
        world.a_minute_later();
        let (code, _) = connect(&world).refused(with(token)).await;
        assert_eq!(code, Grpc::PermissionDenied, "{token}");
        assert_eq!(world.last().2, "NotANode");
    }
    let first = subscribe("vol", POD, vec![requested("db-main", "")]);
    assert_eq!(connect(&world).refused(first).await.0, Grpc::InvalidArgument);
    let newer = FromNode::Hello(hello_with(NODE, |hello| hello.protocol_versions = vec![2]));
    assert_eq!(connect(&world).refused(newer).await.0, Grpc::FailedPrecondition);

    let mut node = Node::attach(&world).await;
    let unbound = "shop/app";
    for (token, refusal, on_record) in [
        ("shop/app/app-1@n-2", Refusal::OtherNode, "OtherNode"),
        (unbound, Refusal::OtherNode, "OtherNode"),
        ("nobody", Refusal::Unauthenticated, "Unauthenticated"),
        ("", Refusal::Unauthenticated, "Unauthenticated"),
    ] {
        world.a_minute_later();
        node.subscribe("vol", token, &["db-main"]).await;
        let denied = node.denied().await;
        assert_eq!(
            Refusal::try_from(denied.code).unwrap(),
            refusal,
            "`{token}`: {denied:?}"
        );
        assert_eq!(world.last().2, on_record);
    }
    // kubelet says whose volume it is, and the token is of the pod beside it.
    for (pod_uid, refused) in [("uid-app-2", true), ("uid-app-1", false)] {
        node.say(FromNode::Subscribe(Subscribe {
            subscription: "vol".to_owned(),
            token: tests::token(POD),
            secrets: vec![requested("nothing-there", "")],
            pod_uid: pod_uid.to_owned(),
        }))
        .await;
        let denied = node.denied().await;
        assert_eq!(
            denied.code == i32::from(Refusal::Unauthenticated),
            refused,
            "{denied:?}"
        );
        assert_eq!(world.last().2 == "OtherPod", refused);
    }
    node.say(subscribe("vol", POD, Vec::new())).await;
    assert_eq!(node.denied().await.code, i32::from(Refusal::Invalid));
    assert_eq!(world.reads(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn access_ends_with_its_policy_and_comes_back_with_it() {
    let world = World::delivering();
    let mut node = Node::attach(&world).await;
    node.follow_db_main().await;
    world.gateway.policies.remove_policy("shop", "read");
    let tombstone = node.tombstone().await;
    assert_eq!(
        (tombstone.reason, tombstone.on_revoke),
        (Ended::Revoked.into(), OnRevoke::Keep.into())
    );
    assert!(
        tombstone.message.contains("no policy in namespace `shop`"),
        "{tombstone:?}"
    );
    assert_eq!(world.last().2, "PolicyDenied");
    // The owner would rather have the files gone.
    world.bound("db-main");
    world
        .gateway
        .delivery_policies
        .update("shop", ("db-main", "uid-db-main"), "db-main", Some(WIPE));
    world.gateway.policies.notify_changed("shop");
    assert_eq!(node.tombstone().await.on_revoke, i32::from(OnRevoke::Wipe));
    // The node still holds the value; the pod, whose files are gone, reads it anew.
    let before = world.reads();
    world.allow("read", "app", "secrets:GetSecretValue", "*");
    let granted = node.granted().await;
    assert_eq!(granted.pointers[0].on_revoke, i32::from(OnRevoke::Wipe));
    assert_eq!(world.reads(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn access_ends_with_the_key_and_with_the_secret() {
    let world = World::delivering();
    world.secret("shop", "card", "c4rd");
    let (namespace, key) = (world.namespace_id(), world.key("main"));
    world.under(world.stored("card").id, key);
    let spec = json!({"identities": {"serviceAccounts": ["app"]}, "statements": [
        {"effect": "Allow", "actions": ["secrets:GetSecretValue"], "resources": ["secret/*"]},
        {"effect": "Allow", "actions": ["keys:Decrypt"], "resources": ["key/main"]}]});
    world.gateway.policies.policy(
        "shop",
        "keys",
        ObservedPolicy::first("keys", serde_json::from_value(spec).unwrap()),
    );
    let mut node = Node::attach(&world).await;
    node.subscribe("vol", POD, &["card", "db-main"]).await;
    node.value().await;
    node.value().await;
    node.granted().await;
    world
        .gateway
        .store
        .run(DisableKey { namespace, key }, meta())
        .unwrap();
    let tombstone = node.tombstone().await;
    assert_eq!(
        (tombstone.secret, tombstone.reason),
        (0, Ended::KeyDisabled.into())
    );
    node.subscribe("vol-2", OTHER_POD, &["card"]).await;
    assert_eq!(node.denied().await.code, i32::from(Refusal::NotReadable));
    assert_eq!(world.last().2, "KeyDisabled");
    world
        .gateway
        .store
        .run(EnableKey { namespace, key }, meta())
        .unwrap();
    assert_eq!(node.granted().await.pointers.len(), 2);

    let delete = DeleteSecret {
        secret: world.stored("db-main").id,
        deletion: Deletion::default(),
    };
    world.gateway.store.run(delete, meta()).unwrap();
    let tombstone = node.tombstone().await;
    assert_eq!((tombstone.secret, tombstone.reason), (1, Ended::Deleted.into()));
}
