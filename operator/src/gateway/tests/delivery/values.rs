//! What is sent to a node: values once and before their pointers, and no more than it takes in.

use strongroom_api::stream::proto::gateway_message::Message as ToNode;
use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_api::stream::proto::{Credit, Fetch, HeldValue, OnRevoke, Unsubscribe};
use strongroom_process::MetricRegistry;

use super::node::{NODE, Node, OTHER_POD, PATIENCE, POD, hello_with, requested, shows, subscribe};
use crate::consumers::volumes::ShownVersion;
use crate::gateway::tests::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_value_comes_before_its_pointer_and_once_a_node() {
    let world = World::delivering();
    let mut node = Node::attach(&world).await;
    node.subscribe("vol-1", POD, &["db-main"]).await;
    assert_eq!(node.value().await, ("v-1".to_owned(), b"s3cr3t".to_vec()));
    let granted = node.granted().await;
    assert_eq!(granted.pointers[0].version_id, "v-1");
    assert_eq!(granted.pointers[0].on_revoke, i32::from(OnRevoke::Keep));
    // Another pod of the node: it has the value already, and reads it all the same.
    node.subscribe("vol-2", OTHER_POD, &["db-main"]).await;
    assert_eq!(node.granted().await.subscription, "vol-2");
    let records = world.records();
    let pods: Vec<_> = records
        .iter()
        .filter_map(|entry| entry.circumstances.as_ref()?.pod.clone())
        .collect();
    assert_eq!(pods, ["app-1", "app-2"]);
    assert_eq!(
        world.last(),
        record("serviceaccount shop/app", "GetSecretValue", "Done")
    );

    world.bring("db-main", "v-2", b"new");
    assert_eq!(node.value().await, ("v-2".to_owned(), b"new".to_vec()));
    let moved = [node.moved().await, node.moved().await];
    let versions = vec![(0, "v-2".to_owned())];
    assert_eq!(
        moved,
        [
            ("vol-1".to_owned(), versions.clone()),
            ("vol-2".to_owned(), versions)
        ]
    );
    assert_eq!(world.reads(), 4);
    // It dropped what it needs again.
    node.say(FromNode::Fetch(Fetch {
        subscription: "vol-2".to_owned(),
        secret: 0,
    }))
    .await;
    assert_eq!(node.value().await.0, "v-2");
    assert_eq!(world.reads(), 5);
    node.say(FromNode::Unsubscribe(Unsubscribe {
        subscription: "vol-1".to_owned(),
    }))
    .await;
    world.bring("db-main", "v-3", b"newer");
    node.value().await;
    assert_eq!(node.moved().await.0, "vol-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_counted_when_a_volume_is_told_and_timed_when_it_shows_it() {
    let world = World::delivering();
    let delivery = &world.gateway.metrics.delivery;
    let mut registry = MetricRegistry::default();
    registry.add("seconds", "Time", &delivery.seconds);
    let counted = || {
        let text = registry.text().unwrap();
        let shown = text.lines().find_map(|line| line.strip_prefix("seconds_count "));
        (delivery.changes.get(), shown.unwrap().parse::<u64>().unwrap())
    };
    let eventually = async |expected: (u64, u64)| {
        let deadline = std::time::Instant::now() + PATIENCE;
        while counted() != expected {
            assert!(std::time::Instant::now() < deadline, "{:?}", counted());
            tokio::task::yield_now().await;
        }
    };
    let mut node = Node::attach(&world).await;
    node.follow_db_main().await;
    node.say(shows("vol", "v-1")).await;
    world.bring("db-main", "v-2", b"new");
    node.value().await;
    node.moved().await;
    assert_eq!(counted(), (1, 0), "a first version is no change");
    node.say(shows("vol", "v-1")).await;
    node.say(shows("vol", "v-2")).await;
    eventually((1, 1)).await;
    node.say(shows("vol", "v-2")).await;
    // What a volume missed is a change too.
    node.say(subscribe("old", OTHER_POD, vec![requested("db-main", "v-1")]))
        .await;
    node.granted().await;
    node.say(shows("old", "v-2")).await;
    eventually((2, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_under_way_than_the_node_takes_in() {
    let world = World::delivering();
    for (name, byte) in [("a", 1), ("b", 2)] {
        world.secret("shop", name, "x");
        world.bring(name, "v-2", &[byte; 40_000]);
    }
    let small = hello_with(NODE, |hello| hello.window_bytes = 0);
    let mut node = Node::with(&world, small).await;
    node.subscribe("vol", POD, &["a", "b"]).await;
    assert_eq!(node.value().await.1[0], 1);
    // The second waits; what needs no room does not.
    node.subscribe("other", OTHER_POD, &["a"]).await;
    assert_eq!(node.granted().await.subscription, "other");
    node.say(FromNode::Credit(Credit { bytes: 40_008 })).await;
    assert_eq!(node.value().await.1[0], 2);
    assert_eq!(node.granted().await.pointers.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_between_is_left_out_while_the_node_takes_nothing_in() {
    let world = World::delivering();
    let small = hello_with(NODE, |hello| hello.window_bytes = 0);
    let mut node = Node::with(&world, small).await;
    node.follow_db_main().await;
    for version in ["v-2", "v-3", "v-4"] {
        world.bring("db-main", version, version.as_bytes());
    }
    node.say(FromNode::Credit(Credit { bytes: 65_536 })).await;
    // The newest alone, and its value.
    assert_eq!(node.value().await.0, "v-4");
    assert_eq!(node.moved().await.1, [(0, "v-4".to_owned())]);
    assert_eq!(world.reads(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_gets_pointers_alone_and_is_counted_at_once() {
    let world = World::delivering();
    let id = world.stored("db-main").id;
    let held = HeldValue {
        secret_id: id.as_bytes().to_vec(),
        version_id: "v-1".to_owned(),
    };
    let holding = hello_with(NODE, |hello| hello.held = vec![held]);
    let mut node = Node::with(&world, holding).await;
    node.say(subscribe("vol", POD, vec![requested("db-main", "v-1")]))
        .await;
    assert_eq!(node.granted().await.pointers[0].version_id, "v-1");
    assert_eq!(world.reads(), 0, "nothing left");
    let shown = || {
        let consumers = world.gateway.consumers.volumes().for_secret(id).into_iter();
        consumers
            .map(|it| (it.pod, it.shows, it.away))
            .collect::<Vec<_>>()
    };
    let version = |id: &str| ShownVersion::Version(id.parse().unwrap());
    assert_eq!(shown(), [("app-1".to_owned(), version("v-1"), false)]);
    world.bring("db-main", "v-2", b"new");
    node.value().await;
    node.moved().await;
    node.say(shows("vol", "v-2")).await;
    let deadline = std::time::Instant::now() + PATIENCE;
    while shown() != [("app-1".to_owned(), version("v-2"), false)] {
        assert!(std::time::Instant::now() < deadline, "{:?}", shown());
        tokio::task::yield_now().await;
    }
    // A second stream of the node ends the first in order, and the volumes are its.
    let second = Node::attach(&world).await;
    let ToNode::Goodbye(goodbye) = node.hear().await else {
        panic!("no Goodbye")
    };
    assert!(goodbye.reason.contains("another stream"), "{}", goodbye.reason);
    assert!(node.next().await.is_none());
    // What the first said of it counts until the second says it again.
    assert_eq!(shown(), [("app-1".to_owned(), version("v-2"), true)]);
    let mut second = second;
    world.gateway.ending.begin();
    assert!(matches!(second.hear().await, ToNode::Goodbye(_)));
    assert!(second.next().await.is_none());
}
