//! The end of recovery windows: secrets that are due are destroyed, but never after the clock jumped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Ctx;
use crate::clock_guard::ClockGuard;
use crate::store_handle::{StoreFailure, StoreHandle};

/// How often to look for windows that have ended.
const PURGE_INTERVAL: Duration = Duration::from_secs(300);

/// Destroys what is due until it is dropped.
pub(super) async fn run(ctx: Arc<Ctx>) {
    let begin = Instant::now();
    let mut clock_guard = ClockGuard::new(Timestamp::now(), Duration::ZERO);
    loop {
        tokio::time::sleep(PURGE_INTERVAL).await;
        let steady_for = clock_guard.observe(Timestamp::now(), begin.elapsed());
        if let Err(error) = purge(&ctx.store, steady_for).await {
            tracing::warn!(%error, "purge failed");
        }
    }
}

/// Destroys all that is due.
async fn purge(store: &StoreHandle, steady_for: Duration) -> Result<(), StoreFailure> {
    loop {
        let (destroyed, more) = store.purge_due(steady_for).await?;
        for secret in destroyed {
            tracing::info!(%secret, cause = "recovery window ended", "secret destroyed");
        }
        if !more {
            return Ok(());
        }
    }
}
