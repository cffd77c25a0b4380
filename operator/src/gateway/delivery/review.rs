//! Who a volume's pod is, and what it wants: what a Subscribe says, checked. The pod is whom its token names; nothing that the node says of it counts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use strongroom_api::stream::SECRETS;
use strongroom_api::stream::proto::{Ended, Refusal, Subscribe, Wanted, wanted};
use strongroom_rules::request::token::end_of;
use strongroom_store::audit::{self, Outcome};
use strongroom_store::id::RequestId;
use strongroom_store::name::Stage;
use strongroom_store::vault::{Meta, Note};
use zeroize::Zeroizing;

use super::ledger::{Subscription, Want};
use super::look::from_problem;
use super::turn::{Refused, Seen};
use crate::consumers::volumes::Which;
use crate::gateway::access::{self, Asking};
use crate::gateway::authenticate::{Asker, Caller};
use crate::gateway::listen::Peer;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::{Gateway, Place};

/// Longest id of a volume, in bytes.
pub(super) const VOLUME_BYTES: usize = 128;

/// Where and whose a stream is.
#[derive(Clone, Debug)]
pub(super) struct Whence {
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
    whence: &Whence,
    mut message: Subscribe,
) -> Result<Subscription, Refused> {
    let token = Zeroizing::new(std::mem::take(&mut message.token));
    let request = RequestId::generate().map_err(|_| unavailable("no request id can be made"))?;
    let asking = pod(gateway, whence, &token, request).await?;
    let of = asking.caller.pod.as_ref().map(|(_, uid)| uid.as_str());
    if !message.pod_uid.is_empty() && of != Some(message.pod_uid.as_str()) {
        on_record(gateway, audit::Action::Authenticate, "OtherPod", asking.meta(&[])).await?;
        return Err(Refused {
            code: Refusal::Unauthenticated,
            ..invalid("the token is of another pod than the volume is for")
        });
    }
    let wanted = parse(&message.secrets).map_err(|what| invalid(&what))?;
    // What comes back after a reconnect is no new read.
    if wanted.iter().any(|wanted| wanted.shown.is_none()) {
        gateway
            .limits
            .read(&asking.caller.principal.identity)
            .map_err(refusal)?;
    }
    let own = asking.caller.principal.identity.namespace().unwrap_or_default();
    let mut wants = Vec::with_capacity(wanted.len());
    for parsed in wanted {
        let name_of = parsed.namespace.unwrap_or_else(|| own.to_owned());
        let id = gateway.namespaces.named(&name_of).await.map_err(refusal)?;
        wants.push(Want {
            place: Place { name: name_of, id },
            name: parsed.name,
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
        fetch: BTreeSet::new(),
    })
}

/// The pod that a token names, which runs on the node.
///
/// # Errors
/// What the volume is told. It is on record.
pub(super) async fn pod(
    gateway: &Gateway,
    whence: &Whence,
    token: &str,
    request: RequestId,
) -> Result<Asking, Refused> {
    let source = whence.peer.address.ip().to_canonical();
    let (now, arrived) = (Timestamp::now(), Instant::now());
    let caller = match gateway.authenticator.caller(token, Asker::Node).await {
        Ok(caller) => caller,
        Err(problem) => {
            let meta = access::stranger(source, Some(&whence.node), request, arrived);
            on_record(
                gateway,
                audit::Action::Authenticate,
                problem.code().as_str(),
                meta,
            )
            .await?;
            return Err(refusal(problem));
        }
    };
    let asking = Asking {
        caller,
        source,
        request,
        now,
        arrived,
        pod_labels: None,
        node_labels: None,
    };
    if !runs_on(&asking.caller, &whence.node) {
        on_record(
            gateway,
            audit::Action::Authenticate,
            "OtherNode",
            asking.meta(&[]),
        )
        .await?;
        return Err(Refused {
            code: Refusal::OtherNode,
            ..invalid(&format!(
                "the token is not of a pod that runs on node `{}`",
                whence.node
            ))
        });
    }
    Ok(asking)
}

async fn on_record(gateway: &Gateway, action: audit::Action, code: &str, meta: Meta) -> Result<(), Refused> {
    let note = Note {
        outcome: Outcome::Refused(code.to_owned()),
        ..Note::new(action)
    };
    gateway.note(note, meta).await.map_err(refusal)
}

fn runs_on(caller: &Arc<Caller>, node: &str) -> bool {
    caller.pod.is_some() && caller.node.as_deref() == Some(node)
}

/// One secret of a Subscribe.
struct Parsed {
    /// None: the pod's.
    namespace: Option<String>,
    name: String,
    which: Which,
    shown: Option<String>,
    at_start: Option<Option<String>>,
}

fn parse(secrets: &[Wanted]) -> Result<Vec<Parsed>, String> {
    if secrets.is_empty() || secrets.len() > SECRETS {
        return Err(format!("a volume has 1 to {SECRETS} secrets"));
    }
    let parse = |wanted: &Wanted| {
        let which = match &wanted.version {
            None => Which::Stage(Stage::Current),
            Some(wanted::Version::Stage(stage)) => {
                Which::Stage(stage.parse().map_err(|error| format!("{error}"))?)
            }
            Some(wanted::Version::VersionId(id)) => {
                Which::Version(id.parse().map_err(|error| format!("{error}"))?)
            }
        };
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Ok(Parsed {
            namespace: text(&wanted.namespace),
            name: wanted.name.clone(),
            which,
            shown: text(&wanted.applied_version_id),
            at_start: wanted.at_start.then(|| text(&wanted.first_version_id)),
        })
    };
    secrets.iter().map(parse).collect()
}

fn refusal(problem: Problem) -> Refused {
    match from_problem(&problem) {
        Seen::Refused(refused) | Seen::Unclear(refused) => refused,
        Seen::At(_) => unavailable("no answer"),
    }
}

/// A refusal of what means nothing.
pub(super) fn invalid(message: &str) -> Refused {
    Refused {
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
pub(super) fn unavailable(message: &str) -> Refused {
    Refused {
        code: Refusal::Unavailable,
        ..invalid(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str, version: Option<wanted::Version>) -> Wanted {
        Wanted {
            namespace: String::new(),
            name: name.to_owned(),
            version,
            ..Wanted::default()
        }
    }

    #[test]
    fn what_a_volume_wants_is_read_once() {
        let stage = wanted::Version::Stage("Previous".to_owned());
        let version = wanted::Version::VersionId("v-1".to_owned());
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
                Which::Stage(Stage::Current),
                Which::Stage("Previous".parse().unwrap()),
                Which::Version("v-1".parse().unwrap())
            ]
        );
        assert!(parse(&[]).is_err());
        assert!(parse(&vec![wanted("a", None); SECRETS + 1]).is_err());
        for bad in ["", "a b", &"x".repeat(65)] {
            assert!(parse(&[wanted("a", Some(wanted::Version::Stage(bad.to_owned())))]).is_err());
        }
    }
}
