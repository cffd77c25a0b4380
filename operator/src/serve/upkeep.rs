//! What the store needs every second: a checkpoint of the read chain while there are reads, and its metrics
//! updated.

use std::time::Duration;

use strongroom_model::id::RequestId;
use strongroom_process::Shutdown;
use strongroom_store::audit::Actor;
use strongroom_store::vault::{Meta, RecordCheckpoint, Store};

use super::metrics::ProcessMetrics;

/// From how many percent of its share on a namespace has metrics of its own,
pub(super) const MIN_USED_PERCENT: u64 = 50;
/// and how many have at most.
pub(super) const MAX_SERIES: usize = 20;

/// Works until the shutdown begins.
pub(super) async fn run(store: Store, metrics: ProcessMetrics, shutdown: Shutdown) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.wait() => return,
        }
        let asked = store.clone();
        let looked = tokio::task::spawn_blocking(move || {
            checkpoint(&asked);
            // Opening the chain's last record takes the engine and the keys: it fails where the store no
            // longer reads.
            let last = asked.mutation_head().saturating_sub(1);
            let reads = asked
                .mutations_after(last, 1)
                .is_ok_and(|records| !records.is_empty());
            (asked.stats(), reads, asked.fullest(MIN_USED_PERCENT, MAX_SERIES))
        });
        if let Ok((stats, reads, fullest)) = looked.await {
            metrics.store(&stats);
            match fullest {
                Ok(fullest) => metrics.fullest(&fullest),
                Err(error) => tracing::debug!(%error, "namespace usage read failed"),
            }
            if reads {
                metrics.verified(jiff::Timestamp::now().as_duration().as_secs_f64());
            }
        }
    }
}

fn checkpoint(store: &Store) {
    if !store.checkpoint_due() {
        return;
    }
    let Ok(request) = RequestId::generate() else {
        return;
    };
    let meta = Meta {
        actor: Actor::System,
        request,
        now: super::now(),
        asked: None,
    };
    if let Err(error) = store.run(RecordCheckpoint, meta) {
        // A full disk: reads go on while their reserve lasts, and the next second tries again.
        tracing::debug!(%error, "audit checkpoint failed");
    }
}
