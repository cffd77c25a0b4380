//! What every Strongroom process needs: logs, metrics, health, signals, threads for long work, calls over
//! HTTP. Must not know what the process does.

mod escape;
mod health;
mod http_client;
mod logging;
mod metrics;
mod open_files;
mod priority;
mod server;
mod signals;
mod work_pool;

pub use health::{Check, Health};
pub use http_client::{HttpClient, http1_client, http2_client};
pub use logging::{LogFormat, LoggingError, init_logging};
pub use metrics::{
    DurationHistogram, LabelNames, LabelledMetric, MetricDescriptor, MetricRegistry, ProcessUsage,
};
pub use open_files::raise_open_files_limit;
pub use priority::{BACKGROUND_NICE, lower_thread_priority};
pub use server::{ServerError, serve};
pub use signals::{Shutdown, shutdown_on_signal};
pub use work_pool::{WorkError, WorkPool};
