//! The process that owns the store: starts its parts under the lease, and ends them in order.
//!
//! Up: health port, lease, store, then admin socket, upkeep, backup, report, gateway, controllers, audit,
//! anchor.
//! Down: controllers finish what is under way, sinks save their place, the anchor is written once more, the
//! store closes, the lease goes back.

use std::sync::Arc;
use std::time::Duration;

use kube::{Client, Config};
use strongroom_process::{Check, Health, Shutdown, shutdown_on_signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ProcessSettings;
use super::audit::AuditRole;
use super::backup::BackupRole;
use super::controllers::{ControllerRole, ControllerSettings};
use super::gateway::GatewayRole;
use crate::admin::{Admin, Listener};
use crate::anchor::AnchorConfigMap;
use crate::attestation::PendingAttestations;
use crate::audit::{Destination, HeldHours};
use crate::backup::BackupSettings;
use crate::bootstrap::OpenedStore;
use crate::cluster_keys::ClusterKeys;
use crate::consumers::ConsumerIndex;
use crate::controllers::GatewayShared;
use crate::delivery_policy::DeliveryPolicyIndex;
use crate::external_sources::ExternalSourceIndex;
use crate::gateway::{GatewaySettings, ProcessContext, SharedState};
use crate::kube::watch::WatchThread;
use crate::lease::Lease;
use crate::own_secret::OwnSecret;
use crate::policies::Policies;
use crate::products::{ProductDirectoryHandle, ProductEndpoints};
use crate::serve::metrics::ControlPlaneMetrics;
use crate::serve::open::{OpenSettings, open};
use crate::serve::report::{ReportSources, Reporter};
use crate::serve::{ServeError, now, own_service, upkeep};
use crate::store_handle::StoreHandle;

/// How the process runs.
#[derive(Clone, Debug)]
pub(crate) struct StoreSettings {
    pub(crate) process: ProcessSettings,
    /// Its name among its likes.
    pub(crate) name: String,
    pub(crate) open: OpenSettings,
    pub(crate) controllers: ControllerSettings,
    pub(crate) gateway: GatewaySettings,
    /// The Service that the gateway is called by, in the process's own namespace.
    pub(crate) service: Option<String>,
    /// Where audit records go besides where they always go.
    pub(crate) sinks: Vec<Destination>,
    pub(crate) backups: BackupSettings,
}

/// Serves until asked to stop, or until it must.
///
/// # Errors
/// [`ServeError`].
pub(crate) async fn run(settings: StoreSettings) -> Result<(), ServeError> {
    let ProcessSettings {
        namespace,
        http_listen,
    } = settings.process.clone();
    let shutdown = shutdown_on_signal()?;
    let (metrics, registry) = ControlPlaneMetrics::register();
    let health = Health::default();
    health.set("lease", Check::Waiting("not taken yet".to_owned()));
    health.set("store", Check::Waiting("not open yet".to_owned()));
    health.set("gateway", Check::Waiting("not serving yet".to_owned()));
    let port = tokio::spawn(strongroom_process::serve(
        http_listen,
        health.clone(),
        Arc::new(registry),
        shutdown.clone(),
        |address| tracing::info!(%address, "serving health and metrics"),
    ));

    let mut config = Config::infer().await?;
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    // A refused request is ours to repeat, with our own patience: kube's retries would hold it for minutes.
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
    let opened = tokio::select! {
        opened = open(&settings.open, &client, &namespace, &anchor, lease.transitions(), &health) => opened?,
        lost = lease.renew_until_lost() => return Err(lost.into()),
        () = shutdown.wait() => {
            lease.release().await;
            return Ok(());
        }
    };
    health.set("store", Check::Ready);
    tracing::info!(store = %opened.store.id(), epoch = opened.store.epoch(), public_key = %opened.store.audit_public_key(), "store opened");

    let parts = StoreParts {
        settings,
        client,
        namespace,
        anchor,
        metrics,
        watches,
        health,
    };
    let ended = tokio::select! {
        ended = parts.run(opened, shutdown.clone()) => ended,
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

/// What runs on the open store.
struct StoreParts {
    settings: StoreSettings,
    client: Client,
    namespace: String,
    anchor: AnchorConfigMap,
    metrics: ControlPlaneMetrics,
    watches: Arc<WatchThread>,
    health: Health,
}

impl StoreParts {
    async fn run(self, opened: OpenedStore, shutdown: Shutdown) -> Result<(), ServeError> {
        let Self {
            settings,
            client,
            namespace,
            anchor,
            metrics,
            watches,
            health,
        } = self;
        let StoreSettings {
            // That is taken care of.
            process: _,
            name,
            open,
            controllers,
            gateway,
            service,
            sinks,
            backups: BackupSettings {
                backups,
                reserved_secrets,
            },
        } = settings;
        let store = opened.store;
        let listener = Listener::bind(&open.dir)?;
        let admin = Admin {
            store: store.clone(),
            root: Arc::clone(&opened.root),
            opened_by: open.source.kind(),
            now,
        };
        let admin = tokio::spawn(admin.serve(listener, shutdown.subscribe()));
        let upkeep = tokio::spawn(upkeep::run(
            store.clone(),
            metrics.process.clone(),
            shutdown.clone(),
        ));
        let backup = BackupRole {
            plan: backups,
            store: store.clone(),
            root: opened.root,
            client: client.clone(),
            namespace: namespace.clone(),
            metrics: metrics.backup,
        };
        let mut last = vec![
            ("admin".to_owned(), admin),
            ("upkeep".to_owned(), upkeep),
            ("backup".to_owned(), backup.start(&shutdown)),
        ];

        let (policies, declared) = (Policies::default(), ExternalSourceIndex::default());
        let (cluster_keys, terms) = (ClusterKeys::default(), DeliveryPolicyIndex::default());
        let (held, pending_attestations) = (HeldHours::default(), PendingAttestations::default());
        let consumers = ConsumerIndex::new(jiff::Timestamp::now());
        let products = ProductDirectoryHandle::default();
        let dedicated = gateway.dedicated.iter();
        let own_sinks = sinks.iter().filter_map(Destination::product_sink);
        let endpoints = ProductEndpoints::new(
            dedicated.map(|gateway| (gateway.name.to_string(), gateway.products.clone())),
            own_sinks.map(|(name, product, backlog)| (name.to_owned(), product.clone(), backlog.clone())),
        );
        let (bundle_sender, bundle) = watch::channel(String::new());
        let node_namespaces = gateway
            .node_accounts
            .iter()
            .filter_map(|account| account.namespace().map(str::to_owned))
            .collect();
        let own = own_service::own_namespace(&client, &namespace).await?;
        let sealing = OwnSecret::new(
            store.clone(),
            (namespace.clone(), own.clone()),
            "strongroom!sealing",
            "the keys for sealed values in manifests",
        );
        cluster_keys
            .keep(sealing, store.id().to_string(), shutdown.clone())
            .await;
        let sources = ReportSources {
            store: store.clone(),
            process: metrics.process.clone(),
            audit: metrics.audit.clone(),
            gateway: metrics.gateway.clone(),
            controllers: Arc::clone(&metrics.controllers),
        };
        let reporter = Reporter::new(sources, held.clone(), client.clone(), &namespace);
        last.push(("report".to_owned(), tokio::spawn(reporter.run(shutdown.clone()))));
        let gateway = GatewayRole {
            settings: gateway,
            service,
            client: client.clone(),
            store: store.clone(),
            shared: SharedState {
                policies: policies.clone(),
                declared: declared.clone(),
                cluster_keys: cluster_keys.clone(),
                terms: terms.clone(),
                consumers: consumers.clone(),
                products: products.clone(),
                held: held.clone(),
                pending_attestations: pending_attestations.clone(),
            },
            process: ProcessContext {
                namespace: (namespace.clone(), own),
                bundle: bundle_sender,
                health,
                metrics: metrics.gateway,
            },
        };
        let mut gateway = gateway.start(&shutdown).await;
        let controllers = ControllerRole {
            settings: controllers,
            client: client.clone(),
            store: StoreHandle::new(store.clone()),
            metrics: metrics.controllers,
            shared: GatewayShared {
                policies,
                declared,
                cluster_keys,
                terms,
                consumers,
                pending_attestations,
                products,
                bundle,
            },
            own_namespace: namespace,
            reserved_secrets,
            node_namespaces,
            endpoints,
            work: metrics.work,
            watches,
        };
        let mut controllers = controllers.start(&shutdown);
        // Sinks and anchor go on until the controllers have finished.
        let after = Shutdown::default();
        let audit = AuditRole {
            sinks,
            client,
            store: store.clone(),
            metrics: metrics.audit,
            held,
            instance: name,
        };
        last.extend(audit.start(&after));
        let numbers = metrics.process;
        let anchored = move |counter| numbers.anchored(counter);
        let anchor = tokio::spawn(anchor.follow(store.clone(), anchored, after.subscribe()));
        last.push(("anchor".to_owned(), anchor));

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
            broke = &mut controllers => match broke {
                Ok(run) => ended = run.map_err(ServeError::from),
                Err(error) => tracing::error!(%error, "controllers failed"),
            }
        }
        shutdown.begin();
        after.begin();
        let stopped = tokio::time::timeout(Duration::from_secs(6), wait_for(&mut gateway)).await;
        if stopped.is_err() {
            tracing::warn!(task = "gateway", "shutdown timed out");
        }
        for (task, running) in last {
            if tokio::time::timeout(Duration::from_secs(5), running)
                .await
                .is_err()
            {
                tracing::warn!(task, "shutdown timed out");
            }
        }
        let closing = store.clone();
        // The writer thread finishes what is queued.
        let _ = tokio::task::spawn_blocking(move || closing.close()).await;
        tracing::info!("store closed");
        ended
    }
}

/// Waits for the end of a task, which may have been told before.
async fn wait_for<T>(task: &mut JoinHandle<T>) {
    if !task.is_finished() {
        let _ = task.await;
    }
}
