//! Reads of what is known about secrets, without their values.

use std::sync::Arc;

use strongroom_model::id::{NamespaceId, SecretId};
use strongroom_model::name::SecretName;

use crate::crypto::IndexDomain;
use crate::engine::Table;
use crate::format::SecretState;
use crate::vault::error::StoreError;
use crate::vault::read_cache::DependencySnapshot;
use crate::vault::record_views::secret_view;
use crate::vault::store::Store;
use crate::vault::types::{DeletedSecret, SecretView};

impl Store {
    /// Everything about a secret but its values.
    ///
    /// # Errors
    /// [`SecretNotFound`](crate::vault::Refusal::SecretNotFound); [`StoreError::Damaged`].
    pub fn describe(&self, secret: SecretId) -> Result<SecretView, StoreError> {
        self.with_view(|view| Ok(secret_view(&view.existing(&secret)?)))
    }

    /// The secret of a name, also while it waits for its destruction.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn find(&self, namespace: NamespaceId, name: &SecretName) -> Result<Option<SecretView>, StoreError> {
        self.with_view(|view| Ok(view.secret_named(&namespace, name)?.as_ref().map(secret_view)))
    }

    /// The same, kept in memory for the next who asks.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn find_cached(
        &self,
        namespace: NamespaceId,
        name: &SecretName,
    ) -> Result<Option<Arc<SecretView>>, StoreError> {
        let place = (namespace, name.clone());
        if let Some(known) = self.shared.caches.known.secret(&place) {
            return Ok(Some(known));
        }
        self.with_view(|view| {
            let Some(head) = view.secret_named(&namespace, name)? else {
                return Ok(None);
            };
            let secret = Arc::new(secret_view(&head));
            let parts: [&[u8]; 2] = [namespace.as_bytes(), name.as_str().as_bytes()];
            let dependencies = DependencySnapshot::at(view.snapshot.revision())
                .record(
                    Table::Name,
                    &view.keyring.blind_index(IndexDomain::Secret, &parts),
                )
                .record(Table::Head, head.id.as_bytes());
            self.shared
                .caches
                .known
                .secrets
                .insert(place, dependencies, Arc::clone(&secret));
            Ok(Some(secret))
        })
    }

    /// Whether a secret of this name and a value of it were read lately, so that reading it again most likely
    /// needs no look at the disk.
    #[must_use]
    pub fn has_cached_value(&self, namespace: NamespaceId, name: &SecretName) -> bool {
        let known = &self.shared.caches.known;
        known
            .secret(&(namespace, name.clone()))
            .is_some_and(|secret| known.values.contains(&secret.id))
    }

    /// Secrets in order of their names: of one namespace or of all, after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn list(
        &self,
        namespace: Option<NamespaceId>,
        after: Option<&(NamespaceId, SecretName)>,
        limit: usize,
    ) -> Result<Vec<SecretView>, StoreError> {
        let ids = self.shared.caches.names.ids(namespace, after, limit);
        self.with_view(|view| {
            let heads = ids.iter().filter_map(|id| view.head(id).transpose());
            heads.map(|head| head.map(|head| secret_view(&head))).collect()
        })
    }

    /// Secrets of a namespace that are in their recovery windows, in order of their names, among the next
    /// `look` ones after `after`; and the name of the last one that was looked at, where more may follow.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn deleted(
        &self,
        namespace: NamespaceId,
        after: Option<&SecretName>,
        look: usize,
    ) -> Result<(Vec<DeletedSecret>, Option<SecretName>), StoreError> {
        let after = after.map(|name| (namespace, name.clone()));
        let ids = self
            .shared
            .caches
            .names
            .ids(Some(namespace), after.as_ref(), look);
        self.with_view(|view| {
            let (mut found, mut last) = (Vec::new(), None);
            for id in &ids {
                let Some(head) = view.head(id)? else { continue };
                if let SecretState::PendingDeletion { since, until } = head.state {
                    found.push(DeletedSecret {
                        id: head.id,
                        name: head.name.clone(),
                        since,
                        until,
                        versions: head.versions.len(),
                        bytes: view.secret_bytes(&head)?,
                    });
                }
                last = Some(head.name);
            }
            Ok((found, last.filter(|_| ids.len() >= look)))
        })
    }
}
