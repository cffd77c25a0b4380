//! The controllers: they bring the store and the native Secrets to what the custom resources say.
//!
//! One kind, one folder, and in each the same four verbs: observe, plan, apply, report. What is decided is
//! decided in `strongroom_rules`. There are no finalizers and no owner references: a deletion is noticed as
//! an absence (`deletion`).

mod adoption;
mod ca_bundle;
pub(crate) mod cache_quota;
mod cached_object;
mod certificates;
pub(crate) mod cluster;
mod compressed_text;
mod consumers;
mod declarations;
mod deletion;
mod encryption_key;
mod expected_status;
mod failing;
mod fair_queue;
mod identity;
mod left_out;
pub(crate) mod managed_secret;
pub(crate) mod metrics;
mod outline;
mod purge;
mod refusals;
mod repairs;
mod report;
mod resync;
mod retry;
mod rewrap;
mod rotation_schedule;
mod secret_policy;
mod watches;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::{FutureExt, Stream, StreamExt};
use kube::Client;
use kube::runtime::controller::{self, Action, Config};
use kube::runtime::reflector::{self, ObjectRef, Store};
use strongroom_crds::v1alpha1::{ManagedSecret, ManagedSecretStatus, RotationSchedule};
use strongroom_process::{WorkError, WorkPool};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::ca_bundle::BundleNamespaces;
use self::cache_quota::CacheQuota;
use self::cached_object::CachedObject;
use self::certificates::Certificates;
use self::cluster::ClusterCache;
use self::declarations::Declarations;
use self::deletion::DeletionSignals;
use self::encryption_key::KeyQueue;
use self::expected_status::ExpectedStatus;
use self::fair_queue::FairQueue;
use self::left_out::LeftOut;
use self::managed_secret::Failure;
use self::managed_secret::replace::PendingReplacements;
use self::metrics::Metrics;
use self::refusals::GenerationRefusals;
use self::repairs::Contests;
use self::retry::Backoff;
use self::secret_policy::WritePace;
use crate::attestation::PendingAttestations;
use crate::cluster_keys::ClusterKeys;
use crate::consumers::ConsumerIndex;
use crate::delivery_policy::DeliveryPolicyIndex;
use crate::external_sources::ExternalSourceIndex;
use crate::kube::EventWriter;
use crate::kube::watch::WatchThread;
use crate::large_objects::LargeObjectLimiter;
use crate::policies::Policies;
use crate::store_handle::StoreHandle;

/// How the controllers run.
#[derive(Clone, Debug)]
pub(crate) struct ControllerOptions {
    /// The namespace that this process lives in, where `strongroom-deletions` is.
    pub(crate) own_namespace: String,
    /// The namespaces of node plugins, which are told what to trust as soon as they are there.
    pub(crate) node_namespaces: Vec<String>,
    /// The namespaces whose native Secrets may be read; empty: all.
    pub(crate) native_namespaces: Vec<String>,
    /// How many objects of one kind are worked on at once.
    pub(crate) concurrency: u16,
    /// What one namespace's objects may take of memory.
    pub(crate) objects: cache_quota::CacheBounds,
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
    /// What clients must trust, which the API says.
    pub(crate) bundle: watch::Receiver<String>,
}

/// What every reconcile has at hand.
pub(crate) struct Ctx {
    pub(crate) client: Client,
    pub(crate) store: StoreHandle,
    pub(crate) options: ControllerOptions,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) events: EventWriter,
    pub(crate) managed_secrets: Store<CachedObject<ManagedSecret>>,
    /// What the objects of each namespace take.
    pub(crate) cache_quota: CacheQuota,
    /// Those that have no room.
    pub(crate) left_out: LeftOut,
    /// Large objects that are worked on.
    under_way: LargeObjectLimiter,
    pub(crate) cluster: ClusterCache,
    pub(crate) backoff: Backoff,
    /// Which ManagedSecret is looked at next.
    fair_queue: FairQueue<ObjectRef<CachedObject<ManagedSecret>>>,
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
    fn new(
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
            managed_secrets,
            cluster: ClusterCache::default(),
            backoff: Backoff::default(),
            contests: Contests::default(),
            replacing: PendingReplacements::default(),
            expected_status: ExpectedStatus::default(),
            deletion_signals: DeletionSignals::default(),
            key_deletion_signals: DeletionSignals::default(),
            keys: KeyQueue::default(),
            policies,
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

/// Where other events put the objects that have to be looked at.
#[derive(Clone, Debug)]
struct Triggers {
    managed_secrets: UnboundedSender<ObjectRef<CachedObject<ManagedSecret>>>,
    schedules: UnboundedSender<ObjectRef<CachedObject<RotationSchedule>>>,
}

impl Triggers {
    /// Has a ManagedSecret looked at. A closed channel means that the process ends.
    fn managed_secret(&self, namespace: &str, name: &str) {
        let _ = self
            .managed_secrets
            .unbounded_send(ObjectRef::new(name).within(namespace));
    }

    /// Has a RotationSchedule looked at.
    fn schedule(&self, namespace: &str, name: &str) {
        let _ = self
            .schedules
            .unbounded_send(ObjectRef::new(name).within(namespace));
    }
}

/// Runs all controllers until `stop` turns true; what is under way then is finished.
pub(crate) async fn run(
    client: Client,
    store: StoreHandle,
    metrics: Arc<Metrics>,
    api: GatewayShared,
    options: ControllerOptions,
    stop: watch::Receiver<bool>,
) {
    let (managed_secrets, managed_secrets_writer) = reflector::store();
    let (schedules, schedules_writer) = reflector::store();
    let (managed_secret_trigger, managed_secret_triggered) = unbounded();
    let (schedule_trigger, schedule_triggered) = unbounded();
    let triggers = Triggers {
        managed_secrets: managed_secret_trigger,
        schedules: schedule_trigger,
    };
    let (secret_policies, secret_policies_writer) = reflector::store();
    let (encryption_keys, encryption_keys_writer) = reflector::store();
    let mut ctx = Ctx::new(
        client,
        store,
        options,
        metrics,
        managed_secrets.clone(),
        (api.policies, api.declared.clone()),
        (api.cluster_keys, api.terms, api.consumers),
    );
    ctx.declarations = Declarations::new(api.pending_attestations);
    let ctx = Arc::new(ctx);

    secret_policy::keep::find(&ctx).await;
    declarations::begin(&ctx).await;
    let managed_secret_queue = futures::stream::select(
        watches::managed_secrets(Arc::clone(&ctx), managed_secrets_writer, triggers.clone()),
        futures::stream::select(
            futures::stream::select(
                managed_secret_triggered,
                futures::stream::iter(ctx.certificates.queue()).flatten(),
            ),
            futures::stream::iter(api.declared.take_changes())
                .flatten()
                .map(|(namespace, name)| ObjectRef::new(&name).within(&namespace)),
        ),
    );
    let schedule_queue = futures::stream::select(
        watches::schedules(Arc::clone(&ctx), schedules_writer, triggers.clone()),
        schedule_triggered,
    );
    let policy_queue = secret_policy::watch::secret_policies(Arc::clone(&ctx), secret_policies_writer);
    let encryption_keys_listed = encryption_keys.clone();
    let key_queue = futures::stream::select(
        encryption_key::watch::encryption_keys(Arc::clone(&ctx), encryption_keys_writer, triggers.clone()),
        futures::stream::iter(ctx.keys.queue()).flatten(),
    );
    let managed_secret_runs = Runs {
        ctx: Arc::clone(&ctx),
        kind: "ManagedSecret",
        fair_queue: ctx.fair_queue.clone(),
        cache: managed_secrets,
        pace: Pace::InTurn,
    }
    .over(managed_secret_queue, stop.clone(), managed_secret::reconcile);
    let schedule_runs = Runs {
        ctx: Arc::clone(&ctx),
        kind: "RotationSchedule",
        fair_queue: FairQueue::new(ctx.options.concurrency),
        cache: schedules,
        pace: Pace::Gathering,
    }
    .over(schedule_queue, stop.clone(), rotation_schedule::reconcile);
    let policy_runs = Runs {
        ctx: Arc::clone(&ctx),
        kind: "SecretPolicy",
        fair_queue: FairQueue::new(ctx.options.concurrency),
        cache: secret_policies,
        pace: Pace::InTurn,
    }
    .over(policy_queue, stop.clone(), secret_policy::reconcile);
    let key_runs = Runs {
        ctx: Arc::clone(&ctx),
        kind: "EncryptionKey",
        fair_queue: FairQueue::new(ctx.options.concurrency),
        cache: encryption_keys,
        pace: Pace::Gathering,
    }
    .over(key_queue, stop.clone(), encryption_key::reconcile);
    // Policies come into force whatever else is under way: their watch and their reports are a task of their
    // own.
    let mut policy_task = JoinSet::new();
    let policy_stop = stop.clone();
    // These can be repeated whole, so nothing of them has to be finished; and without their kind in the
    // cluster they would never end.
    policy_task.spawn(async move {
        let _ = futures::future::select(Box::pin(policy_runs), Box::pin(stopped(policy_stop))).await;
    });
    let policy_runs = ended_task(policy_task);
    let key_runs = futures::future::select(Box::pin(key_runs), Box::pin(stopped(stop.clone())));

    let resync = resync::run(Arc::clone(&ctx), triggers.clone());
    let pods = consumers::pods(Arc::clone(&ctx));
    let consumers = consumers::run(Arc::clone(&ctx), triggers.clone());
    let side_watches = watches::run(Arc::clone(&ctx), triggers);
    let deletions = async {
        if ctx.managed_secrets.wait_until_ready().await.is_ok() {
            deletion::run(Arc::clone(&ctx), deletion::OwnerKind::ManagedSecret).await;
        }
    };
    let key_deletions = async {
        if encryption_keys_listed.wait_until_ready().await.is_ok() {
            deletion::run(Arc::clone(&ctx), deletion::OwnerKind::EncryptionKey).await;
        }
    };
    let adoption = async {
        if ctx.managed_secrets.wait_until_ready().await.is_ok() {
            adoption::run(Arc::clone(&ctx)).await;
        }
    };
    // What else of the release speaks to the API lives in the same namespace, or is a node plugin.
    ctx.bundles.want(&ctx.options.own_namespace);
    let bundles = ca_bundle::run(Arc::clone(&ctx), api.bundle);
    // The queues end with `stop`; what only feeds them is dropped then.
    tokio::select! {
        _ = futures::future::join4(managed_secret_runs, schedule_runs, policy_runs, key_runs) => {}
        () = side_watches => {}
        () = futures::future::join(deletions, key_deletions).map(drop) => {}
        () = rewrap::run(Arc::clone(&ctx)) => {}
        () = resync => {}
        () = futures::future::join(pods, consumers).map(drop) => {}
        () = bundles => {}
        () = purge::run(Arc::clone(&ctx)) => {}
        () = adoption => {}
        () = secret_policy::keep::run(Arc::clone(&ctx)) => {}
        () = declarations::run(Arc::clone(&ctx)) => {}
    }
}

/// The end of the one task of a set. What it dies of, the controllers die of, and the process with them.
async fn ended_task(mut task: JoinSet<()>) {
    if let Some(Err(error)) = task.join_next().await
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// Ends when `stop` turns true, or its sender is gone: then nobody can stop us any more, because the process
/// ends.
async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The queue until [`stopped`].
fn until_stopped<T>(
    queue: impl Stream<Item = T>,
    stop: watch::Receiver<bool>,
) -> impl Stream<Item = Result<T, Infallible>> {
    queue.take_until(Box::pin(stopped(stop))).map(Ok)
}

/// When an object that something happened to is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// As soon as those that came before it were.
    InTurn,
    /// When nothing more has happened to it for a second: many objects that change at once change the status
    /// of a schedule or a key once.
    Gathering,
}

/// The reconciles of one kind.
struct Runs<K: kube::Resource<DynamicType = ()> + 'static> {
    ctx: Arc<Ctx>,
    kind: &'static str,
    fair_queue: FairQueue<ObjectRef<CachedObject<K>>>,
    cache: Store<CachedObject<K>>,
    pace: Pace,
}

impl<K: kube::Resource<DynamicType = ()> + 'static> Runs<K> {
    /// Reconciles what the queue names until [`stopped`]; what is under way then is finished.
    async fn over<F>(
        self,
        queue: impl Stream<Item = ObjectRef<CachedObject<K>>> + Send + 'static,
        stop: watch::Receiver<bool>,
        reconcile: fn(Arc<CachedObject<K>>, Arc<Ctx>) -> F,
    ) where
        F: Future<Output = Result<Action, Failure>> + Send + 'static,
    {
        let Self {
            ctx,
            kind,
            fair_queue,
            cache,
            pace,
        } = self;
        let waiting = Arc::clone(&ctx);
        let queue = queue.inspect(move |object| waits(&waiting.metrics, kind, object));
        let config = Config::default().concurrency(ctx.options.concurrency);
        let (queue, config) = match pace {
            // How many are worked on is decided there.
            Pace::InTurn => (
                fair_queue.clone().in_turn(queue).left_stream(),
                config.concurrency(ctx.options.concurrency.saturating_add(fair_queue::MAX_ASIDE)),
            ),
            Pace::Gathering => (
                queue.right_stream(),
                config.debounce(std::time::Duration::from_secs(1)),
            ),
        };
        controller::applier(
            move |object: Arc<CachedObject<K>>, ctx: Arc<Ctx>| {
                taken(&ctx.metrics, kind, &ObjectRef::from_obj(object.as_ref()));
                reconcile(object, ctx).boxed()
            },
            // After a failure: wait as its class says, longer each time; what only another spec can mend
            // waits for that.
            |object: Arc<CachedObject<K>>, failure: &Failure, ctx: Arc<Ctx>| {
                let uid = kube::Resource::meta(object.as_ref())
                    .uid
                    .clone()
                    .unwrap_or_default();
                failure
                    .wait(&ctx.backoff, &uid)
                    .map_or_else(Action::await_change, Action::requeue)
            },
            Arc::clone(&ctx),
            cache,
            until_stopped(queue, stop),
            config,
        )
        .for_each(|outcome| {
            if let Some(object) = ended(&ctx.metrics, kind, outcome) {
                fair_queue.done(&object);
            }
            std::future::ready(())
        })
        .await;
    }
}

fn waits<K: reflector::Lookup>(metrics: &Metrics, kind: &'static str, object: &ObjectRef<K>) {
    metrics.waits(
        kind,
        object.namespace.as_deref().unwrap_or_default(),
        &object.name,
    );
}

fn taken<K: reflector::Lookup>(metrics: &Metrics, kind: &'static str, object: &ObjectRef<K>) {
    metrics.taken(
        kind,
        object.namespace.as_deref().unwrap_or_default(),
        &object.name,
    );
}

/// Each end of an attempt that is not a success is told, once, with the object that it concerns. Answers with
/// the object of any.
fn ended<K: reflector::Lookup<DynamicType = ()>>(
    metrics: &Metrics,
    kind: &'static str,
    outcome: Result<(ObjectRef<K>, Action), controller::Error<Failure, Infallible>>,
) -> Option<ObjectRef<K>> {
    let object = match outcome {
        Ok((object, action)) => {
            tracing::trace!(kind, object = ?object.name, ?action, "reconciled");
            if metrics.recovered(
                kind,
                object.namespace.as_deref().unwrap_or_default(),
                &object.name,
            ) {
                tracing::info!(kind, %object, "reconcile recovered");
            }
            return Some(object);
        }
        // Triggered and gone in the meantime: the search for absences sees to it.
        Err(controller::Error::ObjectNotFound(object)) => {
            let namespace = object.namespace.as_deref().unwrap_or_default();
            metrics.taken(kind, namespace, &object.name);
            metrics.recovered(kind, namespace, &object.name);
            tracing::debug!(kind, %object, "object gone");
            object
        }
        Err(controller::Error::ReconcilerFailed(failure, object)) => {
            let (class, cause) = (failure.class().name(), failure.to_string());
            let namespace = object.namespace.as_deref().unwrap_or_default();
            // Each cause once: the metric counts the object until it is well, and its condition says the
            // same.
            if metrics.failed(kind, namespace, &object.name, &cause) {
                tracing::warn!(kind, %object, class, error = cause, "reconcile failed");
            } else {
                tracing::debug!(kind, %object, class, error = cause, "reconcile failed again");
            }
            object
        }
        Err(controller::Error::QueueError(never)) => match never {},
        Err(controller::Error::RunnerError(error)) => {
            tracing::error!(kind, %error, "controller queue failed");
            return None;
        }
    };
    let reference = ObjectRef::new(&object.name);
    Some(match &object.namespace {
        Some(namespace) => reference.within(namespace),
        None => reference,
    })
}
