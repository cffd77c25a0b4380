//! What the plugin counts. No label ever holds a name of a secret, a pod or a person.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use strongroom_process::{DurationHistogram, MetricRegistry, WorkPool};

strongroom_process::labels! {
    struct OutcomeLabel {
        outcome: &'static str,
    }
}

strongroom_process::metrics! {
    /// The counters; cheap to clone.
    #[derive(Clone)]
    pub struct Metrics {
        /// Volumes that kubelet asked for, by outcome.
        publishes: Family<OutcomeLabel, Counter> = "publishes",
        /// Time of a publish.
        publish_seconds: DurationHistogram = "publish_seconds",
        /// Changes of running volumes, by outcome.
        updates: Family<OutcomeLabel, Counter> = "updates",
        /// Time from a change to the files.
        update_seconds: DurationHistogram = "update_seconds",
        /// Volumes that are subscribed to.
        volumes: Gauge = "volumes",
        /// Bytes of values in memory.
        held_bytes: Gauge = "held_bytes",
        /// Whether the stream to the gateway is open.
        connected: Gauge = "stream_connected",
        /// Volumes that were served from the node's cache, because there was no gateway.
        served_offline: Counter = "served_offline",
        /// Requests at the sockets of volumes, by outcome.
        asked: Family<OutcomeLabel, Counter> = "socket_requests",
        /// Requests that told a pod of a change of its volume, by outcome.
        noticed: Family<OutcomeLabel, Counter> = "notices",
        /// When the last authority ends by which the plugin knows the gateway, seconds since the epoch; 0
        /// while there is none.
        authority_end: Gauge = "gateway_ca_expiration_timestamp_seconds",
        /// Ends of the stream that were not in order.
        broken: Counter = "stream_breaks",
        /// Messages of the gateway that break the protocol.
        misunderstood: Counter = "stream_misunderstood",
        /// Whether the kernel may write volumes to a swap device (Linux before 6.4).
        swappable: Gauge = "swappable",
        /// Volumes that somebody else unmounted.
        lost: Counter = "volumes_lost",
    }
}

impl Metrics {
    /// All that a plugin counts, its threads for long work included.
    pub(crate) fn of_plugin() -> (Self, WorkPool, MetricRegistry) {
        let mut registry = MetricRegistry::with_prefix("strongroom_node");
        let metrics = Self::register(&mut registry);
        let work = WorkPool::by_processors(&mut registry);
        (metrics, work, registry)
    }

    /// A publish is over.
    pub fn published(&self, outcome: &'static str, seconds: f64) {
        self.publishes.get_or_create(&OutcomeLabel { outcome }).inc();
        self.publish_seconds.observe(seconds);
    }

    /// A change of a running volume is over.
    pub fn updated(&self, outcome: &'static str, seconds: f64) {
        self.updates.get_or_create(&OutcomeLabel { outcome }).inc();
        self.update_seconds.observe(seconds);
    }

    /// A volume was served from the node's cache.
    pub fn served_offline(&self) {
        self.served_offline.inc();
    }

    /// A pod asked at its volume's socket.
    pub fn asked(&self, outcome: &'static str) {
        self.asked.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// A pod was told of a change, or could not be.
    pub fn noticed(&self, outcome: &'static str) {
        self.noticed.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Whether there is a stream.
    pub fn connected(&self, connected: bool) {
        self.connected.set(i64::from(connected));
    }

    /// The authorities of the gateway end then, in seconds since the epoch.
    pub fn authority_ends(&self, end: i64) {
        self.authority_end.set(end);
    }

    /// A connection broke, or did not come about.
    pub fn broken(&self) {
        self.broken.inc();
    }

    /// A message was left out.
    pub fn misunderstood(&self) {
        self.misunderstood.inc();
    }

    /// How much there is.
    pub fn sizes(&self, (volumes, bytes): (usize, usize)) {
        self.volumes.set(i64::try_from(volumes).unwrap_or(i64::MAX));
        self.held_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// The kernel cannot keep a volume from a swap device.
    pub fn swappable(&self) {
        self.swappable.set(1);
    }

    /// A volume was unmounted by somebody else.
    pub fn lost(&self) {
        self.lost.inc();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Where this part of the page begins; the control plane's own test writes what is before it.
    const NODE_PLUGIN: &str = "\n## Node plugin\n";

    #[test]
    fn the_reference_lists_every_metric() {
        let (_, _, registry) = Metrics::of_plugin();
        let path = Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/reference/metrics.md"
        ));
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        let before = kept.find(NODE_PLUGIN).map_or(kept.as_str(), |at| &kept[..at]);
        let page = format!("{before}{NODE_PLUGIN}\n{}", registry.reference_table());
        strongroom_testing::assert_generated("docs/reference/metrics.md", &page);
    }
}
