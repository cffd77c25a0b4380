//! The search for deleted objects. It starts when the watches say that an object may be gone, and is repeated
//! only while a deletion waits.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use strongroom_rules::deletion::{self, CrdState, DeletionPlan, GRACE_PERIOD, NamespaceState};

use super::confirmation::{self, publish, recall};
use super::kind::{OwnedResource, OwnerKind};
use super::memory::DeletionMemory;
use super::{apply, observe};
use crate::controllers::Ctx;
use crate::controllers::declarations;
use crate::controllers::failure::Failure;

/// How often to look without cause.
const IDLE_INTERVAL: Duration = Duration::from_secs(3600);
/// How often to look whether a person confirmed.
const CONFIRM_POLL: Duration = Duration::from_secs(5);
/// How long to wait for more of the same before a look: it goes through the whole store.
const GATHER_DELAY: Duration = Duration::from_secs(1);
/// How long to wait after a failed look.
const RETRY_DELAY: Duration = Duration::from_secs(10);

/// How long to wait before a deletion that failed is tried again.
const DELETION_RETRY_DELAY: SignedDuration = SignedDuration::from_secs(10);
/// How often to look at what is not judged yet, such as the secrets of a terminating namespace.
const UNJUDGED_INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// Looks for absences until it is dropped.
pub(crate) async fn run(ctx: Arc<Ctx>, kind: OwnerKind) {
    let mut memory = DeletionMemory::new(kind);
    loop {
        let pause = match pass(&ctx, &mut memory, Timestamp::now()).await {
            Ok(wake) => wake.map_or(IDLE_INTERVAL, |at| until(at, Timestamp::now())),
            Err(failure) => {
                tracing::warn!(error = %failure, "deletion check failed");
                RETRY_DELAY
            }
        };
        if memory.waits() {
            wait_for_confirmation(&ctx, &memory, pause).await;
        } else {
            // A timeout is as good a reason to look as any.
            let _ = tokio::time::timeout(pause, kind.signals(&ctx).wake.notified()).await;
        }
        tokio::time::sleep(GATHER_DELAY).await;
    }
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    at.duration_since(now).max(SignedDuration::ZERO).unsigned_abs()
}

/// Waits until a person confirmed what waits, something else may be gone, or `pause` is over.
async fn wait_for_confirmation(ctx: &Ctx, memory: &DeletionMemory, pause: Duration) {
    let batches = memory.losses.batches();
    let confirmed = async {
        loop {
            tokio::time::sleep(CONFIRM_POLL).await;
            let found = confirmation::read(ctx, memory.kind).await.unwrap_or_default();
            if batches.iter().any(|batch| found.contains(&batch.id)) {
                return;
            }
        }
    };
    tokio::select! {
        () = confirmed => {}
        () = memory.kind.signals(ctx).wake.notified() => {}
        () = tokio::time::sleep(pause) => {}
    }
}

/// One look. Answers when to look again although nothing happens.
pub(crate) async fn pass(
    ctx: &Ctx,
    memory: &mut DeletionMemory,
    now: Timestamp,
) -> Result<Option<Timestamp>, Failure> {
    recall(ctx, memory).await?;
    // Before the look: what is kept from now on may be about something that the look does not see.
    let kept = ctx.declarations.kept_of(memory.kind.name());
    let suspects = memory.kind.candidates(ctx).await?;
    declarations::forget_deleters(ctx, memory.kind.name(), kept, &suspects.awaited).await;
    memory.observe(memory.kind.signals(ctx), &suspects, now);
    for secret in &suspects.keep {
        ctx.store.keep_window(*secret).await?;
    }
    let due = |since: &Timestamp| since.checked_add(GRACE_PERIOD).unwrap_or(Timestamp::MAX);
    if memory.since.values().all(|since| due(since) > now) {
        publish(ctx, memory, &suspects, now).await?;
        return Ok(memory.since.values().map(due).min());
    }
    let facts = observe::facts(ctx, memory, &suspects).await?;
    let DeletionPlan { delete, wake } = deletion::plan(&facts, &mut memory.losses, now);
    publish(ctx, memory, &suspects, now).await?;
    let mut again = wake;
    let mut soon = |after: SignedDuration| {
        let at = now.checked_add(after).unwrap_or(Timestamp::MAX);
        again = Some(again.map_or(at, |again| again.min(at)));
    };
    let goes = |owned: &OwnedResource| delete.contains(&owned.id);
    for missing in facts
        .missing
        .iter()
        .filter(|missing| delete.contains(&missing.secret))
    {
        let Some(owned) = suspects.owned.iter().find(|owned| owned.id == missing.secret) else {
            continue;
        };
        let last = suspects
            .owned
            .iter()
            .all(|other| other.namespace != owned.namespace || goes(other));
        let how = apply::DeletionMode {
            recoverable: missing.recoverable,
            frees_namespace: missing.home == NamespaceState::Gone && last,
        };
        match apply::delete(ctx, owned, how).await {
            Ok(()) => {
                memory.since.remove(&owned.id);
                // What still stands in the ConfigMap is done.
                if memory.waits() {
                    soon(SignedDuration::ZERO);
                }
            }
            Err(failure) => {
                ctx.metrics.reconciled("Absence", Some(failure.class()));
                let (namespace, secret) = (&owned.namespace, &owned.id);
                tracing::warn!(namespace, secret, error = %failure, "deletion failed");
                soon(DELETION_RETRY_DELAY);
            }
        }
    }
    if !memory.since.is_empty() || facts.crd != CrdState::Present {
        soon(UNJUDGED_INTERVAL);
    }
    Ok(again)
}
