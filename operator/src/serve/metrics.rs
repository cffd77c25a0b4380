//! Numbers about the process and its store, for Prometheus, and all that the control plane counts.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use strongroom_process::{MetricRegistry, WorkPool};
use strongroom_store::vault::{NamespaceUsage, StoreStats};

use crate::{audit, backup, controllers, gateway};

/// All that the control plane counts.
pub(super) struct ControlPlaneMetrics {
    pub(super) controllers: Arc<controllers::metrics::Metrics>,
    pub(super) audit: audit::AuditMetrics,
    pub(super) backup: backup::BackupMetrics,
    pub(super) process: ProcessMetrics,
    pub(super) gateway: gateway::GatewayMetrics,
    /// Threads for long work, which counts too.
    pub(super) work: WorkPool,
}

impl ControlPlaneMetrics {
    /// The metrics, and the registry that has them and no other.
    pub(super) fn register() -> (Self, MetricRegistry) {
        let mut registry = MetricRegistry::with_prefix("strongroom");
        let metrics = Self {
            controllers: Arc::new(controllers::metrics::Metrics::register(&mut registry)),
            audit: audit::AuditMetrics::register(&mut registry),
            backup: backup::BackupMetrics::register(&mut registry),
            process: ProcessMetrics::register(&mut registry),
            gateway: gateway::GatewayMetrics::register(&mut registry),
            work: WorkPool::by_processors(&mut registry),
        };
        (metrics, registry)
    }
}

strongroom_process::metrics! {
    /// Gauges of the process; cheap to clone.
    #[derive(Clone)]
    pub(super) struct ProcessMetrics {
        /// 1 while this process holds the lease.
        lease_held: Gauge = "lease_held",
        /// Bytes of the store file.
        bytes: Gauge = "store_bytes",
        /// Secrets, those in a recovery window included.
        secrets: Gauge = "store_secrets",
        /// Commits since the process started.
        commits: Gauge = "store_commits",
        /// Commands in the commits since the process started.
        commands: Gauge = "store_commands",
        /// Commands in the last commit.
        group: Gauge = "store_last_group",
        /// Commands that wait for the writer.
        queued: Gauge = "store_queued",
        /// Commits that the anchor knows.
        anchored: Gauge = "anchor_commits",
        /// When the store last answered a check of its records, seconds since the epoch.
        verified: Gauge<f64, AtomicU64> = "last_verified_timestamp_seconds",
        /// New secrets and larger values that were refused because their namespace is full.
        full: Counter = "namespace_full",
        /// Refusals that the counter has.
        refusals: Arc<AtomicU64>,
        /// What a namespace has of the store, those in recovery windows included, by `of` (`secrets`,
        /// `bytes`): of the 20 fullest that have at least half of what they may have.
        used: Family<NamespaceUsageLabels, Gauge> = "namespace_used",
        /// What the namespaces of `strongroom_namespace_used` may have, by `of`.
        limit: Family<NamespaceUsageLabels, Gauge> = "namespace_limit",
        /// Which those are: few, whatever there is in the cluster.
        shown: Arc<Mutex<HashSet<NamespaceUsageLabels>>>,
    }
}

strongroom_process::labels! {
    struct NamespaceUsageLabels {
        /// Not `namespace`, which is the scraped process's own.
        secret_namespace: String,
        /// `secrets` or `bytes`.
        of: &'static str,
    }
}

impl ProcessMetrics {
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
                self.used.get_or_create(&labels).set(number(used));
                self.limit.get_or_create(&labels).set(number(limit));
                shown.insert(labels);
            }
        }
        let mut before = self.shown.lock();
        for gone in before.difference(&shown) {
            self.used.remove(gone);
            self.limit.remove(gone);
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
        let told = self.refusals.swap(stats.namespace_full, Ordering::Relaxed);
        self.full.inc_by(stats.namespace_full.saturating_sub(told));
    }

    pub(super) fn verified(&self, seconds: f64) {
        self.verified.set(seconds);
    }

    /// When the store last answered a check of its records.
    pub(super) fn last_verified(&self) -> Option<Timestamp> {
        let seconds = self.verified.get();
        let since = SignedDuration::try_from_secs_f64(seconds).ok()?;
        (seconds > 0.0).then(|| Timestamp::from_duration(since).ok())?
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use strongroom_process::ProcessUsage;
    use strongroom_store::vault::{Quota, Usage};
    use strongroom_testing::assert_generated;

    use super::*;
    use crate::gateway::extension_api::ExtensionApiMetrics;
    use crate::webhook::WebhookMetrics;

    /// Where the part of the page begins that the node plugin's own test writes.
    const NODE_PLUGIN: &str = "\n## Node plugin\n";

    #[test]
    fn the_reference_lists_every_metric() {
        let (_, control_plane) = ControlPlaneMetrics::register();
        let mut extension_api = MetricRegistry::with_prefix("strongroom");
        ExtensionApiMetrics::register(&mut extension_api);
        let mut webhook = MetricRegistry::with_prefix("strongroom");
        WebhookMetrics::register(&mut webhook);

        let mut names = HashSet::new();
        for registry in [&control_plane, &extension_api, &webhook] {
            for metric in registry.descriptors() {
                assert!(!metric.meaning.is_empty(), "{metric:?}");
                assert!(names.insert(&metric.name), "there are two of {metric:?}");
            }
        }

        let path = "docs/reference/metrics.md";
        let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path);
        let kept = std::fs::read_to_string(file).unwrap_or_default();
        let node_plugin = kept.find(NODE_PLUGIN).map_or("", |at| &kept[at..]);
        let page = format!(
            "# Metrics\n\n\
             Made of what each program registers. Every program serves `/metrics` at its HTTP port, in the text \
             format 0.0.4; no label ever holds a value of a secret or the name of a caller. Labels without a \
             bound of their own in the table have the values that their names say: operations, codes, kinds, \
             sinks; `secret_namespace` has one value for each namespace in trouble, and the certificates of \
             ManagedSecrets have one series each.\n\n\
             ## Every program\n\n{}\n\
             ## Control plane\n\n{}\n\
             ## Extension API\n\n{}\n\
             ## Webhook\n\n{}{node_plugin}",
            ProcessUsage::reference_table(),
            control_plane.reference_table(),
            extension_api.reference_table(),
            webhook.reference_table(),
        );
        assert_generated(path, &page);
    }

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
        let mut registry = MetricRegistry::default();
        let metrics = ProcessMetrics::register(&mut registry);
        let lines = || {
            let text = registry.text().unwrap();
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
        assert_eq!(metrics.last_verified(), None);
        metrics.verified(1.5);
        assert_eq!(metrics.last_verified(), Timestamp::from_millisecond(1_500).ok());
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
