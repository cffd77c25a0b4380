//! Who a volume's pod is, and what it wants: what a Subscribe says, checked. The pod is whom its token names;
//! nothing that the node says of it counts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
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
use crate::gateway::authenticate::{Caller, ReviewBudget};
use crate::gateway::listen::Peer;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::request::{NamespaceRef, RequestContext, SecretPath, record, unauthenticated_meta};

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
/// What the volume is told. It is on record.
pub(super) async fn subscribe(
    gateway: &Gateway,
    whence: &StreamOrigin,
    mut message: Subscribe,
) -> Result<Subscription, DeliveryRefusal> {
    let token = Zeroizing::new(std::mem::take(&mut message.token));
    let request = RequestId::generate().map_err(|_| unavailable("no request id can be generated"))?;
    let asking = authenticate_pod(gateway, whence, &token, request).await?;
    let of = asking.caller.pod.as_ref().map(|(_, uid)| uid.as_str());
    if !message.pod_uid.is_empty() && of != Some(message.pod_uid.as_str()) {
        record_refusal(gateway, audit::Action::Authenticate, "OtherPod", asking.meta(&[])).await?;
        return Err(DeliveryRefusal {
            code: Refusal::Unauthenticated,
            ..invalid("the token belongs to another pod than the volume")
        });
    }
    let wanted = parse(&message.secrets).map_err(|what| invalid(&what))?;
    // What comes back after a reconnect is no new read.
    if wanted.iter().any(|wanted| wanted.shown.is_none()) {
        gateway
            .limits
            .take_read(&asking.caller.principal.identity)
            .map_err(refusal)?;
    }
    let own = asking.caller.principal.identity.namespace().unwrap_or_default();
    let mut wants = Vec::with_capacity(wanted.len());
    for parsed in wanted {
        let name_of = parsed.namespace.unwrap_or_else(|| own.to_owned());
        let namespace = NamespaceRef::resolve(gateway, name_of).await.map_err(refusal)?;
        wants.push(SubscribedSecret {
            path: SecretPath::new(namespace, parsed.name),
            which: parsed.which,
            shown: parsed.shown,
            at_start: parsed.at_start,
        });
    }
    Ok(Subscription {
        asking,
        ends: end_of(&token),
        token,
        reviewed: Instant::now(),
        gone: false,
        wanted: wants,
        told: None,
        unshown: UnshownChanges::default(),
        fetch: BTreeSet::new(),
    })
}

/// The pod that a token names, which runs on the node.
///
/// # Errors
/// What the volume is told. It is on record.
pub(super) async fn authenticate_pod(
    gateway: &Gateway,
    whence: &StreamOrigin,
    token: &str,
    request: RequestId,
) -> Result<RequestContext, DeliveryRefusal> {
    let source = whence.peer.address.ip().to_canonical();
    let (now, arrived) = (Timestamp::now(), Instant::now());
    let caller = match gateway
        .authenticator
        .authenticate(token, ReviewBudget::Node)
        .await
    {
        Ok(caller) => caller,
        Err(problem) => {
            let meta = unauthenticated_meta(source, Some(&whence.node), request, arrived);
            record_refusal(
                gateway,
                audit::Action::Authenticate,
                problem.code().as_str(),
                meta,
            )
            .await?;
            return Err(refusal(problem));
        }
    };
    let asking = RequestContext {
        caller,
        source,
        request,
        now,
        arrived,
        pod_labels: None,
        node_labels: None,
    };
    if !runs_on(&asking.caller, &whence.node) {
        record_refusal(
            gateway,
            audit::Action::Authenticate,
            "OtherNode",
            asking.meta(&[]),
        )
        .await?;
        return Err(DeliveryRefusal {
            code: Refusal::OtherNode,
            ..invalid(&format!(
                "the token does not belong to a pod that runs on node `{}`",
                whence.node
            ))
        });
    }
    Ok(asking)
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

fn runs_on(caller: &Arc<Caller>, node: &str) -> bool {
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
    let parse = |wanted: &RequestedSecret| {
        let which = match &wanted.version {
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
            namespace: text(&wanted.namespace),
            name: wanted.name.clone(),
            which,
            shown: text(&wanted.applied_version_id),
            at_start: wanted.at_start.then(|| text(&wanted.first_version_id)),
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

    fn wanted(name: &str, version: Option<requested_secret::Version>) -> RequestedSecret {
        RequestedSecret {
            namespace: String::new(),
            name: name.to_owned(),
            version,
            ..RequestedSecret::default()
        }
    }

    #[test]
    fn what_a_volume_wants_is_read_once() {
        let stage = requested_secret::Version::Stage("Previous".to_owned());
        let version = requested_secret::Version::VersionId("v-1".to_owned());
        let parsed = parse(&[
            wanted("a", None),
            wanted("b", Some(stage)),
            wanted("c", Some(version)),
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
        assert!(parse(&vec![wanted("a", None); SECRETS + 1]).is_err());
        for bad in ["", "a b", &"x".repeat(65)] {
            assert!(
                parse(&[wanted(
                    "a",
                    Some(requested_secret::Version::Stage(bad.to_owned()))
                )])
                .is_err()
            );
        }
    }
}
