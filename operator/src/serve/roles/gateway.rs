//! The API, on the open store.

use kube::Client;
use strongroom_process::Shutdown;
use strongroom_store::vault::Store;
use tokio::task::JoinHandle;

use crate::gateway::{self, GatewayError, GatewaySettings, ProcessContext, SharedState};
use crate::serve::own_service;

/// What the gateway is started with.
pub(super) struct GatewayRole {
    pub(super) settings: GatewaySettings,
    /// The Service that it is called by, in the process's own namespace.
    pub(super) service: Option<String>,
    pub(super) client: Client,
    pub(super) store: Store,
    pub(super) shared: SharedState,
    pub(super) process: ProcessContext,
}

impl GatewayRole {
    /// Starts it, once the names of its Service are known; it ends with the shutdown.
    pub(super) async fn start(self, shutdown: &Shutdown) -> JoinHandle<Result<(), GatewayError>> {
        let Self {
            mut settings,
            service,
            client,
            store,
            shared,
            process,
        } = self;
        if let Some(service) = &service {
            let (own, _) = &process.namespace;
            settings
                .names
                .extend(own_service::names(&client, own, service).await);
        }
        tokio::spawn(gateway::run(
            settings,
            client,
            store,
            shared,
            process,
            shutdown.clone(),
        ))
    }
}
