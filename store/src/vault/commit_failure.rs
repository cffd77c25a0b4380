//! Why a group of commands was not committed.

use strongroom_model::id::RequestId;

use super::error::StoreError;
use crate::crypto::CryptoError;
use crate::engine::EngineError;

/// Why a whole group was not answered as decided. Errors cannot be cloned, so that each caller gets one made
/// from this.
#[derive(Debug)]
pub(super) enum CommitFailure {
    Fenced,
    Unknown,
    NotCommitted,
    Anchor(String),
    OutOfSpace,
    RecordTooLarge(usize),
    Poisoned,
    Damaged(String),
    Other(String),
}

impl CommitFailure {
    pub(super) fn for_request(&self, request: RequestId) -> StoreError {
        match self {
            Self::Fenced => StoreError::Fenced,
            Self::Unknown => StoreError::Unknown { request },
            Self::NotCommitted => StoreError::NotCommitted,
            Self::Anchor(why) => StoreError::AnchorUnavailable(why.clone()),
            Self::OutOfSpace => EngineError::OutOfSpace.into(),
            Self::RecordTooLarge(bytes) => EngineError::RecordTooLarge(*bytes).into(),
            Self::Poisoned => EngineError::Poisoned.into(),
            Self::Damaged(record) => StoreError::damaged(record),
            Self::Other(why) => EngineError::Io(std::io::Error::other(why.clone())).into(),
        }
    }
}

impl From<EngineError> for CommitFailure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::OutOfSpace => Self::OutOfSpace,
            EngineError::Poisoned => Self::Poisoned,
            EngineError::Damaged(record) => Self::Damaged(record),
            EngineError::RecordTooLarge(bytes) => Self::RecordTooLarge(bytes),
            other @ (EngineError::Missing(_) | EngineError::Io(_)) => Self::Other(other.to_string()),
        }
    }
}

impl From<CryptoError> for CommitFailure {
    fn from(error: CryptoError) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<StoreError> for CommitFailure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Engine(error) => error.into(),
            StoreError::Damaged { record } => Self::Damaged(record),
            other => Self::Other(other.to_string()),
        }
    }
}
