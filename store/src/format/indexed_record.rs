//! Records that are kept sealed under a blind index: access policies in force, what objects declare,
//! attestations, and products. Must not know what refers to them.

use zeroize::Zeroizing;

use crate::codec::DecodeError;
use crate::crypto::Context;
use crate::engine::Table;

/// A record whose key is a blind index of 32 bytes.
pub(crate) trait IndexedRecord: Sized {
    /// Where the records are.
    const TABLE: Table;
    /// What an error calls one of them.
    const NAME: &'static str;

    /// What binds a sealed record to its place.
    fn context(index: &[u8; 32]) -> Context<'_>;

    /// The canonical bytes.
    fn encode(&self) -> Zeroizing<Vec<u8>>;

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// [`DecodeError`]: they are no such record.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;
}
