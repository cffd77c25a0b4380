//! Why an engine cannot answer. Must not hold bytes of a record, nor name an engine: whoever reads a message
//! knows a store file.

use std::io;

/// The engine cannot do what was asked; a commit that ends so is certainly not durable.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The disk is full; nothing was changed, and it goes on once there is room.
    #[error("no space left for the store; free or add space, then the same request works")]
    OutOfSpace,
    /// A write or fsync failed earlier: what is on disk is no longer certain, so nothing more is written.
    #[error(
        "an earlier write to the store failed, so no more is written until a restart; check the disk and the kernel log"
    )]
    Poisoned,
    /// The disk does not hold what was written to it.
    #[error(
        "the store file is damaged: {0}; restore a backup, or inspect a copy with `strongroom store check`"
    )]
    Damaged(String),
    /// A record is larger than the engine holds; nothing was changed.
    #[error("a record of {0} bytes is more than the store file holds; make it smaller")]
    RecordTooLarge(usize),
    /// There is no store file where one must be.
    #[error("there is no store file at `{0}`")]
    Missing(String),
    /// The operating system refused.
    #[error("the store file cannot be used: {0}")]
    Io(#[from] io::Error),
}
