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
use crate::gateway::labels::LabelCache;
use crate::gateway::listener_scope::ListenerScope;
use crate::gateway::state::Gateway;

/// A request as it arrived.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Arrival {
    /// Names the request in the answer and in its record.
    pub(in crate::gateway) id: RequestId,
    /// By the monotonic clock.
    pub(in crate::gateway) at: Instant,
}

/// One request of one caller, who has proven who it is. Only the first station makes one, for whatever
/// listener and stream; what it says of the caller is never changed.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct RequestContext {
    caller: Arc<Caller>,
    source: IpAddr,
    arrival: Arrival,
    listener: Arc<ListenerScope>,
    now: Timestamp,
    pod_labels: Option<BTreeMap<String, String>>,
    node_labels: Option<BTreeMap<String, String>>,
}

/// What an operation has besides its input.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct OperationContext {
    pub(in crate::gateway) gateway: Arc<Gateway>,
    pub(in crate::gateway) request: RequestContext,
    /// What the request holds of the service.
    pub(in crate::gateway) slot: Arc<Slot>,
}

impl RequestContext {
    /// A request of a caller that has just proven who it is, at this address and by this listener. No labels
    /// are known of it.
    pub(super) fn new(
        caller: Arc<Caller>,
        source: IpAddr,
        arrival: Arrival,
        listener: Arc<ListenerScope>,
    ) -> Self {
        Self {
            caller,
            source,
            arrival,
            listener,
            now: Timestamp::now(),
            pod_labels: None,
            node_labels: None,
        }
    }

    /// Whoever asks, as it has proven.
    pub(in crate::gateway) const fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// At whose turn work is done for it: its namespace's, or the caller's own.
    pub(in crate::gateway) fn turn(&self) -> String {
        let identity = &self.caller.principal.identity;
        identity
            .namespace()
            .map_or_else(|| identity.to_string(), str::to_owned)
    }

    /// The listener that it came by.
    pub(in crate::gateway) fn listener(&self) -> &ListenerScope {
        &self.listener
    }

    /// Names the request in the answer and in its record.
    pub(in crate::gateway) const fn id(&self) -> RequestId {
        self.arrival.id
    }

    /// When it is decided about.
    pub(in crate::gateway) const fn now(&self) -> Timestamp {
        self.now
    }

    /// The same request, to be decided about once more at another time.
    pub(in crate::gateway) fn again_at(&self, now: Timestamp) -> Self {
        Self { now, ..self.clone() }
    }

    /// The same caller as part of an earlier request, whose records it goes on.
    pub(in crate::gateway) const fn continuing(mut self, earlier: RequestId) -> Self {
        self.arrival.id = earlier;
        self
    }

    /// Looks up the labels of the caller's pod and node, which policies ask for.
    pub(in crate::gateway) async fn look_up_labels(&mut self, labels: &LabelCache) {
        (self.pod_labels, self.node_labels) = labels.for_caller(&self.caller).await;
    }

    /// Who asks, and what allowed or denied it, for the store and its record.
    pub(in crate::gateway) fn meta(&self, statements: &[StatementRef]) -> Meta {
        let Caller {
            principal,
            account_uid: _,
            pod,
            node,
            offline,
            via_extension_api,
            may_get: _,
        } = &*self.caller;
        Meta {
            actor: Actor::Principal(principal.identity.text()),
            request: self.arrival.id,
            now: strongroom_model::time::Timestamp::from_millis(self.now.as_millisecond()),
            asked: Some(Box::new(ExternalRequest {
                arrived: self.arrival.at,
                circumstances: Circumstances {
                    source: Some(self.source),
                    pod: pod.as_ref().map(|(name, _)| name.clone()),
                    node: node.clone(),
                    offline: *offline,
                    extension_api: *via_extension_api,
                    statements: statements
                        .iter()
                        .take(MAX_STATEMENTS)
                        .map(|statement| statement.text().to_owned())
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
pub(super) fn unauthenticated_meta(source: IpAddr, node: Option<&str>, arrival: Arrival) -> Meta {
    Meta {
        actor: Actor::Principal("unknown".to_owned()),
        request: arrival.id,
        now: strongroom_model::time::Timestamp::from_millis(Timestamp::now().as_millisecond()),
        asked: Some(Box::new(ExternalRequest {
            arrived: arrival.at,
            circumstances: Circumstances {
                source: Some(source),
                node: node.map(str::to_owned),
                ..Circumstances::default()
            },
        })),
    }
}
