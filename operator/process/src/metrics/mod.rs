//! Metrics that are declared once: type, name, labels and meaning stand in one place, and the registry and
//! the reference follow from it.
//!
//! | module | idea |
//! |---|---|
//! | [`declaration`] | the macros `metrics!` and `labels!` |
//! | [`registry`] | what is registered, as Prometheus reads it and as a table of the reference |
//! | [`duration_histogram`] | how long something takes |
//! | [`text_format`] | how Prometheus is told |
//! | [`process_usage`] | what the process uses of its machine |

mod declaration;
mod duration_histogram;
mod process_usage;
mod registry;
mod text_format;

pub use self::duration_histogram::DurationHistogram;
pub use self::process_usage::ProcessUsage;
pub use self::registry::{LabelNames, LabelledMetric, MetricDescriptor, MetricRegistry};
