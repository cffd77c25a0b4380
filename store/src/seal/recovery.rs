//! A recovery key: 32 random bytes that are shown once, as groups that a person can write down.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::crypto::{CryptoError, random};

/// Bytes of the checksum behind the key.
const CHECKSUM_BYTES: usize = 3;

/// Text that is no recovery key. Never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryKeyError {
    /// It has other characters, or another number of them.
    #[error("a recovery key is 14 groups of 4 letters and digits from 2 to 7")]
    Malformed,
    /// A character is wrong.
    #[error("the recovery key's checksum does not hold; one of its characters is wrong")]
    Mistyped,
}

/// A recovery key; wiped when dropped.
pub struct RecoveryKey(Zeroizing<[u8; 32]>);

impl RecoveryKey {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`CryptoError::NoRandomness`].
    pub fn generate() -> Result<Self, CryptoError> {
        random().map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The text to show once: 14 groups of four base32 characters (RFC 4648), the last of them a checksum.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        // Room for all from the start: a buffer that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(32 + CHECKSUM_BYTES));
        bytes.extend_from_slice(self.0.as_slice());
        bytes.extend_from_slice(&checksum(&self.0));
        let text = Zeroizing::new(BASE32_NOPAD.encode(&bytes));
        let mut grouped = Zeroizing::new(String::with_capacity(text.len() + 14));
        for (index, character) in text.chars().enumerate() {
            if index > 0 && index.is_multiple_of(4) {
                grouped.push('-');
            }
            grouped.push(character);
        }
        grouped
    }

    /// Reads a key as a person types it: case, blanks and dashes do not matter.
    ///
    /// # Errors
    /// [`RecoveryKeyError`].
    pub fn parse(text: &str) -> Result<Self, RecoveryKeyError> {
        let mut clean = Zeroizing::new(String::with_capacity(text.len()));
        for character in text.chars() {
            if !character.is_whitespace() && character != '-' {
                clean.push(character.to_ascii_uppercase());
            }
        }
        let bytes = Zeroizing::new(
            BASE32_NOPAD
                .decode(clean.as_bytes())
                .map_err(|_| RecoveryKeyError::Malformed)?,
        );
        let (key, check) = bytes.split_at_checked(32).ok_or(RecoveryKeyError::Malformed)?;
        let key = Zeroizing::new(<[u8; 32]>::try_from(key).map_err(|_| RecoveryKeyError::Malformed)?);
        if check.len() != CHECKSUM_BYTES {
            return Err(RecoveryKeyError::Malformed);
        }
        if check != checksum(&key) {
            return Err(RecoveryKeyError::Mistyped);
        }
        Ok(Self(key))
    }
}

fn checksum(key: &[u8; 32]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::new()
        .chain_update(b"sr/recovery-checksum/1")
        .chain_update(key)
        .finalize();
    let mut check = [0; CHECKSUM_BYTES];
    for (to, from) in check.iter_mut().zip(digest) {
        *to = from;
    }
    check
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoveryKey").finish_non_exhaustive()
    }
}
