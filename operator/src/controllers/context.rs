//! What every reconcile uses: the client, the store, and what is remembered from one attempt to the next.

use std::fmt;
use std::sync::Arc;

use kube::Client;
use kube::runtime::reflector::{ObjectRef, Store};
use strongroom_crds::v1alpha1::{ManagedSecret, ManagedSecretStatus};
use strongroom_process::{WorkError, WorkPool};
use tokio::sync::watch;

use super::author::OwnUser;
use super::backoff::Backoff;
use super::ca_bundle::BundleNamespaces;
use super::cache_quota::{CacheBounds, CacheQuota};
use super::cached_object::CachedObject;
use super::certificates::Certificates;
use super::cluster::ClusterCache;
use super::coverage::CoverageIndex;
use super::declarations::Declarations;
use super::deletion::DeletionSignals;
use super::encryption_key::KeyQueue;
use super::left_out::LeftOut;
use super::managed_secret::replace::PendingReplacements;
use super::metrics::Metrics;
use super::refusals::GenerationRefusals;
use super::repairs::Contests;
use super::runtime::{ExpectedStatus, FairQueue, InitialList};
use super::secret_policy::WritePace;
use super::secret_product::ProductIndex;
use crate::attestation::PendingAttestations;
use crate::cluster_keys::ClusterKeys;
use crate::consumers::ConsumerIndex;
use crate::delivery_policy::DeliveryPolicyIndex;
use crate::external_sources::ExternalSourceIndex;
use crate::kube::EventWriter;
use crate::kube::watch::WatchThread;
use crate::large_objects::LargeObjectLimiter;
use crate::policies::Policies;
use crate::products::{ProductDirectoryHandle, ProductEndpoints};
use crate::store_handle::StoreHandle;

/// How the controllers run.
#[derive(Clone, Debug)]
pub(crate) struct ControllerOptions {
    /// The namespace that this process lives in, where `strongroom-deletions` is.
    pub(crate) own_namespace: String,
    /// Native Secrets of that namespace that no ManagedSecret may have or import: the process lives on them.
    pub(crate) reserved_secrets: Vec<String>,
    /// The namespaces of node plugins, which are told what to trust as soon as they are there.
    pub(crate) node_namespaces: Vec<String>,
    /// The namespaces whose native Secrets may be read; empty: all.
    pub(crate) native_namespaces: Vec<String>,
    /// How many objects of one kind are worked on at once.
    pub(crate) concurrency: u16,
    /// What one namespace's objects may take of memory.
    pub(crate) objects: CacheBounds,
    /// What the process has for products alone.
    pub(crate) endpoints: ProductEndpoints,
    /// Where values are made and rendered.
    pub(crate) work: WorkPool,
    /// Where large objects are watched; none: where everything else is done.
    pub(crate) watches: Option<Arc<WatchThread>>,
}

/// What the controllers share with the API.
#[derive(Clone, Debug)]
pub(crate) struct GatewayShared {
    /// The statements in force, which the watches bring.
    pub(crate) policies: Policies,
    /// Who takes values over the API, which the watches tell; and what was changed there.
    pub(crate) declared: ExternalSourceIndex,
    /// What opens the values that stand sealed in objects.
    pub(crate) cluster_keys: ClusterKeys,
    /// On which terms volumes have secrets, which the watches tell.
    pub(crate) terms: DeliveryPolicyIndex,
    /// Who has which version, which the watch of pods and the API tell.
    pub(crate) consumers: ConsumerIndex,
    /// Who is about to write objects, which the webhook tells.
    pub(crate) pending_attestations: PendingAttestations,
    /// The products in force, which the controllers say.
    pub(crate) products: ProductDirectoryHandle,
    /// What clients must trust, which the API says.
    pub(crate) bundle: watch::Receiver<String>,
}

/// What every reconcile uses.
pub(crate) struct Ctx {
    pub(crate) client: Client,
    pub(crate) store: StoreHandle,
    pub(crate) options: ControllerOptions,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) events: EventWriter,
    pub(crate) managed_secrets: Store<CachedObject<ManagedSecret>>,
    pub(super) managed_secrets_listed: InitialList,
    pub(super) encryption_keys_listed: InitialList,
    /// What the objects of each namespace take.
    pub(crate) cache_quota: CacheQuota,
    /// Those that have no room.
    pub(crate) left_out: LeftOut,
    /// Large objects that are worked on.
    pub(super) under_way: LargeObjectLimiter,
    pub(crate) cluster: ClusterCache,
    /// The schedules, and which of them covers which secret.
    pub(crate) coverage: CoverageIndex,
    pub(crate) backoff: Backoff,
    /// Which ManagedSecret is looked at next.
    pub(super) fair_queue: FairQueue<ObjectRef<CachedObject<ManagedSecret>>>,
    /// Values that were refused as their specs are.
    pub(crate) refusals: GenerationRefusals,
    /// Native Secrets that others change.
    pub(crate) contests: Contests,
    /// Native Secrets that are being made anew.
    pub(crate) replacing: PendingReplacements,
    /// Statuses of ManagedSecrets that the cache does not hold yet.
    pub(crate) expected_status: ExpectedStatus<ManagedSecretStatus>,
    pub(crate) deletion_signals: DeletionSignals,
    /// Absences of EncryptionKeys.
    pub(crate) key_deletion_signals: DeletionSignals,
    pub(crate) keys: KeyQueue,
    pub(crate) policies: Policies,
    /// The products in force.
    pub(crate) products: ProductDirectoryHandle,
    /// Who this process is for the API server.
    pub(crate) own_user: OwnUser,
    /// What the watches say of products.
    pub(crate) product_index: ProductIndex,
    pub(crate) declared: ExternalSourceIndex,
    pub(crate) cluster_keys: ClusterKeys,
    pub(crate) terms: DeliveryPolicyIndex,
    pub(crate) consumers: ConsumerIndex,
    pub(crate) bundles: BundleNamespaces,
    pub(crate) certificates: Certificates,
    pub(crate) declarations: Declarations,
    pub(crate) policy_writes: WritePace,
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Ctx {
    pub(super) fn new(
        client: Client,
        store: StoreHandle,
        options: ControllerOptions,
        metrics: Arc<Metrics>,
        managed_secrets: Store<CachedObject<ManagedSecret>>,
        (policies, declared): (Policies, ExternalSourceIndex),
        (cluster_keys, terms, consumers): (ClusterKeys, DeliveryPolicyIndex, ConsumerIndex),
    ) -> Self {
        Self {
            events: EventWriter::new(&client),
            fair_queue: FairQueue::new(options.concurrency),
            cache_quota: CacheQuota::new(options.objects),
            left_out: LeftOut::default(),
            under_way: LargeObjectLimiter::default(),
            refusals: GenerationRefusals::default(),
            client,
            store,
            options,
            metrics,
            coverage: CoverageIndex::new(managed_secrets.clone()),
            managed_secrets,
            managed_secrets_listed: InitialList::default(),
            encryption_keys_listed: InitialList::default(),
            cluster: ClusterCache::default(),
            backoff: Backoff::default(),
            contests: Contests::default(),
            replacing: PendingReplacements::default(),
            expected_status: ExpectedStatus::default(),
            deletion_signals: DeletionSignals::default(),
            key_deletion_signals: DeletionSignals::default(),
            keys: KeyQueue::default(),
            policies,
            products: ProductDirectoryHandle::default(),
            own_user: OwnUser::default(),
            product_index: ProductIndex::default(),
            declared,
            cluster_keys,
            terms,
            consumers,
            bundles: BundleNamespaces::default(),
            certificates: Certificates::new(jiff::Timestamp::now()),
            declarations: Declarations::default(),
            policy_writes: WritePace::default(),
        }
    }
}

impl Ctx {
    /// Does work that takes a processor for long for a ManagedSecret of this namespace. It takes nobody's
    /// place while it waits.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        namespace: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkError> {
        let _aside = self.fair_queue.aside(namespace);
        self.options.work.run(namespace, work).await
    }
}
