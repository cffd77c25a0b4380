//! Who a node is: what its Hello says, checked by the token of its plugin. What the stream carries after that is [`super::session`]'s.

use jiff::Timestamp;
use strongroom_api::stream::proto::Hello;
use strongroom_store::audit::{self, Outcome};
use strongroom_store::id::{RequestId, SecretId};
use strongroom_store::vault::Note;
use tonic::Status;
use zeroize::Zeroizing;

use super::ledger::ValueKey;
use crate::gateway::Gateway;
use crate::gateway::access::{self, Asking};
use crate::gateway::listen::Peer;
use crate::gateway::problem::Code;

/// Who the node is, what it holds, and how much may be under way to it.
///
/// # Errors
/// How the stream ends: unauthenticated, no node, or not to be said now. It is on record.
pub(super) async fn introduce(
    gateway: &Gateway,
    peer: Peer,
    mut hello: Hello,
) -> Result<(String, Vec<ValueKey>, usize), Status> {
    let token = Zeroizing::new(std::mem::take(&mut hello.token));
    let refused = |code: Code, detail: &str| match code {
        Code::Unauthenticated => Status::unauthenticated(detail),
        _ => Status::unavailable(detail),
    };
    let request = RequestId::generate().map_err(|_| Status::unavailable("no request id can be made"))?;
    let source = peer.address.ip().to_canonical();
    let caller = match gateway.authenticator.caller(&token).await {
        Ok(caller) => caller,
        Err(problem) => {
            gateway
                .limits
                .stranger(source)
                .map_err(|problem| Status::resource_exhausted(problem.detail()))?;
            let note = Note {
                outcome: Outcome::Refused(problem.code().as_str().to_owned()),
                ..Note::new(audit::Action::Authenticate)
            };
            let meta = access::stranger(source, None, request, std::time::Instant::now());
            gateway
                .note(note, meta)
                .await
                .map_err(|problem| refused(problem.code(), problem.detail()))?;
            return Err(refused(problem.code(), problem.detail()));
        }
    };
    let Some(node) = gateway.nodes.node_of(&caller).map(str::to_owned) else {
        let asking = Asking {
            caller,
            source,
            request,
            now: Timestamp::now(),
            arrived: std::time::Instant::now(),
            pod_labels: None,
            node_labels: None,
        };
        let note = Note {
            outcome: Outcome::Refused("NotANode".to_owned()),
            ..Note::new(audit::Action::Authenticate)
        };
        gateway
            .note(note, asking.meta(&[]))
            .await
            .map_err(|problem| refused(problem.code(), problem.detail()))?;
        return Err(Status::permission_denied(
            "the token is not of a node plugin of this release, bound to its pod and node",
        ));
    };
    let held = hello.held.iter().filter_map(|held| {
        let id: [u8; 16] = held.secret_id.as_slice().try_into().ok()?;
        Some((SecretId::from_bytes(id), held.version_id.parse().ok()?))
    });
    let window = usize::try_from(hello.window_bytes).unwrap_or(usize::MAX);
    Ok((node, held.collect(), window))
}
