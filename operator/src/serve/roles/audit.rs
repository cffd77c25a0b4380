//! The audit log: how much of it is kept, and where its records go.

use kube::Client;
use strongroom_process::Shutdown;
use strongroom_store::vault::Store;
use tokio::task::JoinHandle;

use crate::audit::{self, AuditExporter, AuditMetrics, AuditRetention, Destination, HeldHours, SinkContext};
use crate::serve::now;

/// What the audit tasks are started with.
pub(super) struct AuditRole {
    /// Where records go besides where they always go.
    pub(super) sinks: Vec<Destination>,
    pub(super) client: Client,
    pub(super) store: Store,
    pub(super) metrics: AuditMetrics,
    /// How far back the log reaches.
    pub(super) held: HeldHours,
    /// The name of the process among its likes.
    pub(super) instance: String,
}

impl AuditRole {
    /// Starts the tasks by name; they end with the shutdown.
    pub(super) fn start(self, shutdown: &Shutdown) -> Vec<(String, JoinHandle<()>)> {
        let Self {
            sinks,
            client,
            store,
            metrics,
            held,
            instance,
        } = self;
        let mut tasks = Vec::new();
        let context = SinkContext {
            client,
            store: store.clone(),
            instance,
            metrics: metrics.clone(),
        };
        let destinations = audit::destinations(sinks, &context);
        let retention = AuditRetention {
            store: store.clone(),
            destinations: destinations.clone(),
            now,
            metrics: metrics.log(),
            held,
        };
        let running = tokio::spawn(retention.run(shutdown.subscribe()));
        tasks.push(("audit retention".to_owned(), running));
        for destination in destinations {
            let name = destination.to_string();
            let exporter = AuditExporter {
                store: store.clone(),
                metrics: metrics.sink(&name),
                destination,
                now,
            };
            tasks.push((
                format!("audit sink {name}"),
                tokio::spawn(exporter.run(shutdown.subscribe())),
            ));
        }
        tasks
    }
}
