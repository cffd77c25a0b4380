//! What redb says, in the words of [`EngineError`].

use std::fmt;
use std::io;

use crate::engine::EngineError;

impl From<redb::StorageError> for EngineError {
    fn from(error: redb::StorageError) -> Self {
        match error {
            redb::StorageError::Io(error) if is_full(&error) => Self::OutOfSpace,
            // Said of a file alone that does not begin as redb's do.
            redb::StorageError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Self::Damaged(about_the_file(&error))
            }
            redb::StorageError::Io(error) => Self::Io(error),
            redb::StorageError::PreviousIo => Self::Poisoned,
            redb::StorageError::DatabaseClosed => {
                Self::Io(io::Error::other("the store was reopened meanwhile; ask again"))
            }
            // It names a line of redb's source; why the thread panicked, only the log knows.
            redb::StorageError::LockPoisoned(_) => Self::Io(io::Error::other(
                "a thread that worked on it panicked; see the log, and restart",
            )),
            redb::StorageError::ValueTooLarge(bytes) => Self::RecordTooLarge(bytes),
            redb::StorageError::Corrupted(what) => Self::Damaged(about_the_file(&what)),
            other => Self::Damaged(about_the_file(&other)),
        }
    }
}

impl From<redb::DatabaseError> for EngineError {
    fn from(error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::Storage(error) => error.into(),
            redb::DatabaseError::DatabaseAlreadyOpen | redb::DatabaseError::LockProtocolMismatch => Self::Io(
                io::Error::other("another process has it open; stop that one first, or work on a copy"),
            ),
            other => Self::Damaged(about_the_file(&other)),
        }
    }
}

impl From<redb::TransactionError> for EngineError {
    fn from(error: redb::TransactionError) -> Self {
        match error {
            redb::TransactionError::Storage(error) => error.into(),
            other => Self::Damaged(about_the_file(&other)),
        }
    }
}

impl From<redb::TableError> for EngineError {
    fn from(error: redb::TableError) -> Self {
        match error {
            redb::TableError::Storage(error) => error.into(),
            other => Self::Damaged(about_the_file(&other)),
        }
    }
}

/// The cause, in redb's words but for its name.
pub(super) fn about_the_file(cause: &dyn fmt::Display) -> String {
    cause
        .to_string()
        .replace("redb database", "store file")
        .replace("redb", "the store's engine")
}

/// Whether there is no room: on the disk, or in what the user may have of it. Nothing that was written is
/// lost then.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_spent_quota_are_one_thing_and_a_failed_write_another() {
        for (kind, full) in [
            (io::ErrorKind::StorageFull, true),
            (io::ErrorKind::QuotaExceeded, true),
            (io::ErrorKind::Other, false),
        ] {
            let error = EngineError::from(redb::StorageError::Io(kind.into()));
            assert_eq!(matches!(error, EngineError::OutOfSpace), full, "{kind:?}");
        }
    }

    #[test]
    fn a_message_says_the_store_file_and_the_cause_and_names_no_library() {
        let other = io::Error::new(
            io::ErrorKind::InvalidData,
            "Not a redb database: magic number mismatch",
        );
        let here = std::panic::Location::caller();
        for (error, cause) in [
            (EngineError::from(redb::StorageError::Io(other)), "magic number"),
            (
                redb::StorageError::Corrupted("a checksum".to_owned()).into(),
                "a checksum",
            ),
            (redb::StorageError::LockPoisoned(here).into(), "panicked"),
            (
                redb::DatabaseError::LockProtocolMismatch.into(),
                "another process",
            ),
            (redb::DatabaseError::UpgradeRequired(1).into(), "version 1"),
            (
                redb::TableError::TableDoesNotExist("head".to_owned()).into(),
                "head",
            ),
        ] {
            let message = error.to_string();
            assert!(message.contains("the store file"), "{message}");
            assert!(message.contains(cause), "{message}");
            assert!(!message.contains("redb"), "{message}");
        }
    }
}
