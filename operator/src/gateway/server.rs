//! The gateway as a part of the process: its listeners, the state that they share, and its tasks.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use prometheus_client::metrics::gauge::Gauge;
use strongroom_process::{Check, Health, Shutdown, WorkPool};
use strongroom_store::audit::Durability;
use strongroom_store::vault::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::attestations::Attestations;
use super::authenticate::Authenticator;
use super::changes::ChangeFeed;
use super::dedicated_gateway::DedicatedGateways;
use super::delivery::{self, NodeAccount, Nodes, PodClient};
use super::forwarded::ExtensionApiAccounts;
use super::labels::LabelCache;
use super::limits::Rates;
use super::listen;
use super::listener::{CertificateIssuer, CertificateSource, GatewayListener};
use super::listener_scope::ListenerScopes;
use super::manager_homes::ManagerHomes;
use super::metrics::GatewayMetrics;
use super::namespaces::Namespaces;
use super::protocols::{ATTESTATIONS, OWN};
use super::quota_reservations::QuotaReservations;
use super::recent_puts::RecentPuts;
use super::request::{AddressShares, Capacity};
use super::sealing_keys::SealingKeys;
use super::state::{Gateway, MAX_SCANS, SharedState};
use super::tls::{
    CaStore, CertificateClient, ClientCertificateRotator, ClientProcess, FileCertificate, TlsError,
};
use crate::large_objects::LargeObjectLimiter;
use crate::store_handle::StoreHandle;

/// How often gauges are set.
const PUBLISH_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);

/// How the API is served.
#[derive(Clone, Debug)]
pub(crate) struct GatewaySettings {
    /// Address and port of the shared gateway.
    pub(crate) listen: SocketAddr,
    /// DNS names and addresses that all gateways are called by.
    pub(crate) names: Vec<String>,
    /// A certificate that is given, in place of our own.
    pub(crate) certificate: Option<FileCertificate>,
    /// The gateways beside the shared one.
    pub(crate) dedicated: DedicatedGateways,
    /// The Service of the extension API in the process's own namespace, where there is one.
    pub(crate) front: Option<String>,
    /// The Service of the webhook in the process's own namespace, where there is one.
    pub(crate) webhook: Option<String>,
    /// The port where that one says who writes objects.
    pub(crate) attestations: SocketAddr,
    /// The ServiceAccounts that node plugins run as, where there are any.
    pub(crate) node_accounts: Vec<NodeAccount>,
    /// Whether ServiceAccounts may come over the extension API.
    pub(crate) front_accounts: ExtensionApiAccounts,
    /// The audience that tokens must be made for.
    pub(crate) audience: String,
    /// Requests a second at the shared gateway.
    pub(crate) rates: Rates,
    /// What one address may have of what all share who have not proven who they are.
    pub(crate) addresses: AddressShares,
    /// When the record of a read must be on disk.
    pub(crate) durability: Durability,
}

/// The API cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    /// A listener cannot have its address and port.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        address: SocketAddr,
        source: std::io::Error,
    },
    /// The certificate that it serves with cannot be made or read.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What the gateway has of the process that it runs in.
#[derive(Debug)]
pub(crate) struct ProcessContext {
    /// The namespace: name and UID.
    pub(crate) namespace: (String, String),
    /// Where it says what clients must trust.
    pub(crate) bundle: watch::Sender<String>,
    /// Where it says that it serves.
    pub(crate) health: Health,
    /// What it counts.
    pub(crate) metrics: GatewayMetrics,
}

/// Serves the API until the shutdown begins.
///
/// # Errors
/// [`GatewayError`] where it cannot begin.
pub(crate) async fn run(
    settings: GatewaySettings,
    client: Client,
    store: Store,
    shared: SharedState,
    own: ProcessContext,
    shutdown: Shutdown,
) -> Result<(), GatewayError> {
    let listeners = ListenerScopes::new(
        settings.rates,
        &settings.dedicated,
        &settings.addresses,
        &own.metrics.refusals,
    );
    // In the order of the scopes.
    let mut ports = vec![listen::bind(settings.listen).await?];
    for gateway in settings.dedicated.iter() {
        ports.push(listen::bind(gateway.listen).await?);
    }
    let attestations = match settings.webhook {
        Some(_) => Some(listen::bind(settings.attestations).await?),
        None => None,
    };
    let issuer = CertificateIssuer {
        ca_store: CaStore::new(store.clone(), own.namespace.clone()),
        bundle: own.bundle,
    };
    let certificate = match settings.certificate {
        Some(file) => CertificateSource::File(file),
        None => CertificateSource::Issued(settings.names),
    };
    let expiration = own.metrics.gauges.certificate.clone();
    let certificate = certificate.serve(expiration, &issuer, shutdown.clone()).await?;
    let ports = ports.into_iter().zip(listeners.iter());
    let ports = ports.map(|(port, scope)| GatewayListener {
        port,
        protocol: OWN,
        scope: Arc::clone(scope),
        certificate: Some(Arc::clone(&certificate)),
        client: scope
            .is_shared()
            .then(|| CertificateClient::new(ClientProcess::ExtensionApi)),
    });
    let mut ports: Vec<_> = ports.collect();
    ports.extend(attestations.map(|port| GatewayListener {
        port,
        protocol: ATTESTATIONS,
        // Whoever has not proven itself has no more room for there being two ports.
        scope: Arc::clone(&listeners.shared),
        certificate: None,
        client: Some(CertificateClient::new(ClientProcess::Webhook)),
    }));
    let clients = ports.iter().filter_map(|listener| listener.client.as_ref());
    let rotators = clients.filter_map(|holder| {
        let service = match holder.process {
            ClientProcess::ExtensionApi => settings.front.clone(),
            ClientProcess::Webhook => settings.webhook.clone(),
        };
        Some(ClientCertificateRotator {
            ca_store: issuer.ca_store.clone(),
            client: client.clone(),
            namespace: own.namespace.0.clone(),
            service: service?,
            holder: holder.clone(),
            expiration: match holder.process {
                ClientProcess::ExtensionApi => Gauge::default(),
                ClientProcess::Webhook => own.metrics.gauges.webhook_certificate.clone(),
            },
            now: Timestamp::now,
        })
    });
    let rotators: Vec<_> = rotators.collect();
    let reviews = Arc::clone(&listeners.shared.reviews);
    let authenticator = Authenticator::new(client.clone(), settings.audience, reviews);
    let node_accounts = settings
        .node_accounts
        .iter()
        .map(|account| account.identity(&own.namespace.0))
        .collect();
    let gateway = Arc::new(Gateway {
        attestations: Attestations::new(StoreHandle::new(store.clone()), shared.pending_attestations),
        policies: shared.policies,
        products: shared.products,
        reservations: QuotaReservations::default(),
        external_sources: shared.declared,
        authenticator: Arc::new(authenticator),
        namespaces: Namespaces::new(client.clone(), store.clone()),
        store,
        labels: LabelCache::new(client.clone()),
        manager_homes: ManagerHomes::new(client.clone()),
        pods: PodClient::new(client.clone()),
        client,
        listeners,
        sealing_keys: SealingKeys::default(),
        puts: RecentPuts::default(),
        scans: WorkPool::with_threads(MAX_SCANS),
        cluster_keys: shared.cluster_keys,
        durability: settings.durability,
        metrics: own.metrics,
        changes: ChangeFeed::default(),
        nodes: Nodes::new(node_accounts),
        front_accounts: settings.front_accounts,
        consumers: shared.consumers,
        delivery_policies: shared.terms,
        large_objects: LargeObjectLimiter::default(),
        audit_hours: shared.held,
        ending: shutdown.clone(),
    });
    let mut tasks = start_tasks(&gateway, &shutdown);
    for rotator in rotators {
        tasks.push(tokio::spawn(rotator.keep(shutdown.clone())));
    }
    if settings.webhook.is_some() {
        gateway.attestations.load().await;
        let (gateway, shutdown) = (Arc::clone(&gateway), shutdown.clone());
        tasks.push(tokio::spawn(async move {
            gateway.attestations.forget_expired(shutdown).await;
        }));
    }
    own.health.set("gateway", Check::Ready);
    for listener in ports {
        let serving = listener.serve(Arc::clone(&gateway), shutdown.clone());
        tasks.push(tokio::spawn(serving));
    }
    // They end with the same shutdown.
    for task in tasks {
        let _ = task.await;
    }
    Ok(())
}

/// Starts what goes on beside the listeners, until the shutdown.
fn start_tasks(gateway: &Arc<Gateway>, shutdown: &Shutdown) -> Vec<JoinHandle<()>> {
    if gateway.nodes.are_enabled() {
        let presence = Arc::clone(gateway.nodes.presence());
        presence.set_watched();
        // It ends with the same shutdown, and nobody waits for it.
        tokio::spawn(delivery::watch(
            gateway.client.clone(),
            presence,
            shutdown.clone(),
        ));
    }
    let following = gateway
        .changes
        .clone()
        .follow(gateway.store.clone(), shutdown.clone());
    vec![
        tokio::spawn(following),
        tokio::spawn(forget(Arc::clone(gateway), shutdown.clone())),
        tokio::spawn(publish(Arc::clone(gateway), shutdown.clone())),
    ]
}

/// Again and again, publishes how much there is.
async fn publish(gateway: Arc<Gateway>, shutdown: Shutdown) {
    loop {
        gateway.metrics.gauges.streams(
            gateway.shared().capacity.nodes_in_use(),
            gateway.listeners.sum(Capacity::watches_in_use),
        );
        gateway
            .metrics
            .gauges
            .volumes(gateway.consumers.volumes().counts());
        *gateway.metrics.gauges.plugin_versions.lock() = gateway
            .nodes
            .are_enabled()
            .then(|| gateway.nodes.plugin_versions());
        tokio::select! {
            () = tokio::time::sleep(PUBLISH_INTERVAL) => {}
            () = shutdown.wait() => return,
        }
    }
}

/// Every minute, forgets who has not asked for anything lately.
async fn forget(gateway: Arc<Gateway>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(std::time::Duration::from_secs(60)) => {}
            () = shutdown.wait() => return,
        }
        for listener in gateway.listeners.iter() {
            listener.limits.forget();
        }
        let bytes = |capacity: &Capacity| capacity.admission().memory().in_use();
        let bytes = gateway.listeners.sum(bytes);
        gateway.metrics.refusals.unauthenticated_bytes(bytes);
        gateway.sealing_keys.forget();
        gateway.puts.forget(Timestamp::now());
        gateway.authenticator.forget();
        gateway.consumers.readers().forget();
        gateway.consumers.changed(gateway.consumers.volumes().forget());
        gateway.namespaces.forget();
        gateway.nodes.presence().forget();
        gateway.labels.forget();
        gateway.manager_homes.forget();
    }
}
