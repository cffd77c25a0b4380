//! AES-SIV (RFC 5297) with a 64-byte key: the only file that names the cipher.
//!
//! `Aes256Siv`, never its AEAD wrapper: the wrapper takes one header instead of a list, and does not wipe its key.

#![expect(
    clippy::disallowed_types,
    reason = "the one place where the cipher may be named; the ban stands in clippy.toml"
)]

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use zeroize::Zeroizing;

use crate::crypto::CryptoError;
use crate::secret::SecretBytes;

/// One cipher, made for one operation and wiped with it.
pub(crate) struct Siv(Aes256Siv);

impl Siv {
    /// Of a key of 64 bytes: the first half authenticates, the second encrypts.
    pub(crate) fn new(key: &[u8; 64]) -> Self {
        Self(Aes256Siv::new(key.into()))
    }

    /// Seals `plaintext` under a list of headers. Deterministic: put a nonce last where equal plaintexts must not show.
    pub(crate) fn seal(&mut self, headers: &[&[u8]], plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.0
            .encrypt(headers, plaintext)
            .map_err(|_| CryptoError::TooLarge)
    }

    /// Opens what [`Siv::seal`] made under the same headers.
    pub(crate) fn open(&mut self, headers: &[&[u8]], sealed: &[u8]) -> Result<SecretBytes, CryptoError> {
        self.0
            .decrypt(headers, sealed)
            .map(|plaintext| SecretBytes::from(Zeroizing::new(plaintext)))
            .map_err(|_| CryptoError::Forged)
    }
}

#[cfg(test)]
mod independent;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod wiped;
