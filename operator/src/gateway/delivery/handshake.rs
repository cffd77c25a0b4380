//! Authenticates a node by the token of its plugin. [`super::session`] handles what the stream carries after
//! that.

use std::sync::Arc;
use std::time::Instant;

use strongroom_api::stream::proto::Hello;
use strongroom_model::id::{RequestId, SecretId};
use strongroom_store::audit::{self, AuditOutcome};
use strongroom_store::vault::AuditNote;
use tonic::Status;
use zeroize::Zeroizing;

use super::node_view::ValueKey;
use crate::gateway::Gateway;
use crate::gateway::authenticate::Caller;
use crate::gateway::listen::{Connection, Peer};
use crate::gateway::problem::{Code, Problem};
use crate::gateway::request::{
    Arrival, LimitScope, LimitedResource, RefusalReason, Slot, TokenOrigin, authenticate, record,
};

/// Whoever opens a stream, and what that holds meanwhile.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct StreamPeer {
    /// The other end of the connection.
    pub(in crate::gateway) peer: Peer,
    /// What the request holds.
    pub(in crate::gateway) slot: Arc<Slot>,
    /// The connection, where there is one.
    pub(in crate::gateway) connection: Option<Arc<Connection>>,
}

/// The values that a node says it holds, and how much may be under way to it.
pub(super) fn held_values(hello: &Hello) -> (Vec<ValueKey>, usize) {
    let held = hello.held.iter().filter_map(|held| {
        let id: [u8; 16] = held.secret_id.as_slice().try_into().ok()?;
        Some((SecretId::from_bytes(id), held.version_id.parse().ok()?))
    });
    let window = usize::try_from(hello.window_bytes).unwrap_or(usize::MAX);
    (held.collect(), window)
}

/// A node's plugin, whose token was accepted.
#[derive(Debug)]
pub(in crate::gateway) struct NodePlugin {
    /// Name of the node that its token is bound to.
    pub(super) node: String,
    /// Its pod and ServiceAccount.
    pub(super) caller: Arc<Caller>,
    /// Its token, to be reviewed again.
    pub(super) token: Zeroizing<String>,
    /// When it was reviewed last.
    pub(super) reviewed: Instant,
}

/// The plugin whose token this is. From now on the stream is at the expense of its node.
///
/// # Errors
/// How the stream ends: unauthenticated, no node, or not to be said now. It is audited.
pub(super) async fn handshake(
    gateway: &Gateway,
    stream: &StreamPeer,
    token: Zeroizing<String>,
) -> Result<NodePlugin, Status> {
    let arrival = Arrival {
        id: RequestId::generate().map_err(|_| Status::unavailable("no request id can be generated"))?,
        at: Instant::now(),
    };
    let origin = TokenOrigin::Address(stream.peer.address.ip().to_canonical());
    let request = authenticate::by_token(gateway, gateway.shared(), origin, &token, arrival)
        .await
        .map_err(|problem| status(&problem))?;
    let Some(node) = gateway.nodes.node_of(request.caller()).map(str::to_owned) else {
        gateway.shared().capacity.refusals().refused(
            LimitedResource::Node,
            LimitScope::Principal,
            RefusalReason::NotANode,
        );
        let note = AuditNote {
            outcome: AuditOutcome::Refused("NotANode".to_owned()),
            ..AuditNote::new(audit::Action::Authenticate)
        };
        record::later(gateway, note, request.meta(&[]))
            .await
            .map_err(|problem| status(&problem))?;
        return Err(Status::permission_denied(
            "the token does not belong to a node plugin of this release, or is not bound to its pod and node",
        ));
    };
    gateway
        .shared()
        .capacity
        .prove_node(&stream.slot, stream.connection.as_ref(), &node)
        .map_err(|problem| Status::unavailable(problem.detail()))?;
    Ok(NodePlugin {
        node,
        caller: Arc::clone(request.caller()),
        token,
        reviewed: Instant::now(),
    })
}

/// How a stream ends whose token proves nothing.
fn status(problem: &Problem) -> Status {
    match problem.code() {
        Code::Unauthenticated => Status::unauthenticated(problem.detail()),
        Code::TooManyRequests => Status::resource_exhausted(problem.detail()),
        _ => Status::unavailable(problem.detail()),
    }
}
