//! The store as the controllers see it: what they read of a secret, what they ask of it, and what can go
//! wrong.
//!
//! Nothing of the store's engine, keys or audit is visible here; each call writes its audit record below this
//! line.

mod declarations;
mod keys;
mod policies;
mod vault;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use strongroom_crds::condition::Reason;
use strongroom_rules::retry::ErrorClass;
use strongroom_store::id::{KeyId, NamespaceId, SecretId};
use strongroom_store::name::SecretName;
use strongroom_store::value::Value;
pub(crate) use strongroom_store::vault::Recovery;

pub(crate) use self::declarations::DeclarationStore;
pub(crate) use self::keys::{DeclaredKey, KeyChange, KeyStore, KeyView, OwnedKey};
pub(crate) use self::policies::PolicyStore;

/// A namespace as the store recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamespaceRecord {
    /// Its id in the store.
    pub(crate) id: NamespaceId,
    /// UID of the Namespace that it is bound to.
    pub(crate) uid: String,
}

/// A secret without its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SecretRecord {
    pub(crate) id: SecretId,
    pub(crate) namespace: NamespaceId,
    /// End of its recovery window; absent while it is live.
    pub(crate) until: Option<Timestamp>,
    /// The customer's key that it comes under; absent: the namespace's own.
    pub(crate) key: Option<KeyId>,
    /// What people and controllers labelled it with, our own labels included.
    pub(crate) labels: BTreeMap<String, String>,
    /// What people should know about it.
    pub(crate) description: String,
    /// The ManagedSecret that it belongs to.
    pub(crate) object: Option<BoundObject>,
    /// The native Secret that is ours.
    pub(crate) materialized: Option<BoundObject>,
    /// Version id by stage.
    pub(crate) stages: BTreeMap<String, String>,
    /// Its versions, in the order of their making.
    pub(crate) versions: Vec<VersionView>,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// What follows its deletion.
    pub(crate) recovery: Recovery,
    /// When it was last rotated.
    pub(crate) rotated: Option<Timestamp>,
}

impl SecretRecord {
    /// Id of the current version.
    pub(crate) fn current(&self) -> Option<&str> {
        self.stages.get("Current").map(String::as_str)
    }

    /// Whether a version of this id is there.
    pub(crate) fn has_version(&self, id: &str) -> bool {
        self.versions.iter().any(|version| version.id == id)
    }
}

/// A Kubernetes object that a record of the store points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BoundObject {
    /// `metadata.name`.
    pub(crate) name: String,
    /// `metadata.uid`.
    pub(crate) uid: String,
}

/// One version without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VersionView {
    pub(crate) id: String,
    /// Its number.
    pub(crate) seq: u64,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// Those that point at it now, such as `Current`.
    pub(crate) stages: Vec<String>,
}

/// A secret to make.
#[derive(Debug)]
pub(crate) struct NewSecret {
    /// Its id, chosen by the caller.
    pub(crate) id: SecretId,
    pub(crate) namespace: NamespaceId,
    pub(crate) name: SecretName,
    pub(crate) labels: BTreeMap<String, String>,
    /// What people should know about it.
    pub(crate) description: String,
    /// The customer's key that it comes under; absent: the namespace's own.
    pub(crate) key: Option<KeyId>,
    /// The object that it belongs to.
    pub(crate) object: BoundObject,
    /// What follows its deletion.
    pub(crate) recovery: Recovery,
    /// Id of the first version.
    pub(crate) version: String,
    /// The value of the first version.
    pub(crate) value: Value,
}

/// A version to have.
#[derive(Debug)]
pub(crate) struct NewVersion {
    pub(crate) secret: SecretId,
    /// Its id: a version of this id that exists is left as it is.
    pub(crate) version: String,
    /// The keys and bytes of the version, if it is to be made.
    pub(crate) value: Value,
    /// The version that must still be current, because the value was made from it.
    pub(crate) base: String,
    /// This is a rotation, done at this time: the next one counts from it.
    pub(crate) rotation: Option<(RotationCause, Timestamp)>,
    /// Whether it is made as the one before was, by a rotation or a renewal: then it is written also where
    /// the namespace is full.
    pub(crate) may_grow: bool,
    /// The labels that the secret has with it, where they record how it came about; absent: as they are.
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

/// Why a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RotationCause {
    /// A schedule's time had come.
    Scheduled,
    /// A person asked.
    Asked {
        /// In these words.
        text: String,
    },
}

/// A secret that belongs to a ManagedSecret, with the name of its namespace.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OwnedSecret {
    /// Name of the namespace.
    pub(crate) namespace: String,
    /// UID of the Namespace that the store recorded.
    pub(crate) namespace_uid: String,
    pub(crate) view: SecretRecord,
}

/// A secret that belongs to no ManagedSecret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Orphan {
    /// Name of the namespace.
    pub(crate) namespace: String,
    /// Its own name.
    pub(crate) name: String,
    /// What people should know about it.
    pub(crate) description: String,
    /// Its labels, ours among them.
    pub(crate) labels: BTreeMap<String, String>,
    /// Name of the customer's key that it comes under.
    pub(crate) key: Option<String>,
}

/// What went wrong in the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreFailure {
    /// The version from which a new one was made is not current any more.
    #[error("another version became current in the meantime")]
    BaseMoved,
    /// The key of the namespace is disabled or waits for its deletion.
    #[error("the encryption key is not enabled: {0}")]
    KeyDisabled(String),
    /// The old version of a key still wraps something, or something depends on the key.
    #[error("the encryption key is in use: {0}")]
    KeyInUse(String),
    /// The namespace has as much of the store as it may have.
    #[error("{0}")]
    NamespaceFull(String),
    /// The rules of the store say no.
    #[error("the store refused: {0}")]
    Refused(String),
    /// No audit record can be written, so nothing is read or changed.
    #[error("no audit record can be written: {0}")]
    AuditUnavailable(String),
    /// The disk is full.
    #[error("the store's disk is full; make room or enlarge its volume")]
    Full,
    /// A record cannot be read.
    #[error("a record in the store is damaged, restore a backup: {0}")]
    Damaged(String),
    /// The store serves nothing now: it is closing, poisoned, fenced off, or does not know the outcome.
    #[error("the store is not available: {0}")]
    Unavailable(String),
}

impl StoreFailure {
    /// Its row in the table of retries.
    pub(crate) fn class(&self) -> ErrorClass {
        match self {
            Self::BaseMoved => ErrorClass::Conflict,
            Self::KeyDisabled(_) | Self::KeyInUse(_) | Self::Refused(_) => ErrorClass::StoreRefused,
            Self::NamespaceFull(_) => ErrorClass::NamespaceFull,
            Self::AuditUnavailable(_) | Self::Full | Self::Unavailable(_) => ErrorClass::StoreUnavailable,
            Self::Damaged(_) => ErrorClass::StoreDamaged,
        }
    }

    /// The reason it gives in a condition.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::BaseMoved => Reason::Progressing,
            Self::KeyDisabled(_) => Reason::KeyDisabled,
            Self::NamespaceFull(_) => Reason::NamespaceFull,
            Self::KeyInUse(_) | Self::Refused(_) | Self::Unavailable(_) => Reason::StoreUnavailable,
            Self::AuditUnavailable(_) => Reason::AuditUnavailable,
            Self::Full => Reason::StoreFull,
            Self::Damaged(_) => Reason::StoreDamaged,
        }
    }
}

/// What the controllers ask of the store. Calls that change something are done when they return.
pub(crate) trait SecretStore: KeyStore + PolicyStore + DeclarationStore {
    /// What is recorded under the name of a namespace.
    fn namespace(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<NamespaceRecord>, StoreFailure>> + Send;
    /// The secret of this name.
    fn find(
        &self,
        namespace: NamespaceId,
        name: &SecretName,
    ) -> impl Future<Output = Result<Option<SecretRecord>, StoreFailure>> + Send;
    /// The secret of this id.
    fn describe(
        &self,
        secret: SecretId,
    ) -> impl Future<Output = Result<Option<SecretRecord>, StoreFailure>> + Send;
    /// The value of one version of a live secret.
    fn open(
        &self,
        secret: SecretId,
        version: &str,
    ) -> impl Future<Output = Result<Value, StoreFailure>> + Send;
    /// The same, for a purpose that its record names.
    fn open_for(
        &self,
        secret: SecretId,
        version: &str,
        purpose: String,
    ) -> impl Future<Output = Result<Value, StoreFailure>> + Send;
    /// Every live secret with an object, in any order.
    fn owned(&self) -> impl Future<Output = Result<Vec<OwnedSecret>, StoreFailure>> + Send;
    /// Live secrets of people that belong to no object.
    fn orphans(&self) -> impl Future<Output = Result<Vec<Orphan>, StoreFailure>> + Send;
    /// Records the UID of a namespace under its name.
    fn bind_namespace(&self, name: &str, uid: &str) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Gives the secrets under this name to the namespace with this UID.
    fn accept_namespace(
        &self,
        name: &str,
        uid: &str,
    ) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Whether a namespace has room for another secret, of which nothing else is known yet.
    fn has_room(&self, namespace: NamespaceId) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Makes a secret with its first version.
    fn create(&self, new: NewSecret) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Adds a version as Current, unless its id exists.
    fn ensure(&self, new: NewVersion) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Replaces the labels and the description.
    fn update(
        &self,
        secret: SecretId,
        labels: BTreeMap<String, String>,
        description: String,
    ) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Records the object that the secret belongs to.
    fn bind_object(
        &self,
        secret: SecretId,
        object: BoundObject,
    ) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Records the native Secret that is ours, or that there is none.
    fn bind_materialized(
        &self,
        secret: SecretId,
        native: Option<BoundObject>,
    ) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Takes a secret out of its recovery window.
    fn restore(&self, secret: SecretId) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Destroys a secret that is in its recovery window.
    fn purge(&self, secret: SecretId) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Opens the recovery window of a secret: 7 to 30 days.
    fn delete(&self, secret: SecretId, days: u8) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Destroys a secret that was made where nothing is kept.
    fn destroy(&self, secret: SecretId) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Gives a secret a recovery window that was made without one.
    fn keep_window(&self, secret: SecretId) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Frees the name of a namespace that is gone, if nothing of it is kept: what is left there is destroyed.
    /// Answers whether the name is free.
    fn release_namespace(
        &self,
        namespace: NamespaceId,
        uid: &str,
    ) -> impl Future<Output = Result<bool, StoreFailure>> + Send;
    /// Destroys some of what is due; the clock has been steady for so long. Answers with the secrets, and
    /// whether there is more. Nothing is destroyed, without an error, while the clock has not been steady for
    /// long enough.
    fn purge_due(
        &self,
        steady_for: Duration,
    ) -> impl Future<Output = Result<(Vec<SecretId>, bool), StoreFailure>> + Send;
}
