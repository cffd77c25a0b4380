//! What can go wrong with a backup. Texts of a bucket's server are not repeated but for its error code.

use std::fmt;
use std::io;
use std::time::Duration;

use strongroom_store::audit::ReadLogError;
use strongroom_store::vault::OpenError;

/// What was done at the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BackupStep {
    List,
    Send,
    Read,
    Delete,
}

impl fmt::Display for BackupStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "listed",
            Self::Send => "sent",
            Self::Read => "read back",
            Self::Delete => "deleted",
        })
    }
}

/// A backup was not taken, not verified or not restored. Never holds a byte of a credential.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// A file with credentials or an authority.
    #[error("`{path}` cannot be read: {source}; mount it there, or correct the destination of backups")]
    File {
        /// The file, lossily if it is not UTF-8.
        path: String,
        source: io::Error,
    },
    /// The folder is not there, or the description of the bucket makes no sense to the library.
    #[error("`{destination}` cannot be used for backups: {why}")]
    Unusable { destination: String, why: String },
    /// The server of the bucket said no.
    #[error("`{destination}` answered {answer}: the backup cannot be {step}")]
    Refused {
        destination: String,
        step: BackupStep,
        /// Status and error code.
        answer: String,
    },
    /// The server of the bucket cannot be reached, or the connection broke.
    #[error("`{destination}` cannot be reached ({cause}): the backup cannot be {step}")]
    Unreachable {
        destination: String,
        step: BackupStep,
        /// In our words.
        cause: &'static str,
    },
    /// The file system of the folder.
    #[error("`{destination}`: {cause}: the backup cannot be {step}")]
    FileSystem {
        destination: String,
        step: BackupStep,
        /// As the system says it.
        cause: io::ErrorKind,
    },
    /// Nothing moved for too long.
    #[error("`{destination}` is too slow: for {} s nothing moved while the backup was {step}", .after.as_secs())]
    Slow {
        destination: String,
        step: BackupStep,
        after: Duration,
    },
    /// There is no such object.
    #[error("`{destination}` has no `{name}`; list what it has, and name one of them")]
    Missing { destination: String, name: String },
    /// There is no backup that was verified.
    #[error("`{destination}` has no verified backup; name one with `--backup`, or wait for the next one")]
    NoBackup { destination: String },
    /// It has backups of several stores.
    #[error("`{destination}` has backups of several stores; name one with `--backup`")]
    SeveralStores { destination: String },
    /// There are no copies of a read chain.
    #[error(
        "`{destination}` has no copies of the read chain; they lie in its folder `reads`, in one for each store"
    )]
    NoReads { destination: String },
    /// It has copies of the read chains of several stores.
    #[error("`{destination}` has copies of the read chains of several stores; name one with `--store`")]
    SeveralReads { destination: String },
    /// The read chain of the store.
    #[error(transparent)]
    Reads(#[from] ReadLogError),
    /// The snapshot broke off.
    #[error("the store cannot be read for a backup: {0}")]
    Snapshot(Box<OpenError>),
    /// What came back is no backup of this store.
    #[error("`{name}` was sent, and what the destination gives back is not that backup: {source}")]
    Unsound { name: String, source: Box<OpenError> },
    /// What came back is a backup, and another one.
    #[error("`{name}` was sent, and the destination gives back {found} instead of {sent}")]
    Changed {
        name: String,
        /// Size and digest.
        sent: String,
        /// Size and digest.
        found: String,
    },
    /// The manifest is none.
    #[error("the manifest `{name}` cannot be read: {why}")]
    Manifest { name: String, why: String },
    /// A backup does not come back in a drill.
    #[error("`{name}` cannot be restored: {source}")]
    Restore { name: String, source: Box<OpenError> },
    /// There is not enough room for a drill.
    #[error(
        "a drill in `{place}` needs {needed} bytes and there are {free}; free some, or name another folder with `--drill-dir`"
    )]
    NoRoom { place: String, needed: u64, free: u64 },
    /// The folder of the drill.
    #[error(
        "a drill cannot be held in `{place}`: {source}; free space or name another folder with `--drill-dir`"
    )]
    Scratch { place: String, source: io::Error },
    /// A thread ended early.
    #[error("it was interrupted")]
    Interrupted,
    /// No randomness for the record.
    #[error(transparent)]
    Id(#[from] strongroom_model::id::IdError),
}
