//! The first station: who asks. Where a request says so is its protocol's; what that proves is found out
//! here, and whoever proves nothing is on record.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use strongroom_store::audit::{self, AuditOutcome};
use strongroom_store::vault::AuditNote;

use super::capacity::Slot;
use super::context::{Arrival, RequestContext, unauthenticated_meta};
use super::record;
use super::refusals::{LimitScope, LimitedResource, RefusalReason};
use crate::gateway::authenticate::{Caller, ReviewBudget};
use crate::gateway::listen::{Connection, Peer};
use crate::gateway::problem::{Code, Problem};
use crate::gateway::state::Gateway;

/// What a request has to say who asks.
#[derive(Debug)]
pub(in crate::gateway) enum Credentials<'a> {
    /// A token of the cluster; an empty one proves nothing.
    Token(&'a str),
    /// Somebody whom the API server verified, and where from. It counts only of a peer that proved to be the
    /// extension API.
    Verified(Arc<Caller>, Option<IpAddr>),
}

/// What a request is a part of, as the port knows it.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Incoming<'a> {
    pub(in crate::gateway) arrival: Arrival,
    pub(in crate::gateway) peer: Peer,
    /// What it holds of the service.
    pub(in crate::gateway) slot: &'a Arc<Slot>,
    pub(in crate::gateway) connection: Option<&'a Arc<Connection>>,
}

/// Finds out who asks. From then on the request is held at the expense of the caller.
///
/// # Errors
/// What is answered. It is on record, but where it happens too often.
pub(in crate::gateway) async fn authenticate(
    gateway: &Gateway,
    incoming: Incoming<'_>,
    said: Result<Credentials<'_>, Problem>,
) -> Result<RequestContext, Problem> {
    let Incoming {
        arrival: Arrival { request, at: arrived },
        peer,
        slot,
        connection,
    } = incoming;
    let source = peer.address.ip().to_canonical();
    let now = Timestamp::now();
    let found = match (said, peer.proven) {
        (Ok(Credentials::Token(token)), false) => {
            let asker = ReviewBudget::Stranger(source);
            let found = gateway.authenticator.authenticate(token, asker).await;
            found.map(|caller| (caller, source))
        }
        (Ok(Credentials::Verified(caller, from)), true) => Ok((caller, from.unwrap_or(source))),
        // INVARIANT: only the extension API speaks for others, and it speaks for itself never.
        (Ok(_), _) => Err(Problem::new(
            Code::Unauthenticated,
            "the connection does not fit what is said of the caller",
        )),
        (Err(problem), _) => Err(problem),
    };
    let (caller, source) = match found {
        Ok(found) => found,
        Err(problem) => {
            count_failure(gateway, source, &problem)?;
            let meta = unauthenticated_meta(source, None, request, arrived);
            // What ails the audit may name a system that is no stranger's business.
            record::later(gateway, refused(&problem), meta)
                .await
                .map_err(|failed| {
                    Problem::new(failed.code(), "the request cannot be audited now").retry_after(1)
                })?;
            return Err(problem);
        }
    };
    let mut context = RequestContext {
        caller,
        source,
        request,
        now,
        arrived,
        pod_labels: None,
        node_labels: None,
    };
    let identity = &context.caller.principal.identity;
    if peer.proven {
        gateway.capacity.prove_person(slot, identity)?;
        if let Err(problem) = gateway.front_accounts.admit(identity) {
            return Err(refuse_service_account(gateway, &context, problem).await);
        }
    } else {
        gateway.capacity.prove(slot, connection, identity)?;
    }
    if gateway.policies.asks_labels() {
        (context.pod_labels, context.node_labels) = gateway.labels.for_caller(&context.caller).await;
    }
    Ok(context)
}

/// Counts somebody at this address who could not say who it is.
///
/// # Errors
/// What is answered instead, without a record: it happens too often.
pub(in crate::gateway) fn count_failure(
    gateway: &Gateway,
    source: IpAddr,
    problem: &Problem,
) -> Result<(), Problem> {
    let count = |reason| {
        let refusals = gateway.capacity.refusals();
        refusals.refused(LimitedResource::Request, LimitScope::Address, reason);
    };
    match problem.code() {
        Code::Unauthenticated => count(RefusalReason::Token),
        // It is counted where it is found out, and it is no failure of its own.
        Code::TooManyRequests => return Err(problem.clone()),
        _ => {}
    }
    let taken = gateway.limits.take_failure(source);
    taken.inspect_err(|_| count(RefusalReason::Failures))
}

/// Counts a ServiceAccount that may not come over the extension API, and puts it on record. What is answered.
async fn refuse_service_account(gateway: &Gateway, context: &RequestContext, problem: Problem) -> Problem {
    gateway.capacity.refusals().refused(
        LimitedResource::Request,
        LimitScope::ExtensionApi,
        RefusalReason::ServiceAccount,
    );
    match record::later(gateway, refused(&problem), context.meta(&[])).await {
        Ok(()) => problem,
        Err(failed) => failed,
    }
}

fn refused(problem: &Problem) -> AuditNote {
    AuditNote {
        outcome: AuditOutcome::Refused(problem.code().as_str().to_owned()),
        ..AuditNote::new(audit::Action::Authenticate)
    }
}
