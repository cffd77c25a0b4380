//! What the extension API server counts.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use strongroom_process::DurationHistogram;

strongroom_process::metrics! {
    /// What is told; cheap to clone.
    #[derive(Clone)]
    pub(crate) struct ExtensionApiMetrics {
        /// Whether the gateway answers the extension API server: 1 or 0.
        pub(super) reachable: Gauge = "gateway_reachable",
        /// Requests for the gateway that were answered, by the `status` of HTTP: some 15, which the gateway
        /// has for all of its codes.
        answered: Family<StatusLabel, Counter> = "extension_api_requests",
        /// Time from the head of a request for the gateway to the head of its answer.
        seconds: DurationHistogram = "extension_api_request_seconds",
        /// When the certificate by which the extension API server serves ends, seconds since the epoch; 0
        /// while there is none.
        pub(super) certificate: Gauge = "extension_api_certificate_expiration_timestamp_seconds",
    }
}

strongroom_process::labels! {
    struct StatusLabel {
        status: u16,
    }
}

impl ExtensionApiMetrics {
    /// A request was answered.
    pub(super) fn answered(&self, status: u16, took: Duration) {
        self.answered.get_or_create(&StatusLabel { status }).inc();
        self.seconds.observe(took.as_secs_f64());
    }
}
