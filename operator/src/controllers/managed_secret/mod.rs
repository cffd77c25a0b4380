//! `ManagedSecret`: observe, plan, apply, again until nothing is left to do, and then report.
//!
//! 1. `observe` reads, and makes the facts (I/O).
//! 2. `strongroom_rules::managed_secret::plan` names the one next step (pure).
//! 3. `apply` carries it out (I/O), and it starts again at 1.
//! 4. `status` says how it ended, on success and on failure (I/O through `report`).

mod apply;
mod binding;
mod certificate;
mod consumers;
mod contest;
mod failure;
mod holder;
mod import;
mod key_check;
pub(crate) mod labels;
mod namespace;
pub(crate) mod native;
mod observe;
pub(crate) mod removal;
pub(crate) mod replace;
pub(crate) mod rotate_now;
mod sealed;
mod status;
mod value_generation;

#[cfg(test)]
mod spec_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::controller::Action;
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_rules::managed_secret::plan::{self, SecretPlan, SecretStep, VersionReason};
use strongroom_rules::managed_secret::verdict::SecretVerdict;
use strongroom_store::audit::Requester;

pub(crate) use self::failure::Failure;
pub(crate) use self::namespace::namespace_facts;
use self::observe::ObservedSecret;
use crate::controllers::Ctx;
use crate::controllers::cached_object::{CachedObject, Extent};
use crate::controllers::declarations::{self, Authorship};
use crate::controllers::identity::Identity;
use crate::controllers::left_out;

/// More steps than any walk has: creating, labelling, adopting, replacing and rotating in one go are fewer.
const MAX_STEPS: usize = 16;
/// So many failures in a row that time heals are not spoken of.
const MAX_QUIET_FAILURES: u32 = 2;

/// Within this time `resync` has looked at every object.
const FULL_RESYNC_TIME: jiff::SignedDuration =
    jiff::SignedDuration::from_secs(2 * crate::controllers::resync::PERIOD.as_secs().cast_signed());

/// How closely to look at the native Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NativeCheck {
    /// Only where a decision needs it.
    Light,
    /// In any case: a create found the name taken.
    Thorough,
}

/// Brings one object to what it asks for, and says how it went.
pub(crate) async fn reconcile(
    kept: Arc<CachedObject<ManagedSecret>>,
    ctx: Arc<Ctx>,
) -> Result<Action, Failure> {
    reconcile_at(&kept, &ctx, Timestamp::now()).await
}

/// [`reconcile`] at a given time.
pub(crate) async fn reconcile_at(
    kept: &CachedObject<ManagedSecret>,
    ctx: &Ctx,
    now: Timestamp,
) -> Result<Action, Failure> {
    let read = match kept.extent() {
        Extent::Whole => return reconcile_whole(kept, ctx, now).await,
        Extent::Outline => left_out::read_again(ctx, kept).await,
        Extent::Nothing(why) => left_out::look(ctx, &ctx.left_out.managed_secrets, kept, why).await,
    };
    let read = read.inspect_err(|error| {
        let class = crate::controllers::retry::class_of(error);
        ctx.metrics.reconciled("ManagedSecret", Some(class));
    })?;
    match (read, kept.extent()) {
        // It is gone, or its condition says so already.
        (None, _) => Ok(Action::await_change()),
        (Some(read), Extent::Nothing(why)) => {
            status::left_out(ctx, &read.object, why, now).await?;
            ctx.left_out.managed_secrets.mark_reported(kept, why);
            Ok(Action::await_change())
        }
        (Some(read), Extent::Outline | Extent::Whole) => reconcile_whole(&read.object, ctx, now).await,
    }
}

/// [`reconcile`] of an object that is whole.
async fn reconcile_whole(
    kept: &CachedObject<ManagedSecret>,
    ctx: &Ctx,
    now: Timestamp,
) -> Result<Action, Failure> {
    let identity = Identity::from_object(kept);
    let authorship = declarations::take(ctx, "ManagedSecret", kept).await;
    let object = match kept.parse() {
        Ok(object) => object,
        Err(error) => {
            status::unreadable(ctx, kept, &identity, &error, now).await?;
            authorship?;
            return Ok(Action::await_change());
        }
    };
    let outcome = match authorship {
        Ok(authorship) => {
            let walked = walk(ctx, &object, &identity, &authorship, now).await;
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

/// Takes steps until none is left.
async fn walk(
    ctx: &Ctx,
    object: &ManagedSecret,
    identity: &Identity,
    authorship: &Authorship,
    now: Timestamp,
) -> Result<(ObservedSecret, SecretPlan), Failure> {
    let mut look = NativeCheck::Light;
    for _ in 0..MAX_STEPS {
        let observed = observe::observe(ctx, object, identity, look, now).await?;
        let plan = plan::plan(&observed.facts, now);
        if plan.step == SecretStep::Nothing {
            return Ok((observed, plan));
        }
        tracing::debug!(namespace = identity.namespace, name = identity.name, step = ?plan.step, "reconcile step");
        let requester = requester(ctx, &observed, authorship, &plan.step).await?;
        let applied = apply::apply(ctx, &observed, &plan.step, now);
        if crate::store_handle::on_behalf_of(requester, applied).await? == NativeCheck::Thorough {
            look = NativeCheck::Thorough;
        }
        if let SecretStep::EnsureVersion(_) = plan.step {
            ctx.metrics.versions.inc();
        }
    }
    Err(Failure::NoEnd)
}

/// Who asked for a step.
async fn requester(
    ctx: &Ctx,
    observed: &ObservedSecret,
    authorship: &Authorship,
    step: &SecretStep,
) -> Result<Option<Requester>, Failure> {
    Ok(match step {
        // It happens by itself.
        SecretStep::EnsureVersion(VersionReason::Due { .. } | VersionReason::Certificate(_))
        | SecretStep::Nothing => None,
        // By an annotation of the Namespace.
        SecretStep::AcceptNamespace => {
            ctx.store
                .requester_of(observed.facts.namespace.uid.as_str())
                .await?
        }
        SecretStep::EnsureVersion(
            VersionReason::SpecChanged | VersionReason::Imported | VersionReason::Asked(_),
        )
        | SecretStep::BindNamespace
        | SecretStep::BindObject
        | SecretStep::CreateSecret(_)
        | SecretStep::UpdateMetadata
        | SecretStep::UpdateKey
        | SecretStep::TakeSealed
        | SecretStep::Restore
        | SecretStep::Purge
        | SecretStep::Native(_) => authorship.requester().clone(),
    })
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
