//! Encryption keys as the controllers see them.

use std::collections::BTreeMap;
use std::future::Future;

use jiff::Timestamp;
use strongroom_rules::encryption_key::StoredKeyState;
use strongroom_store::id::{KeyId, NamespaceId, SecretId};
use strongroom_store::name::{ExternalId, KeyName};
use strongroom_store::vault::{
    CancelKeyDeletion, CreateKey, DeclareKey, DestroyKeyVersion, DisableKey, EnableKey, KeyDeclaration,
    KeyRef, KeyState, KeyUsage, KeyView as StoredKey, NewKeyVersion, ObjectBinding, Rewrap, RewrapProgress,
    ScheduleKeyDeletion, Store, UpdateSecret,
};

use super::vault::{change, change_as, read, time};
use super::{BoundObject, StoreFailure};

/// Who the records name.
const ACTOR: &str = "EncryptionKey";

/// A customer's key, without its material.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyView {
    pub(crate) id: KeyId,
    pub(crate) namespace: NamespaceId,
    pub(crate) name: String,
    /// Whether it can be used.
    pub(crate) state: StoredKeyState,
    /// The version that new data keys come under.
    pub(crate) primary: u32,
    /// The versions whose material exists.
    pub(crate) versions: Vec<u32>,
    /// When the primary version was made.
    pub(crate) rotated: Timestamp,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// What declares it.
    pub(crate) declaration: Option<DeclaredKey>,
}

/// What an EncryptionKey says about its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeclaredKey {
    pub(crate) object: BoundObject,
    /// Days between its deletion and the destruction of the key, 7 to 30.
    pub(crate) window_days: u32,
    /// The key goes although secrets depend on it.
    pub(crate) loss_accepted: bool,
}

/// A key that belongs to an EncryptionKey, with its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedKey {
    /// Name of the namespace.
    pub(crate) namespace: String,
    /// UID of the Namespace that the store recorded.
    pub(crate) namespace_uid: String,
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
        /// 7 to 30.
        days: u32,
        /// Also where secrets depend on it.
        lose_dependents: bool,
    },
}

/// What the controllers ask of the store about encryption keys. Calls that change something are done when
/// they return.
pub(crate) trait KeyStore: Send + Sync + 'static {
    /// The key of this name, also while it waits for its destruction, and after it.
    fn key(
        &self,
        namespace: NamespaceId,
        name: &KeyName,
    ) -> impl Future<Output = Result<Option<KeyView>, StoreFailure>> + Send;
    /// Every key with an object that is not destroyed and not to be, in any order.
    fn owned_keys(&self) -> impl Future<Output = Result<Vec<OwnedKey>, StoreFailure>> + Send;
    /// What depends on each key of a namespace.
    fn key_usage(
        &self,
        namespace: NamespaceId,
    ) -> impl Future<Output = Result<BTreeMap<KeyId, KeyUsage>, StoreFailure>> + Send;
    /// When a key was last used, by this process.
    fn key_last_used(&self, key: KeyId) -> Option<Timestamp>;
    /// Makes a key.
    fn create_key(
        &self,
        namespace: NamespaceId,
        name: &KeyName,
    ) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Records what an object says about its key.
    fn declare_key(
        &self,
        namespace: NamespaceId,
        key: KeyId,
        declared: DeclaredKey,
    ) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Changes a key's state.
    fn change_key(
        &self,
        namespace: NamespaceId,
        key: KeyId,
        change: KeyChange,
    ) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Has new versions of a secret come under a customer's key, or under the namespace's own.
    fn come_under(
        &self,
        secret: SecretId,
        key: Option<KeyId>,
    ) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Wraps some data keys anew that do not come under the right key and version.
    fn rewrap(
        &self,
        after: Option<(SecretId, u32)>,
        limit: usize,
    ) -> impl Future<Output = Result<RewrapProgress, StoreFailure>> + Send;
    /// Destroys an old version of a key. Answers whether it did: not where it wraps something yet.
    fn retire_key_version(
        &self,
        namespace: NamespaceId,
        key: KeyId,
        version: u32,
    ) -> impl Future<Output = Result<bool, StoreFailure>> + Send;
}

fn view(key: StoredKey) -> KeyView {
    KeyView {
        id: key.id,
        namespace: key.namespace,
        name: key.name.to_string(),
        state: match key.state {
            KeyState::Enabled => StoredKeyState::Enabled,
            KeyState::Disabled => StoredKeyState::Disabled,
            KeyState::PendingDeletion { until } => StoredKeyState::PendingDeletion(time(until)),
            KeyState::Destroyed => StoredKeyState::Destroyed,
        },
        primary: key.primary,
        versions: key.versions,
        rotated: time(key.primary_created),
        created: time(key.created),
        declaration: key.declaration.map(|declaration| DeclaredKey {
            object: BoundObject {
                name: declaration.object.name,
                uid: declaration.object.uid.to_string(),
            },
            window_days: declaration.window_days,
            loss_accepted: declaration.loss_accepted,
        }),
    }
}

impl KeyStore for Store {
    async fn key(&self, namespace: NamespaceId, name: &KeyName) -> Result<Option<KeyView>, StoreFailure> {
        let name = name.clone();
        read(self, move |store| Ok(store.find_key(namespace, &name)?.map(view))).await
    }

    async fn owned_keys(&self) -> Result<Vec<OwnedKey>, StoreFailure> {
        read(self, |store| {
            let mut found = Vec::new();
            for namespace in store.namespaces()? {
                let Some(uid) = &namespace.uid else { continue };
                for key in store.list_keys(namespace.id)?.into_iter().map(view) {
                    if key.declaration.is_some()
                        && matches!(key.state, StoredKeyState::Enabled | StoredKeyState::Disabled)
                    {
                        found.push(OwnedKey {
                            namespace: namespace.name.to_string(),
                            namespace_uid: uid.to_string(),
                            key,
                        });
                    }
                }
            }
            Ok(found)
        })
        .await
    }

    async fn key_usage(&self, namespace: NamespaceId) -> Result<BTreeMap<KeyId, KeyUsage>, StoreFailure> {
        read(self, move |store| Ok(store.key_usage(namespace)?)).await
    }

    fn key_last_used(&self, key: KeyId) -> Option<Timestamp> {
        Self::key_last_used(self, key).map(time)
    }

    async fn create_key(&self, namespace: NamespaceId, name: &KeyName) -> Result<(), StoreFailure> {
        let id = KeyId::generate().map_err(|error| StoreFailure::Unavailable(error.to_string()))?;
        let command = CreateKey {
            id,
            namespace,
            name: name.clone(),
        };
        change_as(self, ACTOR, command).await.map(drop)
    }

    async fn declare_key(
        &self,
        namespace: NamespaceId,
        key: KeyId,
        declared: DeclaredKey,
    ) -> Result<(), StoreFailure> {
        let declaration = KeyDeclaration {
            object: ObjectBinding {
                uid: ExternalId::new(&declared.object.uid)?,
                name: declared.object.name,
            },
            window_days: declared.window_days,
            loss_accepted: declared.loss_accepted,
        };
        let command = DeclareKey {
            namespace,
            key,
            declaration,
        };
        change_as(self, ACTOR, command).await.map(drop)
    }

    async fn change_key(
        &self,
        namespace: NamespaceId,
        key: KeyId,
        wanted: KeyChange,
    ) -> Result<(), StoreFailure> {
        match wanted {
            KeyChange::Enable => change_as(self, ACTOR, EnableKey { namespace, key }).await,
            KeyChange::Disable => change_as(self, ACTOR, DisableKey { namespace, key }).await,
            KeyChange::CancelDeletion => change_as(self, ACTOR, CancelKeyDeletion { namespace, key }).await,
            KeyChange::NewVersion => change_as(self, ACTOR, NewKeyVersion { namespace, key }).await,
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
                change_as(self, ACTOR, command).await
            }
        }
        .map(drop)
    }

    async fn come_under(&self, secret: SecretId, key: Option<KeyId>) -> Result<(), StoreFailure> {
        let command = UpdateSecret {
            secret,
            description: None,
            labels: None,
            key: Some(key.map_or(KeyRef::Default, KeyRef::Customer)),
        };
        change(self, command).await.map(drop)
    }

    async fn rewrap(
        &self,
        after: Option<(SecretId, u32)>,
        limit: usize,
    ) -> Result<RewrapProgress, StoreFailure> {
        let command = Rewrap {
            key: None,
            after,
            limit,
        };
        change_as(self, ACTOR, command).await
    }

    async fn retire_key_version(
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
        match change_as(self, ACTOR, command).await {
            Ok(_) => Ok(true),
            Err(StoreFailure::KeyInUse(_)) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}
