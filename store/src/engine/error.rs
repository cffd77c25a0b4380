//! Why an engine cannot answer. Must not hold bytes of a record.

/// The engine cannot do what was asked; a commit that ends so is certainly not durable.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The medium is full; nothing was changed, and it goes on once there is room.
    #[error("no space left for the store; free or add space, then the same request works")]
    OutOfSpace,
    /// A write or fsync failed earlier: what is on disk is no longer certain, so nothing more is written.
    #[error(
        "an earlier write to the store failed, so no more is written until a restart; check the disk and the kernel log"
    )]
    Poisoned,
    /// The medium does not hold what was written to it.
    #[error(
        "the store file is damaged: {0}; restore a backup, or inspect a copy with `strongroom store check`"
    )]
    Damaged(String),
    /// There is no store file where one must be.
    #[error("there is no store file at `{0}`")]
    Missing(String),
    /// The operating system refused.
    #[error("the store file cannot be used: {0}")]
    Io(#[from] std::io::Error),
}

impl From<redb::StorageError> for EngineError {
    fn from(error: redb::StorageError) -> Self {
        match error {
            redb::StorageError::Io(error) if is_full(&error) => Self::OutOfSpace,
            redb::StorageError::Io(error) => Self::Io(error),
            redb::StorageError::PreviousIo => Self::Poisoned,
            redb::StorageError::DatabaseClosed => Self::Io(std::io::Error::other(
                "the store was reopened meanwhile; ask again",
            )),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<redb::DatabaseError> for EngineError {
    fn from(error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<redb::TransactionError> for EngineError {
    fn from(error: redb::TransactionError) -> Self {
        match error {
            redb::TransactionError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<redb::TableError> for EngineError {
    fn from(error: redb::TableError) -> Self {
        match error {
            redb::TableError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// Whether there is no room: on the disk, or in what the user may have of it. Nothing that was written is
/// lost then.
pub(super) fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_spent_quota_are_one_thing_and_a_failed_write_another() {
        for (kind, full) in [
            (std::io::ErrorKind::StorageFull, true),
            (std::io::ErrorKind::QuotaExceeded, true),
            (std::io::ErrorKind::Other, false),
        ] {
            let error = EngineError::from(redb::StorageError::Io(kind.into()));
            assert_eq!(matches!(error, EngineError::OutOfSpace), full, "{kind:?}");
        }
    }
}
