//! The one driver of all kinds: when each object is reconciled, how long it waits after a failure, and what
//! is logged and counted at the end. Must not know what a kind does.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use jiff::Timestamp;
use kube::Resource;
use kube::runtime::controller::{self, Action, Config};
use kube::runtime::reflector::{Lookup, ObjectRef, Store};
use tokio::sync::watch;

use super::fair_queue::{FairQueue, MAX_ASIDE};
use super::supervisor::stopped;
use crate::controllers::Ctx;
use crate::controllers::cached_object::CachedObject;
use crate::controllers::failure::Failure;
use crate::controllers::metrics::Metrics;

/// A kind whose objects are brought to what they ask for.
///
/// Attempts differ by kind: secrets and keys take steps ([`super::Stepwise`]), schedules and policies have
/// one write each. So the trait covers the attempt as a whole.
pub(in crate::controllers) trait Reconciler:
    Resource<DynamicType = ()> + Sized + 'static
{
    /// Its name, in logs and metrics.
    const KIND: &'static str;
    /// When an object has its turn.
    const PACE: Pace;
    /// Whether attempts are broken off when the process ends, and not finished: where each can be repeated
    /// whole. Without its kind in the cluster such a queue would never end.
    const BREAKS_OFF: bool;

    /// Brings one object to what it asks for, and says how it went.
    fn reconcile(
        kept: &CachedObject<Self>,
        ctx: &Ctx,
        now: Timestamp,
    ) -> impl Future<Output = Result<Action, Failure>> + Send;
}

/// When an object that something happened to is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::controllers) enum Pace {
    /// As soon as those that came before it were.
    InTurn,
    /// When nothing more has happened to it for a second: many objects that change at once change the status
    /// of a schedule or a key once.
    Gathering,
}

/// The attempts of one kind.
pub(in crate::controllers) struct Driver<R: Reconciler> {
    pub(in crate::controllers) ctx: Arc<Ctx>,
    pub(in crate::controllers) fair_queue: FairQueue<ObjectRef<CachedObject<R>>>,
    pub(in crate::controllers) cache: Store<CachedObject<R>>,
}

impl<R: Reconciler> Driver<R> {
    /// Reconciles what the queue names until `stop` turns true; what is under way then is finished, unless
    /// the kind breaks off.
    pub(in crate::controllers) async fn run(
        self,
        queue: impl Stream<Item = ObjectRef<CachedObject<R>>> + Send + 'static,
        stop: watch::Receiver<bool>,
    ) {
        let attempts = Box::pin(self.attempts(queue, stop.clone()));
        if R::BREAKS_OFF {
            let _ = futures::future::select(attempts, Box::pin(stopped(stop))).await;
        } else {
            attempts.await;
        }
    }

    async fn attempts(
        self,
        queue: impl Stream<Item = ObjectRef<CachedObject<R>>> + Send + 'static,
        stop: watch::Receiver<bool>,
    ) {
        let Self {
            ctx,
            fair_queue,
            cache,
        } = self;
        let waiting = Arc::clone(&ctx);
        let queue = queue.inspect(move |object| waits(&waiting.metrics, R::KIND, object));
        let config = Config::default().concurrency(ctx.options.concurrency);
        let (queue, config) = match R::PACE {
            // How many are worked on is decided there.
            Pace::InTurn => (
                fair_queue.clone().in_turn(queue).left_stream(),
                config.concurrency(ctx.options.concurrency.saturating_add(MAX_ASIDE)),
            ),
            Pace::Gathering => (queue.right_stream(), config.debounce(Duration::from_secs(1))),
        };
        controller::applier(
            move |object: Arc<CachedObject<R>>, ctx: Arc<Ctx>| {
                taken(&ctx.metrics, R::KIND, &ObjectRef::from_obj(object.as_ref()));
                async move { R::reconcile(&object, &ctx, Timestamp::now()).await }.boxed()
            },
            // After a failure: wait as its class says, longer each time; what only another spec can mend
            // waits for that.
            |object: Arc<CachedObject<R>>, failure: &Failure, ctx: Arc<Ctx>| {
                let uid = object.meta().uid.clone().unwrap_or_default();
                failure
                    .wait(&ctx.backoff, &uid)
                    .map_or_else(Action::await_change, Action::requeue)
            },
            Arc::clone(&ctx),
            cache,
            queue.take_until(Box::pin(stopped(stop))).map(Ok::<_, Infallible>),
            config,
        )
        .for_each(|outcome| {
            if let Some(object) = ended(&ctx.metrics, R::KIND, outcome) {
                fair_queue.done(&object);
            }
            std::future::ready(())
        })
        .await;
    }
}

fn waits<K: Lookup>(metrics: &Metrics, kind: &'static str, object: &ObjectRef<K>) {
    metrics.waits(
        kind,
        object.namespace.as_deref().unwrap_or_default(),
        &object.name,
    );
}

fn taken<K: Lookup>(metrics: &Metrics, kind: &'static str, object: &ObjectRef<K>) {
    metrics.taken(
        kind,
        object.namespace.as_deref().unwrap_or_default(),
        &object.name,
    );
}

/// Each end of an attempt that is not a success is told, once, with the object that it concerns. Answers with
/// the object of any.
fn ended<K: Lookup<DynamicType = ()>>(
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
