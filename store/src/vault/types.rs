//! Types that callers pass in and get back. Plain data, without decisions.

use std::collections::BTreeMap;
use std::time::Instant;

use strongroom_model::Hosting;
use strongroom_model::id::{KeyId, NamespaceId, RequestId, SecretId};
use strongroom_model::name::{ExternalId, KeyName, NamespaceName, SecretName, Stage, VersionId};
use strongroom_model::time::Timestamp;

use super::quota::Usage;
use crate::audit::{Actor, Circumstances, Requester};
pub use crate::format::{
    DeclaredObject, EnforcedPolicy, FORMAT as STORE_FORMAT, KeyDeclaration, KeyState, ProductManager,
    ProductQuota, ProductRecord, Quota, Recovery, RotationState, SecretState,
};
use crate::value::{BorrowedValue, DataType, Value};
pub use strongroom_model::object_ref::ObjectRef;

/// Who asks, for which request, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Meta {
    /// Who, for the audit.
    pub actor: Actor,
    /// The request, so that a lost answer can be asked for again.
    pub request: RequestId,
    /// The caller's clock.
    pub now: Timestamp,
    /// Of a request from outside: where it came from.
    pub asked: Option<Box<ExternalRequest>>,
}

/// A request from outside, as it arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExternalRequest {
    /// When, by the monotonic clock: its records say how long it took until they were made.
    pub arrived: Instant,
    /// The caller's address, pod and node, and what else its records say of it.
    pub circumstances: Circumstances,
}

impl Meta {
    /// The circumstances as a record that is made now has them.
    pub(crate) fn circumstances(&self) -> Option<Box<Circumstances>> {
        let asked = self.asked.as_ref()?;
        Some(Box::new(ExternalRequest::clone(asked).into_circumstances()))
    }
}

impl ExternalRequest {
    /// The circumstances as a record that is made now has them.
    pub(crate) fn into_circumstances(self) -> Circumstances {
        let micros = self.arrived.elapsed().as_micros();
        Circumstances {
            latency_micros: Some(u32::try_from(micros).unwrap_or(u32::MAX)),
            ..self.circumstances
        }
    }
}

/// A digest of all that an outside object declares. It may declare a value, so the digest is never kept,
/// shown or told as it is.
#[derive(Clone, Copy)]
pub struct ObjectDigest(pub [u8; 32]);

impl std::fmt::Debug for ObjectDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectDigest").finish_non_exhaustive()
    }
}

/// What became of an outside object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectChange {
    /// It was made or changed.
    Written,
    /// It was deleted.
    Deleted,
}

/// The place of an attestation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AttestationId(pub [u8; 32]);

/// An attestation that waits for what it is about to be seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingAttestation {
    /// Key of its row: what `ForgetAttestations` takes.
    pub id: AttestationId,
    /// The namespace of the object.
    pub namespace: NamespaceName,
    /// What the outside calls the object for good.
    pub uid: ExternalId,
    /// When it came.
    pub at: Timestamp,
}

/// What taking in a declaration, or that there is none any more, came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeclarationOutcome {
    /// Who wrote it, or deleted it; none where it was there before anybody could say so.
    pub requester: Option<Requester>,
    /// Whether it is news.
    pub changed: bool,
    /// The attestation that said so.
    pub joined: Option<AttestationId>,
}

/// A version without its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VersionView {
    /// Chosen by its writer.
    pub id: VersionId,
    /// Its number; people's order of versions.
    pub sequence: u32,
    /// When it was written.
    pub created: Timestamp,
    /// Whether it is text.
    pub data_type: DataType,
    /// The labels it carries.
    pub stages: Vec<Stage>,
}

/// The encryption key of a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyRef {
    /// The namespace's default key: made on first use, never shown.
    Default,
    /// A customer's key of the same namespace.
    Customer(KeyId),
}

impl KeyRef {
    /// The customer's key; none: it is the namespace's own.
    #[must_use]
    pub const fn customer(self) -> Option<KeyId> {
        match self {
            Self::Default => None,
            Self::Customer(key) => Some(key),
        }
    }
}

impl From<Option<KeyId>> for KeyRef {
    fn from(key: Option<KeyId>) -> Self {
        key.map_or(Self::Default, Self::Customer)
    }
}

/// Everything about a secret but its values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretView {
    /// Never used again, unlike the name.
    pub id: SecretId,
    /// Where it belongs.
    pub namespace: NamespaceId,
    /// Unique in its namespace, those in a recovery window included.
    pub name: SecretName,
    /// What people wrote about it.
    pub description: String,
    /// What people labelled it with.
    pub labels: BTreeMap<String, String>,
    /// Whether it can be used.
    pub state: SecretState,
    /// The key that new versions come under.
    pub key: KeyRef,
    /// Which version carries which label.
    pub stages: BTreeMap<Stage, VersionId>,
    /// Its versions, oldest first.
    pub versions: Vec<VersionView>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Counts its changes.
    pub revision: u64,
    /// What declares it.
    pub object: Option<ObjectRef>,
    /// What it is written to.
    pub materialized: Option<ObjectRef>,
    /// When it was last rotated, and which request asked for it.
    pub rotation: RotationState,
    /// What follows its deletion.
    pub recovery: Recovery,
}

impl SecretView {
    /// The version that readers get by default.
    #[must_use]
    pub fn current(&self) -> Option<&VersionView> {
        let id = self.current_id()?;
        self.versions.iter().find(|version| version.id == *id)
    }

    /// The id of that version.
    #[must_use]
    pub fn current_id(&self) -> Option<&VersionId> {
        self.stages.get(&Stage::Current)
    }

    /// Whether a version of this id is there.
    #[must_use]
    pub fn has_version(&self, id: &str) -> bool {
        self.versions.iter().any(|version| version.id.as_str() == id)
    }

    /// Whether it can be used: it is not in a recovery window.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.state, SecretState::Live)
    }

    /// When its recovery window closes; none while it is live.
    #[must_use]
    pub const fn until(&self) -> Option<Timestamp> {
        match self.state {
            SecretState::Live => None,
            SecretState::PendingDeletion { until, .. } => Some(until),
        }
    }

    /// When it was last rotated, or else made: the next rotation counts from then.
    #[must_use]
    pub fn last_rotation(&self) -> Timestamp {
        self.rotation.last.unwrap_or(self.created)
    }
}

/// A value that was read, and which version it is.
#[derive(PartialEq, Eq, Debug)]
pub struct ValueRead {
    /// Keys and bytes, opened.
    pub value: Value,
    /// Which version it is of.
    pub version: VersionView,
}

/// A value that is opened for whoever reads it, and which version it is of: [`ValueRead`] without a copy. The
/// bytes are wiped when the reader has returned.
#[derive(Debug)]
pub struct OpenedValue<'a> {
    /// Keys and bytes, where they were opened.
    pub value: BorrowedValue<'a>,
    /// Which version it is of.
    pub version: &'a VersionView,
}

/// A namespace as the store knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamespaceView {
    /// The store's own, which no other namespace gets.
    pub id: NamespaceId,
    /// What the outside calls it.
    pub name: NamespaceName,
    /// Its outside uid; absent after a restore, until it is seen.
    pub uid: Option<ExternalId>,
}

/// What a namespace has of the store, and may have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamespaceUsage {
    /// What the outside calls the namespace.
    pub name: NamespaceName,
    /// Secrets and bytes that count for it now.
    pub used: Usage,
    /// What it may have; none: there is no end.
    pub limit: Option<Quota>,
}

/// What is kept of the products.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProductRecords {
    /// In any order.
    pub products: Vec<ProductRecord>,
    /// How many records cannot be read.
    pub unreadable: u64,
}

/// What a product has: default secrets, those in a recovery window included.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProductUsage {
    /// By hosting; each is there.
    pub hosting: BTreeMap<Hosting, HostingUsage>,
}

/// The default secrets of one hosting that a product has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostingUsage {
    /// How many in all namespaces.
    pub secrets: u64,
    /// How many in each namespace that has one.
    pub namespaces: BTreeMap<NamespaceName, u64>,
}

/// How many default secrets there are, and may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QuotaUsage {
    /// Those in a recovery window included.
    pub used: u64,
    /// One that is not above this is made.
    pub limit: u64,
}

/// The quotas that another default secret of one hosting would count on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DefaultSecretQuota {
    /// Of the product in one namespace.
    pub in_namespace: QuotaUsage,
    /// Of the product in all namespaces.
    pub total: QuotaUsage,
}

/// What all products together have of the store, and may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProductsShare {
    /// What they have.
    pub used: Usage,
    /// What they may have; none: there is no end.
    pub limit: Option<Quota>,
}

/// A secret in its recovery window, without its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeletedSecret {
    /// What restores and purges it.
    pub id: SecretId,
    /// Taken until the secret is destroyed.
    pub name: SecretName,
    /// When it was deleted.
    pub since: Timestamp,
    /// When its window closes.
    pub until: Timestamp,
    /// How many versions it has.
    pub versions: usize,
    /// Bytes of its rows, as [`Quota`] counts them.
    pub bytes: u64,
}

/// What depends on an encryption key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeyUsage {
    /// Secrets that come under it, or that have a version under it; those in a recovery window included.
    pub secrets: u64,
    /// Versions of secrets whose data key it wraps.
    pub versions: u64,
    /// Versions of secrets under it whose data key another key, or an older version of it, wraps yet.
    pub waiting: u64,
}

/// An encryption key, without its material.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyView {
    /// Never used again, unlike the name.
    pub id: KeyId,
    /// Where it belongs.
    pub namespace: NamespaceId,
    /// Unique among the namespace's keys that are not destroyed.
    pub name: KeyName,
    /// Whether it can be used.
    pub state: KeyState,
    /// The version that new data keys come under.
    pub primary: u32,
    /// When that version was made.
    pub primary_created: Timestamp,
    /// The versions whose material exists.
    pub versions: Vec<u32>,
    /// When it was made.
    pub created: Timestamp,
    /// What declares it.
    pub declaration: Option<KeyDeclaration>,
}

/// What is kept of the access policies.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EnforcedPolicies {
    /// In any order.
    pub policies: Vec<EnforcedPolicy>,
    /// How many records cannot be read.
    pub unreadable: u64,
}

/// What a write came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WriteOutcome {
    /// Whether a version was made; false where it was there already.
    pub created: bool,
    /// The secret afterwards.
    pub secret: SecretView,
}
