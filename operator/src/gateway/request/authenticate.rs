//! The first station: who asks. The protocol knows where a request carries its credentials; they are checked
//! here, and a caller that proves nothing is audited.

use std::net::IpAddr;
use std::sync::Arc;

use strongroom_store::audit::{self, AuditOutcome};
use strongroom_store::vault::AuditNote;

use super::context::{Arrival, RequestContext, unauthenticated_meta};
use super::record;
use super::refusals::{LimitScope, LimitedResource, RefusalReason};
use super::scope::RequestScope;
use crate::gateway::authenticate::{Caller, ReviewBudget};
use crate::gateway::listener_scope::ListenerScope;
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

/// Where a token comes from.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) enum TokenOrigin<'a> {
    /// Somebody at this address, who has not said yet who it is.
    Address(IpAddr),
    /// The plugin of a node, which has: the token is of a pod there.
    Node {
        /// The other end of the plugin's connection.
        address: IpAddr,
        /// The node's name.
        node: &'a str,
    },
}

/// Finds out who asks. From then on the request is held at the expense of the caller. What seldom happens is
/// boxed: every request has room for what is under way, and most are known and come again.
///
/// # Errors
/// The answer. It is audited, unless it happens too often.
pub(in crate::gateway) async fn authenticate(
    gateway: &Gateway,
    scope: &RequestScope,
    credentials: Result<Credentials<'_>, Problem>,
) -> Result<RequestContext, Problem> {
    let RequestScope {
        arrival,
        peer,
        listener,
        connection,
        slot,
    } = scope;
    let (arrival, peer) = (*arrival, *peer);
    let address = peer.address.ip().to_canonical();
    let origin = TokenOrigin::Address(address);
    let context = match (credentials, peer.proven) {
        (Ok(Credentials::Token(token)), false) => by_token(gateway, listener, origin, token, arrival).await?,
        (Ok(Credentials::Verified(caller, from)), true) => {
            RequestContext::new(caller, from.unwrap_or(address), arrival, Arc::clone(listener))
        }
        // INVARIANT: only the extension API speaks for others, and it speaks for itself never.
        (Ok(_), _) => {
            let problem = Problem::new(
                Code::Unauthenticated,
                "the connection does not fit what is said of the caller",
            );
            return Err(Box::pin(refuse_unproven(gateway, listener, origin, arrival, problem)).await);
        }
        (Err(problem), _) => {
            return Err(Box::pin(refuse_unproven(gateway, listener, origin, arrival, problem)).await);
        }
    };
    let caller = context.caller();
    if peer.proven {
        listener.capacity.prove_person(slot, caller)?;
        if let Err(problem) = gateway.front_accounts.admit(&caller.principal.identity) {
            return Err(Box::pin(refuse_service_account(gateway, &context, problem)).await);
        }
    } else {
        listener.capacity.prove(slot, connection.as_ref(), caller)?;
    }
    admit_manager(gateway, &context).await?;
    Ok(context)
}

/// Finds out whose a token is, of a request or of a stream that came by this listener. Nothing is held for
/// it.
///
/// # Errors
/// What is answered. It is audited, but where it happens too often.
pub(in crate::gateway) async fn by_token(
    gateway: &Gateway,
    listener: &Arc<ListenerScope>,
    origin: TokenOrigin<'_>,
    token: &str,
    arrival: Arrival,
) -> Result<RequestContext, Problem> {
    let (source, budget) = match origin {
        TokenOrigin::Address(address) => (address, ReviewBudget::Address(address, &listener.reviews)),
        TokenOrigin::Node { address, .. } => (address, ReviewBudget::Node),
    };
    match gateway.authenticator.authenticate(token, budget).await {
        Ok(caller) => Ok(RequestContext::new(caller, source, arrival, Arc::clone(listener))),
        Err(problem) => Err(Box::pin(refuse_unproven(gateway, listener, origin, arrival, problem)).await),
    }
}

/// Refuses a ServiceAccount that has the name of a product's manager and is not of its namespace.
///
/// # Errors
/// What is answered. It is audited.
pub(in crate::gateway) async fn admit_manager(
    gateway: &Gateway,
    context: &RequestContext,
) -> Result<(), Problem> {
    // Until they are loaded nothing is decided about a secret.
    let Ok(products) = gateway.products.current() else {
        return Ok(());
    };
    let Err(problem) = gateway.manager_homes.check(context.caller(), &products).await else {
        return Ok(());
    };
    Box::pin(record::later(gateway, refused(&problem), context.meta(&[]))).await?;
    Err(problem)
}

/// Records that somebody did not prove who it is, and counts that at the expense of its address. What is
/// answered.
async fn refuse_unproven(
    gateway: &Gateway,
    listener: &ListenerScope,
    origin: TokenOrigin<'_>,
    arrival: Arrival,
    problem: Problem,
) -> Problem {
    let (source, node) = match origin {
        TokenOrigin::Address(address) => (address, None),
        TokenOrigin::Node { address, node } => (address, Some(node)),
    };
    if node.is_none()
        && let Err(too_often) = count_failure(listener, source, &problem)
    {
        return too_often;
    }
    let meta = unauthenticated_meta(source, node, arrival);
    match record::later(gateway, refused(&problem), meta).await {
        Ok(()) => problem,
        // What ails the audit may name a system that is nobody's business who is unknown.
        Err(failed) if node.is_none() => {
            Problem::new(failed.code(), "the request cannot be audited now").retry_after(1)
        }
        Err(failed) => failed,
    }
}

/// Counts somebody at this address who could not say who it is.
///
/// # Errors
/// What is answered instead, without a record: it happens too often.
fn count_failure(listener: &ListenerScope, source: IpAddr, problem: &Problem) -> Result<(), Problem> {
    let count = |reason| {
        let refusals = listener.capacity.refusals();
        refusals.refused(LimitedResource::Request, LimitScope::Address, reason);
    };
    match problem.code() {
        Code::Unauthenticated => count(RefusalReason::Token),
        // It is counted where it is found out, and it is no failure of its own.
        Code::TooManyRequests => return Err(problem.clone()),
        _ => {}
    }
    let taken = listener.limits.take_failure(source);
    taken.inspect_err(|_| count(RefusalReason::Failures))
}

/// Counts a ServiceAccount that may not come over the extension API, and records it. What is answered.
async fn refuse_service_account(gateway: &Gateway, context: &RequestContext, problem: Problem) -> Problem {
    context.listener().capacity.refusals().refused(
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
