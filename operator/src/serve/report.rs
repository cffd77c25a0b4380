//! What the process says of itself for people: written twice a minute into a ConfigMap of its own namespace,
//! beside how its backups stand. Whoever reads it needs no shell in the pod, and finds it also while the
//! process is away. Must not hold a name of a secret.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use strongroom_api::backup_status::BACKUP_CONFIG_MAP;
use strongroom_api::process_report::{
    AuditReport, KindCount, NamespaceShareReport, PROCESS_REPORT_KEY, ProcessReport, ProductReport,
    StoreReport, VolumeReport,
};
use strongroom_process::Shutdown;
use strongroom_store::vault::{NamespaceUsage, STORE_FORMAT, Store};

use super::metrics::ProcessMetrics;
use super::upkeep::{MAX_SERIES, MIN_USED_PERCENT};
use crate::audit::{AuditMetrics, HeldHours};
use crate::controllers::metrics::{Metrics, ProductNumbers};
use crate::gateway::GatewayMetrics;
use crate::kube::{field_manager, in_words};

/// When it is first written: by then the parts of the process run.
const FIRST_DELAY: Duration = Duration::from_secs(6);
/// How often after that.
const INTERVAL: Duration = Duration::from_secs(30);
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Kinds whose deletion may wait for a person.
const DELETABLE_KINDS: [&str; 2] = ["ManagedSecret", "EncryptionKey"];

/// Who knows what is said.
pub(super) struct ReportSources {
    pub(super) store: Store,
    pub(super) process: ProcessMetrics,
    pub(super) audit: AuditMetrics,
    pub(super) gateway: GatewayMetrics,
    pub(super) controllers: Arc<Metrics>,
}

/// Writes it.
pub(super) struct Reporter {
    sources: Arc<ReportSources>,
    /// How far back the audit log reaches.
    held: HeldHours,
    api: Api<ConfigMap>,
}

impl Reporter {
    pub(super) fn new(sources: ReportSources, held: HeldHours, client: Client, namespace: &str) -> Self {
        Self {
            sources: Arc::new(sources),
            held,
            api: Api::namespaced(client, namespace),
        }
    }

    /// Works until the shutdown begins.
    pub(super) async fn run(self, shutdown: Shutdown) {
        let mut wait = FIRST_DELAY;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shutdown.wait() => return,
            }
            wait = INTERVAL;
            tokio::select! {
                () = self.report() => {}
                () = shutdown.wait() => return,
            }
        }
    }

    async fn report(&self) {
        let (sources, hours) = (Arc::clone(&self.sources), self.held.hours());
        let gathered = tokio::task::spawn_blocking(move || sources.gather(hours, Timestamp::now()));
        // Otherwise the runtime ends.
        if let Ok(report) = gathered.await {
            self.write(&report).await;
        }
    }

    async fn write(&self, report: &ProcessReport) {
        let text = serde_json::to_string(report).unwrap_or_default();
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": BACKUP_CONFIG_MAP, "labels": {"app.kubernetes.io/managed-by": "strongroom"}},
            "data": {(PROCESS_REPORT_KEY): text},
        });
        // A field manager of its own, so that this leaves alone what is said of backups, and is left alone.
        let params = PatchParams::apply(field_manager::REPORT).force();
        let patch = Patch::Apply(&object);
        let written = self.api.patch(BACKUP_CONFIG_MAP, &params, &patch);
        match tokio::time::timeout(REQUEST_TIMEOUT, written).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::debug!(name = BACKUP_CONFIG_MAP, error = %in_words(&error), "ConfigMap write failed");
            }
            Err(_) => tracing::debug!(name = BACKUP_CONFIG_MAP, "ConfigMap write timed out"),
        }
    }
}

impl ReportSources {
    /// Reads the store, and must not be called where that would hold somebody up.
    fn gather(&self, held_hours: Option<f64>, at: Timestamp) -> ProcessReport {
        let stats = self.store.stats();
        // A store that cannot be read says so by when it last could.
        let fullest = self.store.fullest(MIN_USED_PERCENT, MAX_SERIES);
        let fullest = fullest.unwrap_or_default();
        let count = |kind: &str, count| KindCount {
            kind: kind.to_owned(),
            count,
        };
        let waiting = DELETABLE_KINDS.map(|kind| (kind, self.controllers.deletions_waiting(kind)));
        let failing = self.controllers.failing_by_kind();
        ProcessReport {
            at,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store: StoreReport {
                format: STORE_FORMAT,
                commits: self.store.anchor().counter,
                secrets: stats.secrets,
                bytes: stats.bytes,
                verified: self.process.last_verified(),
            },
            volume: self.store.directory().and_then(volume),
            audit: AuditReport {
                bytes: self.store.audit_bytes(),
                bound_bytes: self.store.audit_limits().stop_bytes(),
                held_hours,
                full: self.audit.is_full(),
            },
            sinks: self.audit.sinks(),
            certificates: self.gateway.certificates(),
            nodes: self.gateway.nodes(),
            waiting_deletions: waiting
                .into_iter()
                .filter(|(_, number)| *number > 0)
                .map(|(kind, number)| count(kind, u64::try_from(number).unwrap_or_default()))
                .collect(),
            failing_objects: failing
                .into_iter()
                .map(|(kind, number)| count(kind, number))
                .collect(),
            overdue_rotations: self.controllers.overdue_rotations(),
            fullest_namespaces: fullest.iter().filter_map(share).collect(),
            products: self.controllers.products().into_iter().map(product).collect(),
        }
    }
}

/// The file system at a place; none where it does not say.
fn volume(at: &Path) -> Option<VolumeReport> {
    let about = rustix::fs::statvfs(at).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(about.f_frsize);
    Some(VolumeReport {
        bytes: bytes(about.f_blocks),
        free_bytes: bytes(about.f_bavail),
    })
    .filter(|volume| volume.bytes > 0)
}

fn product((code, numbers): (String, ProductNumbers)) -> ProductReport {
    let (secrets, max_secrets) = numbers.in_all();
    ProductReport {
        code,
        secrets,
        max_secrets,
        problem: numbers.problem,
    }
}

fn share(usage: &NamespaceUsage) -> Option<NamespaceShareReport> {
    let limit = usage.limit?;
    Some(NamespaceShareReport {
        namespace: usage.name.to_string(),
        secrets: usage.used.secrets,
        max_secrets: limit.secrets,
        bytes: usage.used.bytes,
        max_bytes: limit.bytes,
    })
}

#[cfg(test)]
mod tests {
    use strongroom_testing::api_server::ApiServer;
    use strongroom_testing::store::store;

    use super::*;
    use crate::serve::metrics::ControlPlaneMetrics;

    const MAP: &str = "/api/v1/namespaces/strongroom/configmaps/strongroom-backups";

    #[tokio::test]
    async fn what_is_said_lies_beside_the_state_of_backups_and_is_what_the_metrics_say() {
        let (api, (store, _keep)) = (ApiServer::default(), store());
        let commits = store.anchor().counter;
        let (metrics, _) = ControlPlaneMetrics::register();
        metrics.controllers.deletions_wait("EncryptionKey", 3);
        metrics.controllers.failed("SecretPolicy", "shop", "web", "why");
        metrics.audit.sink("syslog");
        let sources = ReportSources {
            store,
            process: metrics.process,
            audit: metrics.audit,
            gateway: metrics.gateway,
            controllers: metrics.controllers,
        };
        api.put_as(
            field_manager::CONTROLLERS,
            MAP,
            json!({"metadata": {"name": "strongroom-backups"}, "data": {"status.json": "{}"}}),
        );
        let reporter = Reporter::new(sources, HeldHours::default(), api.client(), "strongroom");
        reporter.report().await;
        let data = &api.get(MAP).unwrap()["data"];
        assert_eq!(data["status.json"], "{}");
        let report: ProcessReport = serde_json::from_str(data["process.json"].as_str().unwrap()).unwrap();
        assert_eq!(report.store.format, 1);
        assert_eq!(report.store.commits, commits);
        assert!(report.volume.is_some(), "{report:?}");
        assert_eq!(report.waiting_deletions.len(), 1);
        assert_eq!(report.waiting_deletions[0].count, 3);
        assert_eq!(report.failing_objects[0].kind, "SecretPolicy");
        assert_eq!(report.sinks[0].name, "syslog");
        assert_eq!(report.nodes, None);
    }
}
