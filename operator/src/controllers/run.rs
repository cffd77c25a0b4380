//! All controllers together: which tasks there are, and what feeds which queue. Adding a kind is a queue and
//! a task here.

use std::sync::Arc;

use futures::StreamExt;
use futures::channel::mpsc::unbounded;
use futures::stream::{self, select};
use kube::Client;
use kube::runtime::reflector::{self, ObjectRef};
use strongroom_crds::v1alpha1::{
    EncryptionKey, ManagedSecret, RotationSchedule, SecretPolicy, SecretProduct,
};
use tokio::sync::watch;

use super::context::{ControllerOptions, Ctx, GatewayShared};
use super::declarations::{self, Declarations};
use super::deletion::{self, OwnerKind};
use super::metrics::Metrics;
use super::runtime::{Driver, FairQueue, Supervisor, TaskFailure};
use super::triggers::Triggers;
use super::{
    adoption, ca_bundle, cluster_watch, consumers, encryption_key, managed_secret, purge, resync, rewrap,
    rotation_schedule, secret_policy, secret_product,
};
use crate::store_handle::StoreHandle;

/// Runs all controllers until `stop` turns true; what is under way then is finished.
///
/// # Errors
/// [`TaskFailure`]: one of the tasks ended although nobody stopped it.
pub(crate) async fn run(
    client: Client,
    store: StoreHandle,
    metrics: Arc<Metrics>,
    api: GatewayShared,
    options: ControllerOptions,
    stop: watch::Receiver<bool>,
) -> Result<(), TaskFailure> {
    let (managed_secrets, managed_secrets_writer) = reflector::store();
    let (schedules, schedules_writer) = reflector::store();
    let (secret_policies, secret_policies_writer) = reflector::store();
    let (encryption_keys, encryption_keys_writer) = reflector::store();
    let (products, products_writer) = reflector::store();
    let (managed_secret_trigger, managed_secret_triggered) = unbounded();
    let (schedule_trigger, schedule_triggered) = unbounded();
    let (policy_trigger, policy_triggered) = unbounded();
    let triggers = Triggers {
        managed_secrets: managed_secret_trigger,
        schedules: schedule_trigger,
    };
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
    ctx.products = api.products;
    let ctx = Arc::new(ctx);

    secret_policy::keep::find(&ctx).await;
    declarations::begin(&ctx).await;

    let managed_secret_queue = select(
        managed_secret::watch::managed_secrets(Arc::clone(&ctx), managed_secrets_writer, triggers.clone()),
        select(
            select(
                managed_secret_triggered,
                stream::iter(ctx.certificates.queue()).flatten(),
            ),
            stream::iter(api.declared.take_changes())
                .flatten()
                .map(|(namespace, name)| ObjectRef::new(&name).within(&namespace)),
        ),
    );
    let schedule_queue = select(
        rotation_schedule::watch::schedules(Arc::clone(&ctx), schedules_writer, triggers.clone()),
        schedule_triggered,
    );
    let key_queue = select(
        encryption_key::watch::encryption_keys(Arc::clone(&ctx), encryption_keys_writer, triggers.clone()),
        stream::iter(ctx.keys.queue()).flatten(),
    );
    let policy_queue = select(
        secret_policy::watch::secret_policies(Arc::clone(&ctx), secret_policies_writer),
        policy_triggered,
    );

    let product_queue = select(
        secret_product::secret_products(Arc::clone(&ctx), products_writer),
        stream::iter(ctx.product_index.queue()).flatten(),
    );

    let secret_driver = Driver::<ManagedSecret> {
        ctx: Arc::clone(&ctx),
        fair_queue: ctx.fair_queue.clone(),
        cache: managed_secrets,
    };
    let schedule_driver = Driver::<RotationSchedule> {
        ctx: Arc::clone(&ctx),
        fair_queue: FairQueue::new(ctx.options.concurrency),
        cache: schedules,
    };
    let key_driver = Driver::<EncryptionKey> {
        ctx: Arc::clone(&ctx),
        fair_queue: FairQueue::new(ctx.options.concurrency),
        cache: encryption_keys,
    };
    let policy_driver = Driver::<SecretPolicy> {
        ctx: Arc::clone(&ctx),
        fair_queue: FairQueue::new(ctx.options.concurrency),
        cache: secret_policies,
    };
    let product_driver = Driver::<SecretProduct> {
        ctx: Arc::clone(&ctx),
        fair_queue: FairQueue::new(ctx.options.concurrency),
        cache: products,
    };
    // What else of the release speaks to the API lives in the same namespace, or is a node plugin.
    ctx.bundles.want(&ctx.options.own_namespace);

    // Each is a task of its own: so policies come into force whatever else is under way.
    let mut tasks = Supervisor::default();
    tasks.work(
        "managed-secrets",
        secret_driver.run(managed_secret_queue, stop.clone()),
    );
    tasks.work(
        "rotation-schedules",
        schedule_driver.run(schedule_queue, stop.clone()),
    );
    tasks.work("encryption-keys", key_driver.run(key_queue, stop.clone()));
    tasks.work("secret-policies", policy_driver.run(policy_queue, stop.clone()));
    tasks.work("secret-products", product_driver.run(product_queue, stop.clone()));
    tasks.feed(
        "product-directory",
        secret_product::run(Arc::clone(&ctx), triggers.clone()),
    );
    tasks.feed(
        "cluster-watches",
        cluster_watch::run(Arc::clone(&ctx), triggers.clone()),
    );
    tasks.feed("pods", consumers::pods(Arc::clone(&ctx)));
    tasks.feed("consumers", consumers::run(Arc::clone(&ctx), triggers.clone()));
    tasks.feed("resync", resync::run(Arc::clone(&ctx), triggers));
    tasks.feed("secret-deletions", {
        let ctx = Arc::clone(&ctx);
        async move {
            ctx.managed_secrets_listed.wait().await;
            deletion::run(ctx, OwnerKind::ManagedSecret).await;
        }
    });
    tasks.feed("key-deletions", {
        let ctx = Arc::clone(&ctx);
        async move {
            ctx.encryption_keys_listed.wait().await;
            deletion::run(ctx, OwnerKind::EncryptionKey).await;
        }
    });
    tasks.feed("adoption", {
        let ctx = Arc::clone(&ctx);
        async move {
            ctx.managed_secrets_listed.wait().await;
            adoption::run(ctx).await;
        }
    });
    tasks.feed("rewrap", rewrap::run(Arc::clone(&ctx)));
    tasks.feed("purge", purge::run(Arc::clone(&ctx)));
    tasks.feed("ca-bundles", ca_bundle::run(Arc::clone(&ctx), api.bundle));
    tasks.feed(
        "ram-directory",
        secret_policy::ram_directory::run(Arc::clone(&ctx), policy_trigger),
    );
    tasks.feed("retained-policies", secret_policy::keep::run(Arc::clone(&ctx)));
    tasks.feed("declarations", declarations::run(ctx));
    tasks.run(stop).await
}
