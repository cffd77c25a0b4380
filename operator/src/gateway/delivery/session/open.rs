//! The beginning and the end of a node's stream: its Hello, who it is, and why it ends.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use strongroom_api::stream::PROTOCOL_VERSION;
use strongroom_api::stream::proto::gateway_message::Message as ToNode;
use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_api::stream::proto::{Goodbye, NodeMessage, Welcome};
use tokio::time::{Instant, timeout};
use tonic::Status;
use zeroize::Zeroizing;

use super::{HEARTBEAT_INTERVAL, Outgoing, SILENCE_TIMEOUT, Session};
use crate::gateway::Gateway;
use crate::gateway::delivery::authenticate_pod::StreamOrigin;
use crate::gateway::delivery::handshake::{NodePlugin, StreamPeer, handshake, held_values};
use crate::gateway::delivery::node_view::NodeView;
use crate::gateway::delivery::pod_events::EventThrottle;
use crate::gateway::request::{LimitScope, LimitedResource, RefusalReason};

/// How long a node may take for its first message.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Within which time nodes come back after a process has ended.
const RECONNECT_WITHIN_MS: u32 = 2_000;

/// Serves one stream to its end. `plugin` is none where its token is still to come, in the Hello.
pub(in crate::gateway) async fn run(
    gateway: Arc<Gateway>,
    stream: StreamPeer,
    plugin: Option<NodePlugin>,
    incoming: impl Stream<Item = Result<NodeMessage, Status>> + Send + Unpin,
    outgoing: Outgoing,
) {
    let mut incoming = incoming;
    if let Err(status) = serve(&gateway, &stream, plugin, &mut incoming, &outgoing).await {
        // A node that is gone hears nothing.
        let _ = outgoing.send_timeout(Err(status), SILENCE_TIMEOUT).await;
    }
}

async fn serve(
    gateway: &Arc<Gateway>,
    stream: &StreamPeer,
    plugin: Option<NodePlugin>,
    incoming: &mut (impl Stream<Item = Result<NodeMessage, Status>> + Send + Unpin),
    outgoing: &Outgoing,
) -> Result<(), Status> {
    let first = timeout(HELLO_TIMEOUT, incoming.next()).await.map_err(|_| {
        let whose = if plugin.is_some() {
            LimitScope::Node
        } else {
            LimitScope::Address
        };
        gateway
            .shared()
            .capacity
            .refusals()
            .refused(LimitedResource::Node, whose, RefusalReason::Late);
        Status::invalid_argument("no Hello came")
    })?;
    let Some(FromNode::Hello(mut hello)) = first.transpose()?.and_then(|message| message.message) else {
        return Err(Status::invalid_argument("Hello comes first"));
    };
    if !hello.protocol_versions.contains(&PROTOCOL_VERSION) {
        let message = format!("this gateway supports only version {PROTOCOL_VERSION} of the protocol");
        return Err(Status::failed_precondition(message));
    }
    let token = Zeroizing::new(std::mem::take(&mut hello.token));
    let (held, window) = held_values(&hello);
    let version = std::mem::take(&mut hello.plugin_version);
    drop(hello);
    let (plugin, _earlier) = match plugin {
        Some(plugin) => (plugin, None),
        // A plugin of an earlier version.
        None => {
            let plugin = handshake(gateway, stream, token).await?;
            let refusals = gateway.shared().capacity.refusals();
            (plugin, Some(refusals.token_in_hello()))
        }
    };
    let peer = stream.peer;
    let node = plugin.node.clone();
    let attached = gateway.nodes.attach(&node, &version);
    gateway.consumers.volumes().attached(&node);
    let (tx, reviews) = (outgoing.clone(), FuturesUnordered::new());
    let mut session = Session {
        gateway: Arc::clone(gateway),
        origin: StreamOrigin { peer, node },
        plugin,
        outgoing: tx,
        view: Some(NodeView::new(window, held)),
        reviews,
        queued: VecDeque::new(),
        asked: HashMap::new(),
        subscribes: 0,
        journal: None,
        again: None,
        ends: Arc::default(),
        throttle: EventThrottle::default(),
        last_sent: Instant::now(),
    };
    session.hold_plugin();
    session
        .say(ToNode::Welcome(Welcome {
            protocol_version: PROTOCOL_VERSION,
            store_id: gateway.store.id().as_bytes().to_vec(),
            epoch: gateway.store.epoch(),
            heartbeat_ms: u32::try_from(HEARTBEAT_INTERVAL.as_millis()).unwrap_or(u32::MAX),
        }))
        .await?;
    tracing::info!(node = attached.node(), source = %peer.address, "node stream opened");
    let ended = tokio::select! {
        ended = session.serve(incoming) => ended,
        () = attached.superseded() => Ok(Some("the node has another stream")),
    };
    // Where there is a newer stream, the volumes are its.
    if attached.is_newest() {
        gateway.consumers.volumes().detached(attached.node());
    }
    match &ended {
        Ok(_) => tracing::info!(node = attached.node(), "node stream closed"),
        Err(status) => {
            tracing::warn!(
                node = attached.node(),
                error = status.message(),
                "node stream failed"
            );
        }
    }
    if let Some(reason) = ended? {
        session
            .say(ToNode::Goodbye(Goodbye {
                reason: reason.to_owned(),
                reconnect_within_ms: RECONNECT_WITHIN_MS,
            }))
            .await?;
    }
    Ok(())
}
