//! `SecretPolicy`: says what became of it. Its statements took effect with the event that brought them (`watches`); this only reports.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use strongroom_crds::condition::{ConditionStatus, Reason};
use strongroom_crds::v1alpha1::{SecretPolicy, SecretPolicyStatus};
use strongroom_rules::managed_secret::conditions::{Standing, standing_conditions};

use crate::controllers::Ctx;
use crate::controllers::kept::Kept;
use crate::controllers::managed_secret::Failure;
use crate::controllers::report::{self, Subject};
use crate::controllers::store::SecretStore;

/// Says what became of the policy.
pub(crate) async fn reconcile<S: SecretStore>(
    kept: Arc<Kept<SecretPolicy>>,
    ctx: Arc<Ctx<S>>,
) -> Result<Action, Failure> {
    let outcome = write(&kept, &ctx, Timestamp::now()).await;
    ctx.metrics
        .reconciled("SecretPolicy", outcome.as_ref().err().map(Failure::class));
    outcome?;
    ctx.backoff.forget(&kept.uid().unwrap_or_default());
    Ok(Action::await_change())
}

async fn write<S: SecretStore>(
    kept: &Kept<SecretPolicy>,
    ctx: &Ctx<S>,
    now: Timestamp,
) -> Result<(), Failure> {
    let (namespace, name) = (kept.namespace().unwrap_or_default(), kept.name_any());
    let generation = kube::Resource::meta(kept).generation;
    let (before, status) = match kept.parse() {
        Ok(policy) => {
            let before = policy.status.clone().unwrap_or_default();
            let Some(outcome) = ctx.policies.outcome(&namespace, &name) else {
                // Gone in the meantime.
                return Ok(());
            };
            let statements = policy.spec.statements.len();
            let standing = match &outcome.error {
                None => Standing {
                    ready: ConditionStatus::True,
                    reason: Reason::Ready,
                    message: format!("{statements} statements are in force"),
                },
                Some(error) => {
                    let instead = match (outcome.in_force, outcome.denies) {
                        (Some(generation), _) => format!("generation {generation} stays in force"),
                        (None, true) => "what was in force before the last start is not known, so everything it is attached to is denied".to_owned(),
                        (None, false) => "nothing of it is in force".to_owned(),
                    };
                    Standing::failed(Reason::PolicyInvalid, format!("{error}; {instead}"))
                }
            };
            let conditions = standing_conditions(&standing, generation, now);
            let status = SecretPolicyStatus {
                observed_generation: generation,
                conditions: report::conditions(&before.conditions, conditions),
                statements: outcome
                    .error
                    .is_none()
                    .then(|| i32::try_from(statements).unwrap_or(i32::MAX))
                    .or(before.statements.filter(|_| outcome.in_force.is_some())),
                // What was in force once is remembered here while it may have to be denied.
                generation_in_force: outcome
                    .in_force
                    .or(before.generation_in_force.filter(|_| outcome.denies)),
            };
            (before, status)
        }
        Err(misfit) => {
            let standing = Standing::failed(Reason::PolicyInvalid, misfit.to_string());
            let status = SecretPolicyStatus {
                observed_generation: generation,
                conditions: standing_conditions(&standing, generation, now),
                ..SecretPolicyStatus::default()
            };
            (SecretPolicyStatus::default(), status)
        }
    };
    let uid = kept.uid().unwrap_or_default();
    let subject = Subject {
        namespace: &namespace,
        name: &name,
        uid: &uid,
    };
    report::write::<SecretPolicy, _>(&ctx.client, subject, &before, &status).await?;
    Ok(())
}
