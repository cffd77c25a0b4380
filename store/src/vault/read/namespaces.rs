//! Reads of namespaces, and of what each has of the store.

use strongroom_model::id::NamespaceId;
use strongroom_model::name::NamespaceName;

use crate::engine::Table;
use crate::format::Recovery;
use crate::value::Value;
use crate::vault::commands::check_any_secret;
use crate::vault::error::StoreError;
use crate::vault::record_views::namespace_view;
use crate::vault::store::Store;
use crate::vault::types::{NamespaceUsage, NamespaceView};
use crate::vault::view::View;

impl Store {
    /// A namespace by its id.
    ///
    /// # Errors
    /// [`NamespaceNotFound`](crate::vault::Refusal::NamespaceNotFound); [`StoreError::Damaged`].
    pub fn namespace(&self, id: NamespaceId) -> Result<NamespaceView, StoreError> {
        self.with_view(|view| view.namespace(&id).map(namespace_view))
    }

    /// A namespace by its name.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn namespace_named(&self, name: &NamespaceName) -> Result<Option<NamespaceView>, StoreError> {
        self.with_view(|view| Ok(view.namespace_named(name)?.map(namespace_view)))
    }

    /// All namespaces.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn namespaces(&self) -> Result<Vec<NamespaceView>, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let records = snapshot.scan(Table::Namespace, &[], None, usize::MAX)?;
        let view = View::new(&self.shared.keyring, snapshot.as_ref());
        records
            .iter()
            .filter_map(|(key, _)| key.as_slice().try_into().ok().map(NamespaceId::from_bytes))
            .map(|id| view.namespace(&id).map(namespace_view))
            .collect()
    }

    /// Whether something of a namespace is kept when it is gone: a secret that has a recovery window, or a
    /// customer's key in any state.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn has_retained_data(&self, namespace: NamespaceId) -> Result<bool, StoreError> {
        let ids = self.shared.caches.names.ids(Some(namespace), None, usize::MAX);
        self.with_view(|view| {
            for id in &ids {
                if view
                    .head(id)?
                    .is_some_and(|head| head.recovery == Recovery::Window)
                {
                    return Ok(true);
                }
            }
            view.has_customer_key(&namespace)
        })
    }

    /// What a namespace has of the store, and may have.
    ///
    /// # Errors
    /// [`NamespaceNotFound`](crate::vault::Refusal::NamespaceNotFound); [`StoreError::Damaged`].
    pub fn namespace_usage(&self, namespace: NamespaceId) -> Result<NamespaceUsage, StoreError> {
        let name = self.namespace(namespace)?.name;
        let quotas = &self.shared.caches.quotas;
        Ok(NamespaceUsage {
            name,
            used: quotas.usage(&namespace),
            limit: quotas.limit(&namespace),
        })
    }

    /// The namespaces that have at least so many percent of what they may have, the fullest first, at most
    /// `most`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn fullest(&self, percent: u64, most: usize) -> Result<Vec<NamespaceUsage>, StoreError> {
        let found = self.shared.caches.quotas.fullest(percent);
        if found.is_empty() {
            return Ok(Vec::new());
        }
        self.with_view(|view| {
            let rooms = found.into_iter().take(most).map(|(namespace, used, limit)| {
                Ok(NamespaceUsage {
                    name: view.namespace(&namespace)?.name,
                    used,
                    limit: Some(limit),
                })
            });
            rooms.collect()
        })
    }

    /// Whether a namespace has room for another secret, with this value where it is known. The secret itself
    /// may yet be refused.
    ///
    /// # Errors
    /// [`NamespaceFull`](crate::vault::Refusal::NamespaceFull),
    /// [`NamespaceNotFound`](crate::vault::Refusal::NamespaceNotFound); [`StoreError::Damaged`].
    pub fn check_quota(&self, namespace: NamespaceId, value: Option<&Value>) -> Result<(), StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let caches = &self.shared.caches;
        let view =
            View::new(&self.shared.keyring, snapshot.as_ref()).with_quotas(&caches.quotas, &caches.products);
        check_any_secret(&view, &view.namespace(&namespace)?, value)
            .inspect_err(|_| self.shared.caches.quotas.count_refusal())?;
        Ok(())
    }
}
