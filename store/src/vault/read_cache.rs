//! What reads found out about secrets: their views, and their sealed values beside what opens them. A read of
//! what is known looks at no page of the engine. Must not hold a value, and must not outlive a change.
//!
//! INVARIANT: before a commit can be seen or acknowledged, the writer stamps every record that it changes.
//! What is known remembers the records that it rests on and the revision that it was read at, and counts only
//! while none of them was stamped since. So a read that begins after a change was acknowledged never sees
//! what was before, and everything that is known of one secret is of one snapshot.

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use strongroom_model::id::{KeyId, NamespaceId, SecretId};
use strongroom_model::name::{NamespaceName, SecretName, VersionId};

use super::sealed_version::SealedVersion;
use super::types::{KeyView, SecretView, VersionView};
use crate::crypto::KeyMaterial;
use crate::engine::{Change, Revision, Table};

/// Version stamps of changed records. Records that share one are forgotten together, which costs a look at
/// the engine.
const STAMPS: usize = 32_768;
/// Shards of one kind of entry, so that readers on several processors seldom meet.
const SHARDS: usize = 16;
/// Entries of one kind behind one lock, at most. Half of them stay however they are asked for: 16,384 of each
/// kind.
const MAX_SHARD_ENTRIES: usize = 2_048;
/// Bytes of entries of one kind behind one lock, at most, as [`Weight`] says; half of them stay.
const MAX_SHARD_BYTES: usize = 2 << 20;
/// Longest sealed value that is kept, in bytes.
pub(super) const MAX_CACHED_VALUE_BYTES: usize = 8 * 1_024;

/// Everything that is known.
pub(super) struct ReadCache {
    /// The revision that last changed a record, by the record's stamp.
    stamps: Box<[AtomicU64]>,
    /// Secrets by name.
    pub(super) secrets: ShardedCache<(NamespaceId, SecretName), Arc<SecretView>>,
    /// Of each secret the value that was read last, sealed.
    pub(super) values: ShardedCache<SecretId, CachedValue>,
    /// Customers' encryption keys.
    pub(super) keys: ShardedCache<(NamespaceId, KeyId), Option<KeyView>>,
    /// Material that known values stand under: one copy, however many they are.
    materials: Mutex<HashMap<(KeyId, u32), Weak<KeyMaterial>>>,
}

/// A value that was read before, as it lies in the engine, with what its record says.
pub(super) struct CachedValue {
    pub(super) sealed: SealedVersion,
    pub(super) version: VersionView,
    pub(super) namespace: NamespaceName,
    pub(super) secret: SecretName,
    /// The encryption key that new versions of the secret come under.
    pub(super) home_key: KeyId,
    /// The same, where it is a customer's: reads of the secret are uses of it.
    pub(super) key: Option<KeyId>,
}

/// About how many bytes an entry takes.
pub(super) trait Weight {
    fn weight(&self) -> usize;
}

impl Weight for CachedValue {
    fn weight(&self) -> usize {
        // Beside the sealed bytes: names, ids, the wrapped key.
        self.sealed.len().saturating_add(512)
    }
}

impl Weight for Arc<SecretView> {
    fn weight(&self) -> usize {
        let labels: usize = self
            .labels
            .iter()
            .map(|(key, value)| key.len() + value.len() + 64)
            .sum();
        self.description.len() + labels + self.versions.len() * 160 + 512
    }
}

impl Weight for Option<KeyView> {
    fn weight(&self) -> usize {
        512
    }
}

/// The records that something rests on, and when they were read.
pub(super) struct DependencySnapshot {
    at: Revision,
    stamps: Vec<u32>,
}

impl DependencySnapshot {
    /// Nothing yet, of a snapshot of this revision.
    pub(super) const fn at(at: Revision) -> Self {
        Self {
            at,
            stamps: Vec::new(),
        }
    }

    /// One more record, whether or not there is one.
    pub(super) fn record(mut self, table: Table, key: &[u8]) -> Self {
        self.stamps.push(stamp_index(table, key));
        self
    }
}

/// Which stamp is a record's.
fn stamp_index(table: Table, key: &[u8]) -> u32 {
    let mut hasher = DefaultHasher::new();
    table.code().hash(&mut hasher);
    key.hash(&mut hasher);
    // The remainder is less than `STAMPS`.
    u32::try_from(hasher.finish() % STAMPS as u64).unwrap_or_default()
}

impl Default for ReadCache {
    fn default() -> Self {
        Self {
            stamps: (0..STAMPS).map(|_| AtomicU64::new(0)).collect(),
            secrets: ShardedCache::default(),
            values: ShardedCache::default(),
            keys: ShardedCache::default(),
            materials: Mutex::default(),
        }
    }
}

impl ReadCache {
    /// A commit is about to make these changes, as this revision.
    pub(super) fn invalidate(&self, changes: &[Change], revision: Revision) {
        for change in changes {
            let (table, key, goes) = match change {
                Change::Put { table, key, .. } => (*table, key, false),
                Change::Delete { table, key } => (*table, key, true),
            };
            match table {
                Table::Name
                | Table::Namespace
                | Table::Head
                | Table::Version
                | Table::DataKey
                | Table::Key
                | Table::KeyVersion => {}
                // Nothing that is known rests on them.
                Table::Meta
                | Table::Due
                | Table::Audit
                | Table::Cursor
                | Table::Policy
                | Table::Declaration
                | Table::Attestation
                | Table::Product => continue,
            }
            if let Some(changed) = self.changed(stamp_index(table, key)) {
                changed.fetch_max(revision.0, Ordering::SeqCst);
            }
            // Not only void: what opened a value that is destroyed, or that lies under a key that is
            // disabled, does not stay in memory.
            match (table, key.first_chunk::<16>()) {
                (Table::Key | Table::KeyVersion, _) => self.values.clear(),
                (Table::DataKey, Some(secret)) if goes => self.values.drop(&SecretId::from_bytes(*secret)),
                _ => {}
            }
        }
    }

    fn changed(&self, stamp: u32) -> Option<&AtomicU64> {
        self.stamps.get(usize::try_from(stamp).ok()?)
    }

    /// A commit did not end as one that happened.
    pub(super) fn clear(&self) {
        self.secrets.clear();
        self.values.clear();
        self.keys.clear();
    }

    /// Whether nothing has changed that something rests on.
    fn is_current(&self, dependencies: &DependencySnapshot) -> bool {
        dependencies.stamps.iter().all(|stamp| {
            self.changed(*stamp)
                .is_some_and(|changed| changed.load(Ordering::SeqCst) <= dependencies.at.0)
        })
    }

    /// The secret of this name.
    pub(super) fn secret(&self, key: &(NamespaceId, SecretName)) -> Option<Arc<SecretView>> {
        self.secrets
            .get(key, |dependencies| self.is_current(dependencies))
            .map(|known| Arc::clone(&known.value))
    }

    /// The sealed value of a secret's version.
    pub(super) fn value(
        &self,
        secret: &SecretId,
        version: &VersionId,
    ) -> Option<Arc<CacheEntry<CachedValue>>> {
        let known = self
            .values
            .get(secret, |dependencies| self.is_current(dependencies))?;
        (known.value.version.id == *version).then_some(known)
    }

    /// An encryption key; `Some(None)` is one that is not shown.
    pub(super) fn key(&self, key: &(NamespaceId, KeyId)) -> Option<Option<KeyView>> {
        self.keys
            .get(key, |dependencies| self.is_current(dependencies))
            .map(|known| known.value.clone())
    }

    /// The one copy of the material of an encryption key's version, which never changes; `this` one where
    /// there is none.
    pub(super) fn share_material(
        &self,
        key: KeyId,
        version: u32,
        this: Arc<KeyMaterial>,
    ) -> Arc<KeyMaterial> {
        // Whole entries come and go.
        let mut materials = self.materials.lock();
        if let Some(known) = materials.get(&(key, version)).and_then(Weak::upgrade) {
            return known;
        }
        materials.retain(|_, material| material.strong_count() > 0);
        materials.insert((key, version), Arc::downgrade(&this));
        this
    }
}

/// Something that is known.
pub(super) struct CacheEntry<V> {
    dependencies: DependencySnapshot,
    pub(super) value: V,
}

/// Entries of one kind. Where there are many, those go that were not asked for lately.
pub(super) struct ShardedCache<K, V> {
    hash: RandomState,
    shards: [Mutex<CacheShard<K, V>>; SHARDS],
}

/// Entries that were asked for since the last change of generations, and those that were before it.
struct CacheShard<K, V> {
    young: HashMap<K, Arc<CacheEntry<V>>>,
    /// What was put among the young since then.
    young_bytes: usize,
    old: HashMap<K, Arc<CacheEntry<V>>>,
}

impl<K, V> Default for CacheShard<K, V> {
    fn default() -> Self {
        Self {
            young: HashMap::new(),
            young_bytes: 0,
            old: HashMap::new(),
        }
    }
}

impl<K, V> Default for ShardedCache<K, V> {
    fn default() -> Self {
        Self {
            hash: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl<K: Eq + Hash, V: Weight> ShardedCache<K, V> {
    fn shard(&self, key: &K) -> Option<MutexGuard<'_, CacheShard<K, V>>> {
        let number = usize::try_from(self.hash.hash_one(key) % SHARDS as u64).ok()?;
        // Whole entries come and go: a panic in between leaves nothing half done.
        Some(self.shards.get(number)?.lock())
    }

    fn get(&self, key: &K, is_current: impl Fn(&DependencySnapshot) -> bool) -> Option<Arc<CacheEntry<V>>> {
        let mut shard = self.shard(key)?;
        let entry = match shard.young.get(key) {
            Some(entry) => Arc::clone(entry),
            None => {
                let (key, entry) = shard.old.remove_entry(key)?;
                shard.put(key, Arc::clone(&entry));
                entry
            }
        };
        if is_current(&entry.dependencies) {
            return Some(entry);
        }
        shard.young.remove(key);
        None
    }

    /// Whether there is one, whether or not it still holds.
    pub(super) fn contains(&self, key: &K) -> bool {
        self.shard(key)
            .is_some_and(|shard| shard.young.contains_key(key) || shard.old.contains_key(key))
    }

    /// Keeps an entry.
    pub(super) fn insert(&self, key: K, dependencies: DependencySnapshot, value: V) {
        if let Some(mut shard) = self.shard(&key) {
            shard.put(key, Arc::new(CacheEntry { dependencies, value }));
        }
    }

    fn drop(&self, key: &K) {
        if let Some(mut shard) = self.shard(key) {
            shard.young.remove(key);
            shard.old.remove(key);
        }
    }

    fn clear(&self) {
        for lock in &self.shards {
            *lock.lock() = CacheShard::default();
        }
    }
}

impl<K: Eq + Hash, V: Weight> CacheShard<K, V> {
    fn put(&mut self, key: K, entry: Arc<CacheEntry<V>>) {
        let weight = entry.value.weight();
        if self.young.len() >= MAX_SHARD_ENTRIES / 2
            || self.young_bytes.saturating_add(weight) > MAX_SHARD_BYTES / 2
        {
            self.old = mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes = self.young_bytes.saturating_add(weight);
        self.young.insert(key, entry);
    }
}

#[cfg(test)]
mod tests;
