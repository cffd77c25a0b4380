//! The node's end of a stream, and a world that delivers to it.

use std::time::Duration;

use strongroom_api::stream::proto::gateway_message::Message as ToNode;
use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_api::stream::proto::{
    Applied, AppliedSecret, Denied, GatewayMessage, Granted, Hello, NodeMessage, PodAddressRequest,
    RequestedSecret, Subscribe, Tombstone, applied_secret,
};
use tokio::sync::mpsc;
use tonic::{Code as Grpc, Status};

use crate::delivery_policy::DeliveryPolicy;
use crate::gateway::delivery::{StreamPeer, run};
use crate::gateway::tests::{self, *};

pub(in crate::gateway::tests) const NODE: &str = "strongroom/node/plugin-1@n-1";
pub(super) const POD: &str = "shop/app/app-1@n-1";
pub(super) const OTHER_POD: &str = "shop/app/app-2@n-1";
/// The owner would rather have the files gone than where they are no business.
pub(super) const WIPE: DeliveryPolicy = DeliveryPolicy {
    wipe: true,
    offline: Duration::from_secs(60),
};
/// How long anything may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The node's end of a stream.
pub(in crate::gateway::tests) struct Node {
    pub(super) to: mpsc::Sender<Result<NodeMessage, Status>>,
    from: mpsc::Receiver<Result<GatewayMessage, Status>>,
}

pub(super) fn hello(token: &str) -> Hello {
    hello_with(token, |_| ())
}

pub(super) fn hello_with(token: &str, change: impl FnOnce(&mut Hello)) -> Hello {
    let mut hello = Hello {
        protocol_versions: vec![1],
        token: tests::token(token),
        boot_id: "boot".to_owned(),
        plugin_version: "1".to_owned(),
        held: Vec::new(),
        window_bytes: 1 << 20,
    };
    change(&mut hello);
    hello
}

/// A stream to the world, with a follower of the store's changes.
pub(super) fn connect(world: &World) -> Node {
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
    let AdmissionOutcome::Admitted(slot) = gateway.shared().capacity.admit(&peer, &request) else {
        panic!("no room")
    };
    let stream = StreamPeer {
        peer,
        slot,
        connection: None,
    };
    // As plugins of earlier versions do, the token comes with the Hello.
    tokio::spawn(run(gateway, stream, None, incoming, outgoing));
    Node { to, from }
}

impl Node {
    pub(super) async fn attach(world: &World) -> Self {
        Self::with(world, hello(NODE)).await
    }

    pub(in crate::gateway::tests) async fn with(world: &World, hello: Hello) -> Self {
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

    pub(in crate::gateway::tests) async fn say(&self, message: FromNode) {
        let message = NodeMessage {
            message: Some(message),
        };
        self.to.send(Ok(message)).await.unwrap();
    }

    /// The next message; none at the end in order.
    pub(super) async fn next(&mut self) -> Option<Result<ToNode, Status>> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.from.recv()).await.unwrap()?;
            match message.map(|message| message.message.unwrap()) {
                Ok(ToNode::Heartbeat(_)) => {}
                other => return Some(other),
            }
        }
    }

    pub(in crate::gateway::tests) async fn hear(&mut self) -> ToNode {
        self.next().await.unwrap().unwrap()
    }

    pub(super) async fn subscribe(&self, volume: &str, token: &str, names: &[&str]) {
        let secrets = names.iter().map(|name| requested(name, "")).collect();
        self.say(subscribe(volume, token, secrets)).await;
    }

    /// Has the volume `vol` of [`POD`] follow `db-main`.
    pub(super) async fn follow_db_main(&mut self) {
        self.subscribe("vol", POD, &["db-main"]).await;
        self.value().await;
        self.granted().await;
    }

    pub(super) async fn value(&mut self) -> (String, Vec<u8>) {
        match self.hear().await {
            ToNode::Value(value) => (value.version_id.clone(), value.keys[0].value.clone()),
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn granted(&mut self) -> Granted {
        match self.hear().await {
            ToNode::Granted(granted) => granted,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn denied(&mut self) -> Denied {
        match self.hear().await {
            ToNode::Denied(denied) => denied,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn tombstone(&mut self) -> Tombstone {
        match self.hear().await {
            ToNode::Tombstone(tombstone) => tombstone,
            other => panic!("{other:?}"),
        }
    }

    /// The volume and the versions that a Moved names.
    pub(super) async fn moved(&mut self) -> (String, Vec<(u32, String)>) {
        match self.hear().await {
            ToNode::Moved(moved) => {
                let pointers = moved.pointers.into_iter();
                let versions = pointers.map(|pointer| (pointer.secret, pointer.version_id));
                (moved.subscription, versions.collect())
            }
            other => panic!("{other:?}"),
        }
    }

    /// How the stream ends, and how many messages come before that.
    pub(super) async fn ended(&mut self) -> (Grpc, usize) {
        let mut messages = 0;
        loop {
            match self.next().await {
                Some(Ok(_)) => messages += 1,
                Some(Err(status)) => return (status.code(), messages),
                None => panic!("it ended without a word"),
            }
        }
    }

    /// How a stream that is not taken in ends.
    pub(super) async fn refused(mut self, first: FromNode) -> (Grpc, String) {
        self.say(first).await;
        let status = self.next().await.unwrap().unwrap_err();
        (status.code(), status.message().to_owned())
    }

    /// Where the gateway says that the pod of a volume is.
    pub(super) async fn pod_address(&mut self, volume: &str) -> String {
        let subscription = volume.to_owned();
        self.say(FromNode::Whereabouts(PodAddressRequest { subscription }))
            .await;
        match self.hear().await {
            ToNode::PodAddress(is) if is.subscription == volume => is.address,
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn requested(name: &str, shown: &str) -> RequestedSecret {
    RequestedSecret {
        name: name.to_owned(),
        applied_version_id: shown.to_owned(),
        ..RequestedSecret::default()
    }
}

pub(super) fn subscribe(volume: &str, token: &str, secrets: Vec<RequestedSecret>) -> FromNode {
    FromNode::Subscribe(Subscribe {
        subscription: volume.to_owned(),
        token: tests::token(token),
        secrets,
        pod_uid: String::new(),
    })
}

pub(super) fn shows(volume: &str, version: &str) -> FromNode {
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
    pub(super) fn delivering() -> Self {
        let world = Self::new(0);
        world.allow("read", "app", "secrets:GetSecretValue", "*");
        world
    }

    pub(super) fn reads(&self) -> usize {
        self.records()
            .iter()
            .filter(|entry| entry.action.name() == "GetSecretValue" && entry.outcome == AuditOutcome::Done)
            .count()
    }
}
