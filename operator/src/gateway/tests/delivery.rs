//! Streams to nodes: who gets which values, when, how often, and what is on record of it.

use std::time::Duration;

use strongroom_api::stream::proto::gateway_message::Message as ToNode;
use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_api::stream::proto::{
    Applied, AppliedSecret, Credit, Denied, Ended, Fetch, GatewayMessage, Granted, HeldValue, Hello, Journal,
    JournalEntry, NodeMessage, NoticeOutcome, NoticeResult, OnRevoke, PodAddressRequest, Refusal, RenewToken,
    RequestedSecret, Subscribe, Tombstone, Unsubscribe, applied_secret,
};
use strongroom_process::MetricRegistry;
use strongroom_store::vault::{DisableKey, EnableKey};
use tokio::sync::mpsc;
use tonic::{Code as Grpc, Status};

use super::*;
use crate::consumers::volumes::ShownVersion;
use crate::delivery_policy::DeliveryPolicy;
use crate::gateway::delivery::{HolderKind, PresenceEvent, StreamPeer, run};
use crate::gateway::request::token::made_with;

pub(super) const NODE: &str = "strongroom/node/plugin-1@n-1";
const POD: &str = "shop/app/app-1@n-1";
const OTHER_POD: &str = "shop/app/app-2@n-1";
/// The owner would rather have the files gone than where they are no business.
const WIPE: DeliveryPolicy = DeliveryPolicy {
    wipe: true,
    offline: Duration::from_secs(60),
};
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The node's end of a stream.
pub(super) struct Node {
    to: mpsc::Sender<Result<NodeMessage, Status>>,
    from: mpsc::Receiver<Result<GatewayMessage, Status>>,
}

fn hello(token: &str) -> Hello {
    hello_with(token, |_| ())
}

fn hello_with(token: &str, change: impl FnOnce(&mut Hello)) -> Hello {
    let mut hello = Hello {
        protocol_versions: vec![1],
        token: super::token(token),
        boot_id: "boot".to_owned(),
        plugin_version: "1".to_owned(),
        held: Vec::new(),
        window_bytes: 1 << 20,
    };
    change(&mut hello);
    hello
}

/// A stream to the world, with a follower of the store's changes.
fn connect(world: &World) -> Node {
    let (to, incoming) = mpsc::channel(16);
    let (outgoing, from) = mpsc::channel(16);
    let gateway = Arc::clone(&world.gateway);
    let peer = Peer {
        address: "10.1.2.3:4567".parse().unwrap(),
        proven: false,
    };
    let incoming = futures::stream::unfold(incoming, async |mut incoming| {
        let message = incoming.recv().await?;
        Some((message, incoming))
    });
    let incoming = Box::pin(incoming);
    let request = Request::new(());
    let AdmissionOutcome::Admitted(slot) = gateway.capacity.admit(&peer, &request) else {
        panic!("no room")
    };
    let visitor = StreamPeer {
        peer,
        slot,
        connection: None,
    };
    // As plugins of earlier versions do, the token comes with the Hello.
    tokio::spawn(run(gateway, visitor, None, incoming, outgoing));
    Node { to, from }
}

impl Node {
    async fn attach(world: &World) -> Self {
        Self::with(world, hello(NODE)).await
    }

    pub(super) async fn with(world: &World, hello: Hello) -> Self {
        let gateway = &world.gateway;
        tokio::spawn(
            gateway
                .changes
                .clone()
                .follow(gateway.store.clone(), gateway.ending.clone()),
        );
        let mut node = connect(world);
        node.say(FromNode::Hello(hello)).await;
        let ToNode::Welcome(welcome) = node.hear().await else {
            panic!("no Welcome")
        };
        assert_eq!(welcome.protocol_version, 1);
        node
    }

    pub(super) async fn say(&self, message: FromNode) {
        let message = NodeMessage {
            message: Some(message),
        };
        self.to.send(Ok(message)).await.unwrap();
    }

    /// The next message; none at the end in order.
    async fn next(&mut self) -> Option<Result<ToNode, Status>> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.from.recv()).await.unwrap()?;
            match message.map(|message| message.message.unwrap()) {
                Ok(ToNode::Heartbeat(_)) => {}
                other => return Some(other),
            }
        }
    }

    pub(super) async fn hear(&mut self) -> ToNode {
        self.next().await.unwrap().unwrap()
    }

    async fn subscribe(&self, volume: &str, token: &str, names: &[&str]) {
        let secrets = names.iter().map(|name| wanted(name, "")).collect();
        self.say(subscribe(volume, token, secrets)).await;
    }

    async fn value(&mut self) -> (String, Vec<u8>) {
        match self.hear().await {
            ToNode::Value(value) => (value.version_id.clone(), value.keys[0].value.clone()),
            other => panic!("{other:?}"),
        }
    }

    async fn granted(&mut self) -> Granted {
        match self.hear().await {
            ToNode::Granted(granted) => granted,
            other => panic!("{other:?}"),
        }
    }

    async fn denied(&mut self) -> Denied {
        match self.hear().await {
            ToNode::Denied(denied) => denied,
            other => panic!("{other:?}"),
        }
    }

    async fn tombstone(&mut self) -> Tombstone {
        match self.hear().await {
            ToNode::Tombstone(tombstone) => tombstone,
            other => panic!("{other:?}"),
        }
    }

    /// The volume and the versions that a Moved names.
    async fn moved(&mut self) -> (String, Vec<(u32, String)>) {
        match self.hear().await {
            ToNode::Moved(moved) => {
                let pointers = moved.pointers.into_iter();
                let versions = pointers.map(|pointer| (pointer.secret, pointer.version_id));
                (moved.subscription, versions.collect())
            }
            other => panic!("{other:?}"),
        }
    }

    /// How a stream that is not taken in ends.
    async fn refused(mut self, first: FromNode) -> (Grpc, String) {
        self.say(first).await;
        let status = self.next().await.unwrap().unwrap_err();
        (status.code(), status.message().to_owned())
    }

    /// Where the gateway says that the pod of a volume is.
    async fn pod_address(&mut self, volume: &str) -> String {
        let subscription = volume.to_owned();
        self.say(FromNode::Whereabouts(PodAddressRequest { subscription }))
            .await;
        match self.hear().await {
            ToNode::PodAddress(is) if is.subscription == volume => is.address,
            other => panic!("{other:?}"),
        }
    }
}

fn wanted(name: &str, shown: &str) -> RequestedSecret {
    RequestedSecret {
        name: name.to_owned(),
        applied_version_id: shown.to_owned(),
        ..RequestedSecret::default()
    }
}

fn subscribe(volume: &str, token: &str, secrets: Vec<RequestedSecret>) -> FromNode {
    FromNode::Subscribe(Subscribe {
        subscription: volume.to_owned(),
        token: super::token(token),
        secrets,
        pod_uid: String::new(),
    })
}

fn shows(volume: &str, version: &str) -> FromNode {
    FromNode::Applied(Applied {
        subscription: volume.to_owned(),
        secrets: vec![AppliedSecret {
            secret: 0,
            outcome: Some(applied_secret::Outcome::VersionId(version.to_owned())),
        }],
    })
}

impl World {
    /// A world in which `shop/app` may read everything of its namespace.
    fn delivering() -> Self {
        let world = Self::new(0);
        world.allow("read", "app", "secrets:GetSecretValue", "*");
        world
    }

    fn bring(&self, name: &str, version: &str, bytes: &[u8]) {
        let put = PutValue {
            secret: self.stored(name).id,
            version: version.parse().unwrap(),
            value: one("password", bytes),
            stages: Vec::new(),
        };
        self.gateway.store.run(put, meta()).unwrap();
    }

    fn reads(&self) -> usize {
        self.records()
            .iter()
            .filter(|entry| entry.action.name() == "GetSecretValue" && entry.outcome == AuditOutcome::Done)
            .count()
    }
}

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
    node.subscribe("vol", POD, &["db-main"]).await;
    node.value().await;
    node.granted().await;
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
    node.say(subscribe("old", OTHER_POD, vec![wanted("db-main", "v-1")]))
        .await;
    node.granted().await;
    node.say(shows("old", "v-2")).await;
    eventually((2, 2)).await;
}

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
    node.subscribe("vol", POD, &["db-main"]).await;
    node.value().await;
    node.granted().await;
    // All of a volume's secrets, or none.
    node.subscribe("vol", POD, &["db-main", "nothing"]).await;
    let denied = node.denied().await;
    assert_eq!((denied.code, denied.secret), (Refusal::NotFound.into(), Some(1)));
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
    let first = subscribe("vol", POD, vec![wanted("db-main", "")]);
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
            token: super::token(POD),
            secrets: vec![wanted("nothing-there", "")],
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
    node.subscribe("vol", POD, &["db-main"]).await;
    node.value().await;
    node.granted().await;
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
        .terms
        .update("shop", ("db-main", "uid-db-main"), "db-main", Some(WIPE));
    world.gateway.policies.notify_changed();
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
    node.subscribe("vol", POD, &["db-main"]).await;
    node.value().await;
    node.granted().await;
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
    node.say(subscribe("vol", POD, vec![wanted("db-main", "v-1")]))
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

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_takes_access_and_leaves_files_and_a_newer_one_brings_it_back() {
    let world = World::delivering();
    world.bound("db-main");
    world
        .gateway
        .terms
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
    node.say(renew(super::token(OTHER_POD))).await;
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
    node.subscribe("vol", POD, &["db-main"]).await;
    node.value().await;
    node.granted().await;
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
    node.subscribe("vol", POD, &["db-main"]).await;
    node.value().await;
    node.granted().await;
    node.subscribe("other", OTHER_POD, &["db-main"]).await;
    node.granted().await;
    let presence = world.gateway.nodes.presence();
    let there = |uid| PresenceEvent::Present {
        namespace: "shop",
        name: "app-1",
        uid,
    };
    presence.observe(HolderKind::Pod, &there("another"));
    let ToNode::Tombstone(tombstone) = node.hear().await else {
        panic!("no end")
    };
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
    let ToNode::Tombstone(tombstone) = node.hear().await else {
        panic!("no end")
    };
    assert_eq!(tombstone.subscription, "other");
    let gone = PresenceEvent::Gone {
        namespace: "",
        name: "n-1",
    };
    presence.observe(HolderKind::Node, &gone);
    let status = loop {
        match node.next().await {
            Some(Err(status)) => break status,
            Some(Ok(_)) => {}
            None => panic!("it ended without a word"),
        }
    };
    assert_eq!(status.code(), Grpc::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_holds_a_stream_is_reviewed_again_and_again() {
    let world = World::delivering();
    world.gateway.nodes.review_again_after(Duration::from_millis(10));
    let mut node = Node::attach(&world).await;
    node.subscribe("vol", POD, &["db-main"]).await;
    node.value().await;
    node.granted().await;
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
    let status = loop {
        match node.next().await {
            Some(Err(status)) => break status,
            Some(Ok(_)) => {}
            None => panic!("it ended without a word"),
        }
    };
    assert_eq!(status.code(), Grpc::Unauthenticated);
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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_served_alone_is_put_on_record_once() {
    let world = World::delivering();
    let id = world.stored("db-main").id;
    let entry = |sequence: u64| JournalEntry {
        sequence,
        boot_id: "boot".to_owned(),
        at_unix_s: 1_700_000_000,
        subscription: "vol".to_owned(),
        namespace: "shop".to_owned(),
        pod: format!("app-{sequence}"),
        pod_uid: "uid".to_owned(),
        service_account: "app".to_owned(),
        service_account_uid: "uid".to_owned(),
        secret_id: id.as_bytes().to_vec(),
        version_id: "v-1".to_owned(),
    };
    let mut node = Node::attach(&world).await;
    node.subscribe("vol", POD, &["db-main"]).await;
    node.value().await;
    node.granted().await;
    let reads = world.records().len();
    for entries in [vec![entry(1), entry(2)], vec![entry(2), entry(3)]] {
        let last = entries.last().unwrap().sequence;
        node.say(FromNode::Journal(Journal { entries })).await;
        let ToNode::JournalTaken(taken) = node.hear().await else {
            panic!("no answer")
        };
        assert_eq!(taken.sequence, last);
    }
    let records = world.records();
    let served: Vec<_> = records
        .iter()
        .filter_map(|entry| {
            let asked = entry.circumstances.as_ref().filter(|it| it.offline)?;
            assert_eq!(asked.pod, None, "no token says so");
            let secret = entry.secret.as_ref()?.to_string();
            Some((
                entry.actor.to_string(),
                secret,
                entry.claimed.clone()?,
                asked.node.clone()?,
            ))
        })
        .collect();
    let one = |pod: &str| {
        (
            "node n-1".to_owned(),
            "db-main".to_owned(),
            format!("serviceaccount shop/app, pod {pod} with UID uid"),
            "n-1".to_owned(),
        )
    };
    assert_eq!(served, [one("app-1"), one("app-2"), one("app-3")]);
    assert_eq!(records.len(), reads + 3);
    assert!(
        records.last().unwrap().detail.contains("2023-11-14T22:13:20Z"),
        "{}",
        records.last().unwrap().detail
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_frames_nobody_and_fills_no_log() {
    let world = World::delivering();
    let id = world.stored("db-main").id;
    let entry = |sequence: u64| JournalEntry {
        sequence,
        subscription: "vol".to_owned(),
        namespace: "shop".to_owned(),
        pod: "app-1".to_owned(),
        service_account: "app".to_owned(),
        secret_id: id.as_bytes().to_vec(),
        version_id: "v-1".to_owned(),
        ..JournalEntry::default()
    };
    // It was granted nothing: what it says is a claim that is refused, and summed.
    let mut node = Node::attach(&world).await;
    let before = world.records().len();
    for first in [1, 65, 129] {
        let entries = (first..first + 64).map(entry).collect();
        node.say(FromNode::Journal(Journal { entries })).await;
        let ToNode::JournalTaken(taken) = node.hear().await else {
            panic!("no answer")
        };
        assert_eq!(taken.sequence, first + 63);
    }
    let records = world.records();
    let [forged] = &records[before..] else {
        panic!("{:?}", &records[before..]);
    };
    assert_eq!(forged.actor.to_string(), "node n-1");
    assert_eq!(forged.outcome, AuditOutcome::Refused("NotGranted".to_owned()));
    assert_eq!(
        forged.claimed.as_deref(),
        Some("serviceaccount shop/app, pod app-1 with UID ")
    );
    // Ten thousand at once are not taken: it tells one journal after the other, and no more than a rate of
    // them.
    let flood = |first: u64| {
        FromNode::Journal(Journal {
            entries: (first..first + 64).map(entry).collect(),
        })
    };
    for first in 0..30 {
        // It may have ended by now.
        let message = NodeMessage {
            message: Some(flood(1_000 + first * 64)),
        };
        let _ = node.to.send(Ok(message)).await;
    }
    let mut taken = 0;
    let ended = loop {
        match node.next().await {
            Some(Ok(_)) => taken += 1,
            Some(Err(status)) => break status,
            None => panic!("it ended without a word"),
        }
    };
    assert_eq!(ended.code(), Grpc::ResourceExhausted);
    assert!(taken <= 16, "{taken} messages");
}

impl World {
    /// The pod as the API server knows it, with this over it.
    fn pod(&self, name: &str, more: &Json) {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")},
            "spec": {"nodeName": "n-1", "containers": []}, "status": {"phase": "Running", "podIP": "10.1.2.3", "hostIP": "192.168.0.1"}});
        merged(&mut pod, more);
        let place = ("pods".to_owned(), name.to_owned());
        self.api.objects.lock().insert(place, pod);
    }

    /// Events of pods, once there are so many: type, reason and note, and whose UID they name.
    async fn events(&self, count: usize) -> Vec<(String, String, String)> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let objects = self.api.objects.lock().clone();
            let events = objects.iter().filter(|((kind, _), _)| kind == "events");
            let text = |event: &Json, field: &str| event[field].as_str().unwrap_or_default().to_owned();
            let mut events: Vec<_> = events
                .map(|(_, event)| {
                    let uid = event["regarding"]["uid"].as_str().unwrap_or_default().to_owned();
                    (text(event, "reason"), text(event, "note"), uid)
                })
                .collect();
            if events.len() >= count {
                events.sort();
                return events;
            }
            assert!(tokio::time::Instant::now() < deadline, "{events:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_found_at_its_own_address_alone_and_its_events_say_what_came_of_it() {
    let world = World::delivering();
    let mut node = Node::attach(&world).await;
    for (volume, pod) in [("vol-1", POD), ("vol-2", OTHER_POD)] {
        node.subscribe(volume, pod, &["db-main"]).await;
        if volume == "vol-1" {
            node.value().await;
        }
        node.granted().await;
    }
    // Of a volume that is not granted nothing is said: the next answer is of another.
    let subscription = "vol-9".to_owned();
    node.say(FromNode::Whereabouts(PodAddressRequest { subscription }))
        .await;
    assert_eq!(node.pod_address("vol-2").await, "", "the pod is not there");
    world.pod("app-1", &json!({}));
    assert_eq!(node.pod_address("vol-1").await, "10.1.2.3");
    // Another pod of the same name, a pod of another node, and the node itself.
    for more in [
        json!({"metadata": {"uid": "uid-of-another"}}),
        json!({"spec": {"nodeName": "n-2"}}),
        json!({"spec": {"hostNetwork": true}}),
        json!({"status": {"podIP": "192.168.0.1"}}),
    ] {
        world.pod("app-1", &more);
        assert_eq!(node.pod_address("vol-1").await, "", "{more}");
    }
    let noticed = |volume: &str, outcome: NoticeOutcome, status| {
        FromNode::Noticed(NoticeResult {
            subscription: volume.to_owned(),
            outcome: outcome.into(),
            port: 8_080,
            status,
        })
    };
    node.subscribe("vol-3", POD, &["db-main"]).await;
    node.granted().await;
    for _ in 0..50 {
        node.say(noticed("vol-3", NoticeOutcome::Delivered, 204)).await;
        node.say(noticed("vol-9", NoticeOutcome::Delivered, 204)).await;
        // Anything else within seconds is not said either.
        node.say(noticed("vol-3", NoticeOutcome::TimedOut, 0)).await;
    }
    let events = world.events(3).await;
    assert_eq!(node.pod_address("vol-3").await, "");
    assert_eq!(world.events(3).await.len(), 3, "{events:?}");
    let told = ("ChangeNoticed".to_owned(), "uid-app-1".to_owned());
    assert!(events.iter().any(|(reason, note, uid)| {
        (reason.clone(), uid.clone()) == told && note.contains("at port 8080") && note.contains("204")
    }));
    let gone = events
        .iter()
        .filter(|(_, note, _)| note.contains("no longer exists"));
    let mut whose: Vec<_> = gone
        .map(|(reason, _, uid)| (reason.as_str(), uid.as_str()))
        .collect();
    whose.sort_unstable();
    let not = "ChangeNotNoticed";
    assert_eq!(whose, [(not, "uid-app-1"), (not, "uid-app-2")]);
}
