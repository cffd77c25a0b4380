//! One attempt for one `RotationSchedule`: its status, and when to look again.

use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use strongroom_crds::v1alpha1::RotationSchedule;
use strongroom_rules::policy::Identity;
use strongroom_rules::rotation::claim;
use strongroom_store::audit::Requester;

use super::status;
use crate::controllers::Ctx;
use crate::controllers::cached_object::{CachedObject, Extent};
use crate::controllers::declarations;
use crate::controllers::failure::Failure;
use crate::controllers::left_out;
use crate::controllers::runtime::{Pace, Reconciler};

/// How long a status may be behind when nothing is due.
const RECHECK_INTERVAL: Duration = Duration::from_secs(3600);

impl Reconciler for RotationSchedule {
    const KIND: &'static str = "RotationSchedule";
    const PACE: Pace = Pace::Gathering;
    const BREAKS_OFF: bool = false;

    async fn reconcile(kept: &CachedObject<Self>, ctx: &Ctx, now: Timestamp) -> Result<Action, Failure> {
        if kept.meta().deletion_timestamp.is_some() {
            return Ok(Action::await_change());
        }
        // Nothing is done in the store because of it, so this is the only audit record of who wrote it.
        let authorship = declarations::take(ctx, "RotationSchedule", kept).await?;
        ctx.declarations.settle(&authorship);
        note_author(ctx, kept).await?;
        if let Extent::Nothing(why) = kept.extent() {
            if let Some(read) = left_out::reread(ctx, &ctx.left_out.schedules, kept, why).await? {
                status::left_out(ctx, &read.object, why, now).await?;
                ctx.left_out.schedules.mark_reported(kept, why);
            }
            ctx.metrics
                .rotates(&kept.namespace().unwrap_or_default(), &kept.name_any(), None);
            return Ok(Action::await_change());
        }
        let outcome = status::refresh(ctx, kept, now).await;
        ctx.metrics
            .reconciled("RotationSchedule", outcome.as_ref().err().map(Failure::class));
        let next = outcome?;
        ctx.metrics
            .rotates(&kept.namespace().unwrap_or_default(), &kept.name_any(), next);
        ctx.backoff.forget(&kept.uid().unwrap_or_default());
        let wait = next.map_or(RECHECK_INTERVAL, |next| {
            // A rotation that is due happens at its secret; the status follows shortly after.
            let until = next
                .duration_since(now)
                .max(jiff::SignedDuration::ZERO)
                .unsigned_abs();
            RECHECK_INTERVAL.min(until + Duration::from_secs(2))
        });
        Ok(Action::requeue(wait))
    }
}

/// Takes in who wrote the schedule, where there are default secrets, and has those looked at that it claims.
async fn note_author(ctx: &Ctx, kept: &CachedObject<RotationSchedule>) -> Result<(), Failure> {
    let namespace = kept.namespace().unwrap_or_default();
    let theirs = ctx.product_index.secrets_in(&namespace);
    if theirs.is_empty() {
        return Ok(());
    }
    // What cannot be read rotates nothing.
    let Ok(schedule) = kept.parse() else {
        return Ok(());
    };
    let requester = ctx.store.requester_of(&kept.uid().unwrap_or_default()).await?;
    let author = match requester {
        Some(Requester::Attested(author)) => Some(Identity::from_username(&author.user)),
        Some(Requester::Unattested) | None => None,
    };
    if !ctx.coverage.note_author(&namespace, &schedule, author) {
        return Ok(());
    }
    for name in theirs {
        let cached = ctx.managed_secrets.get(&ObjectRef::new(&name).within(&namespace));
        if cached.is_some_and(|cached| claim(&schedule, &name, cached.labels()).is_some()) {
            ctx.declared.notify_changed(&namespace, &name);
        }
    }
    Ok(())
}
