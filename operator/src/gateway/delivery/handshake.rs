//! Who a node is: the token of its plugin, checked. What the stream carries after that is
//! [`super::session`]'s.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use strongroom_api::stream::proto::Hello;
use strongroom_model::id::{RequestId, SecretId};
use strongroom_store::audit::{self, AuditOutcome};
use strongroom_store::vault::AuditNote;
use tonic::Status;
use zeroize::Zeroizing;

use super::node_view::ValueKey;
use crate::gateway::Gateway;
use crate::gateway::authenticate::{Caller, ReviewBudget};
use crate::gateway::listen::{Connection, Peer};
use crate::gateway::problem::Code;
use crate::gateway::request::authenticate::count_failure;
use crate::gateway::request::{
    LimitScope, LimitedResource, RefusalReason, RequestContext, Slot, record, unauthenticated_meta,
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
/// How the stream ends: unauthenticated, no node, or not to be said now. It is on record.
pub(super) async fn handshake(
    gateway: &Gateway,
    visitor: &StreamPeer,
    token: Zeroizing<String>,
) -> Result<NodePlugin, Status> {
    let refused = |code: Code, detail: &str| match code {
        Code::Unauthenticated => Status::unauthenticated(detail),
        _ => Status::unavailable(detail),
    };
    let request = RequestId::generate().map_err(|_| Status::unavailable("no request id can be generated"))?;
    let source = visitor.peer.address.ip().to_canonical();
    let asker = ReviewBudget::Stranger(source);
    let caller = match gateway.authenticator.authenticate(&token, asker).await {
        Ok(caller) => caller,
        Err(problem) => {
            count_failure(gateway, source, &problem)
                .map_err(|problem| Status::resource_exhausted(problem.detail()))?;
            let note = AuditNote {
                outcome: AuditOutcome::Refused(problem.code().as_str().to_owned()),
                ..AuditNote::new(audit::Action::Authenticate)
            };
            let meta = unauthenticated_meta(source, None, request, Instant::now());
            record::later(gateway, note, meta)
                .await
                .map_err(|problem| refused(problem.code(), problem.detail()))?;
            return Err(refused(problem.code(), problem.detail()));
        }
    };
    let Some(node) = gateway.nodes.node_of(&caller).map(str::to_owned) else {
        gateway.capacity.refusals().refused(
            LimitedResource::Node,
            LimitScope::Principal,
            RefusalReason::NotANode,
        );
        let asking = RequestContext {
            caller,
            source,
            request,
            now: Timestamp::now(),
            arrived: Instant::now(),
            pod_labels: None,
            node_labels: None,
        };
        let note = AuditNote {
            outcome: AuditOutcome::Refused("NotANode".to_owned()),
            ..AuditNote::new(audit::Action::Authenticate)
        };
        record::later(gateway, note, asking.meta(&[]))
            .await
            .map_err(|problem| refused(problem.code(), problem.detail()))?;
        return Err(Status::permission_denied(
            "the token does not belong to a node plugin of this release, or is not bound to its pod and node",
        ));
    };
    gateway
        .capacity
        .prove_node(&visitor.slot, visitor.connection.as_ref(), &node)
        .map_err(|problem| Status::unavailable(problem.detail()))?;
    Ok(NodePlugin {
        node,
        caller,
        token,
        reviewed: Instant::now(),
    })
}
