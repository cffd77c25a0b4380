//! Why a store cannot be created, opened or inspected.

use strongroom_model::id::StoreId;

use super::error::StoreError;
use crate::audit::ReadLogError;
use crate::codec::DecodeError;
use crate::crypto::CryptoError;
use crate::engine::EngineError;
use crate::lock::LockError;
use crate::seal::SealError;

/// A store could not be made or opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A part is missing while another is there.
    #[error("`{0}` is missing; put it back, or restore a backup with `strongroom restore`")]
    Missing(String),
    /// There is a store already.
    #[error("there is a store at `{0}` already")]
    Exists(String),
    /// Another process has it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The seal file cannot be read, or the root key is not that of it.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The seal file is another store's.
    #[error("the seal file belongs to another store; put the right one back")]
    OtherStore,
    /// The backup is another store's.
    #[error("the backup is of another store, `{0}`; use a backup of this one")]
    OtherBackup(StoreId),
    /// A newer version wrote the backup.
    #[error("the backup has format {0}, which this version does not know; run a newer strongroom")]
    BackupFormat(u8),
    /// The seal file is not the one that the store knows.
    #[error(
        "the seal file was replaced behind the store's back; put the right one back, or restore a backup"
    )]
    SealReplaced,
    /// Records were removed, added or changed.
    #[error(
        "the store's records are not those it committed: some were removed, added or changed; restore a backup"
    )]
    Tampered,
    /// The file is an older copy.
    #[error(
        "the store is an older copy: it has {found} commits, its anchor knows {anchored}; \
             put the newer file back, or accept the loss with --accept-rollback"
    )]
    RolledBack {
        /// Commits in the file.
        found: u64,
        /// Commits that the anchor knows.
        anchored: u64,
    },
    /// The file took another way than the one that was anchored.
    #[error(
        "the store and its anchor disagree about commit {0}; put the right file back, or accept this one with --accept-rollback"
    )]
    Diverged(u64),
    /// The anchor is another store's.
    #[error("the anchor belongs to another store; bring back the store that it belongs to")]
    OtherAnchor,
    /// The chains would be signed anew as they are.
    #[error(
        "the audit chains are not sound ({0}), and a new root key would sign them anew; nothing was changed: run `strongroom \
         audit verify` on a copy, and put back what is missing"
    )]
    AuditUnsound(String),
    /// What was written under the new root key is not what was there.
    #[error("what was written under the new root key is not what the store holds ({0}); nothing was changed")]
    NotTheSame(String),
    /// The audit of reads.
    #[error(transparent)]
    Reads(#[from] ReadLogError),
    /// The store file cannot be opened or read.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A record cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record does not open with this root key, or the system gave no randomness.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A record is not in its form.
    #[error("the store's own facts cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// The operating system.
    #[error("the store's directory cannot be used: {0}")]
    Io(#[from] std::io::Error),
}
