//! Tokens that end, are reviewed again or renewed, and holders of tokens that are deleted.

use std::time::Duration;

use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_api::stream::proto::{Ended, OnRevoke, Refusal, RenewToken};
use tonic::Code as Grpc;

use super::node::{NODE, Node, OTHER_POD, POD, WIPE};
use crate::gateway::delivery::{HolderKind, PresenceEvent};
use crate::gateway::request::token::made_with;
use crate::gateway::tests::{self, *};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_takes_access_and_leaves_files_and_a_newer_one_brings_it_back() {
    let world = World::delivering();
    world.bound("db-main");
    world
        .gateway
        .delivery_policies
        .update("shop", ("db-main", "uid-db-main"), "db-main", Some(WIPE));
    let token = |ends: i64| made_with(&json!({"sub": POD, "aud": ["strongroom.dev"], "exp": ends}));
    let now = jiff::Timestamp::now().as_second();
    let mut node = Node::attach(&world).await;
    node.subscribe("vol", &token(now + 2), &["db-main"]).await;
    node.value().await;
    node.granted().await;
    let tombstone = node.tombstone().await;
    assert_eq!(
        (tombstone.reason, tombstone.on_revoke),
        (Ended::Token.into(), OnRevoke::Keep.into())
    );
    let renew = |token: String| {
        FromNode::RenewToken(RenewToken {
            subscription: "vol".to_owned(),
            token,
        })
    };
    node.say(renew("nobody".to_owned())).await;
    node.say(renew(token(now + 3_600))).await;
    assert_eq!(node.granted().await.subscription, "vol");
    // Another pod's is no newer one: it reads for itself.
    node.say(renew(tests::token(OTHER_POD))).await;
    node.subscribe("other", OTHER_POD, &["db-main"]).await;
    assert_eq!(node.granted().await.subscription, "other");
    world.bring("db-main", "v-2", b"new");
    node.value().await;
    node.moved().await;
    node.moved().await;
    let pods = world.records().into_iter().rev().take(2);
    let pods: std::collections::BTreeSet<_> = pods.filter_map(|entry| entry.circumstances?.pod).collect();
    assert_eq!(pods.into_iter().collect::<Vec<_>>(), ["app-1", "app-2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_takes_nothing_from_volumes() {
    let world = World::delivering();
    let mut node = Node::attach(&world).await;
    node.follow_db_main().await;
    world.api.away.store(true, Ordering::SeqCst);
    node.subscribe("new", "shop/app/app-9@n-1", &["db-main"]).await;
    assert_eq!(node.denied().await.code, i32::from(Refusal::Unavailable));
    world.bring("db-main", "v-2", b"new");
    assert_eq!(node.value().await.0, "v-2");
    assert_eq!(node.moved().await.0, "vol");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_deleted_gets_no_further_version() {
    let world = World::delivering();
    let mut node = Node::attach(&world).await;
    node.follow_db_main().await;
    node.subscribe("other", OTHER_POD, &["db-main"]).await;
    node.granted().await;
    let presence = world.gateway.nodes.presence();
    let there = |uid| PresenceEvent::Present {
        namespace: "shop",
        name: "app-1",
        uid,
    };
    presence.observe(HolderKind::Pod, &there("another"));
    let tombstone = node.tombstone().await;
    assert_eq!(tombstone.subscription, "vol");
    assert_eq!(tombstone.on_revoke, i32::from(OnRevoke::Keep));
    world.bring("db-main", "v-2", b"new");
    assert_eq!(node.value().await.0, "v-2");
    assert_eq!(
        node.moved().await.0,
        "other",
        "the pod that is there has it, the other one has not"
    );
    // The ServiceAccount of both goes, and then the node itself.
    let gone = PresenceEvent::Gone {
        namespace: "shop",
        name: "app",
    };
    presence.observe(HolderKind::ServiceAccount, &gone);
    let tombstone = node.tombstone().await;
    assert_eq!(tombstone.subscription, "other");
    let gone = PresenceEvent::Gone {
        namespace: "",
        name: "n-1",
    };
    presence.observe(HolderKind::Node, &gone);
    assert_eq!(node.ended().await.0, Grpc::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_holds_a_stream_is_reviewed_again_and_again() {
    let world = World::delivering();
    world.gateway.nodes.review_again_after(Duration::from_millis(10));
    let mut node = Node::attach(&world).await;
    node.follow_db_main().await;
    // An API server that is away ends nothing.
    world.api.away.store(true, Ordering::SeqCst);
    world.bring("db-main", "v-2", b"new");
    node.value().await;
    node.moved().await;
    world.api.away.store(false, Ordering::SeqCst);
    // One that refuses the pod's token ends the volume, and the plugin's the stream.
    let ends = |subject: &str| world.api.ended.lock().insert(subject.to_owned());
    ends(POD);
    let tombstone = node.tombstone().await;
    assert_eq!(tombstone.subscription, "vol");
    assert_eq!(tombstone.on_revoke, i32::from(OnRevoke::Keep));
    node.subscribe("other", OTHER_POD, &["db-main"]).await;
    assert_eq!(node.granted().await.subscription, "other");
    ends(NODE);
    assert_eq!(node.ended().await.0, Grpc::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_whose_pod_is_gone_has_no_stream() {
    let world = World::delivering();
    let mut node = Node::attach(&world).await;
    let gone = PresenceEvent::Gone {
        namespace: "strongroom",
        name: "plugin-1",
    };
    world.gateway.nodes.presence().observe(HolderKind::Pod, &gone);
    let ended = node.next().await.unwrap();
    assert_eq!(ended.unwrap_err().code(), Grpc::Unauthenticated);
}
