//! Objects of which nothing is kept, because their namespace has no room for them or they are too large. They
//! are not reconciled, and their conditions say so. They are read again, a few at a time, once there is room.

use std::collections::BTreeMap;

use futures::channel::mpsc::{Receiver, Sender, channel};
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Resource, ResourceExt};
use parking_lot::Mutex;
use strongroom_crds::v1alpha1::{EncryptionKey, ManagedSecret, RotationSchedule};

use super::Ctx;
use super::cache_quota::QuotaKind;
use super::cached_object::{CachedObject, Extent, TooLarge};
use crate::large_objects::LargeObjectPermit;

/// Objects of a namespace that are looked at when there is room.
const MAX_REREADS: usize = 16;

/// All of them, by kind.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    pub(crate) managed_secrets: LeftOutOfKind<ManagedSecret>,
    pub(crate) keys: LeftOutOfKind<EncryptionKey>,
    pub(crate) schedules: LeftOutOfKind<RotationSchedule>,
}

/// Those of one kind.
#[derive(Debug)]
pub(crate) struct LeftOutOfKind<K> {
    /// What each was told, by namespace and name.
    told: Mutex<BTreeMap<(String, String), ReportedReason>>,
    again: Mutex<Sender<CachedObject<K>>>,
    queue: Mutex<Option<Receiver<CachedObject<K>>>>,
}

/// Why an object is left out, as its condition says of one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ReportedReason {
    uid: Option<String>,
    generation: Option<i64>,
    why: TooLarge,
}

impl ReportedReason {
    fn new(kept: &impl Resource, why: TooLarge) -> Self {
        Self {
            uid: kept.uid(),
            generation: kept.meta().generation,
            why,
        }
    }
}

impl<K> Default for LeftOutOfKind<K> {
    fn default() -> Self {
        let (again, queue) = channel(1);
        Self {
            told: Mutex::default(),
            again: Mutex::new(again),
            queue: Mutex::new(Some(queue)),
        }
    }
}

impl<K> LeftOutOfKind<K> {
    /// The condition of the object says it.
    pub(super) fn mark_reported(&self, kept: &CachedObject<K>, why: TooLarge)
    where
        K: Resource<DynamicType = ()>,
    {
        let place = (kept.namespace().unwrap_or_default(), kept.name_any());
        self.told.lock().insert(place, ReportedReason::new(kept, why));
    }

    /// Some that wait for room.
    pub(super) fn waiting(&self, namespace: &str) -> Vec<String> {
        let from = (namespace.to_owned(), String::new());
        self.told
            .lock()
            .range(from..)
            .take_while(|((home, _), _)| home == namespace)
            .filter(|(_, told)| told.why == TooLarge::Namespace)
            .map(|((_, name), _)| name.clone())
            .take(MAX_REREADS)
            .collect()
    }

    /// It is not left out any more, or it is gone.
    pub(super) fn forget(&self, namespace: &str, name: &str) {
        let mut told = self.told.lock();
        if !told.is_empty() {
            told.remove(&(namespace.to_owned(), name.to_owned()));
        }
    }

    /// A complete list has come; those that `is_there` does not know are gone.
    pub(super) fn listed(&self, is_there: impl Fn(&str, &str) -> bool) {
        self.told
            .lock()
            .retain(|(namespace, name), _| is_there(namespace, name));
    }

    /// The objects that were read again. They can be taken once.
    pub(super) fn queue(&self) -> Option<Receiver<CachedObject<K>>> {
        self.queue.lock().take()
    }
}

/// An object as it was read again, for as long as it is worked on.
pub(super) struct RereadObject<K> {
    /// The object, whole.
    pub(super) object: CachedObject<K>,
    _held: LargeObjectPermit,
}

/// Reads an object of which not all is kept; none where it is gone, or another one has its name.
///
/// # Errors
/// The API server's.
pub(super) async fn read_again<K>(ctx: &Ctx, kept: &CachedObject<K>) -> kube::Result<Option<RereadObject<K>>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let (namespace, name) = (kept.namespace().unwrap_or_default(), kept.name_any());
    // It takes nobody's place while it waits.
    let aside = ctx.fair_queue.aside(&namespace);
    let held = ctx.under_way.acquire(&namespace, kept.bytes()).await;
    drop(aside);
    let api: Api<CachedObject<K>> = Api::namespaced(ctx.client.clone(), &namespace);
    let found = api.get_opt(&name).await?;
    let same = found.filter(|found| found.uid() == kept.uid());
    Ok(same.map(|object| RereadObject { object, _held: held }))
}

/// Looks at an object that is left out: where there may be room, it goes the way of an event once more. The
/// answer is what its condition does not say yet.
///
/// # Errors
/// The API server's.
pub(super) async fn reread<K>(
    ctx: &Ctx,
    of_kind: &LeftOutOfKind<K>,
    kept: &CachedObject<K>,
    why: TooLarge,
) -> kube::Result<Option<RereadObject<K>>>
where
    K: QuotaKind + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let (namespace, name) = (kept.namespace().unwrap_or_default(), kept.name_any());
    let room = why == TooLarge::Namespace && ctx.cache_quota.has_room::<K>(&namespace);
    let known = of_kind.told.lock().get(&(namespace, name)) == Some(&ReportedReason::new(kept, why));
    if known && !room {
        return Ok(None);
    }
    let Some(read) = read_again(ctx, kept).await? else {
        return Ok(None);
    };
    if room && ctx.cache_quota.would_keep(&read.object) {
        // Where others wait there it has its turn with the next room. A closed channel means that the process
        // ends.
        let mut again = of_kind.again.lock();
        let _ = again.try_send(read.object);
        return Ok(None);
    }
    Ok(Some(read).filter(|_| !known))
}

/// Whether an object that was read again is still the one that is left out.
pub(super) fn is_left_out<K: QuotaKind>(cache: &Store<CachedObject<K>>, read: &CachedObject<K>) -> bool {
    cache.get(&ObjectRef::from_obj(read)).is_some_and(|kept| {
        matches!(kept.extent(), Extent::Nothing(TooLarge::Namespace))
            && kept.uid() == read.uid()
            && kept.resource_version() == read.resource_version()
    })
}
