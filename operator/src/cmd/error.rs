//! Why a command was not carried out.

use strongroom_model::id::IdError;
use strongroom_store::seal::SealError;
use strongroom_store::vault::OpenError;

use crate::admin::{AdminError, SlotError};
use crate::backup::BackupError;
use crate::bootstrap::RestoreError;
use crate::gateway::RepeatedGateway;
use crate::seal::SealSourceError;

/// A command was not carried out. Never holds a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// There is nobody to ask.
    #[error(
        "no strongroom process has the store at `{0}` open; this command needs the running process, so start it first"
    )]
    NotRunning(String),
    /// What would be written over.
    #[error("`{0}` exists already; choose another name")]
    Exists(String),
    /// A backup on a screen.
    #[error("a backup is binary; write it to a file with `--to FILE`, or pipe it to another program")]
    Terminal,
    /// There is a recovery key, and nobody said that there shall be another.
    #[error(
        "there is a recovery key already, slot `{id}` ({label}), and another one would open everything as well; pass --another to create it, or first \
         remove the existing one with `strongroom seal remove {id}`"
    )]
    RecoveryKeyExists {
        /// Its slot.
        id: String,
        /// What people call it.
        label: String,
    },
    /// Slots would open nothing any more, and nobody said that they may.
    #[error(
        "these slots would open nothing any more: {0}; nothing was changed: name their keys with `--slot-…` to keep them, or pass --yes"
    )]
    SlotsDropped(String),
    /// The new root key counts already.
    #[error(
        "the store has its new root key, but its files are not in place yet: {0}; start strongroom, which ends it"
    )]
    RekeyUnfinished(OpenError),
    /// A file cannot be written.
    #[error("`{path}` cannot be written: {source}")]
    Write {
        /// The file, lossily if it is not UTF-8.
        path: String,
        source: std::io::Error,
    },
    /// The output is closed.
    #[error("the answer cannot be written: {0}")]
    Output(#[from] std::io::Error),
    /// The running process.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The key of the seal.
    #[error(transparent)]
    Source(#[from] SealSourceError),
    /// A slot of the seal.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// The seal file.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The stopped store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The backup, or the place that it shall be restored to.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// No randomness.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The gateways of the process.
    #[error(transparent)]
    Gateways(#[from] RepeatedGateway),
    /// The process.
    #[error(transparent)]
    Serve(#[from] crate::serve::ServeError),
    #[error(transparent)]
    Logging(#[from] strongroom_process::LoggingError),
    /// The definitions cannot be printed.
    #[error("the definitions cannot be printed: {0}")]
    Crds(String),
    /// A file cannot be read.
    #[error("`{path}` cannot be read: {source}")]
    Read {
        /// The file, lossily if it is not UTF-8.
        path: String,
        source: std::io::Error,
    },
    /// The API does not answer.
    #[error(
        "the API does not answer at https://{address}: {why}; see `kubectl get pods,persistentvolumeclaims` in Strongroom's namespace: a claim that is Pending keeps the pod from starting"
    )]
    Unreachable {
        /// Host and port.
        address: String,
        why: String,
    },
    /// The chains cannot be looked at.
    #[error(transparent)]
    Verify(#[from] strongroom_store::audit::VerifyError),
    /// The audit log cannot be kept so.
    #[error(transparent)]
    Limits(#[from] strongroom_store::audit::RetentionLimitsError),
    /// Sinks of products do not go together.
    #[error(transparent)]
    ProductSink(#[from] crate::audit::ProductSinkError),
    /// The chains are not sound.
    #[error("the audit chains are not sound")]
    Unsound,
    /// A backup or a drill.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A schedule that means nothing.
    #[error("{argument}: {source}")]
    Schedule {
        /// The argument that has it.
        argument: &'static str,
        source: strongroom_rules::schedule::ScheduleError,
    },
    /// Nobody said which backup.
    #[error("name the backup: --from FILE, or --backup-destination and --backup")]
    NoBackupNamed,
    /// Not all of a backup came back.
    #[error(
        "not everything in the backup came back; take another one, and inspect the store with `strongroom store check`"
    )]
    NotRestored,
    /// The store is not sound.
    #[error("the store is damaged; restore a backup")]
    Damaged,
}
