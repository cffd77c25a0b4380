//! Has the store keep the statements in force of each policy, so that the next process knows them. Nothing is
//! written if nothing changed.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use strongroom_store::vault::EnforcedPolicies;

use crate::controllers::Ctx;
use crate::controllers::declarations;
use crate::store_handle::{StoreFailure, on_behalf_of};

/// Policies forgotten at once: as many go into one commit.
const MAX_PARALLEL_FORGETS: usize = 64;
/// How long to wait after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(10);

/// Reads what is kept. Must come before the first list of the policies.
pub(in crate::controllers) async fn find(ctx: &Ctx) {
    let found = ctx.store.kept_policies().await.unwrap_or_else(|error| {
        tracing::error!(%error, "retained policies read failed");
        EnforcedPolicies {
            policies: Vec::new(),
            unreadable: 1,
        }
    });
    if found.unreadable > 0 {
        tracing::error!(
            "retained policies incomplete, a policy that does not compile denies everything it covers"
        );
    }
    ctx.policies.load_retained(found);
}

/// Has the store keep what of the policy is in force.
pub(super) async fn keep(ctx: &Ctx, uid: &str) -> Result<(), StoreFailure> {
    while let Some(policy) = ctx.policies.to_keep(uid) {
        ctx.store.keep_policy(policy.clone()).await?;
        ctx.policies.mark_kept(&policy);
    }
    Ok(())
}

/// Has the store forget policies that are gone, until it is dropped.
pub(in crate::controllers) async fn run(ctx: Arc<Ctx>) {
    loop {
        match forget(&ctx).await {
            Ok(()) => ctx.policies.stale().await,
            Err(error) => {
                tracing::warn!(%error, "policy cleanup failed");
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// Has the store forget all policies that are gone.
pub(super) async fn forget(ctx: &Ctx) -> Result<(), StoreFailure> {
    let forgetting = ctx.policies.to_forget().into_iter().map(|uid| async move {
        let forgotten = ctx.store.forget_policy(&uid);
        let requester = declarations::deleted_by(ctx, &uid).await?;
        on_behalf_of(requester, forgotten).await?;
        ctx.policies.forgotten(&uid);
        Ok(())
    });
    let mut forgetting = futures::stream::iter(forgetting).buffer_unordered(MAX_PARALLEL_FORGETS);
    let mut outcome = Ok(());
    while let Some(forgotten) = forgetting.next().await {
        outcome = outcome.and(forgotten);
    }
    outcome
}
