//! Encryption keys, as controllers ask about them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use strongroom_model::id::{KeyId, NamespaceId, SecretId};
use strongroom_model::name::KeyName;
use strongroom_model::object_ref::ObjectRef;
use strongroom_store::vault::{
    CancelKeyDeletion, CreateKey, DeclareKey, DestroyKeyVersion, DisableKey, EnableKey, KeyDeclaration,
    KeyState, KeyUsage, KeyView, NewKeyVersion, Rewrap, RewrapProgress, ScheduleKeyDeletion, UpdateSecret,
};

use super::secrets::MANAGED_SECRET;
use super::{StoreFailure, StoreHandle, timestamp};

/// Who the records name.
const ENCRYPTION_KEY: &str = "EncryptionKey";

/// A key that belongs to an EncryptionKey, with its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedKey {
    /// The Namespace that the store recorded.
    pub(crate) namespace: ObjectRef,
    pub(crate) key: KeyView,
}

/// A change of a key's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyChange {
    /// Let it work.
    Enable,
    /// Let it refuse.
    Disable,
    /// Keep it.
    CancelDeletion,
    /// Give it a new version.
    NewVersion,
    /// Have it destroyed after so many days.
    ScheduleDeletion {
        /// As many as a recovery window has.
        days: u32,
        /// Also where secrets depend on it.
        lose_dependents: bool,
    },
}

impl StoreHandle {
    /// The key of this name, also while it waits for its destruction, and after it.
    pub(crate) async fn key(
        &self,
        namespace: NamespaceId,
        name: &KeyName,
    ) -> Result<Option<KeyView>, StoreFailure> {
        let name = name.clone();
        self.read(move |store| Ok(store.find_key(namespace, &name)?))
            .await
    }

    /// The key of this id.
    pub(crate) async fn key_with_id(
        &self,
        namespace: NamespaceId,
        key: KeyId,
    ) -> Result<KeyView, StoreFailure> {
        self.read(move |store| Ok(store.describe_key(namespace, key)?))
            .await
    }

    /// Every key with an object that is not destroyed and not to be, in any order.
    pub(crate) async fn owned_keys(&self) -> Result<Vec<OwnedKey>, StoreFailure> {
        self.read(|store| {
            let mut found = Vec::new();
            for namespace in store.namespaces()? {
                let Some(uid) = namespace.uid else { continue };
                let home = ObjectRef {
                    name: namespace.name.to_string(),
                    uid,
                };
                let keys = store.list_keys(namespace.id)?.into_iter().filter(|key| {
                    key.declaration.is_some() && matches!(key.state, KeyState::Enabled | KeyState::Disabled)
                });
                found.extend(keys.map(|key| OwnedKey {
                    namespace: home.clone(),
                    key,
                }));
            }
            Ok(found)
        })
        .await
    }

    /// What depends on each key of a namespace.
    pub(crate) async fn key_usage(
        &self,
        namespace: NamespaceId,
    ) -> Result<BTreeMap<KeyId, KeyUsage>, StoreFailure> {
        self.read(move |store| Ok(store.key_usage(namespace)?)).await
    }

    /// When a key was last used, by this process.
    pub(crate) fn key_last_used(&self, key: KeyId) -> Option<Timestamp> {
        self.blocking().key_last_used(key).map(timestamp)
    }

    /// Makes a key.
    pub(crate) async fn create_key(
        &self,
        namespace: NamespaceId,
        name: &KeyName,
    ) -> Result<(), StoreFailure> {
        let id = KeyId::generate().map_err(|error| StoreFailure::Unavailable(error.to_string()))?;
        let command = CreateKey {
            id,
            namespace,
            name: name.clone(),
        };
        self.change(ENCRYPTION_KEY, command).await.map(drop)
    }

    /// Records what an object says about its key.
    pub(crate) async fn declare_key(
        &self,
        namespace: NamespaceId,
        key: KeyId,
        declaration: KeyDeclaration,
    ) -> Result<(), StoreFailure> {
        let command = DeclareKey {
            namespace,
            key,
            declaration,
        };
        self.change(ENCRYPTION_KEY, command).await.map(drop)
    }

    /// Changes a key's state.
    pub(crate) async fn change_key(
        &self,
        namespace: NamespaceId,
        key: KeyId,
        wanted: KeyChange,
    ) -> Result<(), StoreFailure> {
        let kind = ENCRYPTION_KEY;
        match wanted {
            KeyChange::Enable => self.change(kind, EnableKey { namespace, key }).await,
            KeyChange::Disable => self.change(kind, DisableKey { namespace, key }).await,
            KeyChange::CancelDeletion => self.change(kind, CancelKeyDeletion { namespace, key }).await,
            KeyChange::NewVersion => self.change(kind, NewKeyVersion { namespace, key }).await,
            KeyChange::ScheduleDeletion {
                days,
                lose_dependents,
            } => {
                let command = ScheduleKeyDeletion {
                    namespace,
                    key,
                    window_days: days,
                    lose_dependents,
                };
                self.change(kind, command).await
            }
        }
        .map(drop)
    }

    /// Has new versions of a secret come under a customer's key, or under the namespace's own.
    pub(crate) async fn come_under(&self, secret: SecretId, key: Option<KeyId>) -> Result<(), StoreFailure> {
        let command = UpdateSecret {
            secret,
            description: None,
            labels: None,
            key: Some(key.into()),
        };
        self.change(MANAGED_SECRET, command).await.map(drop)
    }

    /// Wraps some data keys anew that do not come under the right key and version.
    pub(crate) async fn rewrap(
        &self,
        after: Option<(SecretId, u32)>,
        limit: usize,
    ) -> Result<RewrapProgress, StoreFailure> {
        let command = Rewrap {
            key: None,
            after,
            limit,
        };
        self.change(ENCRYPTION_KEY, command).await
    }

    /// Destroys an old version of a key. Answers whether it did: not where it wraps something yet.
    pub(crate) async fn retire_key_version(
        &self,
        namespace: NamespaceId,
        key: KeyId,
        version: u32,
    ) -> Result<bool, StoreFailure> {
        let command = DestroyKeyVersion {
            namespace,
            key,
            version,
        };
        match self.change(ENCRYPTION_KEY, command).await {
            Ok(_) => Ok(true),
            Err(StoreFailure::KeyInUse(_)) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}
