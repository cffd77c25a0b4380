//! How much memory the cached objects of a namespace take, and how much of each is kept: the whole object
//! while there is room, then an outline, and only its identity if even outlines exceed the namespace's share.
//! The objects of one namespace never take another's share.
//!
//! Must not decide what is done with an object, nor read one.

use std::collections::HashMap;

use kube::{Resource, ResourceExt};
use parking_lot::{Mutex, MutexGuard};
use serde::de::DeserializeOwned;
use strongroom_crds::v1alpha1::{EncryptionKey, ManagedSecret, RotationSchedule};

use super::cached_object::{CachedObject, Extent, TooLarge};
use super::outline::{self, MAX_OUTLINE_BYTES as OUTLINE};

/// What an object takes beside its texts: its names, and its place in maps.
const OBJECT_OVERHEAD_BYTES: usize = 512;

/// How many bytes the ManagedSecrets of one namespace may have. Its keys may have an eighth of that in
/// addition, and its schedules a quarter, so that one kind cannot use up the share of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheBounds {
    /// Bytes in all. Up to half of them, objects are kept whole.
    pub(crate) bytes: usize,
    /// Objects of which more than the identity is kept.
    pub(crate) objects: usize,
}

impl CacheBounds {
    /// So many bytes, and so many objects that each has 800 of them.
    pub(crate) const fn from_bytes(bytes: usize) -> Self {
        Self {
            bytes,
            objects: bytes / 800,
        }
    }

    const fn part(self, by: usize) -> Self {
        Self {
            bytes: self.bytes / by,
            objects: self.objects / by,
        }
    }
}

impl Default for CacheBounds {
    /// Twenty thousand usual objects.
    fn default() -> Self {
        Self::from_bytes(16 << 20)
    }
}

/// A kind whose objects count.
pub(crate) trait QuotaKind: Resource<DynamicType = ()> + DeserializeOwned + 'static {
    /// Which it is.
    const KIND: CachedKind;
    /// Which part of the bounds its objects have.
    const PART: usize;
    /// Longest text, in bytes, that is kept whole.
    const WHOLE: usize;

    /// What is kept of one that is not kept whole, where that is less.
    fn outline(object: &CachedObject<Self>) -> Option<CachedObject<Self>>;
}

/// The kinds whose objects count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CachedKind {
    ManagedSecret,
    EncryptionKey,
    RotationSchedule,
}

impl QuotaKind for ManagedSecret {
    const KIND: CachedKind = CachedKind::ManagedSecret;
    const PART: usize = 1;
    const WHOLE: usize = 32 << 10;

    fn outline(object: &CachedObject<Self>) -> Option<CachedObject<Self>> {
        object.outlined(outline::outline_managed_secret)
    }
}

/// All of it decides.
impl QuotaKind for EncryptionKey {
    const KIND: CachedKind = CachedKind::EncryptionKey;
    const PART: usize = 8;
    const WHOLE: usize = 64 << 10;

    fn outline(_: &CachedObject<Self>) -> Option<CachedObject<Self>> {
        None
    }
}

/// All of it decides. The names of 256 secrets, and what is said of each, are long.
impl QuotaKind for RotationSchedule {
    const KIND: CachedKind = CachedKind::RotationSchedule;
    const PART: usize = 4;
    const WHOLE: usize = 512 << 10;

    fn outline(_: &CachedObject<Self>) -> Option<CachedObject<Self>> {
        None
    }
}

/// What some objects take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    bytes: usize,
    objects: usize,
    /// Objects of which nothing is kept for want of room.
    left_out: usize,
}

impl Load {
    fn fits(self, bounds: CacheBounds, more: usize) -> bool {
        self.objects < bounds.objects && self.bytes.saturating_add(more) <= bounds.bytes
    }

    fn add<K>(&mut self, object: &CachedObject<K>) {
        match object.extent() {
            Extent::Whole | Extent::Outline => {
                self.bytes = self.bytes.saturating_add(taken(object));
                self.objects = self.objects.saturating_add(1);
            }
            Extent::Nothing(TooLarge::Namespace) => self.left_out = self.left_out.saturating_add(1),
            Extent::Nothing(TooLarge::Alone) => {}
        }
    }

    fn subtract<K>(&mut self, object: &CachedObject<K>) {
        match object.extent() {
            Extent::Whole | Extent::Outline => {
                self.bytes = self.bytes.saturating_sub(taken(object));
                self.objects = self.objects.saturating_sub(1);
            }
            Extent::Nothing(TooLarge::Namespace) => self.left_out = self.left_out.saturating_sub(1),
            Extent::Nothing(TooLarge::Alone) => {}
        }
    }
}

fn taken<K>(object: &CachedObject<K>) -> usize {
    object.weight().saturating_add(OBJECT_OVERHEAD_BYTES)
}

/// The namespaces' loads of one kind.
type Loads = HashMap<Box<str>, Load>;

#[derive(Debug, Default)]
struct KindUsage {
    /// As the cache is.
    now: Loads,
    /// As the list is that is not complete yet.
    listing: Option<Loads>,
}

/// What the objects of each namespace take.
#[derive(Debug, Default)]
pub(crate) struct CacheQuota {
    bounds: CacheBounds,
    managed_secrets: Mutex<KindUsage>,
    keys: Mutex<KindUsage>,
    schedules: Mutex<KindUsage>,
}

impl CacheQuota {
    /// With these bounds.
    pub(crate) fn new(bounds: CacheBounds) -> Self {
        Self {
            bounds,
            ..Self::default()
        }
    }

    fn usage<K: QuotaKind>(&self) -> MutexGuard<'_, KindUsage> {
        let of = match K::KIND {
            CachedKind::ManagedSecret => &self.managed_secrets,
            CachedKind::EncryptionKey => &self.keys,
            CachedKind::RotationSchedule => &self.schedules,
        };
        of.lock()
    }

    /// A list begins: its objects are counted beside those that there are.
    pub(crate) fn begin_list<K: QuotaKind>(&self) {
        self.usage::<K>().listing = Some(Loads::new());
    }

    /// What is kept of an object of a list.
    pub(crate) fn list<K: QuotaKind>(&self, object: &CachedObject<K>) -> CachedObject<K> {
        let mut of = self.usage::<K>();
        let load = entry(of.listing.get_or_insert_default(), object);
        let kept = fitting(self.bounds.part(K::PART), *load, object);
        load.add(&kept);
        kept
    }

    /// The list is complete, and counts from now on.
    pub(crate) fn end_list<K: QuotaKind>(&self) {
        let mut of = self.usage::<K>();
        of.now = of.listing.take().unwrap_or_default();
    }

    /// What is kept of an object, given what was kept `before`; and its namespace, if there is room now for
    /// objects that were left out.
    pub(crate) fn apply<K: QuotaKind>(
        &self,
        before: Option<&CachedObject<K>>,
        object: &CachedObject<K>,
    ) -> (CachedObject<K>, Option<String>) {
        let bounds = self.bounds.part(K::PART);
        let mut of = self.usage::<K>();
        let load = entry(&mut of.now, object);
        if let Some(before) = before {
            load.subtract(before);
        }
        let kept = fitting(bounds, *load, object);
        load.add(&kept);
        // It became smaller, or it is one that was left out and had room: the next may have some, too.
        let less = before.is_some_and(|before| match (before.extent(), kept.extent()) {
            (Extent::Nothing(_), Extent::Whole | Extent::Outline) => true,
            _ => taken(before) > taken(&kept),
        });
        let room = less && load.left_out > 0 && load.fits(bounds, OBJECT_OVERHEAD_BYTES);
        (kept, room.then(|| home(object)))
    }

    /// The identity of an object that is gone, and the namespace where there is room now, and of which
    /// objects were left out.
    pub(crate) fn delete<K: QuotaKind>(
        &self,
        before: Option<&CachedObject<K>>,
        object: &CachedObject<K>,
    ) -> (CachedObject<K>, Option<String>) {
        let bounds = self.bounds.part(K::PART);
        let mut of = self.usage::<K>();
        let load = entry(&mut of.now, object);
        if let Some(before) = before {
            load.subtract(before);
        }
        let room = load.left_out > 0 && load.fits(bounds, OBJECT_OVERHEAD_BYTES);
        if *load == Load::default() {
            of.now.remove(home(object).as_str());
        }
        (object.identity(TooLarge::Alone), room.then(|| home(object)))
    }

    /// Whether another object of the kind may have room in this namespace. While a list is not complete that
    /// is not known, and there is none.
    pub(crate) fn has_room<K: QuotaKind>(&self, namespace: &str) -> bool {
        let bounds = self.bounds.part(K::PART);
        let of = self.usage::<K>();
        let load = of.now.get(namespace).copied().unwrap_or_default();
        of.listing.is_none() && load.fits(bounds, OUTLINE.min(bounds.bytes / 16))
    }

    /// Whether an object that was left out would have room now.
    pub(crate) fn would_keep<K: QuotaKind>(&self, object: &CachedObject<K>) -> bool {
        let load = self.usage::<K>().now.get(home(object).as_str()).copied();
        let kept = fitting(self.bounds.part(K::PART), load.unwrap_or_default(), object);
        !matches!(kept.extent(), Extent::Nothing(_))
    }
}

/// What of an object is kept beside these.
fn fitting<K: QuotaKind>(bounds: CacheBounds, beside: Load, object: &CachedObject<K>) -> CachedObject<K> {
    let whole = object.bytes() <= K::WHOLE && object.weight() <= K::WHOLE.saturating_add(OUTLINE);
    let below_half = beside.bytes.saturating_add(taken(object)) <= bounds.bytes / 2;
    if whole && below_half && beside.fits(bounds, taken(object)) {
        return object.clone();
    }
    let outline = K::outline(object).filter(|outline| outline.weight() <= OUTLINE);
    let smaller = match outline {
        Some(outline) => outline,
        None if whole => object.clone(),
        None => return object.identity(TooLarge::Alone),
    };
    if beside.fits(bounds, taken(&smaller)) {
        smaller
    } else {
        object.identity(TooLarge::Namespace)
    }
}

fn home<K: QuotaKind>(object: &CachedObject<K>) -> String {
    object.namespace().unwrap_or_default()
}

fn entry<'a, K: QuotaKind>(loads: &'a mut Loads, object: &CachedObject<K>) -> &'a mut Load {
    loads.entry(home(object).into()).or_default()
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;

    type Object = CachedObject<ManagedSecret>;

    struct World {
        shares: CacheQuota,
        cache: Store<Object>,
        writer: Writer<Object>,
    }

    /// An object whose template has so many bytes that compress to nothing.
    fn object(namespace: &str, name: &str, template: usize) -> Object {
        labelled(namespace, name, template, 0)
    }

    fn labelled(namespace: &str, name: &str, template: usize, labels: usize) -> Object {
        let labels: serde_json::Map<_, _> = (0..labels)
            .map(|number| (format!("label-{number}"), json!("value")))
            .collect();
        serde_json::from_value(json!({
            "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}"), "labels": labels},
            "spec": {
                "source": {"external": {}}, "encryptionKey": "payments",
                "secret": {"name": "db", "template": {"file": "x".repeat(template)}},
            },
        }))
        .unwrap()
    }

    impl World {
        fn new(bytes: usize) -> Self {
            let (cache, mut writer) = kube::runtime::reflector::store();
            writer.apply_watcher_event(&Event::Init);
            writer.apply_watcher_event(&Event::InitDone);
            Self {
                shares: CacheQuota::new(CacheBounds::from_bytes(bytes)),
                cache,
                writer,
            }
        }

        fn event(&mut self, event: Event<Object>) -> Option<String> {
            let before = |object| self.cache.get(&ObjectRef::from_obj(object));
            let (kept, room) = match &event {
                Event::Init => {
                    self.shares.begin_list::<ManagedSecret>();
                    (Event::Init, None)
                }
                Event::InitApply(object) => (Event::InitApply(self.shares.list(object)), None),
                Event::InitDone => {
                    self.shares.end_list::<ManagedSecret>();
                    (Event::InitDone, None)
                }
                Event::Apply(object) => {
                    let (kept, room) = self.shares.apply(before(object).as_deref(), object);
                    (Event::Apply(kept), room)
                }
                Event::Delete(object) => {
                    let (gone, room) = self.shares.delete(before(object).as_deref(), object);
                    (Event::Delete(gone), room)
                }
            };
            self.writer.apply_watcher_event(&kept);
            room
        }

        fn apply(&mut self, object: Object) -> Extent {
            let place = ObjectRef::from_obj(&object);
            self.event(Event::Apply(object));
            self.cache.get(&place).unwrap().extent()
        }

        fn load(&self, namespace: &str) -> Load {
            let of = self.shares.usage::<ManagedSecret>();
            of.now.get(namespace).copied().unwrap_or_default()
        }
    }

    #[test]
    fn what_is_short_stays_whole_and_what_is_long_becomes_an_outline() {
        let mut world = World::new(16 << 20);
        assert_eq!(world.apply(object("shop", "short", 100)), Extent::Whole);
        assert_eq!(world.apply(object("shop", "long", 30_000)), Extent::Whole);
        assert_eq!(world.apply(object("shop", "longer", 1_300_000)), Extent::Outline);
        let kept = world.cache.get(&ObjectRef::new("longer").within("shop")).unwrap();
        assert!(kept.weight() < 1_000, "{}", kept.weight());
        assert!(kept.bytes() > 1_300_000);
        // What decides is there.
        let outline = kept.parse().unwrap();
        assert_eq!(outline.spec.encryption_key.as_deref(), Some("payments"));
        assert_eq!(outline.spec.secret.unwrap().name, "db");
    }

    #[test]
    fn three_hundred_of_the_largest_take_less_than_a_megabyte() {
        let mut world = World::new(16 << 20);
        for number in 0..300 {
            let name = format!("large-{number}");
            assert_eq!(world.apply(object("shop", &name, 1_350_000)), Extent::Outline);
        }
        assert!(world.load("shop").bytes < 1 << 20, "{:?}", world.load("shop"));
    }

    #[test]
    fn the_fuller_a_namespace_is_the_less_is_kept_and_others_notice_nothing() {
        let mut world = World::new(256 << 10);
        let extents: Vec<Extent> = (0..400)
            .map(|number| world.apply(object("shop", &format!("o-{number}"), 16_000)))
            .collect();
        let count = |extent| extents.iter().filter(|it| **it == extent).count();
        assert!((6..9).contains(&count(Extent::Whole)), "{}", count(Extent::Whole));
        assert!(count(Extent::Outline) > 100, "{}", count(Extent::Outline));
        assert!(count(Extent::Nothing(TooLarge::Namespace)) > 50);
        assert!(world.load("shop").bytes <= 256 << 10);
        assert!(!world.shares.has_room::<ManagedSecret>("shop"));
        assert_eq!(world.apply(object("pay", "db", 16_000)), Extent::Whole);
        // Many objects of one kind take no room of another.
        assert!(world.shares.has_room::<EncryptionKey>("shop"));
    }

    #[test]
    fn there_is_a_bound_on_the_number_too() {
        let mut world = World::new(1 << 20);
        world.shares.bounds.objects = 10;
        let kept = (0..20)
            .map(|number| world.apply(object("shop", &format!("o-{number}"), 10)))
            .filter(|extent| *extent == Extent::Whole);
        assert_eq!(kept.count(), 10);
    }

    #[test]
    fn one_that_is_too_large_alone_is_left_out_alone() {
        let mut world = World::new(16 << 20);
        let extent = world.apply(labelled("shop", "labels", 10, 2_000));
        assert_eq!(extent, Extent::Nothing(TooLarge::Alone));
        assert_eq!(world.load("shop"), Load::default());
        assert_eq!(world.apply(object("shop", "other", 10)), Extent::Whole);
    }

    #[test]
    fn who_goes_or_shrinks_makes_room_that_is_told_while_somebody_waits() {
        let mut world = World::new(64 << 10);
        world.shares.bounds.objects = 2;
        let small = |name| object("shop", name, 10);
        for name in ["a", "b"] {
            assert_eq!(world.apply(small(name)), Extent::Whole);
        }
        // Nobody waits.
        assert_eq!(world.event(Event::Delete(small("b"))), None);
        assert_eq!(world.apply(small("b")), Extent::Whole);
        let left_out = Extent::Nothing(TooLarge::Namespace);
        assert_eq!(
            (world.apply(small("c")), world.apply(small("d"))),
            (left_out, left_out)
        );
        assert!(!world.shares.would_keep(&small("c")));
        assert_eq!(world.event(Event::Delete(small("a"))), Some("shop".to_owned()));
        assert!(world.shares.would_keep(&small("c")));
        // It is read again and has room; there is none for the next.
        assert_eq!(world.event(Event::Apply(small("c"))), None);
        assert_eq!(world.load("shop").left_out, 1);
        // Who is left out takes nothing, and gives nothing back.
        assert_eq!(world.event(Event::Delete(small("d"))), None);
        assert_eq!(world.load("shop").objects, 2);
        for name in ["b", "c"] {
            world.event(Event::Delete(small(name)));
        }
        assert!(world.shares.usage::<ManagedSecret>().now.is_empty());
    }

    #[test]
    fn a_new_list_counts_anew() {
        let mut world = World::new(64 << 10);
        world.shares.bounds.objects = 2;
        for name in ["a", "b", "c"] {
            world.apply(object("shop", name, 10));
        }
        world.event(Event::Init);
        // It breaks off, and begins again.
        world.event(Event::InitApply(object("shop", "b", 10)));
        world.event(Event::Init);
        for name in ["b", "c"] {
            world.event(Event::InitApply(object("shop", name, 10)));
        }
        assert_eq!(world.load("shop").left_out, 1, "the old one stands");
        assert!(
            !world.shares.has_room::<ManagedSecret>("pay"),
            "it is not known yet"
        );
        world.event(Event::InitDone);
        assert_eq!((world.load("shop").objects, world.load("shop").left_out), (2, 0));
    }
}
