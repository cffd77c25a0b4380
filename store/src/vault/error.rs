//! Errors of the store. Must not hold a value.

use strongroom_model::id::RequestId;
use strongroom_model::name::NamespaceName;
use strongroom_model::time::Timestamp;
use strongroom_model::{Hosting, ProductCode, RECOVERY_WINDOW_DAYS};

use super::quota::{HumanBytes, Usage};
use crate::audit::AuditUnavailable;
use crate::crypto::CryptoError;
use crate::engine::EngineError;
use crate::format::Quota;
use crate::value::ValueError;

/// The rules say no. Asking again changes nothing until something else does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such secret.
    #[error("there is no such secret")]
    SecretNotFound,
    /// There is no such version.
    #[error("the secret has no such version")]
    VersionNotFound,
    /// No version carries that label.
    #[error("no version of the secret carries the stage `{0}`")]
    StageNotFound(String),
    /// Version and stage were both given and name different versions.
    #[error("the version does not carry the stage `{0}`; ask for one of the two")]
    StageMismatch(String),
    /// The name is taken.
    #[error("a secret of this name exists")]
    SecretExists,
    /// The secret waits for its destruction.
    #[error("the secret is in its recovery window until {until}; restore or purge it first")]
    InRecoveryWindow {
        /// When the window closes.
        until: Timestamp,
    },
    /// The secret is not waiting for its destruction.
    #[error("the secret is not in a recovery window")]
    NotInRecoveryWindow,
    /// The version id is taken by another value.
    #[error("the version id exists with another value; versions are immutable, choose a new id")]
    VersionConflict,
    /// The version that a new one builds on is no longer Current.
    #[error("another version became Current meanwhile; look again")]
    BaseMoved,
    /// The label is reserved for moves.
    #[error("the stage `{0}` cannot be removed; move it to another version instead")]
    StageReserved(String),
    /// Neither a version to move to nor one to remove from.
    #[error("say which version the stage moves to, which it is removed from, or both")]
    StageUnchanged,
    /// The namespace has as much of the store as it may have.
    #[error(
        "namespace `{namespace}` is full: it has {} of {} secrets and {} of {}, those in recovery windows included; delete secrets, \
         whose room is free once their recovery windows end, or ask an administrator for `kubectl strongroom purge --namespace {namespace}`",
        .used.secrets, .limit.secrets, HumanBytes(.used.bytes), HumanBytes(.limit.bytes)
    )]
    NamespaceFull {
        /// Name of the namespace that is full.
        namespace: NamespaceName,
        /// Secrets and bytes that count for it now.
        used: Usage,
        /// What it may have.
        limit: Quota,
    },
    /// The product has as many default secrets as it may have.
    #[error(
        "product `{code}` has {used} of {limit} default secrets of {hosting} hosting{}, those in recovery windows included; delete \
         some, whose place is free once their recovery windows end, or raise `spec.quota` of SecretProduct `{code}`",
        .namespace.as_ref().map(|name| format!(" in namespace `{name}`")).unwrap_or_default()
    )]
    ProductQuotaExceeded {
        /// Which product.
        code: ProductCode,
        /// Of which hosting.
        hosting: Hosting,
        /// In which namespace; none: in all together.
        namespace: Option<NamespaceName>,
        /// How many it has there.
        used: u64,
        /// How many it may have there.
        limit: u64,
    },
    /// All products together have as much of the store as they may have.
    #[error(
        "products have used up their share of the store: {} of {} default secrets and {} of {}, those in recovery windows included; \
         delete default secrets, or ask an administrator to raise the share of a namespace, from which that of products follows",
        .used.secrets, .limit.secrets, HumanBytes(.used.bytes), HumanBytes(.limit.bytes)
    )]
    ProductsFull {
        /// What they have.
        used: Usage,
        /// What they may have.
        limit: Quota,
    },
    /// The secret's name says that it is a product's, and there never was such a product.
    #[error("no product `{0}` is known; create its SecretProduct first, or choose a name without `!`")]
    ProductUnknown(String),
    /// These labels contradict each other.
    #[error("a new version cannot be Current and Previous at once")]
    StagesContradict,
    /// Too many labels.
    #[error("a secret carries at most 8 stages; remove one first")]
    TooManyStages,
    /// A recovery window and immediate destruction.
    #[error("a recovery window and immediate destruction exclude each other")]
    WindowAndForce,
    /// Its days are not in [`RECOVERY_WINDOW_DAYS`].
    #[error(
        "a recovery window has {min} to {max} days, not {0}",
        min = RECOVERY_WINDOW_DAYS.start(),
        max = RECOVERY_WINDOW_DAYS.end()
    )]
    WindowOutOfBounds(u32),
    /// A text or a list is over its bound; the message says which.
    #[error("{0}")]
    MetadataTooLarge(&'static str),
    /// The secret was not made where nothing is kept.
    #[error("the secret has a recovery window; it is not destroyed without one")]
    RecoveryWindowKept,
    /// There is no such key.
    #[error("there is no such encryption key in the namespace")]
    KeyNotFound,
    /// The key's name is taken.
    #[error("an encryption key of this name exists")]
    KeyExists,
    /// Nothing under it is read or written until it is enabled.
    #[error("the encryption key is disabled; enable it")]
    KeyDisabled,
    /// The key waits for its destruction.
    #[error("the encryption key is to be destroyed at {until}; cancel the deletion")]
    KeyPendingDeletion {
        /// When it is destroyed.
        until: Timestamp,
    },
    /// The key is gone.
    #[error("the encryption key was destroyed, and with it all that was sealed under it")]
    KeyDestroyed,
    /// The key is not waiting for its destruction.
    #[error("the encryption key's deletion is not scheduled")]
    KeyNotPendingDeletion,
    /// Secrets depend on the key.
    #[error("secrets depend on the encryption key; move them to another key first")]
    KeyInUse,
    /// The version of the key still wraps data keys, or new ones come under it.
    #[error("the version of the encryption key is still in use; rewrap first")]
    KeyVersionInUse,
    /// There is no such namespace.
    #[error("the store has no such namespace")]
    NamespaceNotFound,
    /// The namespace was made again under the same name.
    #[error("the namespace was made again under the same name; its former uid is `{former}`")]
    NamespaceRecreated {
        /// The uid that the store knows.
        former: String,
    },
    /// Too little time since the clock was last seen to jump.
    #[error("the clock has not been steady for an hour; nothing is destroyed on its word")]
    ClockUnsteady,
    /// What would be cut is needed to verify what stays.
    #[error("these audit records are needed to verify those that stay")]
    AuditStillNeeded,
    /// The value is not one.
    #[error(transparent)]
    Value(#[from] ValueError),
}

impl Refusal {
    /// The stable code, for wires, metrics and the audit.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::SecretNotFound => "SecretNotFound",
            Self::VersionNotFound => "VersionNotFound",
            Self::StageNotFound(_) => "StageNotFound",
            Self::StageMismatch(_) => "StageMismatch",
            Self::SecretExists => "SecretExists",
            Self::InRecoveryWindow { .. } => "InRecoveryWindow",
            Self::NotInRecoveryWindow => "NotInRecoveryWindow",
            Self::VersionConflict => "VersionConflict",
            Self::BaseMoved => "BaseMoved",
            Self::StageReserved(_) => "StageReserved",
            Self::StageUnchanged => "StageUnchanged",
            Self::NamespaceFull { .. } => "NamespaceFull",
            Self::ProductQuotaExceeded { .. } => "ProductQuotaExceeded",
            Self::ProductsFull { .. } => "ProductsFull",
            Self::ProductUnknown(_) => "ProductUnknown",
            Self::StagesContradict => "StagesContradict",
            Self::TooManyStages => "TooManyStages",
            Self::WindowAndForce => "WindowAndForce",
            Self::WindowOutOfBounds(_) => "WindowOutOfBounds",
            Self::MetadataTooLarge(_) => "MetadataTooLarge",
            Self::RecoveryWindowKept => "RecoveryWindowKept",
            Self::KeyNotFound => "KeyNotFound",
            Self::KeyExists => "KeyExists",
            Self::KeyDisabled => "KeyDisabled",
            Self::KeyPendingDeletion { .. } => "KeyPendingDeletion",
            Self::KeyDestroyed => "KeyDestroyed",
            Self::KeyNotPendingDeletion => "KeyNotPendingDeletion",
            Self::KeyInUse => "KeyInUse",
            Self::KeyVersionInUse => "KeyVersionInUse",
            Self::NamespaceNotFound => "NamespaceNotFound",
            Self::NamespaceRecreated { .. } => "NamespaceRecreated",
            Self::ClockUnsteady => "ClockUnsteady",
            Self::AuditStillNeeded => "AuditStillNeeded",
            Self::Value(_) => "ValueInvalid",
        }
    }
}

/// The store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The rules say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A record is not what was written. Never another value, never "not found".
    #[error("{record} is damaged; restore a backup, or inspect a copy with `strongroom store check`")]
    Damaged {
        /// Which record, by id.
        record: String,
    },
    /// Another writer holds the fence.
    #[error("another writer took the store over; this process must end")]
    Fenced,
    /// Whether it is durable is not known yet.
    #[error(
        "the outcome of request `{request}` is not known yet; look at what is there before sending it again"
    )]
    Unknown {
        /// The request whose outcome to look for.
        request: RequestId,
    },
    /// It is certainly not durable; the same request may be sent again.
    #[error("the commit did not happen; send the same request again")]
    NotCommitted,
    /// The anchor could not be written, in strict mode. The change is durable.
    #[error("the change is durable, but its anchor could not be written: {0}")]
    AnchorUnavailable(String),
    /// The audit record could not be written.
    #[error(transparent)]
    Audit(#[from] AuditUnavailable),
    /// It takes no commands any more: the process stops.
    #[error("the store is closed")]
    Closed,
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The cipher failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// What a caller does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// Nothing, until something else changes.
    Never,
    /// The same request again, soon.
    Soon,
    /// The same request again, once a person has looked.
    Later,
    /// The process must end.
    Exit,
}

impl StoreError {
    /// A record is not what was written.
    pub(crate) fn damaged(record: impl Into<String>) -> Self {
        Self::Damaged {
            record: record.into(),
        }
    }

    /// The stable code, for wires, metrics and the audit.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Damaged { .. } => "Damaged",
            Self::Fenced => "Fenced",
            Self::Unknown { .. } => "OutcomeUnknown",
            Self::NotCommitted => "NotCommitted",
            Self::AnchorUnavailable(_) => "AnchorUnavailable",
            Self::Audit(_) => "AuditUnavailable",
            Self::Closed => "StoreClosed",
            Self::Engine(EngineError::OutOfSpace) => "OutOfSpace",
            Self::Engine(_) => "StoreUnavailable",
            Self::Crypto(_) => "CryptoFailed",
        }
    }

    /// What a caller does next.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Refused(_) | Self::Engine(EngineError::RecordTooLarge(_)) => Retry::Never,
            Self::Unknown { .. } | Self::NotCommitted => Retry::Soon,
            Self::Fenced | Self::Closed => Retry::Exit,
            Self::Damaged { .. }
            | Self::AnchorUnavailable(_)
            | Self::Audit(_)
            | Self::Engine(_)
            | Self::Crypto(_) => Retry::Later,
        }
    }
}
