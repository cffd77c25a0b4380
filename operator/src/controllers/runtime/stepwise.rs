//! A kind whose work is steps: each small enough to be done or not done, so that a crash between any two
//! leaves a state from which the same steps follow. Must not decide which step is next.

use std::fmt;

use jiff::Timestamp;
use strongroom_rules::uid::Uid;

use crate::controllers::Ctx;
use crate::controllers::declarations::Authorship;
use crate::controllers::failure::Failure;
use crate::controllers::identity::Identity;
use crate::store_handle::on_behalf_of;

/// One object on its way to what it asks for.
pub(in crate::controllers) trait Stepwise: Send + Sync {
    /// All that was read.
    type Observed: Send + Sync;
    /// What the rules say of that.
    type Plan: Send + Sync;
    /// What is done next.
    type Step: fmt::Debug + Send + Sync;
    /// More steps than any walk has.
    const MAX_STEPS: usize;

    /// Reads everything that the decision needs.
    fn observe(
        &self,
        ctx: &Ctx,
        now: Timestamp,
    ) -> impl Future<Output = Result<Self::Observed, Failure>> + Send;

    /// Decides.
    fn plan(observed: &Self::Observed, now: Timestamp) -> Self::Plan;

    /// The step of a plan; none: nothing is left to do, or a person has to act.
    fn step(plan: &Self::Plan) -> Option<&Self::Step>;

    /// Whose wish a step is.
    fn origin<'a>(observed: &'a Self::Observed, step: &Self::Step) -> StepOrigin<'a>;

    /// Carries a step out.
    fn apply(
        &mut self,
        ctx: &Ctx,
        observed: &Self::Observed,
        step: &Self::Step,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Whose wish a step is.
#[derive(Clone, Copy, Debug)]
pub(in crate::controllers) enum StepOrigin<'a> {
    /// Nobody's: it is due.
    Time,
    /// Of whoever annotated the Namespace with this UID.
    Namespace(&'a Uid),
    /// Of whoever wrote the object.
    Author,
}

/// Takes steps until none is left. Answers with what was read last, and what there is to say of it.
///
/// # Errors
/// What a step fails with, and [`Failure::NoEnd`].
pub(in crate::controllers) async fn walk<W: Stepwise>(
    object: &mut W,
    ctx: &Ctx,
    identity: &Identity,
    authorship: &Authorship,
    now: Timestamp,
) -> Result<(W::Observed, W::Plan), Failure> {
    for _ in 0..W::MAX_STEPS {
        let observed = object.observe(ctx, now).await?;
        let plan = W::plan(&observed, now);
        let Some(step) = W::step(&plan) else {
            return Ok((observed, plan));
        };
        tracing::debug!(
            namespace = identity.namespace,
            name = identity.name,
            ?step,
            "reconcile step"
        );
        let requester = match W::origin(&observed, step) {
            StepOrigin::Time => None,
            StepOrigin::Namespace(uid) => ctx.store.requester_of(uid.as_str()).await?,
            StepOrigin::Author => authorship.requester().clone(),
        };
        let applied = object.apply(ctx, &observed, step, now);
        on_behalf_of(requester, applied).await?;
    }
    Err(Failure::NoEnd)
}
