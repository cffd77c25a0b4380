//! One attempt for one `SecretPolicy`: the store keeps what is in force, and the status says what became of
//! it.

use std::time::Instant;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use strongroom_crds::condition::{ConditionStatus, Reason};
use strongroom_crds::v1alpha1::{SecretPolicy, SecretPolicyStatus};
use strongroom_rules::object::{ReadySummary, ready_conditions};
use strongroom_rules::policy::Fallback;

use super::principals::principals_condition;
use super::{events, keep};
use crate::controllers::Ctx;
use crate::controllers::cached_object::{CachedObject, Extent};
use crate::controllers::declarations;
use crate::controllers::failure::Failure;
use crate::controllers::runtime::status_writer::{self, StatusSubject};
use crate::controllers::runtime::{Pace, Reconciler};
use crate::policies::PolicyFailureReason;
use crate::store_handle::on_behalf_of;

impl Reconciler for SecretPolicy {
    const KIND: &'static str = "SecretPolicy";
    const PACE: Pace = Pace::InTurn;
    const BREAKS_OFF: bool = true;

    async fn reconcile(kept: &CachedObject<Self>, ctx: &Ctx, now: Timestamp) -> Result<Action, Failure> {
        let authorship = declarations::take(ctx, Self::KIND, kept).await?;
        let uid = kept.uid().unwrap_or_default();
        if let Some(wait) = ctx.policy_writes.wait(&uid, kept.bytes(), Instant::now()) {
            return Ok(Action::requeue(wait));
        }
        let written = write(kept, ctx, now);
        let outcome = on_behalf_of(authorship.requester().clone(), written).await;
        if outcome.is_ok() {
            ctx.declarations.settle(&authorship);
        }
        ctx.metrics
            .reconciled(Self::KIND, outcome.as_ref().err().map(Failure::class));
        outcome?;
        ctx.backoff.forget(&uid);
        Ok(Action::await_change())
    }
}

/// How many statements a policy has. What is kept of it says no more.
fn statements(kept: &CachedObject<SecretPolicy>) -> usize {
    #[derive(serde::Deserialize)]
    struct CountedStatements {
        statements: usize,
    }
    match kept.extent() {
        Extent::Whole => kept.parse().map_or(0, |policy| policy.spec.statements.len()),
        Extent::Outline => kept
            .parse_as::<CountedStatements>()
            .map_or(0, |counted| counted.statements),
        Extent::Nothing(_) => 0,
    }
}

pub(super) async fn write(
    kept: &CachedObject<SecretPolicy>,
    ctx: &Ctx,
    now: Timestamp,
) -> Result<(), Failure> {
    let (namespace, name) = (kept.namespace().unwrap_or_default(), kept.name_any());
    let uid = kept.uid().unwrap_or_default();
    // First, so that the next process finds what the status says.
    let in_store = keep::keep(ctx, &uid).await;
    let Some(outcome) = ctx.policies.outcome(&namespace, &name) else {
        // Gone in the meantime.
        return Ok(());
    };
    let before: SecretPolicyStatus = kept.status().unwrap_or_default();
    let in_force = outcome.in_force();
    let statements = statements(kept);
    let standing = match &outcome.flaw {
        None => ReadySummary {
            ready: ConditionStatus::True,
            reason: Reason::Ready,
            message: match &outcome.over {
                None => format!("{statements} statements are in force"),
                Some(over) => format!(
                    "{statements} statements are in force as they were before there were bounds, until the policy changes: {over}"
                ),
            },
        },
        Some(flaw) => {
            let reason = match flaw.why {
                PolicyFailureReason::TooLarge(_) => Reason::PolicyTooLarge,
                PolicyFailureReason::Compile(_) | PolicyFailureReason::Misfit(_) => Reason::PolicyInvalid,
            };
            ReadySummary::failed(reason, format!("{}; {}", flaw.why, flaw.instead))
        }
    };
    let standing = match &in_store {
        Ok(()) => standing,
        Err(error) => ReadySummary {
            message: format!(
                "{}; the store does not keep that for the next start yet: {error}",
                standing.message
            ),
            ..standing
        },
    };
    let generation = kube::Resource::meta(kept).generation;
    let mut conditions = ready_conditions(&standing, generation, now);
    let principals = ctx.policies.principals(&namespace, &name);
    conditions.extend(principals.map(|resolution| principals_condition(&resolution, generation, now)));
    let denies = matches!(&outcome.flaw, Some(flaw) if matches!(flaw.instead, Fallback::Denies(_)));
    let status = SecretPolicyStatus {
        observed_generation: generation,
        conditions: status_writer::conditions(&before.conditions, conditions),
        statements: match outcome.flaw {
            None => Some(i32::try_from(statements).unwrap_or(i32::MAX)),
            Some(_) => before.statements.filter(|_| in_force.is_some()),
        },
        // What was in force once is remembered here while it may have to be denied.
        generation_in_force: in_force.or(before.generation_in_force.filter(|_| denies)),
    };
    let subject = StatusSubject {
        namespace: &namespace,
        name: &name,
        uid: &uid,
    };
    let written = status_writer::write::<SecretPolicy, _>(&ctx.client, subject, &before, &status).await?;
    if written.is_some() {
        events::tell(ctx, kept, &before, &status).await;
    }
    Ok(in_store?)
}
