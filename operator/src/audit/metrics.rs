//! Numbers about the audit and where it goes, for Prometheus.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use strongroom_api::process_report::SinkReport;
use strongroom_process::MetricRegistry;
use strongroom_store::vault::RetentionReport;

use crate::kube::EventReason;

/// All of them; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuditMetrics {
    events: EventMetrics,
    sinks: SinkFamilies,
    log: RetentionMetrics,
}

strongroom_process::metrics! {
    /// What is counted of the sink of Kubernetes Events alone.
    #[derive(Clone)]
    pub(super) struct EventMetrics {
        /// Events that the API server has, by reason.
        delivered: Family<ReasonLabel, Counter> = "audit_events",
        /// Events given up, by cause.
        skipped: Family<CauseLabel, Counter> = "audit_events_skipped",
        /// Rounds of Events that have to be sent again.
        retries: Counter = "audit_event_retries",
        /// Records of the mutation chain that are not yet sent as Events.
        lag_records: Gauge = "audit_lag_records",
        /// Age of the oldest record of the mutation chain that is not yet sent as an Event.
        lag_seconds: Gauge = "audit_lag_seconds",
    }
}

strongroom_process::metrics! {
    /// What is counted of each sink.
    #[derive(Clone)]
    struct SinkFamilies {
        /// Audit records that a sink has taken.
        delivered: Family<SinkLabel, Counter> = "audit_sink_records",
        /// Attempts in which a sink took no audit records.
        failures: Family<SinkLabel, Counter> = "audit_sink_failures",
        /// Answers by which the receiver of a sink refused audit records, by `kind`: `throttled`, `failing`,
        /// `rejected`, `redirected`, `unknown`.
        answers: Family<SinkAnswerLabels, Counter> = "audit_sink_failed_answers",
        /// Audit records that were cut before a sink had taken them: the log rolled over them. Of a product's
        /// own sink also those that waited for longer than its `maxLag`.
        lost: Family<SinkLabel, Counter> = "audit_sink_records_lost",
        /// Age of the oldest audit record that a sink has not taken.
        lag_seconds: Family<SinkLabel, Gauge> = "audit_sink_lag_seconds",
        /// Which sinks there are.
        names: Arc<Mutex<BTreeSet<String>>>,
    }
}

strongroom_process::metrics! {
    /// What is counted of the log's size.
    #[derive(Clone)]
    pub(crate) struct RetentionMetrics {
        /// Bytes of the audit log by `chain` (`changes`, `reads`), without the room that is laid out ahead.
        bytes: Family<ChainLabel, Gauge> = "audit_bytes",
        /// Bytes of the audit log at which reads stop: the limit, or a sixth more if the log rolls; 0:
        /// without bound.
        bound: Gauge = "audit_bound_bytes",
        /// Seconds that the audit log reaches back at the present rate, that of about the last quarter of an
        /// hour, once it is as large as it may be; +Inf: nothing is ever cut.
        held: Gauge<f64, AtomicU64> = "audit_held_seconds",
        /// 1 while reads are refused because the audit log has reached its bound.
        full: Gauge = "audit_full",
        /// Records of changes that were cut off the old end of the audit log.
        changes_cut: Counter = "audit_changes_cut",
        /// Bytes of records of reads that were cut off the old end of the audit log.
        read_bytes_cut: Counter = "audit_read_bytes_cut",
    }
}

strongroom_process::labels! {
    struct ReasonLabel {
        reason: &'static str,
    }

    struct CauseLabel {
        cause: &'static str,
    }

    struct SinkLabel {
        sink: String,
    }

    struct SinkAnswerLabels {
        sink: String,
        kind: &'static str,
    }

    struct ChainLabel {
        chain: &'static str,
    }
}

impl EventMetrics {
    pub(super) fn delivered(&self, reason: EventReason) {
        let reason = reason.as_str();
        self.delivered.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(super) fn skipped(&self, cause: &'static str) {
        self.skipped.get_or_create(&CauseLabel { cause }).inc();
    }

    pub(super) fn retried(&self) {
        self.retries.inc();
    }

    pub(super) fn lag(&self, records: u64, seconds: u64) {
        self.lag_records.set(i64::try_from(records).unwrap_or(i64::MAX));
        self.lag_seconds.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
}

impl RetentionMetrics {
    /// How many hours the log holds; none where nothing is ever cut.
    pub(super) fn holds(&self, hours: Option<f64>) {
        self.held
            .set(hours.map_or(f64::INFINITY, |hours| hours * 3_600.0));
    }

    pub(super) fn retained(&self, retained: &RetentionReport, bound: Option<u64>) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        for (chain, bytes) in [("changes", retained.change_bytes), ("reads", retained.read_bytes)] {
            self.bytes.get_or_create(&ChainLabel { chain }).set(gauge(bytes));
        }
        self.bound.set(gauge(bound.unwrap_or(0)));
        self.full.set(retained.full.is_some().into());
        self.changes_cut.inc_by(retained.changes_removed);
        self.read_bytes_cut.inc_by(retained.read_bytes_removed);
    }
}

/// The numbers of one sink.
#[derive(Clone, Debug)]
pub(crate) struct SinkMetrics {
    sinks: SinkFamilies,
    label: SinkLabel,
}

impl SinkMetrics {
    pub(super) fn delivered(&self, records: u64) {
        self.sinks.delivered.get_or_create(&self.label).inc_by(records);
    }

    pub(super) fn failed(&self) {
        self.sinks.failures.get_or_create(&self.label).inc();
    }

    /// It answered, and has not taken the records: what kind of answer.
    pub(super) fn answered(&self, kind: &'static str) {
        let sink = self.label.sink.clone();
        let label = SinkAnswerLabels { sink, kind };
        self.sinks.answers.get_or_create(&label).inc();
    }

    pub(super) fn lost(&self, records: u64) {
        self.sinks.lost.get_or_create(&self.label).inc_by(records);
    }

    pub(super) fn lag(&self, seconds: u64) {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.sinks.lag_seconds.get_or_create(&self.label).set(seconds);
    }

    fn report(&self) -> SinkReport {
        let lag = self.sinks.lag_seconds.get_or_create(&self.label).get();
        SinkReport {
            name: self.label.sink.clone(),
            lag_seconds: u64::try_from(lag).unwrap_or_default(),
            failures: self.sinks.failures.get_or_create(&self.label).get(),
            lost_records: self.sinks.lost.get_or_create(&self.label).get(),
        }
    }
}

impl AuditMetrics {
    /// Makes the metrics and adds them to the registry.
    pub(crate) fn register(registry: &mut MetricRegistry) -> Self {
        Self {
            events: EventMetrics::register(registry),
            sinks: SinkFamilies::register(registry),
            log: RetentionMetrics::register(registry),
        }
    }

    /// The numbers of the sink of Kubernetes Events alone.
    pub(super) fn events(&self) -> EventMetrics {
        self.events.clone()
    }

    /// The numbers of the log's size.
    pub(crate) fn log(&self) -> RetentionMetrics {
        self.log.clone()
    }

    /// Whether reads are refused because the log is full.
    pub(crate) fn is_full(&self) -> bool {
        self.log.full.get() != 0
    }

    /// How every sink stands.
    pub(crate) fn sinks(&self) -> Vec<SinkReport> {
        let names = self.sinks.names.lock().clone();
        names.into_iter().map(|name| self.sink(&name).report()).collect()
    }

    /// The numbers of one sink.
    pub(crate) fn sink(&self, name: &str) -> SinkMetrics {
        self.sinks.names.lock().insert(name.to_owned());
        SinkMetrics {
            sinks: self.sinks.clone(),
            label: SinkLabel {
                sink: name.to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sink_is_told_with_its_numbers() {
        let metrics = AuditMetrics::default();
        metrics.sink("b").lag(7);
        let sink = metrics.sink("a");
        sink.failed();
        sink.lost(3);
        let told = metrics.sinks();
        let numbers = told.iter().map(|sink| {
            (
                sink.name.as_str(),
                sink.lag_seconds,
                sink.failures,
                sink.lost_records,
            )
        });
        assert_eq!(numbers.collect::<Vec<_>>(), [("a", 0, 1, 3), ("b", 7, 0, 0)]);
    }
}
