//! How backups stand, in a ConfigMap of the process's own namespace. Whoever reads it needs no shell in the
//! pod, and finds it also while the process is away.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use strongroom_api::backup_status::{BACKUP_CONFIG_MAP, BACKUP_STATUS_KEY, BackupStatus};

use crate::kube::{field_manager, in_words};

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The ConfigMap, and what it is known to hold.
pub(super) struct StatusConfigMap {
    api: Api<ConfigMap>,
    written: Option<BackupStatus>,
}

impl StatusConfigMap {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            written: None,
        }
    }

    /// What an earlier process wrote; none where it cannot be read.
    pub(super) async fn read(&self) -> Option<BackupStatus> {
        let found = tokio::time::timeout(REQUEST_TIMEOUT, self.api.get_opt(BACKUP_CONFIG_MAP)).await;
        let text = found.ok()?.ok()??.data?.remove(BACKUP_STATUS_KEY)?;
        serde_json::from_str(&text).ok()
    }

    /// Writes it if it differs from the one before. If that fails, the next call tries again.
    pub(super) async fn write(&mut self, status: &BackupStatus) {
        if self.written.as_ref() == Some(status) {
            return;
        }
        let text = serde_json::to_string(status).unwrap_or_default();
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": BACKUP_CONFIG_MAP, "labels": {"app.kubernetes.io/managed-by": "strongroom"}},
            "data": {(BACKUP_STATUS_KEY): text},
        });
        let params = PatchParams::apply(field_manager::CONTROLLERS).force();
        let patch = Patch::Apply(&object);
        let written = self.api.patch(BACKUP_CONFIG_MAP, &params, &patch);
        match tokio::time::timeout(REQUEST_TIMEOUT, written).await {
            Ok(Ok(_)) => self.written = Some(status.clone()),
            Ok(Err(error)) => {
                tracing::debug!(name = BACKUP_CONFIG_MAP, error = %in_words(&error), "ConfigMap write failed");
            }
            Err(_) => tracing::debug!(name = BACKUP_CONFIG_MAP, "ConfigMap write timed out"),
        }
    }
}
