//! Numbers about the Events, for Prometheus.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use strongroom_store::vault::RetentionReport;

/// Counters and gauges of the sink.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuditMetrics {
    delivered: Family<ReasonLabel, Counter>,
    skipped: Family<CauseLabel, Counter>,
    retries: Counter,
    lag_records: Gauge,
    lag_seconds: Gauge,
    sinks: SinkFamilies,
    log: RetentionMetrics,
}

/// What is counted of the log's size.
#[derive(Clone, Debug, Default)]
pub(crate) struct RetentionMetrics {
    bytes: Family<ChainLabel, Gauge>,
    bound: Gauge,
    held: Gauge<f64, AtomicU64>,
    full: Gauge,
    changes_cut: Counter,
    read_bytes_cut: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChainLabel {
    chain: &'static str,
}

impl RetentionMetrics {
    /// How many hours the log holds; none where nothing is ever cut.
    pub(super) fn holds(&self, hours: Option<f64>) {
        self.held.set(hours.unwrap_or(f64::INFINITY));
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

/// What is counted of each sink.
#[derive(Clone, Debug, Default)]
struct SinkFamilies {
    delivered: Family<SinkLabel, Counter>,
    failures: Family<SinkLabel, Counter>,
    answers: Family<SinkAnswerLabel, Counter>,
    lost: Family<SinkLabel, Counter>,
    lag_seconds: Family<SinkLabel, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabel {
    sink: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkAnswerLabel {
    sink: String,
    kind: &'static str,
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
        let label = SinkAnswerLabel { sink, kind };
        self.sinks.answers.get_or_create(&label).inc();
    }

    pub(super) fn lost(&self, records: u64) {
        self.sinks.lost.get_or_create(&self.label).inc_by(records);
    }

    pub(super) fn lag(&self, seconds: u64) {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.sinks.lag_seconds.get_or_create(&self.label).set(seconds);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

impl AuditMetrics {
    /// The metrics, known to `registry`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "audit_events",
            "Events that the API server has, by reason",
            metrics.delivered.clone(),
        );
        registry.register(
            "audit_events_skipped",
            "Events given up, by cause",
            metrics.skipped.clone(),
        );
        registry.register(
            "audit_event_retries",
            "Rounds of Events that have to be sent again",
            metrics.retries.clone(),
        );
        registry.register(
            "audit_lag_records",
            "Records of the mutation chain that are not yet told as Events",
            metrics.lag_records.clone(),
        );
        registry.register(
            "audit_lag_seconds",
            "Age of the oldest record of the mutation chain that is not yet told as an Event",
            metrics.lag_seconds.clone(),
        );
        registry.register(
            "audit_sink_records",
            "Audit records that a sink has taken",
            metrics.sinks.delivered.clone(),
        );
        registry.register(
            "audit_sink_failures",
            "Attempts in which a sink took no audit records",
            metrics.sinks.failures.clone(),
        );
        registry.register(
            "audit_sink_failed_answers",
            "Answers of a sink's receiver that say that it has not taken audit records, by kind",
            metrics.sinks.answers.clone(),
        );
        registry.register(
            "audit_sink_lag_seconds",
            "Age of the oldest audit record that a sink has not taken",
            metrics.sinks.lag_seconds.clone(),
        );
        registry.register(
            "audit_bytes",
            "Bytes of the audit log by chain, without the room that is laid out ahead",
            metrics.log.bytes.clone(),
        );
        registry.register(
            "audit_bound_bytes",
            "Bytes of the audit log at which reads stop; 0: without bound",
            metrics.log.bound.clone(),
        );
        registry.register(
            "audit_held_hours",
            "Hours that the audit log reaches back at the present rate, once it is as large as it may be; +Inf: nothing is ever cut",
            metrics.log.held.clone(),
        );
        registry.register(
            "audit_sink_records_lost",
            "Audit records that were cut before a sink had taken them: the log rolled over them",
            metrics.sinks.lost.clone(),
        );
        registry.register(
            "audit_full",
            "1 while reads are refused because the audit log has reached its bound",
            metrics.log.full.clone(),
        );
        registry.register(
            "audit_changes_cut",
            "Records of changes that were cut off the old end of the audit log",
            metrics.log.changes_cut.clone(),
        );
        registry.register(
            "audit_read_bytes_cut",
            "Bytes of records of reads that were cut off the old end of the audit log",
            metrics.log.read_bytes_cut.clone(),
        );
        metrics
    }

    /// The numbers of the log's size.
    pub(crate) fn log(&self) -> RetentionMetrics {
        self.log.clone()
    }

    /// The numbers of one sink.
    pub(crate) fn sink(&self, name: &str) -> SinkMetrics {
        SinkMetrics {
            sinks: self.sinks.clone(),
            label: SinkLabel {
                sink: name.to_owned(),
            },
        }
    }

    pub(super) fn delivered(&self, reason: &'static str) {
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
