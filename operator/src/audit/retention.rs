//! Keeps the audit log within its limits. Each second it reads how far every sink has durably received
//! records, and hands that to the store, which decides what is cut.
//!
//! A sink that lags keeps records from being cut, and so does a new one that starts at the beginning, up to
//! the bound at which the log rolls. A sink that is no longer configured does not, and neither does a
//! product's own. Must not decide what is cut: the store does.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use strongroom_model::time::Timestamp;
use strongroom_store::audit::ExportProgress;
use strongroom_store::vault::{RetainError, RetentionReport, Store, StoreError};
use tokio::sync::watch;

use super::destination::Destination;
use super::held_hours::GrowthRate;
use super::metrics::RetentionMetrics;
use crate::clock_guard::ClockGuard;
use crate::store_handle::timestamp;

/// How often to look.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How often to see whether the log grows so fast that it must be looked at earlier.
const GROWTH_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How many hours the log holds at the present rate, as the last look at it said; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldHours(Arc<Mutex<Option<f64>>>);

impl HeldHours {
    /// The hours; none where nothing is ever cut, or before the first look.
    pub(crate) fn hours(&self) -> Option<f64> {
        *self.0.lock()
    }

    fn set(&self, hours: Option<f64>) {
        *self.0.lock() = hours;
    }
}

/// Keeps the log of one store.
pub(crate) struct AuditRetention<N> {
    /// Whose log.
    pub(crate) store: Store,
    /// Who takes its records.
    pub(crate) destinations: Vec<Destination>,
    /// The wall clock.
    pub(crate) now: N,
    /// Where it counts.
    pub(crate) metrics: RetentionMetrics,
    /// Where it says how far back the log reaches.
    pub(crate) held: HeldHours,
}

impl<N> fmt::Debug for AuditRetention<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditRetention")
            .field("destinations", &self.destinations)
            .finish_non_exhaustive()
    }
}

impl<N: Fn() -> Timestamp> AuditRetention<N> {
    /// Works until `stop` turns true. To be awaited before the store is closed.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            // An error means that nobody can stop us any more: the process ends.
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&self) {
        let begin = Instant::now();
        let mut clock_guard = ClockGuard::new(timestamp((self.now)()), Duration::ZERO);
        let (mut failed, mut full) = (false, false);
        let (mut rate, mut looked) = (GrowthRate::default(), Instant::now());
        loop {
            let now = (self.now)();
            let steady_for = clock_guard.observe(timestamp(now), begin.elapsed());
            match self.round(now, steady_for).await {
                Ok(retained) => {
                    failed = false;
                    let later = std::mem::replace(&mut looked, Instant::now()).elapsed();
                    let cut = retained.changes_removed > 0 || retained.read_bytes_removed > 0;
                    rate.observe(retained.change_bytes + retained.read_bytes, later, cut);
                    self.held.set(rate.hours(&self.store.audit_limits()));
                    self.metrics.holds(self.held.hours());
                    self.tell(&retained, full);
                    full = retained.full.is_some();
                }
                Err(error) => {
                    if !failed {
                        tracing::warn!(%error, "audit log cleanup failed, trying again");
                    }
                    failed = true;
                }
            }
            self.wait().await;
        }
    }

    /// Until the next look: a second, or less where the log grows by an eighth of the room between what is
    /// kept and where reads stop.
    async fn wait(&self) {
        let limits = self.store.audit_limits();
        let step = limits
            .stop_bytes()
            .zip(limits.kept_bytes())
            .map_or(u64::MAX, |(stop, kept)| stop.saturating_sub(kept) / 8);
        let (until, before) = (
            tokio::time::Instant::now() + CHECK_INTERVAL,
            self.store.audit_bytes(),
        );
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(GROWTH_POLL_INTERVAL).await;
            if self.store.audit_bytes().saturating_sub(before) > step {
                return;
            }
        }
    }

    async fn round(&self, now: Timestamp, steady_for: Duration) -> Result<RetentionReport, RetainError> {
        let (store, destinations) = (self.store.clone(), self.destinations.clone());
        let kept = tokio::task::spawn_blocking(move || {
            // Sums that cannot be written are kept, and what ails the log is said below.
            let _ = store.write_refusal_sums(now);
            let readers = exported(&store, &destinations)?;
            store.retain(&readers, now, steady_for)
        });
        // A thread that panicked, or a runtime that ends: there is nothing to go on with.
        kept.await.map_err(|_| StoreError::Closed)?
    }

    fn tell(&self, retained: &RetentionReport, was_full: bool) {
        self.metrics
            .retained(retained, self.store.audit_limits().stop_bytes());
        if retained.changes_removed > 0 || retained.read_bytes_removed > 0 {
            tracing::info!(
                changes = retained.changes_removed,
                read_bytes = retained.read_bytes_removed,
                "old audit records cut"
            );
        }
        match &retained.full {
            Some(why) if !was_full => tracing::error!(%why, "audit log full, reads refused"),
            None if was_full => tracing::info!("audit log below its bound, reads answered again"),
            _ => {}
        }
    }
}

/// How far each reader has come, as the store knows it for good. Sinks of products hold back nothing.
fn exported(store: &Store, destinations: &[Destination]) -> Result<Vec<ExportProgress>, StoreError> {
    let mut readers = Vec::with_capacity(destinations.len());
    let held_for = |destination: &&Destination| destination.product().is_none();
    for destination in destinations.iter().filter(held_for) {
        let saved = store.cursor(destination.cursor())?.unwrap_or_default();
        let place = destination.scope().position(&saved);
        readers.push(ExportProgress {
            reader: format!("the sink `{destination}`"),
            changes: place.changes,
            reads: place.reads,
        });
    }
    Ok(readers)
}

#[cfg(test)]
mod tests;
