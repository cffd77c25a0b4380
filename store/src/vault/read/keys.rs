//! Reads of encryption keys, and of what depends on them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use strongroom_model::id::{KeyId, NamespaceId};
use strongroom_model::name::KeyName;
use strongroom_model::time::Timestamp;

use crate::engine::Table;
use crate::vault::error::{Refusal, StoreError};
use crate::vault::read_cache::DependencySnapshot;
use crate::vault::record_views::key_view;
use crate::vault::store::Store;
use crate::vault::types::{KeyUsage, KeyView};
use crate::vault::view::{View, key_key};

impl Store {
    /// A customer's encryption key.
    ///
    /// # Errors
    /// [`Refusal::KeyNotFound`], also for a default key.
    pub fn describe_key(&self, namespace: NamespaceId, key: KeyId) -> Result<KeyView, StoreError> {
        let place = (namespace, key);
        if let Some(known) = self.shared.caches.known.key(&place) {
            return known.ok_or_else(|| Refusal::KeyNotFound.into());
        }
        self.with_view(|view| {
            let shown = key_view(&view.key(&namespace, &key)?);
            let dependencies = DependencySnapshot::at(view.snapshot.revision())
                .record(Table::Key, &key_key(&namespace, &key));
            self.shared
                .caches
                .known
                .keys
                .insert(place, dependencies, shown.clone());
            shown.ok_or_else(|| Refusal::KeyNotFound.into())
        })
    }

    /// The customer's encryption key of a name.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn find_key(&self, namespace: NamespaceId, name: &KeyName) -> Result<Option<KeyView>, StoreError> {
        self.with_view(|view| match view.key_named(&namespace, name)? {
            None => Ok(None),
            Some(id) => Ok(key_view(&view.key(&namespace, &id)?)),
        })
    }

    /// The customer's encryption keys of a namespace.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn list_keys(&self, namespace: NamespaceId) -> Result<Vec<KeyView>, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let records = snapshot.scan(Table::Key, namespace.as_bytes(), None, usize::MAX)?;
        let view = View::new(&self.shared.keyring, snapshot.as_ref());
        let mut keys = Vec::new();
        for (key, _) in records {
            let id = key
                .get(16..)
                .and_then(|id| id.try_into().ok())
                .map(KeyId::from_bytes);
            if let Some(id) = id {
                keys.extend(key_view(&view.key(&namespace, &id)?));
            }
        }
        Ok(keys)
    }

    /// What depends on each encryption key of a namespace. It looks at every secret of the namespace.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn key_usage(&self, namespace: NamespaceId) -> Result<BTreeMap<KeyId, KeyUsage>, StoreError> {
        let ids = self.shared.caches.names.ids(Some(namespace), None, usize::MAX);
        self.with_view(|view| {
            let mut primaries: BTreeMap<KeyId, u32> = BTreeMap::new();
            let mut usage: BTreeMap<KeyId, KeyUsage> = BTreeMap::new();
            for id in ids {
                let Some(head) = view.head(&id)? else { continue };
                if let Entry::Vacant(entry) = primaries.entry(head.key) {
                    entry.insert(view.key(&namespace, &head.key)?.primary);
                }
                let primary = primaries.get(&head.key).copied();
                let mut keys = BTreeSet::from([head.key]);
                for version in &head.versions {
                    let stored = view.stored_data_key(&head.id, version.sequence)?;
                    keys.insert(stored.key);
                    usage.entry(stored.key).or_default().versions += 1;
                    if (stored.key, Some(stored.key_version)) != (head.key, primary) {
                        usage.entry(head.key).or_default().waiting += 1;
                    }
                }
                for key in keys {
                    usage.entry(key).or_default().secrets += 1;
                }
            }
            Ok(usage)
        })
    }

    /// When a customer's key was last used, by this process.
    #[must_use]
    pub fn key_last_used(&self, key: KeyId) -> Option<Timestamp> {
        self.shared.uses.lock().get(&key).copied()
    }
}
