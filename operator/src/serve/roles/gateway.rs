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
    /// The Service that the shared gateway is called by, in the process's own namespace.
    pub(super) service: Option<String>,
    pub(super) client: Client,
    pub(super) store: Store,
    pub(super) shared: SharedState,
    pub(super) process: ProcessContext,
}

impl GatewayRole {
    /// Starts it, once the names of its Services are known: they stand in the one certificate of all
    /// gateways. It ends with the shutdown.
    pub(super) async fn start(self, shutdown: &Shutdown) -> JoinHandle<Result<(), GatewayError>> {
        let Self {
            mut settings,
            service,
            client,
            store,
            shared,
            process,
        } = self;
        let (own, _) = &process.namespace;
        let mut names = Vec::new();
        for service in service.iter().chain(settings.dedicated.services()) {
            names.extend(own_service::names(&client, own, service).await);
        }
        names.extend(settings.dedicated.names().cloned());
        // Gateways may share a name.
        for name in names {
            if !settings.names.contains(&name) {
                settings.names.push(name);
            }
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
