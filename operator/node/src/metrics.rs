//! What the plugin counts. No label ever holds a name of a secret, a pod or a person.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// The counters; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    publishes: Family<Outcome, Counter>,
    publish_seconds: Histogram,
    updates: Family<Outcome, Counter>,
    update_seconds: Histogram,
    volumes: Gauge,
    held_bytes: Gauge,
    connected: Gauge,
    broken: Counter,
    misunderstood: Counter,
    swappable: Gauge,
    lost: Counter,
    served_offline: Counter,
    asked: Family<Outcome, Counter>,
    noticed: Family<Outcome, Counter>,
}

impl Metrics {
    /// Counters in a registry.
    pub fn new(registry: &mut Registry) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.000_1, 4.0, 9));
        let it = Self {
            publishes: Family::default(),
            publish_seconds: seconds(),
            updates: Family::default(),
            update_seconds: seconds(),
            volumes: Gauge::default(),
            held_bytes: Gauge::default(),
            connected: Gauge::default(),
            broken: Counter::default(),
            misunderstood: Counter::default(),
            swappable: Gauge::default(),
            lost: Counter::default(),
            served_offline: Counter::default(),
            asked: Family::default(),
            noticed: Family::default(),
        };
        let node = registry.sub_registry_with_prefix("strongroom_node");
        node.register(
            "publishes",
            "Volumes that kubelet asked for, by outcome",
            it.publishes.clone(),
        );
        node.register_with_unit(
            "publish",
            "Time of a publish",
            Unit::Seconds,
            it.publish_seconds.clone(),
        );
        node.register(
            "updates",
            "Changes of running volumes, by outcome",
            it.updates.clone(),
        );
        node.register_with_unit(
            "update",
            "Time from a change to the files",
            Unit::Seconds,
            it.update_seconds.clone(),
        );
        node.register("volumes", "Volumes that are subscribed to", it.volumes.clone());
        node.register_with_unit("held", "Values in memory", Unit::Bytes, it.held_bytes.clone());
        node.register(
            "stream_connected",
            "Whether the stream to the gateway is open",
            it.connected.clone(),
        );
        node.register(
            "served_offline",
            "Volumes that were served from the node's cache, because there was no gateway",
            it.served_offline.clone(),
        );
        node.register(
            "socket_requests",
            "Requests at the sockets of volumes, by outcome",
            it.asked.clone(),
        );
        node.register(
            "notices",
            "Requests that told a pod of a change of its volume, by outcome",
            it.noticed.clone(),
        );
        node.register(
            "stream_breaks",
            "Ends of the stream that were not in order",
            it.broken.clone(),
        );
        node.register(
            "stream_misunderstood",
            "Messages of the gateway that break the protocol",
            it.misunderstood.clone(),
        );
        node.register(
            "swappable",
            "Whether the kernel may write volumes to a swap device (Linux before 6.4)",
            it.swappable.clone(),
        );
        node.register(
            "volumes_lost",
            "Volumes that somebody else unmounted",
            it.lost.clone(),
        );
        it
    }

    /// A publish is over.
    pub fn published(&self, outcome: &'static str, seconds: f64) {
        self.publishes.get_or_create(&Outcome { outcome }).inc();
        self.publish_seconds.observe(seconds);
    }

    /// A change of a running volume is over.
    pub fn updated(&self, outcome: &'static str, seconds: f64) {
        self.updates.get_or_create(&Outcome { outcome }).inc();
        self.update_seconds.observe(seconds);
    }

    /// A volume was served from the node's cache.
    pub fn served_offline(&self) {
        self.served_offline.inc();
    }

    /// A pod asked at its volume's socket.
    pub fn asked(&self, outcome: &'static str) {
        self.asked.get_or_create(&Outcome { outcome }).inc();
    }

    /// A pod was told of a change, or could not be.
    pub fn noticed(&self, outcome: &'static str) {
        self.noticed.get_or_create(&Outcome { outcome }).inc();
    }

    /// Whether there is a stream.
    pub fn connected(&self, connected: bool) {
        self.connected.set(i64::from(connected));
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
