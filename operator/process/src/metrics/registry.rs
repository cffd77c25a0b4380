//! The registry. Every metric is added with its meaning, so that the reference lists all of them. Only this
//! file uses the registry of `prometheus-client`.

#![expect(clippy::disallowed_types, reason = "this is where metrics are registered")]

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Metric, Registry};

use super::DurationHistogram;
use super::text_format;

/// A label set whose names are known before there is one.
pub trait LabelNames {
    /// The names, in order.
    const NAMES: &'static [&'static str];
}

/// A metric whose type and labels are known before anything is counted.
pub trait LabelledMetric: TypedMetric + Metric + Clone {
    /// The names of its labels.
    const LABELS: &'static [&'static str];
}

impl<N, A> LabelledMetric for Counter<N, A>
where
    Self: Metric,
{
    const LABELS: &'static [&'static str] = &[];
}

impl<N, A> LabelledMetric for Gauge<N, A>
where
    Self: Metric,
{
    const LABELS: &'static [&'static str] = &[];
}

impl LabelledMetric for DurationHistogram {
    const LABELS: &'static [&'static str] = &[];
}

impl<S: LabelNames, M: TypedMetric, C: Clone> LabelledMetric for Family<S, M, C>
where
    Self: Metric,
{
    const LABELS: &'static [&'static str] = S::NAMES;
}

/// A metric as the reference lists it.
#[derive(Clone, Debug)]
pub struct MetricDescriptor {
    /// As Prometheus reads it: with prefix, and with `_total` where it is a counter.
    pub name: String,
    /// Counter, gauge or histogram, as OpenMetrics has them.
    pub kind: MetricType,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, without a full stop.
    pub meaning: String,
}

/// The metrics of a process.
#[derive(Debug, Default)]
pub struct MetricRegistry {
    registry: Registry,
    prefix: Option<&'static str>,
    descriptors: Vec<MetricDescriptor>,
}

impl MetricRegistry {
    /// A registry of metrics whose names begin with this word.
    #[must_use]
    pub fn with_prefix(prefix: &'static str) -> Self {
        Self {
            registry: Registry::with_prefix(prefix),
            prefix: Some(prefix),
            descriptors: Vec::new(),
        }
    }

    /// The format of [`Self::text`], as HTTP names it.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Adds a metric.
    pub fn add<M: LabelledMetric>(&mut self, name: &'static str, doc: &str, metric: &M) {
        let meaning = doc.trim().trim_end_matches('.');
        self.registry.register(name, meaning, metric.clone());
        let prefix = self.prefix.map(|prefix| format!("{prefix}_"));
        let suffix = match M::TYPE {
            MetricType::Counter => "_total",
            MetricType::Gauge | MetricType::Histogram | MetricType::Info | MetricType::Unknown => "",
        };
        self.descriptors.push(MetricDescriptor {
            name: format!("{}{name}{suffix}", prefix.unwrap_or_default()),
            kind: M::TYPE,
            labels: M::LABELS,
            meaning: meaning.to_owned(),
        });
    }

    /// All of them, in the order in which they were added.
    #[must_use]
    pub fn descriptors(&self) -> &[MetricDescriptor] {
        &self.descriptors
    }

    /// The metrics as Prometheus reads them.
    ///
    /// # Errors
    /// A metric that cannot be written.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text_format::from_open_metrics(&text))
    }

    /// The metrics by name, as a table of the reference.
    #[must_use]
    pub fn reference_table(&self) -> String {
        let mut rows: Vec<String> = self.descriptors.iter().map(MetricDescriptor::row).collect();
        rows.sort();
        format!(
            "| metric | kind | labels | meaning |\n|---|---|---|---|\n{}",
            rows.concat()
        )
    }
}

impl MetricDescriptor {
    fn row(&self) -> String {
        let labels: Vec<String> = self.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels) = (&self.name, self.kind.as_str(), labels.join(", "));
        format!("| `{name}` | {kind} | {labels} | {} |\n", self.meaning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::labels! {
        struct PlaceLabels {
            place: &'static str,
        }
    }

    crate::metrics! {
        /// What is counted here.
        struct TestMetrics {
            /// Things by place,
            /// counted.
            things: Family<PlaceLabels, Counter> = "things",
            /// How long one takes.
            took: DurationHistogram = "took_seconds",
            /// What is no metric.
            kept: Vec<u8>,
            /// Bytes.
            size: Gauge = "size_bytes",
        }
    }

    #[test]
    fn what_is_declared_is_registered_and_in_the_table() {
        let mut registry = MetricRegistry::with_prefix("test");
        let metrics = TestMetrics::register(&mut registry);
        assert!(metrics.kept.is_empty());
        metrics.things.get_or_create(&PlaceLabels { place: "here" }).inc();
        metrics.took.observe(0.5);
        metrics.size.set(7);
        let text = registry.text().unwrap();
        for line in [
            "# HELP test_things_total Things by place, counted.",
            "# TYPE test_things_total counter",
            "test_things_total{place=\"here\"} 1",
            "# TYPE test_took_seconds histogram",
            "test_took_seconds_bucket{le=\"1.0\"} 1",
            "test_took_seconds_count 1",
            "test_size_bytes 7",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}: {text}");
        }
        assert_eq!(
            registry.reference_table(),
            "| metric | kind | labels | meaning |\n|---|---|---|---|\n\
             | `test_size_bytes` | gauge |  | Bytes |\n\
             | `test_things_total` | counter | `place` | Things by place, counted |\n\
             | `test_took_seconds` | histogram |  | How long one takes |\n"
        );
    }
}
