//! The gateway's end of the stream to nodes (`operator/api/proto/stream.proto`): values to the volumes of a
//! node's pods, and what became of them.
//!
//! ```text
//! node ─▶ session ─▶ authenticate_pod (who asks) ─▶ node_view (what was sent to the node, pure)
//!                                                         │ due
//!                                                         ▼
//!                              evaluate (policies, store) ─▶ diff (pure) ─▶ dispatch (read, audit) ─▶ node
//! ```
//!
//! The token of the node's plugin comes in the request's metadata and is checked before anything of the body
//! is read; what an earlier plugin sends instead is a bounded `hello`. There is a stream only where there are
//! nodes.
//!
//! Once a volume has changed, its pod is notified if it asks for that: `pod_address` finds the address of the
//! pod, and `pod_events` makes the event. A session whose pod, ServiceAccount or node is deleted gets nothing
//! more: `watch` tells `presence`, and `presence` tells the session.
//!
//! A node is whom its own token says, and a pod whom its token says; both name the same node or nothing is
//! answered. Every subscription is decided by the policies of its pod, again whenever a policy, a key or a
//! secret changes, and each value that a volume gets is audited as that pod's read before it is sent. Must
//! not trust what a node says of a pod.

mod account;
mod authenticate_pod;
mod diff;
mod dispatch;
mod evaluate;
mod handshake;
mod hello;
mod journal;
mod metrics;
mod node_view;
mod nodes;
mod pod_address;
mod pod_events;
mod presence;
mod session;
mod unshown_changes;
mod watch;

use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http;
use futures::{Stream, StreamExt};
use strongroom_api::stream::proto::delivery_server::{Delivery, DeliveryServer};
use strongroom_api::stream::proto::{GatewayMessage, NodeMessage};
use strongroom_rules::request::first_message::HELLO_BYTES;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};
use tower::ServiceExt as _;
use tower::util::MapRequest;
use zeroize::Zeroizing;

pub(crate) use self::account::NodeAccount;
pub(super) use self::handshake::StreamPeer;
use self::hello::BoundedHello;
pub(super) use self::metrics::DeliveryMetrics;
pub(super) use self::nodes::Nodes;
pub(super) use self::pod_address::PodClient;
#[cfg(test)]
pub(super) use self::presence::{HolderKind, PresenceEvent};
#[cfg(test)]
pub(super) use self::session::run;
pub(super) use self::watch::watch;
use super::Gateway;
use super::protocols::bearer;
use super::request::RequestScope;

/// Where the stream is among the paths of the port.
pub(super) const ATTACH_PATH: &str = "/strongroom.stream.v1.Delivery/Attach";
/// Largest message of a node, in bytes: a Hello that names some thousands of held values.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// How long after the last review of its token a volume gets new versions while nobody tells who is gone:
/// time for the next review is in it.
const MAX_REVIEW_AGE: std::time::Duration = std::time::Duration::from_secs(360);
/// Messages on their way to a node; more wait.
const OUTGOING_QUEUE: usize = 64;

/// The gateway's end of the nodes' streams.
#[derive(Clone, Debug)]
pub(super) struct DeliveryService(Arc<Gateway>);

/// The service as the router takes it.
pub(super) type Service =
    MapRequest<DeliveryServer<DeliveryService>, fn(http::Request<Body>) -> http::Request<Body>>;

/// Makes it for the router; a message of a node has at most [`MAX_MESSAGE_BYTES`].
pub(super) fn service(gateway: Arc<Gateway>) -> Service {
    DeliveryServer::new(DeliveryService(gateway))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .map_request(bounded as fn(_) -> _)
}

/// Who says nothing of itself before its first message has little room for that.
fn bounded(request: http::Request<Body>) -> http::Request<Body> {
    if bearer(request.headers()).is_some() {
        request
    } else {
        request.map(BoundedHello::wrap)
    }
}

#[tonic::async_trait]
impl Delivery for DeliveryService {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<GatewayMessage, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<NodeMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let scope = request.extensions().get::<RequestScope>();
        let scope = scope.ok_or_else(|| Status::internal("the request has no source"))?;
        let stream = StreamPeer {
            peer: scope.peer,
            slot: Arc::clone(&scope.slot),
            connection: scope.connection.clone(),
        };
        let token = bearer(request.metadata().as_ref()).map(|token| Zeroizing::new(token.to_owned()));
        let plugin = match token {
            Some(token) => Some(handshake::handshake(&self.0, &stream, token).await?),
            // Its first message is buffered until it is complete.
            None => {
                let capacity = &self.0.shared().capacity;
                let kept = capacity.reserve(&stream.slot, HELLO_BYTES.into());
                kept.map_err(|problem| Status::resource_exhausted(problem.detail()))?;
                None
            }
        };
        let (outgoing, messages) = mpsc::channel(OUTGOING_QUEUE);
        let (gateway, incoming) = (Arc::clone(&self.0), request.into_inner());
        tokio::spawn(session::run(gateway, stream, plugin, incoming, outgoing));
        let messages = futures::stream::unfold(messages, async |mut messages| {
            let message = messages.recv().await?;
            Some((message, messages))
        });
        Ok(Response::new(messages.boxed()))
    }
}
