//! Numbers about the process and its store, for Prometheus.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use strongroom_store::vault::StoreStats;

/// Gauges of the process; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    lease_held: Gauge,
    bytes: Gauge,
    secrets: Gauge,
    commits: Gauge,
    commands: Gauge,
    group: Gauge,
    queued: Gauge,
    anchored: Gauge,
    verified: Gauge<f64, AtomicU64>,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let it = Self::default();
        registry.register(
            "lease_held",
            "1 while this process holds the lease",
            it.lease_held.clone(),
        );
        registry.register("store_bytes", "Bytes of the store file", it.bytes.clone());
        registry.register(
            "store_secrets",
            "Secrets, those in a recovery window included",
            it.secrets.clone(),
        );
        registry.register(
            "store_commits",
            "Commits since the process started",
            it.commits.clone(),
        );
        registry.register("store_commands", "Commands in those commits", it.commands.clone());
        registry.register(
            "store_last_group",
            "Commands in the last commit",
            it.group.clone(),
        );
        registry.register(
            "store_queued",
            "Commands that wait for the writer",
            it.queued.clone(),
        );
        registry.register(
            "anchor_commits",
            "Commits that the anchor knows",
            it.anchored.clone(),
        );
        registry.register(
            "last_verified_timestamp_seconds",
            "When the store last answered a look at its records, seconds since the epoch",
            it.verified.clone(),
        );
        it
    }

    pub(super) fn lease_held(&self, held: bool) {
        self.lease_held.set(i64::from(held));
    }

    pub(super) fn anchored(&self, counter: u64) {
        self.anchored.set(i64::try_from(counter).unwrap_or(i64::MAX));
    }

    pub(super) fn store(&self, stats: &StoreStats) {
        for (gauge, value) in [
            (&self.bytes, stats.bytes),
            (&self.secrets, stats.secrets),
            (&self.commits, stats.commits),
            (&self.commands, stats.commands),
            (&self.group, stats.last_group),
            (&self.queued, stats.queued),
        ] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn verified(&self, seconds: f64) {
        self.verified.set(seconds);
    }
}
