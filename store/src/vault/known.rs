//! What reads found out about secrets: their views, and their sealed values beside what opens them. A read of what is known looks at no page of
//! the engine. Must not hold a value, and must not outlive a change.
//!
//! INVARIANT: before a commit can be seen or acknowledged, the writer marks every record that it changes. What is known remembers the records
//! that it rests on and the revision that it was read at, and counts only while none of them was marked since. So a read that begins after a
//! change was acknowledged never sees what was before, and everything that is known of one secret is of one snapshot.

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::types::{KeyView, SecretView, VersionView};
use super::view::SealedVersion;
use crate::crypto::KeyMaterial;
use crate::engine::{Change, Revision, Table};
use crate::id::{KeyId, NamespaceId, SecretId};
use crate::name::{NamespaceName, SecretName, VersionId};

/// Marks of changed records. Records that share one are forgotten together, which costs a look at the engine.
const MARKS: usize = 32_768;
/// Locks of one kind of fact, so that readers on several processors seldom meet.
const LOCKS: usize = 16;
/// Facts of one kind behind one lock, at most. Half of them stay however they are asked for: 16,384 of each kind.
const MOST: usize = 2_048;
/// Bytes of facts of one kind behind one lock, at most, as [`Weight`] says; half of them stay.
const MOST_BYTES: usize = 2 << 20;
/// Longest sealed value that is kept, in bytes.
pub(super) const LONGEST: usize = 8 * 1_024;

/// Everything that is known.
pub(super) struct Known {
    /// The revision that last changed a record, by the record's mark.
    marks: Box<[AtomicU64]>,
    /// Secrets by name.
    pub(super) secrets: Facts<(NamespaceId, SecretName), Arc<SecretView>>,
    /// Of each secret the value that was read last, sealed.
    pub(super) values: Facts<SecretId, KnownValue>,
    /// Customers' encryption keys.
    pub(super) keys: Facts<(NamespaceId, KeyId), Option<KeyView>>,
    /// Material that known values stand under: one copy, however many they are.
    materials: Mutex<HashMap<(KeyId, u32), Weak<KeyMaterial>>>,
}

/// A value that was read before, as it lies in the engine, with what its record says.
pub(super) struct KnownValue {
    pub(super) sealed: SealedVersion,
    pub(super) version: VersionView,
    pub(super) namespace: NamespaceName,
    pub(super) secret: SecretName,
    /// The encryption key that new versions of the secret come under.
    pub(super) home_key: KeyId,
    /// The same, where it is a customer's: reads of the secret are uses of it.
    pub(super) key: Option<KeyId>,
}

/// About how many bytes a fact takes.
pub(super) trait Weight {
    fn weight(&self) -> usize;
}

impl Weight for KnownValue {
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
pub(super) struct Ground {
    at: Revision,
    marks: Vec<u32>,
}

impl Ground {
    /// Nothing yet, of a snapshot of this revision.
    pub(super) const fn at(at: Revision) -> Self {
        Self {
            at,
            marks: Vec::new(),
        }
    }

    /// One more record, whether or not there is one.
    pub(super) fn record(mut self, table: Table, key: &[u8]) -> Self {
        self.marks.push(mark(table, key));
        self
    }
}

/// The mark of a record.
fn mark(table: Table, key: &[u8]) -> u32 {
    let mut hasher = DefaultHasher::new();
    table.code().hash(&mut hasher);
    key.hash(&mut hasher);
    // The remainder is less than `MARKS`.
    u32::try_from(hasher.finish() % MARKS as u64).unwrap_or_default()
}

impl Default for Known {
    fn default() -> Self {
        Self {
            marks: (0..MARKS).map(|_| AtomicU64::new(0)).collect(),
            secrets: Facts::default(),
            values: Facts::default(),
            keys: Facts::default(),
            materials: Mutex::default(),
        }
    }
}

impl Known {
    /// A commit is about to make these changes, as this revision.
    pub(super) fn changing(&self, changes: &[Change], revision: Revision) {
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
                | Table::Attestation => continue,
            }
            if let Some(changed) = self.changed(mark(table, key)) {
                changed.fetch_max(revision.0, Ordering::SeqCst);
            }
            // Not only void: what opened a value that is destroyed, or that lies under a key that is disabled, does not stay in memory.
            match (table, key.first_chunk::<16>()) {
                (Table::Key | Table::KeyVersion, _) => self.values.clear(),
                (Table::DataKey, Some(secret)) if goes => self.values.drop(&SecretId::from_bytes(*secret)),
                _ => {}
            }
        }
    }

    fn changed(&self, mark: u32) -> Option<&AtomicU64> {
        self.marks.get(usize::try_from(mark).ok()?)
    }

    /// A commit did not end as one that happened.
    pub(super) fn forget(&self) {
        self.secrets.clear();
        self.values.clear();
        self.keys.clear();
    }

    /// Whether nothing has changed that something rests on.
    fn holds(&self, ground: &Ground) -> bool {
        ground.marks.iter().all(|mark| {
            self.changed(*mark)
                .is_some_and(|changed| changed.load(Ordering::SeqCst) <= ground.at.0)
        })
    }

    /// The secret of this name.
    pub(super) fn secret(&self, key: &(NamespaceId, SecretName)) -> Option<Arc<SecretView>> {
        self.secrets
            .find(key, |ground| self.holds(ground))
            .map(|known| Arc::clone(&known.what))
    }

    /// The sealed value of a secret's version.
    pub(super) fn value(&self, secret: &SecretId, version: &VersionId) -> Option<Arc<Fact<KnownValue>>> {
        let known = self.values.find(secret, |ground| self.holds(ground))?;
        (known.what.version.id == *version).then_some(known)
    }

    /// An encryption key; `Some(None)` is one that is not shown.
    pub(super) fn key(&self, key: &(NamespaceId, KeyId)) -> Option<Option<KeyView>> {
        self.keys
            .find(key, |ground| self.holds(ground))
            .map(|known| known.what.clone())
    }

    /// The one copy of the material of an encryption key's version, which never changes; `this` one where there is none.
    pub(super) fn shared(&self, key: KeyId, version: u32, this: Arc<KeyMaterial>) -> Arc<KeyMaterial> {
        // Whole entries come and go.
        let mut materials = self.materials.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = materials.get(&(key, version)).and_then(Weak::upgrade) {
            return known;
        }
        materials.retain(|_, material| material.strong_count() > 0);
        materials.insert((key, version), Arc::downgrade(&this));
        this
    }
}

/// Something that is known.
pub(super) struct Fact<V> {
    ground: Ground,
    pub(super) what: V,
}

/// Facts of one kind. Where there are many, those go that were not asked for lately.
pub(super) struct Facts<K, V> {
    hash: RandomState,
    locks: [Mutex<Generations<K, V>>; LOCKS],
}

/// Facts that were asked for since the last change of generations, and those that were before it.
struct Generations<K, V> {
    young: HashMap<K, Arc<Fact<V>>>,
    /// What was put among the young since then.
    young_bytes: usize,
    old: HashMap<K, Arc<Fact<V>>>,
}

impl<K, V> Default for Generations<K, V> {
    fn default() -> Self {
        Self {
            young: HashMap::new(),
            young_bytes: 0,
            old: HashMap::new(),
        }
    }
}

impl<K, V> Default for Facts<K, V> {
    fn default() -> Self {
        Self {
            hash: RandomState::new(),
            locks: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl<K: Eq + Hash, V: Weight> Facts<K, V> {
    fn behind(&self, key: &K) -> Option<MutexGuard<'_, Generations<K, V>>> {
        let number = usize::try_from(self.hash.hash_one(key) % LOCKS as u64).ok()?;
        // Whole entries come and go: a panic in between leaves nothing half done.
        Some(
            self.locks
                .get(number)?
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn find(&self, key: &K, holds: impl Fn(&Ground) -> bool) -> Option<Arc<Fact<V>>> {
        let mut facts = self.behind(key)?;
        let fact = match facts.young.get(key) {
            Some(fact) => Arc::clone(fact),
            None => {
                let (key, fact) = facts.old.remove_entry(key)?;
                facts.put(key, Arc::clone(&fact));
                fact
            }
        };
        if holds(&fact.ground) {
            return Some(fact);
        }
        facts.young.remove(key);
        None
    }

    /// Whether there is one, whether or not it still holds.
    pub(super) fn has(&self, key: &K) -> bool {
        self.behind(key)
            .is_some_and(|facts| facts.young.contains_key(key) || facts.old.contains_key(key))
    }

    /// Keeps a fact.
    pub(super) fn keep(&self, key: K, ground: Ground, what: V) {
        if let Some(mut facts) = self.behind(&key) {
            facts.put(key, Arc::new(Fact { ground, what }));
        }
    }

    fn drop(&self, key: &K) {
        if let Some(mut facts) = self.behind(key) {
            facts.young.remove(key);
            facts.old.remove(key);
        }
    }

    fn clear(&self) {
        for lock in &self.locks {
            *lock.lock().unwrap_or_else(PoisonError::into_inner) = Generations::default();
        }
    }
}

impl<K: Eq + Hash, V: Weight> Generations<K, V> {
    fn put(&mut self, key: K, fact: Arc<Fact<V>>) {
        let weight = fact.what.weight();
        if self.young.len() >= MOST / 2 || self.young_bytes.saturating_add(weight) > MOST_BYTES / 2 {
            self.old = mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes = self.young_bytes.saturating_add(weight);
        self.young.insert(key, fact);
    }
}

#[cfg(test)]
mod tests;
