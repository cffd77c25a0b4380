//! AES-SIV (RFC 5297) with a 64-byte key: the only file that names the cipher.
//!
//! `Aes256Siv`, never its AEAD wrapper: the wrapper takes one header instead of a list, and does not wipe its
//! key.

#![expect(
    clippy::disallowed_types,
    reason = "the one place where the cipher may be named; the ban stands in clippy.toml"
)]

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use strongroom_model::SecretBytes;
use zeroize::{Zeroizing, zeroize_stack};

use crate::crypto::CryptoError;

/// Bytes of stack that the cipher is taken to use at most. The test in `tests/memory.rs` saw blocks of a
/// plaintext 8.3 KiB deep, where the processor encrypts many blocks at once.
const STACK: usize = 16 * 1_024;

/// One cipher, made for one operation and wiped with it.
pub(crate) struct Siv(Aes256Siv);

impl Siv {
    /// Of a key of 64 bytes: the first half authenticates, the second encrypts.
    pub(crate) fn new(key: &[u8; 64]) -> Self {
        Self(Aes256Siv::new(key.into()))
    }

    /// Seals `plaintext` under a list of headers. Deterministic: put a nonce last where equal plaintexts must
    /// not show.
    pub(crate) fn seal(
        &mut self,
        headers: impl IntoIterator<Item: AsRef<[u8]>>,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let sealed = self.encrypt(headers, plaintext);
        zeroize_stack::<STACK>();
        sealed.map_err(|_| CryptoError::TooLarge)
    }

    /// Opens what [`Siv::seal`] made under the same headers.
    pub(crate) fn open(
        &mut self,
        headers: impl IntoIterator<Item: AsRef<[u8]>>,
        sealed: &[u8],
    ) -> Result<SecretBytes, CryptoError> {
        let opened = self.decrypt(headers, sealed);
        zeroize_stack::<STACK>();
        opened
            .map(|plaintext| SecretBytes::from(Zeroizing::new(plaintext)))
            .map_err(|_| CryptoError::Forged)
    }

    // The cipher leaves blocks of a plaintext, and round keys, on the stack. These two are calls of their
    // own, so that all of it lies below the frame from which it is wiped.

    #[inline(never)]
    fn encrypt(
        &mut self,
        headers: impl IntoIterator<Item: AsRef<[u8]>>,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, aes_siv::Error> {
        self.0.encrypt(headers, plaintext)
    }

    #[inline(never)]
    fn decrypt(
        &mut self,
        headers: impl IntoIterator<Item: AsRef<[u8]>>,
        sealed: &[u8],
    ) -> Result<Vec<u8>, aes_siv::Error> {
        self.0.decrypt(headers, sealed)
    }
}

#[cfg(test)]
mod independent;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod wiped;
