//! Data keys follow their key: after a secret came under another key, and after a key got a new version,
//! their data keys are wrapped anew, in the background and in small groups. Values are not touched. An
//! interrupted run starts again and skips what is done.

use std::sync::Arc;
use std::time::Duration;

use strongroom_store::vault::KeyView;

use super::Ctx;
use super::failure::Failure;
use crate::store_handle::{StoreFailure, StoreHandle};

/// Data keys in a group: so long the writer is held up.
const KEYS_PER_GROUP: usize = 64;
/// Groups after which the statuses of the keys follow.
const GROUPS_PER_REPORT: usize = 16;
/// How often to look without cause.
const IDLE_INTERVAL: Duration = Duration::from_secs(3_600);
/// How long to wait after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(10);

/// Wraps anew until it is dropped.
pub(super) async fn run(ctx: Arc<Ctx>) {
    loop {
        let pause = match pass(&ctx).await {
            Ok(()) => IDLE_INTERVAL,
            Err(failure) => {
                tracing::warn!(error = %failure, "data key rewrap failed");
                RETRY_DELAY
            }
        };
        // A timeout is as good a reason to look as any.
        let _ = tokio::time::timeout(pause, ctx.keys.rewrap_wanted()).await;
    }
}

/// Wraps everything anew that has to be, and destroys old versions of keys that wrap nothing any more.
pub(super) async fn pass(ctx: &Ctx) -> Result<(), Failure> {
    let keys = ctx.store.owned_keys().await?;
    if keys.is_empty() {
        return Ok(());
    }
    let (mut moved, mut refused, mut after) = (0, 0, None);
    for group in 1_usize.. {
        let progress = ctx.store.rewrap(after, KEYS_PER_GROUP).await?;
        moved += progress.moved;
        refused += progress.refused;
        ctx.metrics.rewrapped.inc_by(progress.moved);
        after = progress.next;
        if after.is_none() {
            break;
        }
        if moved > 0 && group % GROUPS_PER_REPORT == 0 {
            report(ctx);
        }
    }
    ctx.metrics
        .rewrap_refused
        .set(i64::try_from(refused).unwrap_or(i64::MAX));
    for owned in keys {
        for version in owned.key.versions.iter().filter(|of| **of != owned.key.primary) {
            retire(&ctx.store, &owned.key, *version).await?;
        }
    }
    if moved > 0 {
        tracing::info!(moved, refused, "data keys rewrapped");
        report(ctx);
    }
    Ok(())
}

async fn retire(store: &StoreHandle, key: &KeyView, version: u32) -> Result<(), StoreFailure> {
    match store.retire_key_version(key.namespace, key.id, version).await {
        Ok(true) => {
            tracing::info!(key = %key.name, version, "key version destroyed");
            Ok(())
        }
        Ok(false) => Ok(()),
        // Somebody scheduled its destruction in between.
        Err(StoreFailure::KeyDisabled(_)) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Has the status of every key written anew.
fn report(ctx: &Ctx) {
    for (namespace, name) in ctx.keys.all_objects() {
        ctx.keys.used(&namespace, Some(&name));
    }
}
