//! Why no record can be appended to the read chain.

use std::io;

use crate::audit::AuditUnavailable;
use crate::crypto::CryptoError;

/// Why a record cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum AppendError {
    #[error("the disk is full and the reserve is used up; free space, then reads go on")]
    OutOfSpace,
    #[error("no new segment can be made, and the reserve is used up: {0}")]
    NoSegment(String),
    #[error("an earlier write failed, so nothing more is written until a restart: {0}")]
    Poisoned(String),
    #[error("the log is closed")]
    Closed,
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl From<AppendError> for AuditUnavailable {
    fn from(error: AppendError) -> Self {
        Self(error.to_string())
    }
}

/// Whether there is no room, on the disk or in the owner's quota.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
