//! Everything that a listener has room for, and how much of it one request holds. An unauthenticated caller
//! counts against its address, an authenticated one against its principal and the principal's namespace, and
//! a node or a person against all nodes or all people.
//!
//! A request holds its [`Slot`] from its head to the last byte of its answer.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::Request;
use parking_lot::Mutex;

use super::head::head_bytes;
use super::refusals::{LimitScope, LimitedResource, RefusalMetrics, RefusalReason};
use super::share::{Share, ShareExhausted, Shares};
use super::tenant::{NamespaceKey, PrincipalKey};
use crate::gateway::authenticate::Caller;
use crate::gateway::limits;
use crate::gateway::listen::{Admission, Connection, Peer};
use crate::gateway::listener_capacity::ListenerCapacity;
use crate::gateway::problem::{Code, Problem};

/// Bytes that an unauthenticated request counts for, besides its head: its answer, and what is kept of it.
const UNAUTHENTICATED_REQUEST_BYTES: u64 = 2 << 10;
/// An answer of so many bytes is not counted: as many as there are requests take little room.
const SMALL_ANSWER_BYTES: u64 = 4 << 10;
/// Streams of one node: the newest, and those that it ends.
const MAX_STREAMS_PER_NODE: u64 = 3;
/// Streams of all nodes together, at the same time.
const MAX_NODE_STREAMS: u64 = 8_192;
/// Requests of one person at the same time.
const MAX_REQUESTS_PER_PERSON: u64 = 64;

/// A share by principal, and by the namespace that the principal is of.
#[derive(Debug)]
struct TenantShares {
    principals: Arc<Shares<PrincipalKey>>,
    namespaces: Arc<Shares<NamespaceKey>>,
}

/// What a principal holds.
#[derive(Debug)]
struct TenantShare(
    #[expect(dead_code, reason = "held, not looked at")] Share<PrincipalKey>,
    #[expect(dead_code, reason = "held, not looked at")] Option<Share<NamespaceKey>>,
);

impl TenantShares {
    fn new(principal: u64, namespace: u64, all: u64) -> Self {
        Self {
            principals: Shares::new(principal, all),
            namespaces: Shares::new(namespace, all),
        }
    }

    fn take(&self, caller: &Arc<Caller>, amount: u64) -> Result<TenantShare, LimitScope> {
        let namespace = NamespaceKey::new(caller).map(|namespace| self.namespaces.take(namespace, amount));
        let namespace = namespace.transpose().map_err(|full| match full {
            ShareExhausted::Each => LimitScope::Namespace,
            ShareExhausted::All => LimitScope::Everybody,
        })?;
        let principal = self.principals.take(PrincipalKey::new(caller), amount);
        let principal = principal.map_err(|full| match full {
            ShareExhausted::Each => LimitScope::Principal,
            ShareExhausted::All => LimitScope::Everybody,
        })?;
        Ok(TenantShare(principal, namespace))
    }
}

/// Everything that a listener has room for.
#[derive(Debug)]
pub(in crate::gateway) struct Capacity {
    admission: Admission,
    unauthenticated: Arc<Shares<IpAddr>>,
    requests: TenantShares,
    watches: TenantShares,
    connections: TenantShares,
    /// Bytes of large answers.
    answers: TenantShares,
    people: Arc<Shares<PrincipalKey>>,
    nodes: Arc<Shares<String>>,
    refusals: RefusalMetrics,
}

/// What a request holds.
#[derive(Debug)]
#[expect(dead_code, reason = "held, not looked at")]
enum SlotState {
    Nothing,
    Unauthenticated {
        request: Option<Share<IpAddr>>,
        memory: Share<IpAddr>,
    },
    Caller(TenantShare),
    Person(Share<PrincipalKey>),
    Node(Share<String>),
}

/// What the answer of a request holds besides.
#[derive(Debug, Default)]
struct AnswerState {
    bytes: u64,
    shares: Vec<TenantShare>,
}

/// What a request holds, until the last byte of its answer is taken.
#[derive(Debug)]
pub(in crate::gateway) struct Slot {
    state: Mutex<SlotState>,
    answer: Mutex<AnswerState>,
}

impl Slot {
    fn new(holding: SlotState) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(holding),
            answer: Mutex::default(),
        })
    }

    /// Holds something else from now on.
    fn hold(&self, holding: SlotState) {
        *self.state.lock() = holding;
    }
}

/// A request that is let in, or not.
pub(in crate::gateway) enum AdmissionOutcome {
    /// It may go on.
    Admitted(Arc<Slot>),
    /// It is answered with this.
    Refused(Arc<Slot>, Problem),
    /// There is no room for what it holds: its connection ends, with this answer where that can be.
    Dropped(ShareExhausted, Problem),
}

impl Capacity {
    /// Of a listener that has room for so much. People and nodes come to the shared gateway alone.
    pub(in crate::gateway) fn new(
        admission: Admission,
        capacity: ListenerCapacity,
        refusals: RefusalMetrics,
    ) -> Self {
        let requests = |shared| capacity.by_requests(shared);
        let connections = capacity.proven_connections();
        let answers = |shared| capacity.answer_bytes(shared);
        Self {
            admission,
            // Each address has its part of all.
            unauthenticated: Shares::new(0, requests(limits::MAX_UNAUTHENTICATED_REQUESTS)),
            requests: TenantShares::new(
                requests(limits::MAX_REQUESTS_PER_PRINCIPAL),
                requests(limits::MAX_REQUESTS_PER_NAMESPACE),
                requests(limits::MAX_REQUESTS),
            ),
            watches: TenantShares::new(
                requests(limits::MAX_WATCHES_PER_PRINCIPAL),
                requests(limits::MAX_WATCHES_PER_NAMESPACE),
                requests(limits::MAX_WATCHES),
            ),
            connections: TenantShares::new((connections / 4).max(1), (connections / 2).max(1), connections),
            answers: TenantShares::new(
                answers(limits::MAX_ANSWER_BYTES_PER_PRINCIPAL),
                answers(limits::MAX_ANSWER_BYTES_PER_NAMESPACE),
                answers(limits::MAX_ANSWER_BYTES),
            ),
            people: Shares::new(MAX_REQUESTS_PER_PERSON, limits::MAX_REQUESTS_OF_PEOPLE),
            nodes: Shares::new(MAX_STREAMS_PER_NODE, MAX_NODE_STREAMS),
            refusals,
        }
    }

    /// What is counted.
    pub(in crate::gateway) const fn refusals(&self) -> &RefusalMetrics {
        &self.refusals
    }

    /// On which terms the listener takes connections.
    pub(in crate::gateway) const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Streams of changes.
    pub(in crate::gateway) fn watches_in_use(&self) -> u64 {
        self.watches.principals.in_use()
    }

    /// Streams of nodes.
    pub(in crate::gateway) fn nodes_in_use(&self) -> u64 {
        self.nodes.in_use()
    }

    /// Requests of proven callers that are under way.
    #[cfg(test)]
    pub(in crate::gateway) fn in_use(&self) -> u64 {
        self.requests.principals.in_use()
    }

    /// Connections of a principal.
    #[cfg(test)]
    pub(in crate::gateway) fn connections_of(&self, principal: &Arc<Caller>) -> u64 {
        self.connections
            .principals
            .in_use_of(&PrincipalKey::new(principal))
    }

    fn full(&self, what: LimitedResource, whose: LimitScope) -> Problem {
        self.refusals.refused(what, whose, RefusalReason::Share);
        let of = whose_words(whose);
        let (what, seconds) = match what {
            LimitedResource::Connection => ("connections", 1),
            LimitedResource::Request | LimitedResource::Review => ("requests", 1),
            LimitedResource::Watch => ("watches", 10),
            LimitedResource::Node => ("streams", 1),
        };
        Problem::new(
            Code::Overloaded,
            format!("too many {what} {of} at the same time; wait and try again"),
        )
        .retry_after(seconds)
    }

    /// A request came.
    pub(in crate::gateway) fn admit<B>(&self, peer: &Peer, request: &Request<B>) -> AdmissionOutcome {
        if peer.proven {
            return AdmissionOutcome::Admitted(Slot::new(SlotState::Nothing));
        }
        let address = peer.address.ip().to_canonical();
        let memory = self.admission.memory();
        let bytes = UNAUTHENTICATED_REQUEST_BYTES.saturating_add(head_bytes(request));
        let memory = match memory.take_within(self.admission.memory_limit(address), address, bytes) {
            Ok(memory) => memory,
            Err(full) => {
                let problem = self.full(LimitedResource::Request, LimitScope::from_address(full));
                return AdmissionOutcome::Dropped(full, problem);
            }
        };
        let all = (self.unauthenticated.all(), self.unauthenticated.in_use());
        let each = self.admission.addresses().limit_beside(address, all, 1);
        match self.unauthenticated.take_within(each, address, 1) {
            Ok(request) => AdmissionOutcome::Admitted(Slot::new(SlotState::Unauthenticated {
                request: Some(request),
                memory,
            })),
            Err(full) => {
                let request = None;
                let problem = self.full(LimitedResource::Request, LimitScope::from_address(full));
                AdmissionOutcome::Refused(Slot::new(SlotState::Unauthenticated { request, memory }), problem)
            }
        }
    }

    /// So many bytes of a request are kept before anybody knows who asks.
    ///
    /// # Errors
    /// Its address or all addresses have no room for them.
    pub(in crate::gateway) fn reserve(&self, slot: &Slot, bytes: u64) -> Result<(), Problem> {
        match &mut *slot.state.lock() {
            SlotState::Unauthenticated { memory, .. } => memory
                .grow(bytes)
                .map_err(|full| self.full(LimitedResource::Request, LimitScope::from_address(full))),
            SlotState::Nothing | SlotState::Caller(_) | SlotState::Person(_) | SlotState::Node(_) => Ok(()),
        }
    }

    /// An answer that has so many bytes by now is kept until its caller takes it.
    ///
    /// # Errors
    /// The caller, its namespace or all leave enough of their answers.
    pub(in crate::gateway) fn reserve_answer(
        &self,
        slot: &Slot,
        caller: &Arc<Caller>,
        bytes: usize,
    ) -> Result<(), Problem> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut answer = slot.answer.lock();
        let more = bytes.saturating_sub(answer.bytes);
        if more == 0 || bytes <= SMALL_ANSWER_BYTES {
            return Ok(());
        }
        let share = self.answers.take(caller, more).map_err(|whose| {
            let full = self.full(LimitedResource::Request, whose);
            let whose = whose_words(whose);
            let detail =
                format!("too many bytes of answers {whose} at the same time; ask for less, or again");
            Problem::new(full.code(), detail).retry_after(1)
        })?;
        answer.bytes = bytes;
        answer.shares.push(share);
        Ok(())
    }

    /// The caller has proven who it is: request and connection leave the account of their address at once.
    ///
    /// # Errors
    /// The caller, its namespace or all have enough under way.
    pub(in crate::gateway) fn prove(
        &self,
        slot: &Slot,
        connection: Option<&Arc<Connection>>,
        caller: &Arc<Caller>,
    ) -> Result<(), Problem> {
        if let Some(connection) = connection {
            connection.prove(|| {
                let taken = self.connections.take(caller, 1);
                let taken = taken.map_err(|whose| self.full(LimitedResource::Connection, whose))?;
                Ok::<Box<dyn Any + Send>, Problem>(Box::new(taken))
            })?;
        }
        let tenancy = self.requests.take(caller, 1);
        slot.hold(SlotState::Caller(
            tenancy.map_err(|whose| self.full(LimitedResource::Request, whose))?,
        ));
        Ok(())
    }

    /// The same for a person, whom the extension API server names.
    ///
    /// # Errors
    /// The person or all people have enough under way.
    pub(in crate::gateway) fn prove_person(&self, slot: &Slot, person: &Arc<Caller>) -> Result<(), Problem> {
        let share = self.people.take(PrincipalKey::new(person), 1).map_err(|full| {
            let whose = match full {
                ShareExhausted::Each => LimitScope::Principal,
                ShareExhausted::All => LimitScope::ExtensionApi,
            };
            self.full(LimitedResource::Request, whose)
        })?;
        slot.hold(SlotState::Person(share));
        Ok(())
    }

    /// The same for a node.
    ///
    /// # Errors
    /// The node or all nodes have enough streams.
    pub(in crate::gateway) fn prove_node(
        &self,
        slot: &Slot,
        connection: Option<&Arc<Connection>>,
        node: &str,
    ) -> Result<(), Problem> {
        let share = self.nodes.take(node.to_owned(), 1).map_err(|full| {
            let whose = match full {
                ShareExhausted::Each => LimitScope::Node,
                ShareExhausted::All => LimitScope::Nodes,
            };
            self.full(LimitedResource::Node, whose)
        })?;
        if let Some(connection) = connection {
            // Its stream is what is counted.
            connection.prove(|| Ok::<Box<dyn Any + Send>, Problem>(Box::new(())))?;
        }
        slot.hold(SlotState::Node(share));
        Ok(())
    }

    /// The request becomes a stream of changes.
    ///
    /// # Errors
    /// The caller, its namespace or all watch enough.
    pub(in crate::gateway) fn watch(&self, slot: &Slot, caller: &Arc<Caller>) -> Result<(), Problem> {
        let tenancy = self.watches.take(caller, 1);
        slot.hold(SlotState::Caller(
            tenancy.map_err(|whose| self.full(LimitedResource::Watch, whose))?,
        ));
        Ok(())
    }
}

const fn whose_words(whose: LimitScope) -> &'static str {
    match whose {
        LimitScope::Address => "of your address",
        LimitScope::Unauthenticated => "without a proven caller",
        LimitScope::Principal => "of you",
        LimitScope::Namespace => "of your namespace",
        LimitScope::ExtensionApi => "of people",
        LimitScope::Node => "of this node",
        LimitScope::Nodes => "of nodes",
        LimitScope::Everybody => "in all",
    }
}

#[cfg(test)]
mod tests;
