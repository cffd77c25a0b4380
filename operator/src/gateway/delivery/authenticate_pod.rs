//! Checks a Subscribe message: who the pod of a volume is, and which secrets it asks for. The pod is the one
//! that its token names; what the node says about it does not count.

use std::collections::BTreeSet;
use std::time::Instant;

use strongroom_api::stream::SECRETS;
use strongroom_api::stream::proto::{Ended, Refusal, RequestedSecret, Subscribe, requested_secret};
use strongroom_model::id::RequestId;
use strongroom_model::name::Stage;
use strongroom_rules::request::token::end_of;
use strongroom_store::audit::{self, AuditOutcome};
use strongroom_store::vault::{AuditNote, Meta};
use zeroize::Zeroizing;

use super::diff::{DeliveryRefusal, Evaluation};
use super::evaluate::from_problem;
use super::node_view::{SubscribedSecret, Subscription};
use super::unshown_changes::UnshownChanges;
use crate::consumers::volumes::FollowedVersion;
use crate::gateway::Gateway;
use crate::gateway::authenticate::Caller;
use crate::gateway::listen::Peer;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::request::{
    Arrival, NamespaceRef, RequestContext, SecretPath, TokenOrigin, authenticate, record,
};

/// Longest id of a volume, in bytes.
pub(super) const MAX_VOLUME_ID_BYTES: usize = 128;

/// Where and whose a stream is.
#[derive(Clone, Debug)]
pub(super) struct StreamOrigin {
    /// The other end of the connection.
    pub(super) peer: Peer,
    /// The node's name.
    pub(super) node: String,
}

/// Checks a Subscribe.
///
/// # Errors
/// What the volume is told. It is audited.
pub(super) async fn subscribe(
    gateway: &Gateway,
    origin: &StreamOrigin,
    mut message: Subscribe,
) -> Result<Subscription, DeliveryRefusal> {
    let token = Zeroizing::new(std::mem::take(&mut message.token));
    let id = RequestId::generate().map_err(|_| unavailable("no request id can be generated"))?;
    let request = authenticate_pod(gateway, origin, &token, id).await?;
    let of = request.caller().pod.as_ref().map(|(_, uid)| uid.as_str());
    if !message.pod_uid.is_empty() && of != Some(message.pod_uid.as_str()) {
        record_refusal(
            gateway,
            audit::Action::Authenticate,
            "OtherPod",
            request.meta(&[]),
        )
        .await?;
        return Err(DeliveryRefusal {
            code: Refusal::Unauthenticated,
            ..invalid("the token belongs to another pod than the volume")
        });
    }
    let requested = parse(&message.secrets).map_err(|what| invalid(&what))?;
    // What comes back after a reconnect is no new read.
    if requested.iter().any(|secret| secret.shown.is_none()) {
        gateway
            .shared()
            .limits
            .take_read(request.caller())
            .map_err(refusal)?;
    }
    let own = request
        .caller()
        .principal
        .identity
        .namespace()
        .unwrap_or_default();
    let mut secrets = Vec::with_capacity(requested.len());
    for parsed in requested {
        let namespace = parsed.namespace.unwrap_or_else(|| own.to_owned());
        let namespace = NamespaceRef::resolve(gateway, namespace).await.map_err(refusal)?;
        secrets.push(SubscribedSecret {
            path: SecretPath::new(namespace, parsed.name),
            which: parsed.which,
            shown: parsed.shown,
            at_start: parsed.at_start,
        });
    }
    Ok(Subscription {
        request,
        ends: end_of(&token),
        token,
        reviewed: Instant::now(),
        gone: false,
        secrets,
        sent: None,
        unshown: UnshownChanges::default(),
        fetch: BTreeSet::new(),
    })
}

/// The pod that a token names, which runs on the node.
///
/// # Errors
/// What the volume is told. It is audited.
pub(super) async fn authenticate_pod(
    gateway: &Gateway,
    origin: &StreamOrigin,
    token: &str,
    id: RequestId,
) -> Result<RequestContext, DeliveryRefusal> {
    let at = Instant::now();
    let token_origin = TokenOrigin::Node {
        address: origin.peer.address.ip().to_canonical(),
        node: &origin.node,
    };
    let arrival = Arrival { id, at };
    let request = authenticate::by_token(gateway, gateway.shared(), token_origin, token, arrival)
        .await
        .map_err(refusal)?;
    authenticate::admit_manager(gateway, &request)
        .await
        .map_err(refusal)?;
    if !runs_on(request.caller(), &origin.node) {
        record_refusal(
            gateway,
            audit::Action::Authenticate,
            "OtherNode",
            request.meta(&[]),
        )
        .await?;
        return Err(DeliveryRefusal {
            code: Refusal::OtherNode,
            ..invalid(&format!(
                "the token does not belong to a pod that runs on node `{}`",
                origin.node
            ))
        });
    }
    Ok(request)
}

async fn record_refusal(
    gateway: &Gateway,
    action: audit::Action,
    code: &str,
    meta: Meta,
) -> Result<(), DeliveryRefusal> {
    let note = AuditNote {
        outcome: AuditOutcome::Refused(code.to_owned()),
        ..AuditNote::new(action)
    };
    record::later(gateway, note, meta).await.map_err(refusal)
}

fn runs_on(caller: &Caller, node: &str) -> bool {
    caller.pod.is_some() && caller.node.as_deref() == Some(node)
}

/// One secret of a Subscribe.
struct ParsedSecret {
    /// None: the pod's.
    namespace: Option<String>,
    name: String,
    which: FollowedVersion,
    shown: Option<String>,
    at_start: Option<Option<String>>,
}

fn parse(secrets: &[RequestedSecret]) -> Result<Vec<ParsedSecret>, String> {
    if secrets.is_empty() || secrets.len() > SECRETS {
        return Err(format!("a volume has 1 to {SECRETS} secrets"));
    }
    let parse = |secret: &RequestedSecret| {
        let which = match &secret.version {
            None => FollowedVersion::Stage(Stage::Current),
            Some(requested_secret::Version::Stage(stage)) => {
                FollowedVersion::Stage(stage.parse().map_err(|error| format!("{error}"))?)
            }
            Some(requested_secret::Version::VersionId(id)) => {
                FollowedVersion::Version(id.parse().map_err(|error| format!("{error}"))?)
            }
        };
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Ok(ParsedSecret {
            namespace: text(&secret.namespace),
            name: secret.name.clone(),
            which,
            shown: text(&secret.applied_version_id),
            at_start: secret.at_start.then(|| text(&secret.first_version_id)),
        })
    };
    secrets.iter().map(parse).collect()
}

fn refusal(problem: Problem) -> DeliveryRefusal {
    match from_problem(&problem) {
        Evaluation::Refused(refused) | Evaluation::Undecided(refused) => refused,
        Evaluation::Readable(_) => unavailable("no answer"),
    }
}

/// A refusal of what means nothing.
pub(super) fn invalid(message: &str) -> DeliveryRefusal {
    DeliveryRefusal {
        code: Refusal::Invalid,
        ended: Ended::Token,
        message: message.to_owned(),
        missing: Vec::new(),
        wipe: None,
        record: Code::InvalidRequest,
        statements: Vec::new(),
        secret: None,
    }
}

/// A refusal of what cannot be answered now.
pub(super) fn unavailable(message: &str) -> DeliveryRefusal {
    DeliveryRefusal {
        code: Refusal::Unavailable,
        ..invalid(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(name: &str, version: Option<requested_secret::Version>) -> RequestedSecret {
        RequestedSecret {
            namespace: String::new(),
            name: name.to_owned(),
            version,
            ..RequestedSecret::default()
        }
    }

    #[test]
    fn what_a_volume_asks_for_is_read_once() {
        let stage = requested_secret::Version::Stage("Previous".to_owned());
        let version = requested_secret::Version::VersionId("v-1".to_owned());
        let parsed = parse(&[
            requested("a", None),
            requested("b", Some(stage)),
            requested("c", Some(version)),
        ])
        .unwrap();
        let which: Vec<_> = parsed.into_iter().map(|parsed| parsed.which).collect();
        assert_eq!(
            which,
            [
                FollowedVersion::Stage(Stage::Current),
                FollowedVersion::Stage("Previous".parse().unwrap()),
                FollowedVersion::Version("v-1".parse().unwrap())
            ]
        );
        assert!(parse(&[]).is_err());
        assert!(parse(&vec![requested("a", None); SECRETS + 1]).is_err());
        for bad in ["", "a b", &"x".repeat(65)] {
            assert!(
                parse(&[requested(
                    "a",
                    Some(requested_secret::Version::Stage(bad.to_owned()))
                )])
                .is_err()
            );
        }
    }
}
