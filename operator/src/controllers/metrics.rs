//! Numbers about the controllers, for Prometheus.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use strongroom_rules::retry::ErrorClass;

/// Counters and gauges of all controllers.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    reconciles: Family<Kind, Counter>,
    errors: Family<KindAndClass, Counter>,
    /// Versions made because of a spec, an import or a rotation.
    pub(crate) versions: Counter,
    /// Statuses written.
    pub(crate) status_writes: Counter,
    /// Deletions that wait for a person to confirm them.
    pub(crate) deletions_waiting: Gauge,
    /// Secrets whose recovery window was opened because their object was gone.
    pub(crate) deletions: Counter,
    /// Watches that broke off with an error.
    pub(crate) watch_errors: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindAndClass {
    kind: &'static str,
    class: &'static str,
}

impl Metrics {
    /// The metrics, known to `registry`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "reconciles",
            "Attempts to reconcile an object",
            metrics.reconciles.clone(),
        );
        registry.register(
            "reconcile_errors",
            "Attempts that failed, by class of error",
            metrics.errors.clone(),
        );
        registry.register(
            "versions",
            "Versions made by the controllers",
            metrics.versions.clone(),
        );
        registry.register("status_writes", "Statuses written", metrics.status_writes.clone());
        registry.register(
            "deletions_waiting",
            "Deletions that wait for confirmation in the ConfigMap strongroom-deletions",
            metrics.deletions_waiting.clone(),
        );
        registry.register(
            "deletions",
            "Recovery windows opened because an object was gone",
            metrics.deletions.clone(),
        );
        registry.register(
            "watch_errors",
            "Watches that broke off",
            metrics.watch_errors.clone(),
        );
        metrics
    }

    /// Counts an attempt and its error.
    pub(crate) fn reconciled(&self, kind: &'static str, error: Option<ErrorClass>) {
        self.reconciles.get_or_create(&Kind { kind }).inc();
        if let Some(class) = error {
            self.errors
                .get_or_create(&KindAndClass {
                    kind,
                    class: class.name(),
                })
                .inc();
        }
    }
}
