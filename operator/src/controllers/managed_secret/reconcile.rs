//! One attempt for one `ManagedSecret`.
//!
//! 1. `observe` reads, and makes the facts (I/O).
//! 2. `strongroom_rules::managed_secret::plan` names the one next step (pure).
//! 3. `apply` carries it out (I/O), and it starts again at 1.
//! 4. `status` says how it ended, on success and on failure (I/O through `runtime::status_writer`).

use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::controller::Action;
use strongroom_crds::condition::Reason;
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_rules::managed_secret::plan::{self, SecretPlan, SecretStep, VersionReason};
use strongroom_rules::managed_secret::verdict::SecretVerdict;
use strongroom_rules::object::ReadySummary;
use strongroom_rules::rotation::{RotationStep, RotationTrigger};

use super::observed_secret::ObservedSecret;
use super::{NativeCheck, apply, observe, status};
use crate::controllers::Ctx;
use crate::controllers::backoff::class_of;
use crate::controllers::cached_object::{CachedObject, Extent};
use crate::controllers::failure::Failure;
use crate::controllers::identity::Identity;
use crate::controllers::runtime::{Pace, Reconciler, StepOrigin, Stepwise, walk};
use crate::controllers::{declarations, left_out, resync};

/// So many failures in a row that time heals are not spoken of.
const MAX_QUIET_FAILURES: u32 = 2;

/// Within this time `resync` has looked at every object.
const FULL_RESYNC_TIME: jiff::SignedDuration =
    jiff::SignedDuration::from_secs(2 * resync::PERIOD.as_secs().cast_signed());

impl Reconciler for ManagedSecret {
    const KIND: &'static str = "ManagedSecret";
    const PACE: Pace = Pace::InTurn;
    const BREAKS_OFF: bool = false;

    async fn reconcile(kept: &CachedObject<Self>, ctx: &Ctx, now: Timestamp) -> Result<Action, Failure> {
        let read = match kept.extent() {
            Extent::Whole => return reconcile_whole(kept, ctx, now).await,
            Extent::Outline => left_out::read_again(ctx, kept).await,
            Extent::Nothing(why) => left_out::reread(ctx, &ctx.left_out.managed_secrets, kept, why).await,
        };
        let read = read.inspect_err(|error| {
            let class = class_of(error);
            ctx.metrics.reconciled("ManagedSecret", Some(class));
        })?;
        match (read, kept.extent()) {
            // It is gone, or its condition says so already.
            (None, _) => Ok(Action::await_change()),
            (Some(read), Extent::Nothing(why)) => {
                status::not_reconciled(ctx, &read.object, &why.into(), now).await?;
                ctx.left_out.managed_secrets.mark_reported(kept, why);
                Ok(Action::await_change())
            }
            (Some(read), Extent::Outline | Extent::Whole) => reconcile_whole(&read.object, ctx, now).await,
        }
    }
}

/// [`Reconciler::reconcile`] with an object that is whole.
async fn reconcile_whole(
    kept: &CachedObject<ManagedSecret>,
    ctx: &Ctx,
    now: Timestamp,
) -> Result<Action, Failure> {
    let identity = Identity::from_object(kept);
    let authorship = declarations::take(ctx, "ManagedSecret", kept).await;
    let object = match kept.parse() {
        Ok(object) => object,
        Err(misfit) => {
            // An older CRD let it in.
            let standing = ReadySummary::failed(Reason::SourceInvalid, misfit.to_string());
            status::not_reconciled(ctx, kept, &standing, now).await?;
            authorship?;
            return Ok(Action::await_change());
        }
    };
    let outcome = match authorship {
        Ok(authorship) => {
            let mut steps = SecretWalk {
                object: &object,
                identity: &identity,
                look: NativeCheck::Light,
                settled: authorship.is_settled(),
            };
            let walked = walk(&mut steps, ctx, &identity, &authorship, now).await;
            // What waits for something else is done later, and still because of this.
            if matches!(&walked, Ok((_, plan)) if matches!(plan.verdict, SecretVerdict::Ready { .. })) {
                ctx.declarations.settle(&authorship);
            }
            walked
        }
        Err(failure) => Err(failure.into()),
    };
    ctx.metrics
        .reconciled("ManagedSecret", outcome.as_ref().err().map(Failure::class));
    let quiet = outcome.as_ref().is_err_and(|failure| failure.passes())
        && ctx.backoff.attempts(&identity.uid) < MAX_QUIET_FAILURES;
    let reported = if quiet {
        Ok(None)
    } else {
        status::report(ctx, &object, &identity, &outcome, now).await
    };
    match (outcome, reported) {
        (Ok((_, plan)), Ok(consumers)) => {
            ctx.backoff.forget(&identity.uid);
            ctx.refusals.forget(&identity.uid);
            Ok(again(plan.wake.into_iter().chain(consumers).min(), now))
        }
        (Ok(_), Err(failure)) => Err(failure),
        (Err(failure), reported) => {
            if let Err(error) = reported {
                tracing::warn!(namespace = identity.namespace, name = identity.name, %error, "status update failed");
            }
            Err(failure)
        }
    }
}

/// The steps of one object.
struct SecretWalk<'a> {
    object: &'a ManagedSecret,
    identity: &'a Identity,
    look: NativeCheck,
    /// All that the object declares was done before.
    settled: bool,
}

impl Stepwise for SecretWalk<'_> {
    type Observed = ObservedSecret;
    type Plan = SecretPlan;
    type Step = SecretStep;
    // Creating, labelling, adopting, replacing and rotating in one go are fewer.
    const MAX_STEPS: usize = 16;

    async fn observe(&self, ctx: &Ctx, now: Timestamp) -> Result<ObservedSecret, Failure> {
        observe::observe(ctx, self.object, self.identity, (self.look, self.settled), now).await
    }

    fn plan(observed: &ObservedSecret, now: Timestamp) -> SecretPlan {
        plan::plan(&observed.facts, now)
    }

    fn step(plan: &SecretPlan) -> Option<&SecretStep> {
        (plan.step != SecretStep::Nothing).then_some(&plan.step)
    }

    fn origin<'a>(observed: &'a ObservedSecret, step: &SecretStep) -> StepOrigin<'a> {
        match step {
            // It happens by itself.
            SecretStep::EnsureVersion(VersionReason::Certificate(_))
            | SecretStep::Rotate(RotationStep::Promote(RotationTrigger::Due { .. }))
            | SecretStep::Nothing => StepOrigin::Time,
            // By an annotation of the Namespace.
            SecretStep::AcceptNamespace => StepOrigin::Namespace(&observed.facts.namespace.uid),
            SecretStep::EnsureVersion(VersionReason::SpecChanged | VersionReason::Imported)
            | SecretStep::Rotate(RotationStep::Promote(RotationTrigger::Asked(_)))
            | SecretStep::BindNamespace
            | SecretStep::BindObject
            | SecretStep::CreateSecret(_)
            | SecretStep::UpdateMetadata
            | SecretStep::UpdateKey
            | SecretStep::TakeSealed
            | SecretStep::Restore
            | SecretStep::Purge
            | SecretStep::Native(_) => StepOrigin::Author,
        }
    }

    async fn apply(
        &mut self,
        ctx: &Ctx,
        observed: &ObservedSecret,
        step: &SecretStep,
        now: Timestamp,
    ) -> Result<(), Failure> {
        if apply::apply(ctx, observed, step, now).await? == NativeCheck::Thorough {
            self.look = NativeCheck::Thorough;
        }
        if let SecretStep::EnsureVersion(_) | SecretStep::Rotate(RotationStep::Promote(_)) = step {
            ctx.metrics.versions.inc();
        }
        Ok(())
    }
}

/// The next look at a time of the plan, or when consumers have another version. Without one there is none:
/// what changes is watched, and `resync` comes by now and then. A timer for each of many objects would be
/// memory for nothing.
fn again(wake: Option<Timestamp>, now: Timestamp) -> Action {
    // A little late rather than a little early: an early look would find that it is not time yet.
    const WAKE_MARGIN: Duration = Duration::from_millis(50);
    // Until then `resync` comes by, and a timer that far away would be memory for nothing.
    let soon = |wake: &Timestamp| wake.duration_since(now) < FULL_RESYNC_TIME;
    wake.filter(soon).map_or_else(Action::await_change, |wake| {
        Action::requeue(
            wake.duration_since(now)
                .max(jiff::SignedDuration::ZERO)
                .unsigned_abs()
                + WAKE_MARGIN,
        )
    })
}
