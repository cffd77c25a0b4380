//! The controllers, on the open store.

use std::sync::Arc;

use kube::Client;
use strongroom_process::{Shutdown, WorkPool};
use tokio::task::JoinHandle;

use crate::controllers::cache_quota::CacheBounds;
use crate::controllers::metrics::Metrics;
use crate::controllers::{self, ControllerOptions, GatewayShared, TaskFailure};
use crate::kube::watch::WatchThread;
use crate::products::ProductEndpoints;
use crate::store_handle::StoreHandle;

/// What the command line says of the controllers.
#[derive(Clone, Debug)]
pub(crate) struct ControllerSettings {
    /// Objects of one kind reconciled at once.
    pub(crate) concurrency: u16,
    /// Memory for the ManagedSecrets of one namespace, in bytes.
    pub(crate) namespace_objects_bytes: usize,
    /// Namespaces of native Secrets; empty: all.
    pub(crate) native_namespaces: Vec<String>,
}

/// What the controllers are started with.
pub(super) struct ControllerRole {
    pub(super) settings: ControllerSettings,
    pub(super) client: Client,
    pub(super) store: StoreHandle,
    pub(super) metrics: Arc<Metrics>,
    pub(super) shared: GatewayShared,
    /// The namespace of the process.
    pub(super) own_namespace: String,
    /// Native Secrets of that namespace that no ManagedSecret may have.
    pub(super) reserved_secrets: Vec<String>,
    /// Those of node plugins.
    pub(super) node_namespaces: Vec<String>,
    pub(super) endpoints: ProductEndpoints,
    pub(super) work: WorkPool,
    pub(super) watches: Arc<WatchThread>,
}

impl ControllerRole {
    /// Starts them; they end with the shutdown, once what is under way is finished.
    pub(super) fn start(self, shutdown: &Shutdown) -> JoinHandle<Result<(), TaskFailure>> {
        let Self {
            settings:
                ControllerSettings {
                    concurrency,
                    namespace_objects_bytes,
                    native_namespaces,
                },
            client,
            store,
            metrics,
            shared,
            own_namespace,
            reserved_secrets,
            node_namespaces,
            endpoints,
            work,
            watches,
        } = self;
        let options = ControllerOptions {
            own_namespace,
            reserved_secrets,
            node_namespaces,
            native_namespaces,
            concurrency,
            objects: CacheBounds::from_bytes(namespace_objects_bytes),
            endpoints,
            work,
            watches: Some(watches),
        };
        let stop = shutdown.subscribe();
        tokio::spawn(controllers::run(client, store, metrics, shared, options, stop))
    }
}
