//! Numbers about the process and its store, for Prometheus.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use strongroom_store::vault::{NamespaceUsage, StoreStats};

/// Gauges of the process; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct ProcessMetrics {
    lease_held: Gauge,
    bytes: Gauge,
    secrets: Gauge,
    commits: Gauge,
    commands: Gauge,
    group: Gauge,
    queued: Gauge,
    anchored: Gauge,
    verified: Gauge<f64, AtomicU64>,
    full: Counter,
    room: Arc<NamespaceUsageMetrics>,
}

/// Of namespaces that have much of what they may have: few, whatever there is in the cluster.
#[derive(Debug, Default)]
struct NamespaceUsageMetrics {
    used: Family<NamespaceUsageLabels, Gauge>,
    limit: Family<NamespaceUsageLabels, Gauge>,
    shown: Mutex<HashSet<NamespaceUsageLabels>>,
    /// Refusals that the counter has.
    refusals: AtomicU64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NamespaceUsageLabels {
    /// Not `namespace`, which is the scraped process's own.
    secret_namespace: String,
    /// `secrets` or `bytes`.
    of: &'static str,
}

impl ProcessMetrics {
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
        registry.register(
            "namespace_full",
            "Changes that were refused because their namespace is full",
            it.full.clone(),
        );
        registry.register(
            "namespace_used",
            "What a namespace has of the store, secrets or bytes, those in recovery windows included: of the 20 fullest that have at least half of what they may have",
            it.room.used.clone(),
        );
        registry.register(
            "namespace_limit",
            "What those namespaces may have",
            it.room.limit.clone(),
        );
        it
    }

    /// These namespaces have much, and no other.
    pub(super) fn fullest(&self, rooms: &[NamespaceUsage]) {
        let mut shown = HashSet::new();
        for NamespaceUsage { name, used, limit } in rooms {
            let Some(limit) = limit else { continue };
            let numbers = [
                ("secrets", used.secrets, limit.secrets),
                ("bytes", used.bytes, limit.bytes),
            ];
            for (of, used, limit) in numbers {
                let labels = NamespaceUsageLabels {
                    secret_namespace: name.to_string(),
                    of,
                };
                let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
                self.room.used.get_or_create(&labels).set(number(used));
                self.room.limit.get_or_create(&labels).set(number(limit));
                shown.insert(labels);
            }
        }
        let mut before = self.room.shown.lock();
        for gone in before.difference(&shown) {
            self.room.used.remove(gone);
            self.room.limit.remove(gone);
        }
        *before = shown;
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
        let told = self.room.refusals.swap(stats.namespace_full, Ordering::Relaxed);
        self.full.inc_by(stats.namespace_full.saturating_sub(told));
    }

    pub(super) fn verified(&self, seconds: f64) {
        self.verified.set(seconds);
    }
}

#[cfg(test)]
mod tests {
    use strongroom_store::vault::{Quota, Usage};

    use super::*;

    fn room(name: &str, secrets: u64) -> NamespaceUsage {
        let limit = Quota {
            secrets: 100,
            bytes: 1_000,
        };
        NamespaceUsage {
            name: name.parse().unwrap(),
            used: Usage { secrets, bytes: 10 },
            limit: Some(limit),
        }
    }

    #[test]
    fn a_namespace_has_series_while_it_has_much() {
        let mut registry = Registry::default();
        let metrics = ProcessMetrics::register(&mut registry);
        let lines = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            let lines = text.lines().filter(|line| line.starts_with("namespace_"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        metrics.fullest(&[room("shop", 90), room("pay", 60)]);
        let told = lines();
        let used = r#"namespace_used{secret_namespace="shop",of="secrets"} 90"#;
        let limit = r#"namespace_limit{secret_namespace="pay",of="bytes"} 1000"#;
        assert!(
            told.iter().any(|line| line == used) && told.iter().any(|line| line == limit),
            "{told:?}"
        );
        metrics.fullest(&[room("pay", 61)]);
        let told = lines();
        assert!(!told.iter().any(|line| line.contains("shop")), "{told:?}");
        assert_eq!(told.iter().filter(|line| line.contains("pay")).count(), 4);

        let stats = |namespace_full| StoreStats {
            namespace_full,
            ..StoreStats::default()
        };
        for refused in [2, 2, 5] {
            metrics.store(&stats(refused));
        }
        assert!(
            lines().iter().any(|line| line == "namespace_full_total 5"),
            "{:?}",
            lines()
        );
    }
}
