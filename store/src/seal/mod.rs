//! The seal: how the root key comes back after a restart. `store.seal` lies beside the store and is proven
//! before the store file is touched.
//!
//! Several slots hold the same root key, each wrapped for one way to open it; adding or removing one rewrites
//! this file alone. Must not read a key from anywhere: callers bring the bytes.

mod file;
mod owner;
mod recovery;
mod slot;

pub(crate) use file::REKEYED;
pub use file::{FILE_NAME, SealFile};
pub(crate) use owner::same_owner;
pub use recovery::{RecoveryKey, RecoveryKeyError};
pub use slot::{PassphraseCost, SlotId, SlotInfo, SlotKind, SlotSecret};

use crate::codec::DecodeError;
use crate::crypto::CryptoError;

/// The seal could not be read, written or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// There is no seal file.
    #[error(
        "there is no seal file at `{0}`; without it the store cannot be opened: restore it from a backup"
    )]
    Missing(String),
    /// The file was changed or cut.
    #[error("the seal file is damaged ({0}); restore it from a backup")]
    Damaged(&'static str),
    /// A newer version wrote it.
    #[error("the seal file has format {0}, which this version does not know; run a newer strongroom")]
    UnknownFormat(u8),
    /// No slot of that kind opens with that key.
    #[error("no {0} slot of the seal file opens with the key given; nothing was changed")]
    WrongKey(SlotKind),
    /// There is no slot of that kind.
    #[error("the seal file has no {0} slot; `strongroom seal slots` lists what it has")]
    NoSuchSlot(SlotKind),
    /// There is no slot of that id.
    #[error("the seal file has no slot `{0}`; `strongroom seal slots` lists what it has")]
    UnknownSlot(SlotId),
    /// Without a slot nobody could ever open the store again.
    #[error("the last slot cannot be removed: nothing could open the store again; add another one first")]
    LastSlot,
    /// There are 16 already.
    #[error("the seal file holds at most 16 slots; remove one first")]
    TooManySlots,
    /// A key of another length than 32 bytes.
    #[error("a {0} slot needs exactly 32 bytes of key, got {1}")]
    KeyLength(SlotKind, usize),
    /// A passphrase that is too short to be worth anything.
    #[error("a passphrase needs at least 12 characters")]
    PassphraseTooShort,
    /// A cost that Argon2 or this program refuses.
    #[error(
        "the passphrase cost is not usable: at most 1 GiB of memory, 64 passes and 64 lanes, and at least 8 KiB a lane"
    )]
    Cost,
    /// The cipher failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The operating system refused.
    #[error("the seal file cannot be used: {0}")]
    Io(#[from] std::io::Error),
}

impl From<DecodeError> for SealError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::UnknownFormat(format) => Self::UnknownFormat(format),
            DecodeError::Short => Self::Damaged("it ends too early"),
            DecodeError::Trailing => Self::Damaged("it goes on after its end"),
            DecodeError::Invalid(field) => Self::Damaged(field),
        }
    }
}

#[cfg(test)]
mod tests;
