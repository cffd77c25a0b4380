//! One attempt for one `EncryptionKey`: observe, plan, apply, again until nothing is left to do, and then
//! report.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::controller::Action;
use strongroom_crds::condition::Reason;
use strongroom_crds::v1alpha1::EncryptionKey;
use strongroom_rules::encryption_key::{KeyPlan, KeyStep, KeyVerdict, plan};
use strongroom_rules::object::ReadySummary;

use super::observe::{self, ObservedKey};
use super::{apply, status};
use crate::controllers::Ctx;
use crate::controllers::cached_object::{CachedObject, Extent};
use crate::controllers::failure::Failure;
use crate::controllers::identity::Identity;
use crate::controllers::runtime::{Pace, Reconciler, StepOrigin, Stepwise, walk};
use crate::controllers::{declarations, left_out};

impl Reconciler for EncryptionKey {
    const KIND: &'static str = "EncryptionKey";
    const PACE: Pace = Pace::Gathering;
    const BREAKS_OFF: bool = true;

    async fn reconcile(kept: &CachedObject<Self>, ctx: &Ctx, now: Timestamp) -> Result<Action, Failure> {
        if let Extent::Nothing(why) = kept.extent() {
            if let Some(read) = left_out::reread(ctx, &ctx.left_out.keys, kept, why).await? {
                status::not_reconciled(ctx, &read.object, &why.into(), now).await?;
                ctx.left_out.keys.mark_reported(kept, why);
            }
            return Ok(Action::await_change());
        }
        let identity = Identity::from_object(kept);
        let authorship = declarations::take(ctx, "EncryptionKey", kept).await?;
        let object = match kept.parse() {
            Ok(object) => object,
            Err(misfit) => {
                // An older CRD let it in.
                let standing = ReadySummary::failed(Reason::SourceInvalid, misfit.to_string());
                status::not_reconciled(ctx, kept, &standing, now).await?;
                return Ok(Action::await_change());
            }
        };
        let mut steps = KeyWalk {
            object: &object,
            identity: &identity,
        };
        let outcome = walk(&mut steps, ctx, &identity, &authorship, now).await;
        // What waits for something else is done later, and still because of this.
        if matches!(&outcome, Ok((_, plan)) if matches!(plan.verdict, KeyVerdict::Ready { .. })) {
            ctx.declarations.settle(&authorship);
        }
        ctx.metrics
            .reconciled("EncryptionKey", outcome.as_ref().err().map(Failure::class));
        let reported = status::report(ctx, &object, &identity, &outcome, now).await;
        let (_, plan) = outcome?;
        reported?;
        ctx.backoff.forget(&identity.uid);
        Ok(plan.wake.map_or_else(Action::await_change, |wake| {
            let left = wake.duration_since(now).max(SignedDuration::ZERO);
            // A little late rather than a little early: an early look would find that it is not time yet.
            Action::requeue(left.unsigned_abs() + Duration::from_millis(50))
        }))
    }
}

/// The steps of one object.
struct KeyWalk<'a> {
    object: &'a EncryptionKey,
    identity: &'a Identity,
}

impl Stepwise for KeyWalk<'_> {
    type Observed = ObservedKey;
    type Plan = KeyPlan;
    type Step = KeyStep;
    const MAX_STEPS: usize = 8;

    async fn observe(&self, ctx: &Ctx, _now: Timestamp) -> Result<ObservedKey, Failure> {
        observe::observe(ctx, self.object, self.identity).await
    }

    fn plan(observed: &ObservedKey, now: Timestamp) -> KeyPlan {
        plan(&observed.facts, now)
    }

    fn step(plan: &KeyPlan) -> Option<&KeyStep> {
        (plan.step != KeyStep::Nothing).then_some(&plan.step)
    }

    fn origin<'a>(observed: &'a ObservedKey, step: &KeyStep) -> StepOrigin<'a> {
        match step {
            // It is due.
            KeyStep::Rotate | KeyStep::Nothing => StepOrigin::Time,
            // By an annotation of the Namespace.
            KeyStep::AcceptNamespace => StepOrigin::Namespace(&observed.facts.namespace.uid),
            KeyStep::BindNamespace
            | KeyStep::Create
            | KeyStep::Declare
            | KeyStep::CancelDeletion
            | KeyStep::Enable
            | KeyStep::Disable => StepOrigin::Author,
        }
    }

    async fn apply(
        &mut self,
        ctx: &Ctx,
        observed: &ObservedKey,
        step: &KeyStep,
        _now: Timestamp,
    ) -> Result<(), Failure> {
        apply::apply(ctx, observed, self.identity, *step).await
    }
}
