//! The watches and what each event sets in motion. Watches that break off are logged and start again, with a
//! new list where the old position has expired; nothing here decides what is done with an object.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, ObjectRef, Store, store::Writer};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use strongroom_crds::v1alpha1::{ManagedSecret, RotationSchedule};
use strongroom_crds::view::{PartialObject, SecretAccess};

use super::cache_quota::QuotaKind;
use super::cached_object::{CachedObject, Extent};
use super::declarations;
use super::left_out::{self, LeftOutOfKind};
use super::managed_secret::native::MANAGED_LABEL;
use super::{Ctx, Triggers};
use crate::delivery_policy::DeliveryPolicy;
use crate::external_sources::ExternalDeclaration;
use crate::kube::watch::{Selection, WatchThread, watcher};
use crate::kube::watch_in_words;

/// The `ManagedSecret`s, kept in `writer`; the answer is what has to be looked at.
pub(super) fn managed_secrets(
    ctx: Arc<Ctx>,
    mut writer: Writer<CachedObject<ManagedSecret>>,
    triggers: Triggers,
) -> impl Stream<Item = ObjectRef<CachedObject<ManagedSecret>>> {
    let cache = writer.as_reader();
    let events = events_of_kind(&ctx, "ManagedSecret", |ctx| &ctx.left_out.managed_secrets, &cache);
    events.filter_map(move |whole| {
        let of_kind = &ctx.left_out.managed_secrets;
        let room = |namespace: &str, name: &str| triggers.managed_secret(namespace, name);
        let event = cached_event(&ctx, of_kind, &cache, &whole, room);
        // Before the cache takes the event in, it still holds the object as it was.
        let news = seen_managed_secret(&ctx, &triggers, &whole, &event);
        // It is long, and not needed any more.
        drop(whole);
        writer.apply_watcher_event(&event);
        let reference = match event {
            // Without UID and version: many wait at once.
            Event::Apply(object) | Event::InitApply(object) => news.then(|| {
                let namespace = object.namespace().unwrap_or_default();
                ObjectRef::new(&object.name_any()).within(&namespace)
            }),
            Event::InitDone => {
                ctx.deletion_signals.wake();
                let cache = &ctx.managed_secrets;
                let is_there = |namespace: &str, name: &str| {
                    cache.get(&ObjectRef::new(name).within(namespace)).is_some()
                };
                ctx.policies.readers_listed(is_there);
                ctx.declared.retain(is_there);
                ctx.terms.retain(is_there);
                ctx.certificates.listed(is_there);
                ctx.metrics.keep_certificates(is_there);
                ctx.left_out.managed_secrets.listed(is_there);
                ctx.declarations
                    .listed("ManagedSecret", uids(cache.state().iter()));
                None
            }
            Event::Delete(object) => {
                ctx.deletion_signals.wake();
                ctx.declarations.gone("ManagedSecret", &object);
                None
            }
            Event::Init => None,
        };
        std::future::ready(reference)
    })
}

/// The events of a kind, and the objects of it that were left out and are read again.
pub(super) fn events_of_kind<K: QuotaKind>(
    ctx: &Arc<Ctx>,
    kind: &'static str,
    left_out: fn(&Ctx) -> &LeftOutOfKind<K>,
    cache: &Store<CachedObject<K>>,
) -> impl Stream<Item = Event<CachedObject<K>>> + Send + use<K> {
    let events = large(ctx, kind);
    let (ctx, cache) = (Arc::clone(ctx), cache.clone());
    let again = futures::stream::iter(left_out(&ctx).queue()).flatten();
    let again = again.filter_map(move |read| {
        let keeps = left_out::is_left_out(&cache, &read) && ctx.cache_quota.would_keep(&read);
        std::future::ready(keeps.then_some(Event::Apply(read)))
    });
    futures::stream::select(events, again)
}

/// The events of a kind whose objects may be large.
pub(super) fn large<K>(ctx: &Arc<Ctx>, kind: &'static str) -> BoxStream<'static, Event<CachedObject<K>>>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + 'static,
{
    let thread = ctx.options.watches.as_deref();
    let client = thread.map_or_else(|| ctx.client.clone(), WatchThread::client);
    let api: Api<CachedObject<K>> = Api::all(client);
    let events = logged(Arc::clone(ctx), kind, watcher(api, Selection::whole()));
    match thread {
        Some(thread) => thread.run(events).boxed(),
        None => events.boxed(),
    }
}

/// An event with what is kept of its object. Where there is room again, `look` is told of some that were left
/// out.
pub(super) fn cached_event<K: QuotaKind>(
    ctx: &Ctx,
    left_out: &LeftOutOfKind<K>,
    cache: &Store<CachedObject<K>>,
    whole: &Event<CachedObject<K>>,
    look: impl Fn(&str, &str),
) -> Event<CachedObject<K>> {
    let taken = ctx.cache_quota.take_in(cache, whole);
    match &taken.event {
        Event::Apply(kept) | Event::InitApply(kept) if matches!(kept.extent(), Extent::Nothing(_)) => {}
        Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => {
            left_out.forget(&object.namespace().unwrap_or_default(), &object.name_any());
        }
        Event::Init | Event::InitDone => {}
    }
    if let Some(namespace) = taken.room {
        for name in left_out.waiting(&namespace) {
            look(&namespace, &name);
        }
    }
    taken.event
}

/// Keeps the objects in `writer` and tells `declarations` which are gone; the answer is what has to be looked
/// at.
pub(super) fn reflected<K: Resource<DynamicType = ()> + 'static>(
    ctx: Arc<Ctx>,
    kind: &'static str,
    writer: Writer<CachedObject<K>>,
    events: impl Stream<Item = Event<CachedObject<K>>> + Send,
) -> impl Stream<Item = ObjectRef<CachedObject<K>>> {
    let cache = writer.as_reader();
    kube::runtime::reflector(writer, events.map(Ok::<_, watcher::Error>))
        .filter_map(|event| std::future::ready(event.ok()))
        .filter_map(move |event| {
            let reference = match event {
                Event::Apply(object) | Event::InitApply(object) => Some(ObjectRef::from_obj(&object)),
                Event::Delete(object) => {
                    ctx.declarations.gone(kind, &object);
                    None
                }
                Event::InitDone => {
                    ctx.declarations.listed(kind, uids(cache.state().iter()));
                    None
                }
                Event::Init => None,
            };
            std::future::ready(reference)
        })
}

/// UIDs of objects that are cached.
fn uids<'a, K: Resource + 'a>(objects: impl Iterator<Item = &'a Arc<CachedObject<K>>>) -> HashSet<String> {
    objects.filter_map(|object| object.uid()).collect()
}

/// What of a ManagedSecret the API goes by: `spec.readers`, and whether values arrive over it. One that is
/// left out has no readers.
fn seen_spec(ctx: &Ctx, object: &CachedObject<ManagedSecret>, (gone, left_out): (bool, bool)) {
    // An object that does not fit gives nobody anything.
    let spec = object
        .parse_as::<PartialObject<SecretAccess>>()
        .unwrap_or_default()
        .spec;
    let readers = spec.readers.filter(|_| !gone && !left_out).unwrap_or_default();
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let uid = object.uid().unwrap_or_default();
    let store_name = spec.store_name.as_deref().unwrap_or(&name);
    let terms = (!gone).then(|| DeliveryPolicy::from_spec(spec.delivery.as_ref()));
    if ctx.terms.update(&namespace, (&name, &uid), store_name, terms) {
        ctx.policies.notify_changed();
    }
    ctx.policies
        .readers(&namespace, (&name, &uid), store_name, &readers);
    let external = !gone && spec.source.is_external();
    let declaration = external.then(|| ExternalDeclaration {
        object: name.clone(),
        uid,
        created: object.creation_timestamp().map(|time| time.0),
        key: spec.encryption_key.clone(),
        native: spec.secret.map(|native| native.name),
    });
    ctx.declared.update(&namespace, &name, store_name, declaration);
}

/// What follows from an event before it is in the cache, which takes in what is `kept`. Answers whether the
/// object has to be looked at: a status that we wrote ourselves is no news.
fn seen_managed_secret(
    ctx: &Ctx,
    triggers: &Triggers,
    event: &Event<CachedObject<ManagedSecret>>,
    kept: &Event<CachedObject<ManagedSecret>>,
) -> bool {
    let (object, gone) = match event {
        Event::Apply(object) | Event::InitApply(object) => (object, false),
        Event::Delete(object) => (object, true),
        Event::Init | Event::InitDone => return false,
    };
    let namespace = object.namespace().unwrap_or_default();
    let uid = object.uid().unwrap_or_default();
    let before = ctx.managed_secrets.get(&ObjectRef::from_obj(object));
    let nothing = |object: &CachedObject<ManagedSecret>| matches!(object.extent(), Extent::Nothing(_));
    let left_out = match kept {
        Event::Apply(kept) | Event::InitApply(kept) => nothing(kept),
        Event::Delete(_) | Event::Init | Event::InitDone => false,
    };
    let same_spec = |before: &CachedObject<ManagedSecret>| {
        before.meta().generation == object.meta().generation
            && before.uid() == object.uid()
            && nothing(before) == left_out
    };
    if gone || !before.as_deref().is_some_and(same_spec) {
        seen_spec(ctx, object, (gone, left_out));
    }
    if !gone {
        ctx.bundles.want(&namespace);
    }
    let ours = if gone {
        ctx.backoff.forget(&uid);
        ctx.refusals.forget(&uid);
        ctx.contests.forget(&uid);
        ctx.replacing.forget(&uid);
        ctx.cluster.stop_awaiting_native(&namespace, &object.name_any());
        ctx.cluster.unsettle(&uid);
        ctx.expected_status.forget(&uid);
        ctx.certificates.forget(&namespace, &object.name_any());
        ctx.metrics.certificate(&namespace, &object.name_any(), None);
        false
    } else {
        ctx.deletion_signals.saw(&namespace, &object.name_any(), &uid);
        let version = |object: &CachedObject<ManagedSecret>| object.meta().resource_version.clone();
        let ours = ctx.expected_status.observe(
            &uid,
            before.as_deref().and_then(version).as_deref(),
            &version(object).unwrap_or_default(),
            || object.status(),
        );
        // A list may leave out what came in between.
        ours && matches!(event, Event::Apply(_))
    };
    let same = |before: &CachedObject<ManagedSecret>| same_spec(before) && before.labels() == object.labels();
    // A status alone changes nothing for the schedules.
    if gone || !before.as_deref().is_some_and(same) {
        for schedule in ctx.cluster.schedules(&namespace) {
            triggers.schedule(&namespace, &schedule.name_any());
        }
    }
    !ours
}

/// The `RotationSchedule`s, kept in `writer`; the answer is what has to be looked at.
pub(super) fn schedules(
    ctx: Arc<Ctx>,
    writer: Writer<CachedObject<RotationSchedule>>,
    triggers: Triggers,
) -> impl Stream<Item = ObjectRef<CachedObject<RotationSchedule>>> {
    let cache = writer.as_reader();
    let events = events_of_kind(&ctx, "RotationSchedule", |ctx| &ctx.left_out.schedules, &cache);
    let events = {
        let (ctx, triggers, cache) = (Arc::clone(&ctx), triggers.clone(), cache.clone());
        events.map(move |whole| {
            let room = |namespace: &str, name: &str| triggers.schedule(namespace, name);
            cached_event(&ctx, &ctx.left_out.schedules, &cache, &whole, room)
        })
    };
    kube::runtime::reflector(writer, events.map(Ok::<_, watcher::Error>))
        .filter_map(|event| std::future::ready(event.ok()))
        .filter_map(move |event| {
            let reference = match event {
                Event::Apply(object) => {
                    let news = seen_schedule(&ctx, &object);
                    if news {
                        touch_namespace(&ctx, &triggers, &object.namespace().unwrap_or_default());
                    }
                    Some(ObjectRef::from_obj(&object))
                }
                Event::InitApply(object) => {
                    seen_schedule(&ctx, &object);
                    Some(ObjectRef::from_obj(&object))
                }
                Event::Delete(object) => {
                    let namespace = object.namespace().unwrap_or_default();
                    ctx.cluster.lost_schedule(&namespace, &object.name_any());
                    ctx.metrics.rotates(&namespace, &object.name_any(), None);
                    ctx.declarations.gone("RotationSchedule", &object);
                    touch_namespace(&ctx, &triggers, &namespace);
                    None
                }
                Event::Init => None,
                Event::InitDone => {
                    let is_there = |namespace: &str, name: &str| {
                        cache.get(&ObjectRef::new(name).within(namespace)).is_some()
                    };
                    ctx.cluster.keep_schedules(is_there);
                    ctx.metrics.keep_rotations(is_there);
                    ctx.left_out.schedules.listed(is_there);
                    ctx.declarations
                        .listed("RotationSchedule", uids(cache.state().iter()));
                    for object in ctx.managed_secrets.state() {
                        let namespace = object.namespace().unwrap_or_default();
                        if !ctx.cluster.schedules(&namespace).is_empty() {
                            triggers.managed_secret(&namespace, &object.name_any());
                        }
                    }
                    None
                }
            };
            std::future::ready(reference)
        })
}

/// Remembers a schedule. True when it differs from what is remembered in more than its status.
fn seen_schedule(ctx: &Ctx, kept: &CachedObject<RotationSchedule>) -> bool {
    let (namespace, name) = (kept.namespace().unwrap_or_default(), kept.name_any());
    let Ok(mut schedule) = kept.parse() else {
        // What cannot be read rotates nothing; its own status says why.
        ctx.cluster.lost_schedule(&namespace, &name);
        return true;
    };
    schedule.status = None;
    let known = ctx
        .cluster
        .schedules(&namespace)
        .into_iter()
        .find(|known| known.name_any() == name);
    let same = known.is_some_and(|known| {
        known.spec == schedule.spec
            && known.uid() == schedule.uid()
            && known.annotations() == schedule.annotations()
    });
    if !same {
        ctx.cluster.saw_schedule(&namespace, &name, Arc::new(schedule));
    }
    !same
}

/// Has every `ManagedSecret` and every `RotationSchedule` of a namespace looked at.
fn touch_namespace(ctx: &Ctx, triggers: &Triggers, namespace: &str) {
    for object in ctx
        .managed_secrets
        .state_filter(|object| object.namespace().as_deref() == Some(namespace))
    {
        triggers.managed_secret(namespace, &object.name_any());
    }
    for schedule in ctx.cluster.schedules(namespace) {
        triggers.schedule(namespace, &schedule.name_any());
    }
}

/// The watches of namespaces and of native Secrets. Both see metadata only, and of the Secrets only those
/// with our label.
pub(super) async fn run(ctx: Arc<Ctx>, triggers: Triggers) {
    let mut listed = HashSet::new();
    let namespaces = logged(
        Arc::clone(&ctx),
        "Namespace",
        watcher(
            Api::<PartialObjectMeta<Namespace>>::all(ctx.client.clone()),
            Selection::metadata(),
        ),
    )
    .for_each(|event| {
        declarations::saw_namespaces(&ctx, &mut listed, &event);
        if matches!(event, Event::Delete(_) | Event::InitDone) {
            ctx.deletion_signals.wake();
            ctx.key_deletion_signals.wake();
        }
        match &event {
            Event::Delete(namespace) => ctx.bundles.lost(&namespace.name_any()),
            Event::Apply(namespace) | Event::InitApply(namespace) => {
                let name = namespace.name_any();
                let asks = namespace
                    .labels()
                    .get(super::ca_bundle::LABEL)
                    .is_some_and(|value| value == "true");
                if asks || ctx.options.node_namespaces.contains(&name) {
                    ctx.bundles.want(&name);
                }
            }
            Event::Init | Event::InitDone => {}
        }
        let changed = ctx.cluster.namespace_event(event);
        if !changed.is_empty() {
            // Its label may be gone that says that nothing is kept.
            ctx.deletion_signals.wake();
        }
        for name in changed {
            touch_namespace(&ctx, &triggers, &name);
            for (_, key) in ctx.keys.all_objects().iter().filter(|(home, _)| *home == name) {
                ctx.keys.used(&name, Some(key));
            }
        }
        std::future::ready(())
    });
    let selection = Selection::metadata().labels(MANAGED_LABEL);
    let natives = native_namespace_events::<PartialObjectMeta<Secret>>(&ctx, "Secret", &selection).for_each(
        |(scope, event)| {
            for (namespace, name) in ctx.cluster.native_event(scope.as_deref(), &event) {
                triggers.managed_secret(&namespace, &name);
            }
            std::future::ready(())
        },
    );
    futures::future::join(namespaces, natives).await;
}

/// The events of one kind where native Secrets are: of all namespaces (`None`), or of those that may be read.
pub(super) fn native_namespace_events<K>(
    ctx: &Arc<Ctx>,
    kind: &'static str,
    selection: &Selection,
) -> impl Stream<Item = (Option<String>, Event<K>)> + Send
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let scopes: Vec<Option<String>> = if ctx.options.native_namespaces.is_empty() {
        vec![None]
    } else {
        ctx.options.native_namespaces.iter().cloned().map(Some).collect()
    };
    futures::stream::select_all(scopes.into_iter().map(|scope| {
        let client = ctx.client.clone();
        let api: Api<K> = match &scope {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        logged(Arc::clone(ctx), kind, watcher(api, selection.clone()))
            .map(move |event| (scope.clone(), event))
            .boxed()
    }))
}

/// The events of a watch, begun again after errors, each of which is logged and counted.
pub(super) fn logged<K: reflector::Lookup + Send>(
    ctx: Arc<Ctx>,
    kind: &'static str,
    watch: impl Stream<Item = Result<Event<K>, watcher::Error>> + Send,
) -> impl Stream<Item = Event<K>> + Send {
    watch.default_backoff().filter_map(move |event| {
        let event = match event {
            Ok(event) => Some(event),
            Err(error) => {
                ctx.metrics.watch_errors.inc();
                tracing::warn!(kind, error = watch_in_words(&error), "watch failed");
                None
            }
        };
        std::future::ready(event)
    })
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc::unbounded;

    use super::*;
    use crate::controllers::managed_secret::reconcile_at;
    use crate::controllers::testing::{ControllerFixture, generated, now};

    #[tokio::test]
    async fn our_own_status_is_no_news_and_everything_else_is() {
        let mut world = ControllerFixture::new();
        let triggers = Triggers {
            managed_secrets: unbounded().0,
            schedules: unbounded().0,
        };
        world.apply("db", generated("db"));
        // The cache has the object, and what was written has not come back.
        let write = async |world: &ControllerFixture| {
            let kept = world.kept("db");
            reconcile_at(&kept, &world.ctx, now()).await.unwrap();
            assert_ne!(kept.resource_version(), world.kept("db").resource_version());
        };
        write(&world).await;
        let event = Event::Apply(world.kept("db"));
        assert!(!seen_managed_secret(&world.ctx, &triggers, &event, &event));
        world.watch("db");

        world.annotate("db", "strongroom.dev/rotate-now", "word");
        let event = Event::Apply(world.kept("db"));
        assert!(seen_managed_secret(&world.ctx, &triggers, &event, &event));
        // In a list it stands for all that happened since the cache.
        write(&world).await;
        let event = Event::InitApply(world.kept("db"));
        assert!(seen_managed_secret(&world.ctx, &triggers, &event, &event));
    }
}
