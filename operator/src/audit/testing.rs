//! What the tests of sinks share: records, readers, and an exporter that runs.

use std::path::Path;

use serde_json::Value as Json;
use strongroom_model::id::SecretId;
use strongroom_model::time::Timestamp;
use strongroom_process::MetricRegistry;
use strongroom_store::vault::GetValue;
use strongroom_testing::store::{Fixture, NOW, meta};
use strongroom_testing::wait::within;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::line::AuditLine;
use super::{AuditExporter, AuditMetrics, Destination};

/// The line of a record in JSON.
pub(super) fn audit_line(json: &str) -> AuditLine {
    AuditLine::new(serde_json::from_str(json).unwrap()).unwrap()
}

/// Reads a secret so many times.
pub(super) fn read(fixture: &Fixture, secret: SecretId, times: usize) {
    for _ in 0..times {
        let get = GetValue::current(secret);
        fixture.store.value(&get, &meta()).unwrap();
    }
}

/// The objects in a file, one a line; a line that is just being written is none yet.
pub(super) fn objects(path: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| serde_json::from_str(line.trim()).unwrap())
        .collect()
}

/// Records of a store on their way to a destination.
pub(super) struct RunningExporter {
    pub(super) registry: MetricRegistry,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl RunningExporter {
    pub(super) fn start(fixture: &Fixture, destination: Destination) -> Self {
        Self::start_with_clock(fixture, destination, || NOW)
    }

    /// One whose clock is this.
    pub(super) fn start_with_clock(
        fixture: &Fixture,
        destination: Destination,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        let mut registry = MetricRegistry::default();
        let (stop, stopped) = watch::channel(false);
        let exporter = AuditExporter {
            store: fixture.store.clone(),
            destination,
            now,
            metrics: AuditMetrics::register(&mut registry).sink("test"),
        };
        Self {
            registry,
            stop,
            task: tokio::spawn(exporter.run(stopped)),
        }
    }

    /// The exporter to what the command line would name so.
    pub(super) fn named(fixture: &Fixture, destination: &str) -> Self {
        Self::start(fixture, destination.parse().unwrap())
    }

    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        within(self.task).await.unwrap();
    }
}
