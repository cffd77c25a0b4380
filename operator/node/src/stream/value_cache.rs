//! Values in memory: each once, however many volumes show it, and never more bytes than the limit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use strongroom_api::stream::{DeliveredValue, SecretId};

/// A secret and a version.
pub(super) type ValueKey = (SecretId, String);

/// Values by secret and version.
#[derive(Debug)]
pub(super) struct ValueCache {
    values: BTreeMap<ValueKey, Entry>,
    bytes: usize,
    most: usize,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    value: Arc<DeliveredValue>,
    used: u64,
    /// Whether a volume pointed at it. Until one does, its pointer is still to come.
    claimed: bool,
}

impl ValueCache {
    /// Room for so many bytes. A single value always fits.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            values: BTreeMap::new(),
            bytes: 0,
            most,
            clock: 0,
        }
    }

    pub(super) fn put(&mut self, value: DeliveredValue) {
        let key = (value.secret_id, value.version_id.clone());
        self.clock += 1;
        let entry = Entry {
            used: self.clock,
            claimed: false,
            value: Arc::new(value),
        };
        self.bytes += entry.value.value.size();
        if let Some(old) = self.values.insert(key, entry) {
            self.bytes -= old.value.value.size();
        }
    }

    pub(super) fn take(&mut self, key: &ValueKey) -> Option<Arc<DeliveredValue>> {
        self.clock += 1;
        let entry = self.values.get_mut(key)?;
        entry.used = self.clock;
        Some(Arc::clone(&entry.value))
    }

    pub(super) fn has(&self, key: &ValueKey) -> bool {
        self.values.contains_key(key)
    }

    /// Drops values that no volume points at any more, and then, where there are too many bytes, those that
    /// were needed longest ago. One that is dropped is fetched when it is needed. What somebody waits for
    /// stays: two who wait would otherwise drop each other's values for ever.
    pub(super) fn prune(&mut self, pointed: &BTreeSet<ValueKey>, awaited: &BTreeSet<ValueKey>) {
        for (key, entry) in &mut self.values {
            entry.claimed |= pointed.contains(key);
        }
        self.values
            .retain(|key, entry| !entry.claimed || pointed.contains(key));
        self.bytes = self.values.values().map(|entry| entry.value.value.size()).sum();
        while self.bytes > self.most && self.values.len() > 1 {
            let free = self.values.iter().filter(|(key, _)| !awaited.contains(key));
            let oldest = free.min_by_key(|(_, entry)| entry.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            if let Some(entry) = self.values.remove(&key) {
                self.bytes -= entry.value.value.size();
            }
        }
    }

    /// Drops values that no volume has pointed at yet.
    pub(super) fn drop_unclaimed(&mut self) {
        self.values.retain(|_, entry| entry.claimed);
        self.bytes = self.values.values().map(|entry| entry.value.value.size()).sum();
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.bytes = 0;
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &ValueKey> {
        self.values.keys()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use strongroom_model::Value;

    use super::*;

    fn delivered(id: u8, version: &str, size: usize) -> DeliveredValue {
        let mut value = Value::new();
        value.insert("k", vec![0; size - 1]);
        DeliveredValue {
            secret_id: SecretId::new([id; 16]),
            version_id: version.into(),
            kind: String::new(),
            value,
        }
    }

    fn key(id: u8, version: &str) -> ValueKey {
        (SecretId::new([id; 16]), version.into())
    }

    #[test]
    fn values_go_when_nobody_points_at_them_any_more() {
        let mut held = ValueCache::new(1_000);
        held.put(delivered(1, "a", 10));
        let none = BTreeSet::new();
        held.prune(&none, &none);
        assert!(held.has(&key(1, "a")), "its pointer is still to come");
        held.prune(&BTreeSet::from([key(1, "a")]), &none);
        held.put(delivered(2, "a", 10));
        held.drop_unclaimed();
        assert!(held.has(&key(1, "a")) && !held.has(&key(2, "a")));
        assert_eq!(held.bytes(), 10);
        held.prune(&none, &none);
        assert!(!held.has(&key(1, "a")));
        assert_eq!(held.bytes(), 0);
    }

    #[test]
    fn the_one_needed_longest_ago_makes_room() {
        let mut held = ValueCache::new(25);
        let all = BTreeSet::from([key(1, "a"), key(2, "a"), key(3, "a")]);
        held.put(delivered(1, "a", 10));
        held.put(delivered(2, "a", 10));
        held.put(delivered(2, "a", 10));
        assert!(held.take(&key(1, "a")).is_some());
        held.put(delivered(3, "a", 10));
        held.prune(&all, &BTreeSet::new());
        assert!(held.has(&key(1, "a")) && !held.has(&key(2, "a")) && held.has(&key(3, "a")));
        assert_eq!(held.bytes(), 20);
        let mut small = ValueCache::new(1);
        small.put(delivered(1, "a", 10));
        small.prune(&BTreeSet::new(), &BTreeSet::new());
        assert!(small.has(&key(1, "a")), "a single value always fits");
        for id in 2..5 {
            small.put(delivered(id, "a", 10));
        }
        small.prune(&all, &BTreeSet::from([key(2, "a"), key(3, "a")]));
        assert!(
            small.has(&key(2, "a")) && small.has(&key(3, "a")),
            "somebody waits for them"
        );
        assert_eq!(small.bytes(), 20);
    }
}
