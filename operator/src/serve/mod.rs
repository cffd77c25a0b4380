//! The process: starts its parts under the lease, and ends them in order.
//!
//! Up: health port, lease, store, then controllers, sinks, anchor, admin socket, upkeep. Down: controllers
//! finish what is under way, sinks save their place, the anchor is written once more, the store closes, the
//! lease goes back. Must not decide anything about a secret.

mod metrics;
mod own_service;
pub(crate) mod storeless;
mod upkeep;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::{Client, Config};
use strongroom_model::time::Timestamp;
use strongroom_process::{Check, Health, Shutdown, shutdown_on_signal};
use strongroom_store::audit::RetentionLimits;
use strongroom_store::vault::Quota;
use tokio::sync::watch;

use self::metrics::ControlPlaneMetrics;
use crate::admin::{Admin, AdminError, Listener};
use crate::anchor::AnchorConfigMap;
use crate::attestation::PendingAttestations;
use crate::audit::{self, AuditExporter, AuditRetention, Destination, HeldHours, SinkContext};
use crate::bootstrap::{AcceptFlags, Bootstrap, OpenedStore, StartError};
use crate::cluster_keys::ClusterKeys;
use crate::consumers::ConsumerIndex;
use crate::controllers;
use crate::delivery_policy::DeliveryPolicyIndex;
use crate::external_sources::ExternalSourceIndex;
use crate::gateway::{self, GatewayError};
use crate::kube::in_words;
use crate::kube::watch::{WatchThread, WatchThreadError};
use crate::lease::{Lease, LeaseError};
use crate::own_secret::OwnSecret;
use crate::policies::Policies;
use crate::seal::SealSource;
use crate::store_handle::{StoreHandle, store_time};

/// How the process runs.
#[derive(Clone, Debug)]
pub(crate) struct ServeSettings {
    /// The store's place.
    pub(crate) dir: PathBuf,
    /// The process's own namespace; that of its account where absent.
    pub(crate) namespace: Option<String>,
    /// Its name among its likes.
    pub(crate) name: String,
    /// What opens the seal.
    pub(crate) source: SealSource,
    /// Whether each commit is anchored before it is acknowledged.
    pub(crate) strict_anchor: bool,
    /// What a person accepts.
    pub(crate) accept: AcceptFlags,
    /// The engine's page cache in bytes.
    pub(crate) cache_bytes: usize,
    /// Objects of one kind reconciled at once.
    pub(crate) concurrency: u16,
    /// Memory for the ManagedSecrets of one namespace, in bytes.
    pub(crate) namespace_objects_bytes: usize,
    /// Namespaces of native Secrets; empty: all.
    pub(crate) native_namespaces: Vec<String>,
    /// The health and metrics port.
    pub(crate) http_listen: SocketAddr,
    /// The API.
    pub(crate) gateway: gateway::GatewaySettings,
    /// The Service that it is called by, in the process's own namespace.
    pub(crate) service: Option<String>,
    /// Where audit records go besides where they always go.
    pub(crate) sinks: Vec<Destination>,
    /// How much of the audit is kept.
    pub(crate) audit: RetentionLimits,
    /// What one namespace may have of the store.
    pub(crate) quota: Option<Quota>,
}

/// The process ended other than by being asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// No way to the API server is configured.
    #[error("the cluster configuration cannot be read: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// No client.
    #[error("the client for the API server cannot be created: {}", in_words(.0))]
    Client(#[from] Box<kube::Error>),
    /// The watches' thread.
    #[error(transparent)]
    Watches(#[from] WatchThreadError),
    /// Signals cannot be watched.
    #[error("signals cannot be handled: {0}")]
    Signals(#[from] std::io::Error),
    /// The health port.
    #[error(transparent)]
    Health(#[from] strongroom_process::ServerError),
    #[error(transparent)]
    Lease(#[from] LeaseError),
    #[error(transparent)]
    Start(#[from] StartError),
    /// The admin socket.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The API.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

/// The wall clock of the process: the one place that reads it for the store.
pub(crate) fn now() -> Timestamp {
    store_time(jiff::Timestamp::now())
}

/// Serves until asked to stop, or until it must.
pub(crate) async fn run(settings: ServeSettings) -> Result<(), ServeError> {
    let shutdown = shutdown_on_signal()?;
    let (metrics, registry) = ControlPlaneMetrics::register();
    let health = Health::default();
    health.set("lease", Check::Waiting("not taken yet".to_owned()));
    health.set("store", Check::Waiting("not open yet".to_owned()));
    health.set("gateway", Check::Waiting("not serving yet".to_owned()));
    let port = tokio::spawn(strongroom_process::serve(
        settings.http_listen,
        health.clone(),
        Arc::new(registry),
        shutdown.clone(),
        |address| tracing::info!(%address, "serving health and metrics"),
    ));

    let config = Config::infer().await?;
    let namespace = settings
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    // A refused request is ours to repeat, with our own patience: kube's retries would hold it for minutes.
    let mut config = config;
    config.default_retry = false;
    let client = Client::try_from(config.clone()).map_err(Box::new)?;
    let watches = Arc::new(WatchThread::start(config)?);

    let waiting = |why| health.set("lease", Check::Waiting(why));
    let lease = tokio::select! {
        lease = Lease::take(client.clone(), &namespace, &settings.name, waiting) => lease,
        () = shutdown.wait() => return Ok(()),
    };
    health.set("lease", Check::Ready);
    metrics.process.lease_held(true);
    tracing::info!(transitions = lease.transitions(), "lease acquired");

    let anchor = AnchorConfigMap::new(client.clone(), &namespace);
    let started = tokio::select! {
        started = start(&settings, &client, &namespace, &anchor, lease.transitions(), &health) => started?,
        lost = lease.renew_until_lost() => return Err(lost.into()),
        () = shutdown.wait() => {
            lease.release().await;
            return Ok(());
        }
    };
    health.set("store", Check::Ready);
    tracing::info!(store = %started.store.id(), epoch = started.store.epoch(), public_key = %started.store.audit_public_key(), "store opened");

    let components = Components {
        settings,
        client,
        namespace,
        anchor,
        metrics,
        watches,
        health: health.clone(),
    };
    let ended = tokio::select! {
        ended = components.run(started, shutdown.clone()) => ended,
        lost = lease.renew_until_lost() => {
            // Another process may be writing by now: the fence keeps ours out, and nothing is worth
            // finishing.
            tracing::error!(error = %lost, "lease lost");
            return Err(lost.into());
        }
    };
    lease.release().await;
    shutdown.begin();
    if let Ok(served) = port.await {
        served?;
    }
    ended
}

/// Opens the store; while the API server is away, waits for it.
async fn start(
    settings: &ServeSettings,
    client: &Client,
    namespace: &str,
    anchor: &AnchorConfigMap,
    epoch: u64,
    health: &Health,
) -> Result<OpenedStore, StartError> {
    loop {
        let bootstrap = Bootstrap {
            client: client.clone(),
            namespace,
            dir: &settings.dir,
            source: &settings.source,
            anchor,
            accept: settings.accept,
            epoch,
            cache_bytes: settings.cache_bytes,
            strict_anchor: settings.strict_anchor.then(|| anchor.strict()),
            audit: settings.audit,
            quota: settings.quota,
            now: now(),
        };
        match bootstrap.start().await {
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "store open failed");
                health.set("store", Check::Waiting(error.to_string()));
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            other => return other,
        }
    }
}

/// What runs on the open store.
struct Components {
    settings: ServeSettings,
    client: Client,
    namespace: String,
    anchor: AnchorConfigMap,
    metrics: ControlPlaneMetrics,
    watches: Arc<WatchThread>,
    health: Health,
}

impl Components {
    async fn run(self, started: OpenedStore, shutdown: Shutdown) -> Result<(), ServeError> {
        let store = started.store;
        let listener = Listener::bind(&self.settings.dir)?;
        let admin = Admin {
            store: store.clone(),
            root: started.root,
            opened_by: self.settings.source.kind(),
            now,
        };
        let admin = tokio::spawn(admin.serve(listener, shutdown.subscribe()));
        let upkeep = tokio::spawn(upkeep::run(
            store.clone(),
            self.metrics.process.clone(),
            shutdown.clone(),
        ));
        let (policies, declared) = (Policies::default(), ExternalSourceIndex::default());
        let (cluster_keys, terms) = (ClusterKeys::default(), DeliveryPolicyIndex::default());
        let (held, pending_attestations) = (HeldHours::default(), PendingAttestations::default());
        let consumers = ConsumerIndex::new(jiff::Timestamp::now());
        let (bundle_sender, bundle) = watch::channel(String::new());
        let mut gateway_settings = self.settings.gateway;
        let node_namespaces = gateway_settings
            .node_accounts
            .iter()
            .filter_map(|account| account.namespace().map(str::to_owned))
            .collect();
        let own = own_service::own_namespace(&self.client, &self.namespace).await?;
        if let Some(service) = &self.settings.service {
            gateway_settings
                .names
                .extend(own_service::names(&self.client, &self.namespace, service).await);
        }
        let sealing = OwnSecret::new(
            store.clone(),
            (self.namespace.clone(), own.clone()),
            "strongroom!sealing",
            "the keys for sealed values in manifests",
        );
        cluster_keys
            .keep(sealing, store.id().to_string(), shutdown.clone())
            .await;
        let mut gateway = tokio::spawn(gateway::run(
            gateway_settings,
            self.client.clone(),
            store.clone(),
            gateway::SharedState {
                policies: policies.clone(),
                declared: declared.clone(),
                cluster_keys: cluster_keys.clone(),
                terms: terms.clone(),
                consumers: consumers.clone(),
                held: held.clone(),
                pending_attestations: pending_attestations.clone(),
            },
            gateway::ProcessContext {
                namespace: (self.namespace.clone(), own),
                bundle: bundle_sender,
                health: self.health.clone(),
                refusals: self.metrics.refusals,
            },
            shutdown.clone(),
        ));
        let options = controllers::ControllerOptions {
            own_namespace: self.namespace,
            node_namespaces,
            native_namespaces: self.settings.native_namespaces,
            concurrency: self.settings.concurrency,
            objects: controllers::cache_quota::CacheBounds::from_bytes(self.settings.namespace_objects_bytes),
            work: self.metrics.work,
            watches: Some(self.watches),
        };
        let controllers = tokio::spawn(controllers::run(
            self.client.clone(),
            StoreHandle::new(store.clone()),
            self.metrics.controllers,
            controllers::GatewayShared {
                policies,
                declared,
                cluster_keys,
                terms,
                consumers,
                pending_attestations,
                bundle,
            },
            options,
            shutdown.subscribe(),
        ));
        // Sinks and anchor go on until the controllers have finished.
        let after = Shutdown::default();
        let mut last = vec![admin, upkeep];
        let context = SinkContext {
            client: self.client,
            store: store.clone(),
            instance: self.settings.name,
            metrics: self.metrics.audit.clone(),
        };
        let destinations = audit::destinations(self.settings.sinks, &context);
        let keeper = AuditRetention {
            store: store.clone(),
            destinations: destinations.clone(),
            now,
            metrics: self.metrics.audit.log(),
            held,
        };
        last.push(tokio::spawn(keeper.run(after.subscribe())));
        for destination in destinations {
            let exporter = AuditExporter {
                store: store.clone(),
                metrics: self.metrics.audit.sink(&destination.to_string()),
                destination,
                now,
            };
            last.push(tokio::spawn(exporter.run(after.subscribe())));
        }
        let numbers = self.metrics.process;
        let anchored = move |counter| numbers.anchored(counter);
        last.push(tokio::spawn(self.anchor.follow(
            store.clone(),
            anchored,
            after.subscribe(),
        )));

        let mut controllers = controllers;
        let mut ended = Ok(());
        tokio::select! {
            () = shutdown.wait() => {
                // What is under way is finished within this time, or the next start does it.
                if tokio::time::timeout(Duration::from_secs(10), &mut controllers).await.is_err() {
                    tracing::warn!(task = "controllers", "shutdown timed out");
                    controllers.abort();
                }
            }
            served = &mut gateway => {
                match served {
                    Ok(served) => ended = served.map_err(ServeError::from),
                    Err(error) => tracing::error!(%error, "gateway failed"),
                }
                controllers.abort();
            }
            broke = &mut controllers => {
                if let Err(error) = broke {
                    tracing::error!(%error, "controllers failed");
                }
            }
        }
        shutdown.begin();
        after.begin();
        if !gateway.is_finished()
            && tokio::time::timeout(Duration::from_secs(6), &mut gateway)
                .await
                .is_err()
        {
            tracing::warn!(task = "gateway", "shutdown timed out");
        }
        for task in last {
            if tokio::time::timeout(Duration::from_secs(5), task).await.is_err() {
                tracing::warn!(task = "other", "shutdown timed out");
            }
        }
        let closing = store.clone();
        // The writer thread finishes what is queued.
        let _ = tokio::task::spawn_blocking(move || closing.close()).await;
        tracing::info!("store closed");
        ended
    }
}
