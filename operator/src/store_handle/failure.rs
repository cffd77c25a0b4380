//! What can go wrong in the store: told apart once, for controllers and gateway, and as controllers answer to
//! it.

use strongroom_crds::condition::Reason;
use strongroom_model::name::NameError;
use strongroom_rules::retry::ErrorClass;
use strongroom_store::engine::EngineError;
use strongroom_store::vault::{Refusal, StoreError};

/// Whose fault an error is, and so what becomes of the request: the caller's, the disk's or ours.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StoreErrorKind<'a> {
    /// Its rules say no.
    Refused(&'a Refusal),
    /// A record cannot be read.
    Damaged,
    /// No audit record can be written, so nothing is read or changed.
    AuditUnavailable,
    /// The disk is full.
    Full,
    /// Nothing is served now: it is closing, poisoned, fenced off, or does not know the outcome.
    Unavailable,
}

impl<'a> From<&'a StoreError> for StoreErrorKind<'a> {
    fn from(error: &'a StoreError) -> Self {
        match error {
            StoreError::Refused(refusal) => Self::Refused(refusal),
            StoreError::Damaged { .. } => Self::Damaged,
            StoreError::Audit(_) => Self::AuditUnavailable,
            StoreError::Engine(EngineError::OutOfSpace) => Self::Full,
            StoreError::Fenced
            | StoreError::Unknown { .. }
            | StoreError::NotCommitted
            | StoreError::AnchorUnavailable(_)
            | StoreError::Closed
            | StoreError::Engine(_)
            | StoreError::Crypto(_) => Self::Unavailable,
        }
    }
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
    /// The product has as many secrets as it may have, or all products together have.
    #[error("{0}")]
    ProductFull(String),
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
            Self::NamespaceFull(_) | Self::ProductFull(_) => ErrorClass::NamespaceFull,
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
            Self::ProductFull(_) => Reason::QuotaExceeded,
            Self::KeyInUse(_) | Self::Refused(_) | Self::Unavailable(_) => Reason::StoreUnavailable,
            Self::AuditUnavailable(_) => Reason::AuditUnavailable,
            Self::Full => Reason::StoreFull,
            Self::Damaged(_) => Reason::StoreDamaged,
        }
    }
}

impl From<StoreError> for StoreFailure {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match StoreErrorKind::from(&error) {
            StoreErrorKind::Refused(refusal) => match refusal {
                Refusal::BaseMoved => Self::BaseMoved,
                Refusal::KeyDisabled | Refusal::KeyPendingDeletion { .. } | Refusal::KeyDestroyed => {
                    Self::KeyDisabled(text)
                }
                Refusal::KeyInUse | Refusal::KeyVersionInUse => Self::KeyInUse(text),
                Refusal::NamespaceFull { .. } => Self::NamespaceFull(text),
                Refusal::ProductQuotaExceeded { .. } | Refusal::ProductsFull { .. } => {
                    Self::ProductFull(text)
                }
                _ => Self::Refused(text),
            },
            StoreErrorKind::Damaged => Self::Damaged(text),
            StoreErrorKind::AuditUnavailable => Self::AuditUnavailable(text),
            StoreErrorKind::Full => Self::Full,
            StoreErrorKind::Unavailable => Self::Unavailable(text),
        }
    }
}

impl From<NameError> for StoreFailure {
    fn from(error: NameError) -> Self {
        Self::Refused(error.to_string())
    }
}
