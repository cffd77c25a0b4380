//! How long something takes, in seconds.

use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Bounds of its buckets. Promises are read off them, so that they have one at 1 ms, at 100 ms and at 1 s.
const BOUNDS: [f64; 11] = [
    0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

/// A histogram from a tenth of a millisecond to half a minute; cheap to clone.
#[derive(Clone, Debug)]
pub struct DurationHistogram(Histogram);

impl Default for DurationHistogram {
    fn default() -> Self {
        Self(Histogram::new(BOUNDS))
    }
}

impl DurationHistogram {
    /// It took so long.
    pub fn observe(&self, seconds: f64) {
        self.0.observe(seconds);
    }
}

impl TypedMetric for DurationHistogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for DurationHistogram {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.0.metric_type()
    }
}
