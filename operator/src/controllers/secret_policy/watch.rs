//! The watch of `SecretPolicy`s. What it brings takes effect here: the namespaces take turns
//! ([`pending`](super::pending)), and policies are parsed and compiled on threads of their own, two at once,
//! so that nobody who rewrites large policies holds up another namespace's, or an answer of the API. A
//! complete list takes effect in its order instead, and says when it has.
//!
//! INVARIANT: an older state of an object never takes effect after a newer one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, FuturesUnordered};
use futures::{FutureExt, Stream, StreamExt};
use kube::runtime::reflector::{ObjectRef, store::Writer};
use kube::runtime::watcher::Event;
use kube::{Api, Client, Resource, ResourceExt};
use strongroom_crds::v1alpha1::{SecretPolicy, SecretPolicySpec};
use strongroom_crds::view::{PartialObject, PolicyAttachment, PolicyInForce};
use strongroom_process::WorkPool;

use super::pending::{MAX_PARALLEL_CHANGES, PendingChanges, PolicyChange};
use crate::controllers::Ctx;
use crate::controllers::cached_object::{CachedObject, TooLarge};
use crate::controllers::outline;
use crate::controllers::runtime::watch::{large, reflected};
use crate::kube::in_words;
use crate::policies::{ObservedPolicy, Policies, PolicyFailureReason, PolicyGeneration};

#[cfg(test)]
mod tests;

/// How long the API server may take to answer with one policy.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a namespace waits after one of its policies could not be read.
const REST_PERIOD: Duration = Duration::from_secs(5);

/// Namespace and name of an object.
type Place = (String, String);

/// The `SecretPolicy`s, kept in `writer`. Their statements take effect here; the answer is what has to be
/// reported on.
pub(in crate::controllers) fn secret_policies(
    ctx: Arc<Ctx>,
    writer: Writer<CachedObject<SecretPolicy>>,
) -> impl Stream<Item = ObjectRef<CachedObject<SecretPolicy>>> {
    let events = large(&ctx, "SecretPolicy");
    let (client, policies) = (ctx.client.clone(), ctx.policies.clone());
    let reflect_ctx = Arc::clone(&ctx);
    let take_in = move |policy: &CachedObject<SecretPolicy>| {
        seen_policy(&ctx, policy);
        counted(policy)
    };
    let events = in_turn((client, policies, REST_PERIOD), events, take_in);
    reflected(reflect_ctx, writer, events)
}

/// The events, each once it has taken effect, with what is kept of its policy. Changes that are replaced by
/// newer ones while they wait are left out. What puts a policy in force, and answers with what is kept of it,
/// is `take_in`.
fn in_turn<F>(
    (client, policies, rest): (Client, Policies, Duration),
    events: BoxStream<'static, Event<CachedObject<SecretPolicy>>>,
    take_in: F,
) -> impl Stream<Item = Event<CachedObject<SecretPolicy>>> + Send
where
    F: Fn(&CachedObject<SecretPolicy>) -> CachedObject<SecretPolicy> + Clone + Send + 'static,
{
    let watch = Watch {
        client,
        policies,
        take_in,
        work: WorkPool::with_threads(MAX_PARALLEL_CHANGES),
        rest,
        events,
        pending: PendingChanges::default(),
        under_way: FuturesUnordered::new(),
        listed: HashSet::new(),
        read_ahead: HashMap::new(),
        in_force: VecDeque::new(),
    };
    stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((event, watch))
    })
}

/// What became of a change that was under way.
enum ChangeOutcome {
    /// It took effect.
    TakenIn {
        /// What is kept of the policy.
        kept: Box<CachedObject<SecretPolicy>>,
        /// Whether it was read again, and a generation was found whose event is still to come.
        is_ahead: bool,
    },
    /// The object of this namespace is not there any more; the watch will say so.
    NotThere(String),
    /// The object with this identity could not be read.
    NotRead(Box<CachedObject<SecretPolicy>>),
    /// A namespace rested for long enough.
    Rested(String),
}

/// The API server did not answer with an object.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    /// It says why, or cannot be reached.
    #[error("{}", in_words(.0))]
    Api(kube::Error),
    /// It takes too long.
    #[error("the API server did not answer in time")]
    Silent,
}

/// The watch, and what of it has not taken effect yet.
struct Watch<F> {
    client: Client,
    policies: Policies,
    take_in: F,
    /// Threads that step back for whoever waits for an answer.
    work: WorkPool,
    /// How long a namespace waits after one of its policies could not be read.
    rest: Duration,
    events: BoxStream<'static, Event<CachedObject<SecretPolicy>>>,
    pending: PendingChanges,
    under_way: FuturesUnordered<BoxFuture<'static, ChangeOutcome>>,
    /// The objects of the list that is coming.
    listed: HashSet<Place>,
    /// UID and generation of objects that were read again, where the watch has not told of that generation
    /// yet. What it tells of older ones is in the past.
    read_ahead: HashMap<Place, (Option<String>, i64)>,
    /// What took effect and was not passed on yet.
    in_force: VecDeque<Event<CachedObject<SecretPolicy>>>,
}

impl<F> Watch<F>
where
    F: Fn(&CachedObject<SecretPolicy>) -> CachedObject<SecretPolicy> + Clone + Send + 'static,
{
    async fn next(&mut self) -> Option<Event<CachedObject<SecretPolicy>>> {
        loop {
            self.begin();
            if let Some(event) = self.in_force.pop_front() {
                return Some(event);
            }
            tokio::select! {
                // Few are under way at once, so that events come too; many events must not keep from what is
                // done.
                biased;
                Some(ended) = self.under_way.next() => self.ended(ended),
                event = self.events.next() => self.arrives(event?).await,
            }
        }
    }

    /// Begins what may begin. A deletion takes effect at once.
    fn begin(&mut self) {
        while self.in_force.is_empty()
            && let Some(change) = self.pending.next()
        {
            let place = place(&change.policy);
            if change.deleted {
                self.read_ahead.remove(&place);
                self.policies.remove_policy(&place.0, &place.1);
                self.pending.done(&place.0);
                self.in_force.push_back(Event::Delete(change.policy));
            } else if !change.lacks_text() && self.is_in_the_past(&place, &change.policy) {
                self.pending.done(&place.0);
            } else {
                let taken_in = take_in(
                    (self.client.clone(), self.work.clone()),
                    self.take_in.clone(),
                    change,
                );
                self.under_way.push(taken_in.boxed());
            }
        }
    }

    fn ended(&mut self, ended: ChangeOutcome) {
        match ended {
            ChangeOutcome::TakenIn { kept, is_ahead } => {
                let place = place(&kept);
                self.pending.done(&place.0);
                if is_ahead {
                    self.read_ahead.insert(place, (kept.uid(), generation(&kept)));
                } else {
                    self.read_ahead.remove(&place);
                }
                self.in_force.push_back(Event::Apply(*kept));
            }
            ChangeOutcome::NotThere(namespace) => self.pending.done(&namespace),
            ChangeOutcome::NotRead(identity) => {
                let (namespace, _) = place(&identity);
                self.pending.rests(*identity);
                let rested = tokio::time::sleep(self.rest).map(|()| ChangeOutcome::Rested(namespace));
                self.under_way.push(rested.boxed());
            }
            ChangeOutcome::Rested(namespace) => self.pending.rested(&namespace),
        }
    }

    async fn arrives(&mut self, event: Event<CachedObject<SecretPolicy>>) {
        match event {
            Event::Init => {
                self.listed.clear();
                // A list is newer than what was read before it.
                self.read_ahead.clear();
                self.in_force.push_back(Event::Init);
            }
            Event::InitApply(policy) => self.lists(policy).await,
            Event::InitDone => {
                // What is not listed must not come into force behind the list's back.
                self.until(|pending| !pending.is_any_under_way()).await;
                for change in self.pending.clear() {
                    self.replaced(Some(change));
                }
                self.policies.policies_listed(&self.listed);
                self.in_force.push_back(Event::InitDone);
            }
            Event::Apply(policy) => {
                let before = self.pending.arrives(policy, false);
                self.replaced(before);
            }
            Event::Delete(policy) => {
                // Of an object that was deleted before, nobody has to be told once more.
                self.pending.arrives(policy, true);
            }
        }
    }

    /// An object of a list takes effect at once. What waits of it is older.
    async fn lists(&mut self, policy: CachedObject<SecretPolicy>) {
        let place = place(&policy);
        self.until(|pending| !pending.is_under_way(&place.0)).await;
        let before = self.pending.forget(&place.0, &place.1);
        self.replaced(before);
        let (take_in, policy) = (self.take_in.clone(), Arc::new(policy));
        let in_the_past = self.is_in_the_past(&place, &policy);
        let kept = off_thread(&self.work, &place.0, move || {
            if in_the_past {
                counted(&policy)
            } else {
                take_in(&policy)
            }
        })
        .await;
        self.listed.insert(place);
        self.in_force.push_back(Event::InitApply(kept));
    }

    /// A waiting change is dropped, because a newer one of its object arrived. A deletion is passed on
    /// nevertheless: the object that has its name now is another one.
    fn replaced(&mut self, change: Option<PolicyChange>) {
        if let Some(change) = change.filter(|change| change.deleted) {
            self.in_force.push_back(Event::Delete(change.policy));
        }
    }

    /// Waits until enough of what is under way has ended. Nothing new is begun.
    async fn until(&mut self, enough: impl Fn(&PendingChanges) -> bool) {
        while !enough(&self.pending)
            && let Some(ended) = self.under_way.next().await
        {
            self.ended(ended);
        }
    }

    /// Whether a newer generation of the object is in force already, because it was read again.
    fn is_in_the_past(&self, place: &Place, policy: &CachedObject<SecretPolicy>) -> bool {
        self.read_ahead
            .get(place)
            .is_some_and(|(uid, newest)| *uid == policy.uid() && generation(policy) < *newest)
    }
}

fn place(policy: &CachedObject<SecretPolicy>) -> Place {
    (policy.namespace().unwrap_or_default(), policy.name_any())
}

fn generation(policy: &CachedObject<SecretPolicy>) -> i64 {
    policy.meta().generation.unwrap_or_default()
}

/// A policy that was applied takes effect.
async fn take_in<F>((client, work): (Client, WorkPool), take_in: F, change: PolicyChange) -> ChangeOutcome
where
    F: Fn(&CachedObject<SecretPolicy>) -> CachedObject<SecretPolicy> + Clone + Send + 'static,
{
    let told = generation(&change.policy);
    let policy = if change.lacks_text() {
        let (namespace, name) = place(&change.policy);
        match read(client, &change.policy).await {
            Ok(Some(policy)) => policy,
            Ok(None) => return ChangeOutcome::NotThere(namespace),
            Err(error) => {
                tracing::warn!(namespace, name, %error, "policy read failed");
                return ChangeOutcome::NotRead(Box::new(change.policy));
            }
        }
    } else {
        change.policy
    };
    let is_ahead = generation(&policy) > told;
    let policy = Arc::new(policy);
    let namespace = policy.namespace().unwrap_or_default();
    let kept = off_thread(&work, &namespace, move || take_in(&policy)).await;
    ChangeOutcome::TakenIn {
        kept: Box::new(kept),
        is_ahead,
    }
}

/// Reads a policy of which the identity is kept; none where it is gone, or another one has its name.
async fn read(
    client: Client,
    identity: &CachedObject<SecretPolicy>,
) -> Result<Option<CachedObject<SecretPolicy>>, ReadError> {
    let (namespace, name) = place(identity);
    let api: Api<CachedObject<SecretPolicy>> = Api::namespaced(client, &namespace);
    let found = tokio::time::timeout(READ_TIMEOUT, api.get_opt(&name))
        .await
        .map_err(|_| ReadError::Silent)?
        .map_err(ReadError::Api)?;
    Ok(found.filter(|found| found.uid() == identity.uid()))
}

/// Does what takes a processor for long where it holds up no answer. Not among the keys and documents of
/// [`Ctx::work`]: a Deny must not wait for those.
pub(super) async fn off_thread<T: Send + 'static>(
    work: &WorkPool,
    namespace: &str,
    job: impl FnOnce() -> T + Clone + Send + 'static,
) -> T {
    loop {
        match work.run(namespace, job.clone()).await {
            Ok(done) => return done,
            Err(error) => {
                tracing::warn!(namespace, %error, "policy load failed");
                tokio::time::sleep(REST_PERIOD).await;
            }
        }
    }
}

/// What is kept of a policy once its statements have taken effect: their number.
fn counted(policy: &CachedObject<SecretPolicy>) -> CachedObject<SecretPolicy> {
    policy
        .outlined(outline::outline_secret_policy)
        .filter(|outline| outline.weight() <= outline::MAX_OUTLINE_BYTES)
        .unwrap_or_else(|| policy.identity(TooLarge::Alone))
}

/// The statements of a policy take effect.
pub(super) fn seen_policy(ctx: &Ctx, kept: &CachedObject<SecretPolicy>) {
    let (namespace, name) = (kept.namespace().unwrap_or_default(), kept.name_any());
    ctx.bundles.want(&namespace);
    let seen = PolicyGeneration {
        uid: kept.uid().unwrap_or_default(),
        generation: kept.meta().generation.unwrap_or_default(),
    };
    if ctx
        .policies
        .outcome(&namespace, &name)
        .is_some_and(|outcome| outcome.seen == seen)
    {
        // Only its status or its labels changed.
        return;
    }
    let spec = kept.parse().map(|policy| policy.spec).map_err(|misfit| {
        let view: PartialObject<PolicyAttachment> = kept.parse_as().unwrap_or_default();
        let PolicyAttachment { identities, secrets } = view.spec;
        let attached = SecretPolicySpec {
            identities,
            secrets,
            statements: Vec::new(),
        };
        (PolicyFailureReason::Misfit(misfit.to_string()), attached)
    });
    let newest = ObservedPolicy {
        seen,
        told: kept
            .status::<PolicyInForce>()
            .and_then(|status| status.generation_in_force),
        spec,
    };
    ctx.policies.policy(&namespace, &name, newest);
}
