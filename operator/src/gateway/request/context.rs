//! Who asks, when and from where: what the first station, [`super::authenticate`], makes of a request, and
//! all that come after it take.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use strongroom_model::id::RequestId;
use strongroom_rules::policy::{Decision, RequestFacts, StatementRef};
use strongroom_store::audit::{Actor, Circumstances, MAX_STATEMENTS};
use strongroom_store::vault::{ExternalRequest, Meta};

use super::capacity::Slot;
use crate::gateway::authenticate::Caller;
use crate::gateway::state::Gateway;

/// A request as it arrived.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Arrival {
    pub(in crate::gateway) request: RequestId,
    /// By the monotonic clock.
    pub(in crate::gateway) at: Instant,
}

/// One request of one caller.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct RequestContext {
    pub(in crate::gateway) caller: Arc<Caller>,
    pub(in crate::gateway) source: IpAddr,
    pub(in crate::gateway) request: RequestId,
    pub(in crate::gateway) now: Timestamp,
    /// When it arrived, by the monotonic clock.
    pub(in crate::gateway) arrived: Instant,
    pub(in crate::gateway) pod_labels: Option<BTreeMap<String, String>>,
    pub(in crate::gateway) node_labels: Option<BTreeMap<String, String>>,
}

/// What an operation has besides its input.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct OperationContext {
    pub(in crate::gateway) gateway: Arc<Gateway>,
    pub(in crate::gateway) asking: RequestContext,
    /// What the request holds of the service.
    pub(in crate::gateway) slot: Arc<Slot>,
}

impl RequestContext {
    /// Who asks, and what allowed or denied it, for the store and its record.
    pub(in crate::gateway) fn meta(&self, statements: &[StatementRef]) -> Meta {
        let Caller {
            principal,
            pod,
            node,
            offline,
            via_extension_api,
            may_get: _,
        } = &*self.caller;
        Meta {
            actor: Actor::Principal(principal.identity.to_string()),
            request: self.request,
            now: strongroom_model::time::Timestamp::from_millis(self.now.as_millisecond()),
            asked: Some(Box::new(ExternalRequest {
                arrived: self.arrived,
                circumstances: Circumstances {
                    source: Some(self.source),
                    pod: pod.as_ref().map(|(name, _)| name.clone()),
                    node: node.clone(),
                    offline: *offline,
                    extension_api: *via_extension_api,
                    statements: statements
                        .iter()
                        .take(MAX_STATEMENTS)
                        .map(ToString::to_string)
                        .collect(),
                    latency_micros: None,
                },
            })),
        }
    }

    /// The same, for a decision that RBAC may have made.
    pub(in crate::gateway) fn meta_for(&self, decision: &Decision) -> Meta {
        let mut meta = self.meta(&decision.statements);
        if let (true, Some(asked)) = (decision.rbac, meta.asked.as_mut()) {
            asked
                .circumstances
                .statements
                .push("RBAC: `get` on the ManagedSecret".to_owned());
        }
        meta
    }

    /// What is known about the request.
    pub(in crate::gateway) fn facts(&self) -> RequestFacts {
        RequestFacts {
            now: self.now,
            pod_labels: self.pod_labels.clone(),
            node_labels: self.node_labels.clone(),
            source: Some(self.source),
            ..RequestFacts::default()
        }
    }
}

/// What a record says of somebody whose token proves nothing.
pub(in crate::gateway) fn unauthenticated_meta(
    source: IpAddr,
    node: Option<&str>,
    request: RequestId,
    arrived: Instant,
) -> Meta {
    Meta {
        actor: Actor::Principal("unknown".to_owned()),
        request,
        now: strongroom_model::time::Timestamp::from_millis(Timestamp::now().as_millisecond()),
        asked: Some(Box::new(ExternalRequest {
            arrived,
            circumstances: Circumstances {
                source: Some(source),
                node: node.map(str::to_owned),
                ..Circumstances::default()
            },
        })),
    }
}
