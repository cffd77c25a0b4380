//! The watches of kinds: what comes is counted, kept in the cache, and told to the kind. Watches that break
//! off are logged and start again, with a new list where the old position has expired. Must not decide what
//! is done with an object.

use std::collections::HashSet;
use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, ObjectRef, Store, store::Writer};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::Reconciler;
use crate::controllers::Ctx;
use crate::controllers::cache_quota::QuotaKind;
use crate::controllers::cached_object::{CachedObject, Extent};
use crate::controllers::left_out::{self, LeftOutOfKind};
use crate::kube::watch::{Selection, WatchThread, watcher};
use crate::kube::watch_in_words;

/// What happens to the objects of a kind, told around the moment at which the cache takes it in.
pub(in crate::controllers) enum KindChange<'a, K: Resource<DynamicType = ()> + 'static> {
    /// The cache is about to have the object like this.
    Applied {
        /// As it came, whole.
        object: &'a CachedObject<K>,
        /// The same without what decides nothing.
        kept: &'a CachedObject<K>,
        /// As the cache has it still.
        before: Option<&'a CachedObject<K>>,
        /// A list says so: what happened to the object meanwhile may be left out.
        listed: bool,
    },
    /// The cache is about to lose the object.
    Deleted(&'a CachedObject<K>),
    /// The cache has taken in what happened to one object outside of a list.
    Cached {
        /// As the cache has it now; of an object that is gone, as it had it last.
        kept: &'a CachedObject<K>,
        /// As the cache had it.
        before: Option<&'a CachedObject<K>>,
        /// The object was deleted.
        gone: bool,
    },
    /// A complete list has come, and the cache has just those.
    Listed(&'a Store<CachedObject<K>>),
}

/// The objects of a kind, kept in `writer`; the stream yields the objects to reconcile. `follow` handles
/// every change, and returns whether an existing object has to be reconciled; `again` reconciles objects that
/// were left out, once there is room.
pub(in crate::controllers) fn cached<K>(
    ctx: Arc<Ctx>,
    left_out: fn(&Ctx) -> &LeftOutOfKind<K>,
    writer: Writer<CachedObject<K>>,
    again: impl Fn(&str, &str) + Send + 'static,
    follow: impl FnMut(KindChange<'_, K>) -> bool + Send + 'static,
) -> impl Stream<Item = ObjectRef<CachedObject<K>>> + Send
where
    K: Reconciler + QuotaKind,
{
    let events = events_of_kind(&ctx, <K as Reconciler>::KIND, left_out, &writer.as_reader());
    followed(ctx, left_out, writer, events, again, follow)
}

/// As [`cached`], with these events.
fn followed<K>(
    ctx: Arc<Ctx>,
    left_out: fn(&Ctx) -> &LeftOutOfKind<K>,
    mut writer: Writer<CachedObject<K>>,
    events: impl Stream<Item = Event<CachedObject<K>>> + Send,
    again: impl Fn(&str, &str) + Send + 'static,
    mut follow: impl FnMut(KindChange<'_, K>) -> bool + Send + 'static,
) -> impl Stream<Item = ObjectRef<CachedObject<K>>> + Send
where
    K: Reconciler + QuotaKind,
{
    let kind = <K as Reconciler>::KIND;
    let cache = writer.as_reader();
    let mut listed = ListedReferences::default();
    let due = events.map(move |event| {
        let left_out = left_out(&ctx);
        let before = |object: &CachedObject<K>| cache.get(&ObjectRef::from_obj(object));
        // The event can be large, so it is dropped as soon as `follow` has handled it.
        let (kept, before, looked_at, room) = match event {
            Event::Init => {
                ctx.cache_quota.begin_list::<K>();
                (Event::Init, None, false, None)
            }
            Event::InitApply(object) => {
                let (kept, before) = (ctx.cache_quota.list(&object), before(&object));
                let looked_at = follow(KindChange::Applied {
                    object: &object,
                    kept: &kept,
                    before: before.as_deref(),
                    listed: true,
                });
                (Event::InitApply(kept), before, looked_at, None)
            }
            Event::InitDone => {
                ctx.cache_quota.end_list::<K>();
                (Event::InitDone, None, false, None)
            }
            Event::Apply(object) => {
                let before = before(&object);
                let (kept, room) = ctx.cache_quota.apply(before.as_deref(), &object);
                let looked_at = follow(KindChange::Applied {
                    object: &object,
                    kept: &kept,
                    before: before.as_deref(),
                    listed: false,
                });
                (Event::Apply(kept), before, looked_at, room)
            }
            Event::Delete(object) => {
                let before = before(&object);
                let (gone, room) = ctx.cache_quota.delete(before.as_deref(), &object);
                follow(KindChange::Deleted(&object));
                (Event::Delete(gone), before, false, room)
            }
        };
        match &kept {
            Event::Apply(kept) | Event::InitApply(kept) if matches!(kept.extent(), Extent::Nothing(_)) => {}
            Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => {
                left_out.forget(&object.namespace().unwrap_or_default(), &object.name_any());
            }
            Event::Init | Event::InitDone => {}
        }
        if let Some(namespace) = room {
            for name in left_out.waiting(&namespace) {
                again(&namespace, &name);
            }
        }
        let reference = take(&ctx, kind, &mut writer, &kept).filter(|_| looked_at);
        match &kept {
            Event::Apply(object) | Event::Delete(object) => {
                follow(KindChange::Cached {
                    kept: object,
                    before: before.as_deref(),
                    gone: matches!(kept, Event::Delete(_)),
                });
            }
            Event::InitDone => {
                follow(KindChange::Listed(&cache));
            }
            Event::Init | Event::InitApply(_) => {}
        }
        stream::iter(listed.due(&kept, reference))
    });
    due.flatten()
}

/// As [`cached`], of a kind whose objects have no quota and take effect before they come here.
pub(in crate::controllers) fn reflected<K: Reconciler>(
    ctx: Arc<Ctx>,
    mut writer: Writer<CachedObject<K>>,
    events: impl Stream<Item = Event<CachedObject<K>>> + Send,
) -> impl Stream<Item = ObjectRef<CachedObject<K>>> + Send {
    let mut listed = ListedReferences::default();
    let due = events.map(move |event| {
        let reference = take(&ctx, K::KIND, &mut writer, &event);
        stream::iter(listed.due(&event, reference))
    });
    due.flatten()
}

/// The objects of the list that is coming.
///
/// INVARIANT: an object of a list is looked at only once the list is complete. The cache, which an attempt
/// reads, has the object as it was before until then: an earlier attempt would find nothing to do, and none
/// would come afterwards.
struct ListedReferences<K: Resource<DynamicType = ()>>(Vec<ObjectRef<CachedObject<K>>>);

impl<K: Resource<DynamicType = ()>> Default for ListedReferences<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Resource<DynamicType = ()>> ListedReferences<K> {
    /// What is to be looked at after an event that is about `reference`.
    fn due(
        &mut self,
        event: &Event<CachedObject<K>>,
        reference: Option<ObjectRef<CachedObject<K>>>,
    ) -> Vec<ObjectRef<CachedObject<K>>> {
        match event {
            Event::Init => {
                self.0.clear();
                Vec::new()
            }
            Event::InitApply(_) => {
                self.0.extend(reference);
                Vec::new()
            }
            Event::InitDone => std::mem::take(&mut self.0),
            Event::Apply(_) | Event::Delete(_) => reference.into_iter().collect(),
        }
    }
}

/// The cache takes an event in, and `declarations` is told which objects are gone. Answers with the object
/// that is there, without UID and version: many wait at once.
fn take<K: Resource<DynamicType = ()> + 'static>(
    ctx: &Ctx,
    kind: &'static str,
    writer: &mut Writer<CachedObject<K>>,
    event: &Event<CachedObject<K>>,
) -> Option<ObjectRef<CachedObject<K>>> {
    writer.apply_watcher_event(event);
    match event {
        Event::Apply(object) | Event::InitApply(object) => {
            let reference = ObjectRef::new(&object.name_any());
            Some(match object.namespace() {
                Some(namespace) => reference.within(&namespace),
                None => reference,
            })
        }
        Event::Delete(object) => {
            ctx.declarations.gone(kind, object);
            None
        }
        Event::InitDone => {
            let objects = writer.as_reader().state();
            let uids: HashSet<String> = objects.iter().filter_map(|object| object.uid()).collect();
            ctx.declarations.listed(kind, uids);
            None
        }
        Event::Init => None,
    }
}

/// Whether an object is in a cache, by namespace and name.
pub(in crate::controllers) fn is_in<K: Resource<DynamicType = ()> + 'static>(
    cache: &Store<CachedObject<K>>,
) -> impl Fn(&str, &str) -> bool + Copy {
    move |namespace: &str, name: &str| cache.get(&ObjectRef::new(name).within(namespace)).is_some()
}

/// The events of a kind, and the objects of it that were left out and are read again.
fn events_of_kind<K: QuotaKind>(
    ctx: &Arc<Ctx>,
    kind: &'static str,
    left_out: fn(&Ctx) -> &LeftOutOfKind<K>,
    cache: &Store<CachedObject<K>>,
) -> impl Stream<Item = Event<CachedObject<K>>> + Send + use<K> {
    let events = large(ctx, kind);
    let (ctx, cache) = (Arc::clone(ctx), cache.clone());
    let again = stream::iter(left_out(&ctx).queue()).flatten();
    let again = again.filter_map(move |read| {
        let keeps = left_out::is_left_out(&cache, &read) && ctx.cache_quota.would_keep(&read);
        std::future::ready(keeps.then_some(Event::Apply(read)))
    });
    stream::select(events, again)
}

/// The events of a kind whose objects may be large.
pub(in crate::controllers) fn large<K>(
    ctx: &Arc<Ctx>,
    kind: &'static str,
) -> BoxStream<'static, Event<CachedObject<K>>>
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

/// The events of a watch, begun again after errors, each of which is logged and counted.
pub(in crate::controllers) fn logged<K: reflector::Lookup + Send>(
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
    use futures::FutureExt as _;
    use parking_lot::Mutex;
    use strongroom_crds::v1alpha1::ManagedSecret;

    use super::*;
    use crate::controllers::testing::{ControllerFixture, generated};

    #[tokio::test]
    async fn an_object_of_a_list_is_looked_at_when_the_cache_has_it() {
        let mut world = ControllerFixture::new();
        world.apply("db", generated("db"));
        let (before, listed) = (world.kept("db"), {
            world.apply("db", generated("other"));
            world.kept("db")
        });
        assert_ne!(before.declared(), listed.declared());
        let now = listed.declared();
        // A list that breaks off names nothing.
        let events = stream::iter([
            Event::Apply(before),
            Event::Init,
            Event::InitApply(listed.clone()),
            Event::Init,
            Event::InitApply(listed),
            Event::InitDone,
        ]);
        let ctx = Arc::new(world.ctx);
        let (cache, writer) = reflector::store();
        let work = followed(
            ctx,
            |ctx| &ctx.left_out.managed_secrets,
            writer,
            events,
            |_, _| {},
            |_: KindChange<'_, ManagedSecret>| true,
        );
        // As an attempt finds it that begins at once.
        let found = work.map(|object| cache.get(&object).map(|object| object.declared() == now));
        assert_eq!(found.collect::<Vec<_>>().await, [Some(false), Some(true)]);
    }

    #[tokio::test]
    async fn an_entry_of_a_list_that_changes_nothing_makes_no_work_and_a_deletion_always_counts() {
        let mut world = ControllerFixture::new();
        for name in ["db", "web"] {
            world.apply(name, generated(name));
        }
        let events = stream::iter([
            Event::Init,
            Event::InitApply(world.kept("db")),
            Event::InitApply(world.kept("web")),
            Event::InitDone,
            Event::Delete(world.kept("db")),
        ]);
        let uid = world.kept("db").uid().unwrap();
        let ctx = Arc::new(world.ctx);
        let (cache, writer) = reflector::store();
        let told = Arc::new(Mutex::new(Vec::new()));
        let changes_seen = Arc::clone(&told);
        // Of all that comes only `web` is news.
        let follow = move |change: KindChange<'_, ManagedSecret>| {
            let (name, what) = match change {
                KindChange::Applied { object, listed, .. } => {
                    (object.name_any(), format!("listed: {listed}"))
                }
                KindChange::Deleted(object) => (object.name_any(), "deleted".to_owned()),
                KindChange::Cached { kept, gone, .. } => (kept.name_any(), format!("gone: {gone}")),
                KindChange::Listed(cache) => ("all".to_owned(), cache.state().len().to_string()),
            };
            changes_seen.lock().push(format!("{name} {what}"));
            name == "web"
        };
        let work = followed(
            Arc::clone(&ctx),
            |ctx| &ctx.left_out.managed_secrets,
            writer,
            events,
            |_, _| {},
            follow,
        );
        let work: Vec<String> = work.map(|object| object.name).collect().await;
        assert_eq!(work, ["web"]);
        let expected = [
            "db listed: true",
            "web listed: true",
            "all 2",
            "db deleted",
            "db gone: true",
        ];
        assert_eq!(*told.lock(), expected);
        let left: Vec<String> = cache.state().iter().map(|object| object.name_any()).collect();
        assert_eq!(left, ["web"]);
        let deleted_by = ctx.declarations.deleted_by(&uid).now_or_never();
        assert_eq!(deleted_by, None, "its end goes on record");
    }
}
