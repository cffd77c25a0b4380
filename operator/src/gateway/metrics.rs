//! What the gateway counts, for Prometheus. No label holds a name of a caller or of a secret, so that nobody
//! makes series by asking.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use strongroom_api::process_report::{CertificateReport, NodesReport, PluginVersionCount};
use strongroom_process::{DurationHistogram, MetricRegistry};

use super::delivery::DeliveryMetrics;
use super::listener_name::ListenerName;
use super::problem::Code;
use super::request::RefusalMetrics;

/// Everything that the gateway counts; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct GatewayMetrics {
    pub(super) requests: RequestMetrics,
    pub(super) refusals: RefusalMetrics,
    pub(super) delivery: DeliveryMetrics,
    pub(super) gauges: GatewayGauges,
}

impl GatewayMetrics {
    /// Makes the metrics and adds them to the registry.
    pub(crate) fn register(registry: &mut MetricRegistry) -> Self {
        Self {
            requests: RequestMetrics::register(registry),
            refusals: RefusalMetrics::register(registry),
            delivery: DeliveryMetrics::register(registry),
            gauges: GatewayGauges::register(registry),
        }
    }

    /// The certificates that are there.
    pub(crate) fn certificates(&self) -> Vec<CertificateReport> {
        let gauges = [
            ("gateway", &self.gauges.certificate),
            ("webhook", &self.gauges.webhook_certificate),
        ];
        let there = gauges.into_iter().filter(|(_, ends)| ends.get() > 0);
        there
            .filter_map(|(server, ends)| {
                Some(CertificateReport {
                    server: server.to_owned(),
                    ends: Timestamp::from_second(ends.get()).ok()?,
                })
            })
            .collect()
    }

    /// Node plugins; none where there are no nodes.
    pub(crate) fn nodes(&self) -> Option<NodesReport> {
        let versions = self.gauges.plugin_versions.lock().clone()?;
        let away = self.gauges.volumes.get_or_create(&AWAY).get();
        Some(NodesReport {
            plugins: versions
                .into_iter()
                .map(|(version, nodes)| PluginVersionCount { version, nodes })
                .collect(),
            volumes_away: u64::try_from(away).unwrap_or_default(),
        })
    }
}

strongroom_process::metrics! {
    /// Requests of all protocols.
    #[derive(Clone)]
    pub(super) struct RequestMetrics {
        /// Requests that were answered: the `listener` (`shared`, or the name of a dedicated gateway);
        /// `operation` as in docs/openapi.json, `Attest` for what the webhook hands over, or `other` for
        /// every path that is none; `code` of the problem, or `OK`, `Created`, `Accepted`, `NoContent`,
        /// `NotModified`, or `Other` for what another protocol answers; and the `status` of HTTP, which
        /// follows from the code. At most 27 operations with 53 codes a listener.
        answered: Family<AnswerLabels, Counter> = "gateway_requests",
        /// Time from the head of a request to the head of its answer, by listener and operation.
        seconds: Family<OperationLabels, DurationHistogram> = "gateway_request_seconds",
    }
}

strongroom_process::metrics! {
    /// What there is at the moment.
    #[derive(Clone)]
    pub(super) struct GatewayGauges {
        /// Streams of node plugins that are open.
        node_streams: Gauge = "gateway_node_streams",
        /// Streams on which callers watch a secret.
        watches: Gauge = "gateway_watches",
        /// Volumes of pods, by `state`: `connected`, or `away` while their node has no stream or did not
        /// name them since it came back.
        volumes: Family<StateLabel, Gauge> = "gateway_volumes",
        /// When the certificate by which the gateway serves ends, seconds since the epoch.
        pub(super) certificate: Gauge = "gateway_certificate_expiration_timestamp_seconds",
        /// When that of the webhook does, whose process has a metric of its own; 0 while there is none.
        pub(super) webhook_certificate: Gauge,
        /// How many nodes have a stream, by the version of their plugin; none where there are no nodes.
        pub(super) plugin_versions: Arc<Mutex<Option<BTreeMap<String, u64>>>>,
    }
}

strongroom_process::labels! {
    struct AnswerLabels {
        listener: ListenerName,
        operation: &'static str,
        code: &'static str,
        status: u16,
    }

    struct OperationLabels {
        listener: ListenerName,
        operation: &'static str,
    }

    struct StateLabel {
        state: &'static str,
    }
}

/// Of volumes whose node has no stream.
const AWAY: StateLabel = StateLabel { state: "away" };

/// The operation of a request that calls none.
pub(super) const OTHER: &str = "other";

/// Where the requests of one operation at one listener are counted. Of its usual answer that is looked up by
/// labels once, and not before there is one.
#[derive(Debug)]
pub(super) struct OperationMetrics {
    listener: ListenerName,
    operation: &'static str,
    /// The status of its first success, and where that is counted.
    usual: OnceLock<(u16, Counter)>,
    seconds: OnceLock<DurationHistogram>,
}

impl OperationMetrics {
    /// Counts the requests at a listener that call this operation.
    pub(super) const fn new(listener: ListenerName, operation: &'static str) -> Self {
        Self {
            listener,
            operation,
            usual: OnceLock::new(),
            seconds: OnceLock::new(),
        }
    }

    /// Counts the requests at a listener that call none.
    pub(super) const fn other(listener: ListenerName) -> Self {
        Self::new(listener, OTHER)
    }

    #[cfg(test)]
    pub(super) const fn operation(&self) -> &'static str {
        self.operation
    }
}

impl RequestMetrics {
    /// A request was answered, with a problem of this code or with a success.
    pub(super) fn answered(
        &self,
        called: &OperationMetrics,
        problem: Option<Code>,
        status: u16,
        took: Duration,
    ) {
        let (listener, operation) = (&called.listener, called.operation);
        let by_labels = || {
            let code = problem.map_or_else(|| success(status), Code::as_str);
            self.answered.get_or_create_owned(&AnswerLabels {
                listener: listener.clone(),
                operation,
                code,
                status,
            })
        };
        match problem {
            Some(_) => by_labels().inc(),
            None => match called.usual.get_or_init(|| (status, by_labels())) {
                (usual, counter) if *usual == status => counter.inc(),
                _ => by_labels().inc(),
            },
        };
        let seconds = || {
            let listener = listener.clone();
            self.seconds
                .get_or_create_owned(&OperationLabels { listener, operation })
        };
        called.seconds.get_or_init(seconds).observe(took.as_secs_f64());
    }
}

/// The code of an answer that is no problem.
const fn success(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "NoContent",
        304 => "NotModified",
        _ => "Other",
    }
}

impl GatewayGauges {
    /// So many streams of nodes are open, and so many watches.
    pub(super) fn streams(&self, nodes: u64, watches: u64) {
        for (gauge, count) in [(&self.node_streams, nodes), (&self.watches, watches)] {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// So many volumes are on nodes with a stream, and so many others are known.
    pub(super) fn volumes(&self, (connected, away): (usize, usize)) {
        for (label, count) in [(StateLabel { state: "connected" }, connected), (AWAY, away)] {
            self.volumes
                .get_or_create(&label)
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_counted_by_listener_operation_and_code() {
        let mut registry = MetricRegistry::default();
        let metrics = GatewayMetrics::register(&mut registry);
        let (shared, dedicated) = (ListenerName::default(), "aigw".parse::<ListenerName>().unwrap());
        let read = OperationMetrics::new(shared.clone(), "GetSecretValue");
        let dedicated = OperationMetrics::new(dedicated, "GetSecretValue");
        let other = OperationMetrics::other(shared);
        assert!(!registry.text().unwrap().contains("GetSecretValue"));
        for (called, problem, status) in [
            (&read, None, 200),
            (&read, None, 200),
            (&dedicated, None, 200),
            (&read, None, 304),
            (&read, Some(Code::PolicyDenied), 403),
            (&other, Some(Code::NoSuchPath), 404),
        ] {
            metrics
                .requests
                .answered(called, problem, status, Duration::from_millis(2));
        }
        metrics.gauges.streams(3, 4);
        metrics.gauges.volumes((3, 1));
        let text = registry.text().unwrap();
        for line in [
            r#"gateway_requests_total{listener="shared",operation="GetSecretValue",code="OK",status="200"} 2"#,
            r#"gateway_requests_total{listener="aigw",operation="GetSecretValue",code="OK",status="200"} 1"#,
            r#"gateway_requests_total{listener="shared",operation="GetSecretValue",code="NotModified",status="304"} 1"#,
            r#"gateway_requests_total{listener="shared",operation="GetSecretValue",code="PolicyDenied",status="403"} 1"#,
            r#"gateway_requests_total{listener="shared",operation="other",code="NoSuchPath",status="404"} 1"#,
            r#"gateway_request_seconds_bucket{le="0.001",listener="shared",operation="GetSecretValue"} 0"#,
            r#"gateway_request_seconds_bucket{le="0.005",listener="shared",operation="GetSecretValue"} 4"#,
            r#"gateway_request_seconds_bucket{le="0.005",listener="aigw",operation="GetSecretValue"} 1"#,
            "gateway_node_streams 3",
            "gateway_watches 4",
            r#"gateway_volumes{state="away"} 1"#,
        ] {
            assert!(text.lines().any(|one| one == line), "{line}: {text}");
        }

        assert_eq!((metrics.nodes(), metrics.certificates()), (None, Vec::new()));
        metrics.gauges.certificate.set(1_800_000_000);
        *metrics.gauges.plugin_versions.lock() = Some(BTreeMap::from([("0.1.0".to_owned(), 2)]));
        let nodes = metrics.nodes().unwrap();
        assert_eq!((nodes.volumes_away, nodes.plugins[0].nodes), (1, 2));
        assert_eq!(metrics.certificates()[0].server, "gateway");
        assert!(
            !registry.text().unwrap().contains("webhook_certificate"),
            "what is only told is no metric"
        );
    }
}
