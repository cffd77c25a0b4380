//! `EncryptionKey`: observe, plan, apply, again until nothing is left to do, and then report.
//!
//! What is decided is decided in `strongroom_rules::encryption_key`. That an object is gone is the business
//! of `deletion`, and that the data keys follow their key is the business of `rewrap`.

mod apply;
mod observe;
mod queue;
mod status;
pub(super) mod watch;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::controller::Action;
use strongroom_crds::v1alpha1::EncryptionKey;
use strongroom_rules::encryption_key::{KeyPlan, KeyStep, KeyVerdict, plan};

use self::observe::ObservedKey;
pub(crate) use self::queue::KeyQueue;
use crate::controllers::Ctx;
use crate::controllers::cached_object::{CachedObject, Extent};
use crate::controllers::declarations::{self, Authorship};
use crate::controllers::identity::Identity;
use crate::controllers::left_out;
use crate::controllers::managed_secret::Failure;

/// More steps than any walk has.
const MAX_STEPS: usize = 8;

/// Brings one object to what it asks for, and says how it went.
pub(crate) async fn reconcile(
    kept: Arc<CachedObject<EncryptionKey>>,
    ctx: Arc<Ctx>,
) -> Result<Action, Failure> {
    reconcile_at(&kept, &ctx, Timestamp::now()).await
}

/// [`reconcile`] at a given time.
pub(crate) async fn reconcile_at(
    kept: &CachedObject<EncryptionKey>,
    ctx: &Ctx,
    now: Timestamp,
) -> Result<Action, Failure> {
    if let Extent::Nothing(why) = kept.extent() {
        if let Some(read) = left_out::look(ctx, &ctx.left_out.keys, kept, why).await? {
            status::left_out(ctx, &read.object, why, now).await?;
            ctx.left_out.keys.mark_reported(kept, why);
        }
        return Ok(Action::await_change());
    }
    let identity = Identity::from_object(kept);
    let authorship = declarations::take(ctx, "EncryptionKey", kept).await?;
    let object = match kept.parse() {
        Ok(object) => object,
        Err(misfit) => {
            status::unreadable(ctx, kept, &identity, &misfit, now).await?;
            return Ok(Action::await_change());
        }
    };
    let outcome = walk(ctx, &object, &identity, &authorship, now).await;
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
        Action::requeue(left.unsigned_abs() + std::time::Duration::from_millis(50))
    }))
}

/// Takes steps until none is left.
async fn walk(
    ctx: &Ctx,
    object: &EncryptionKey,
    identity: &Identity,
    authorship: &Authorship,
    now: Timestamp,
) -> Result<(ObservedKey, KeyPlan), Failure> {
    for _ in 0..MAX_STEPS {
        let observed = observe::observe(ctx, object, identity).await?;
        let plan = plan(&observed.facts, now);
        if plan.step == KeyStep::Nothing {
            return Ok((observed, plan));
        }
        tracing::debug!(namespace = identity.namespace, name = identity.name, step = ?plan.step, "reconcile step");
        let requester = match plan.step {
            // It is due.
            KeyStep::Rotate | KeyStep::Nothing => None,
            // By an annotation of the Namespace.
            KeyStep::AcceptNamespace => {
                ctx.store
                    .requester_of(observed.facts.namespace.uid.as_str())
                    .await?
            }
            KeyStep::BindNamespace
            | KeyStep::Create
            | KeyStep::Declare
            | KeyStep::CancelDeletion
            | KeyStep::Enable
            | KeyStep::Disable => authorship.requester().clone(),
        };
        let applied = apply::apply(ctx, &observed, identity, plan.step);
        crate::store_handle::on_behalf_of(requester, applied).await?;
    }
    Err(Failure::NoEnd)
}
