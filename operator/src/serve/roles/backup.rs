//! Backups and drills, on the open store.

use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use strongroom_process::Shutdown;
use strongroom_store::crypto::RootKey;
use strongroom_store::vault::Store;
use tokio::task::JoinHandle;

use crate::backup::{BackupMetrics, BackupPlan, BackupTask};

/// What the task is started with.
pub(super) struct BackupRole {
    /// None: it tells how many recovery keys there are, and does nothing else.
    pub(super) plan: Option<BackupPlan>,
    pub(super) store: Store,
    pub(super) root: Arc<RootKey>,
    pub(super) client: Client,
    /// The process's own namespace.
    pub(super) namespace: String,
    pub(super) metrics: BackupMetrics,
}

impl BackupRole {
    /// Starts it; it ends with the shutdown.
    pub(super) fn start(self, shutdown: &Shutdown) -> JoinHandle<()> {
        let Self {
            plan,
            store,
            root,
            client,
            namespace,
            metrics,
        } = self;
        let task = BackupTask {
            plan,
            store,
            root,
            metrics,
            now: Timestamp::now,
        };
        tokio::spawn(task.run(client, namespace, shutdown.clone()))
    }
}
