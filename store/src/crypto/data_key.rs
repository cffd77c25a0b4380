//! The data key of one version of a secret: a seed of 32 bytes, used for exactly one value.
//!
//! The seed is not the cipher's key: HKDF mixes the whole context in, and gives beside the key a commitment
//! that is compared before anything is decrypted. AES-SIV alone does not commit to its key (Menda, Len,
//! Grubbs, Ristenpart, Eurocrypt 2023).

use std::fmt;

use strongroom_model::SecretBytes;
use strongroom_model::id::{KeyId, NamespaceId, SecretId, StoreId};
use strongroom_model::name::VersionId;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::material::KeyMaterial;
use super::{CryptoError, Siv, kdf, random};
use crate::value::DataType;

/// Where a wrapped data key stands. A rewrap changes the key and its version, and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataKeyContext {
    /// Where the record lies: a copy in another store does not open.
    pub store: StoreId,
    /// Where the secret belongs.
    pub namespace: NamespaceId,
    /// Whose version it is.
    pub secret: SecretId,
    /// The version's number.
    pub sequence: u32,
    /// The encryption key that wraps.
    pub key: KeyId,
    /// Counts that key's material from 1.
    pub key_version: u32,
}

impl DataKeyContext {
    /// The headers, for as long as `then` runs.
    fn headers<T>(&self, then: impl FnOnce(&[&[u8]]) -> T) -> T {
        then(&[
            b"sr/dek/1",
            self.store.as_bytes(),
            self.namespace.as_bytes(),
            self.secret.as_bytes(),
            &self.sequence.to_be_bytes(),
            self.key.as_bytes(),
            &self.key_version.to_be_bytes(),
        ])
    }
}

/// Where a sealed value stands. Holds no encryption key, so that a rewrap leaves values alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ValueContext<'a> {
    /// Where the record lies: a copy in another store does not open.
    pub store: StoreId,
    /// Where the secret belongs.
    pub namespace: NamespaceId,
    /// Whose version it is.
    pub secret: SecretId,
    /// The version's number.
    pub sequence: u32,
    /// The version's id.
    pub version: &'a VersionId,
    /// Whether it is text.
    pub data_type: DataType,
}

impl ValueContext<'_> {
    /// The headers, for as long as `then` runs; the nonce comes after them.
    fn headers<T>(&self, then: impl FnOnce(&[&[u8]]) -> T) -> T {
        then(&[
            b"sr/value/1",
            self.store.as_bytes(),
            self.namespace.as_bytes(),
            self.secret.as_bytes(),
            &self.sequence.to_be_bytes(),
            self.version.as_str().as_bytes(),
            &[self.data_type.code()],
        ])
    }
}

/// A sealed value as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedValue {
    /// Commits to the data key and the context.
    pub commitment: [u8; 32],
    /// A random nonce of 16 bytes, the synthetic IV, the ciphertext.
    pub sealed: Vec<u8>,
}

/// Shows neither commitment nor ciphertext: what tells two values apart has no place in a log.
impl fmt::Debug for SealedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedValue({} bytes)", self.sealed.len())
    }
}

/// The seed; wiped when dropped.
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// A new seed from the operating system's randomness.
    ///
    /// # Errors
    /// [`CryptoError::NoRandomness`].
    pub fn generate() -> Result<Self, CryptoError> {
        random().map(Self)
    }

    /// Wraps the seed under an encryption key's material. Deterministic key wrap: the seed is random.
    ///
    /// # Errors
    /// None in practice.
    pub fn wrap(&self, material: &KeyMaterial, context: &DataKeyContext) -> Result<Vec<u8>, CryptoError> {
        context.headers(|headers| Siv::new(material.bytes()).seal(headers, self.0.as_slice()))
    }

    /// Unwraps a seed.
    ///
    /// # Errors
    /// [`CryptoError::Forged`] where it was wrapped for another place or under other material.
    pub fn unwrap(
        wrapped: &[u8],
        material: &KeyMaterial,
        context: &DataKeyContext,
    ) -> Result<Self, CryptoError> {
        let seed = context.headers(|headers| Siv::new(material.bytes()).open(headers, wrapped))?;
        let array: &[u8; 32] = seed.expose().try_into().map_err(|_| CryptoError::Forged)?;
        Ok(Self(Zeroizing::new(*array)))
    }

    /// The value key and the commitment of a context.
    fn derive(&self, headers: &[&[u8]]) -> (Zeroizing<[u8; 64]>, [u8; 32]) {
        let derived = kdf::expand::<96>(&self.0, headers);
        let mut key = Zeroizing::new([0; 64]);
        let mut commitment = [0; 32];
        let (first, rest) = derived.split_at(64);
        key.copy_from_slice(first);
        commitment.copy_from_slice(rest);
        (key, commitment)
    }

    /// The value key, for a reader: there is none unless the commitment holds, so nothing can be decrypted
    /// before that.
    fn committed(
        &self,
        headers: &[&[u8]],
        commitment: &[u8; 32],
    ) -> Result<Zeroizing<[u8; 64]>, CryptoError> {
        let (key, expected) = self.derive(headers);
        if bool::from(expected.ct_eq(commitment)) {
            Ok(key)
        } else {
            Err(CryptoError::Forged)
        }
    }

    /// Seals the one value of this key.
    ///
    /// # Errors
    /// [`CryptoError::NoRandomness`].
    pub fn seal_value(
        self,
        context: &ValueContext<'_>,
        plaintext: &[u8],
    ) -> Result<SealedValue, CryptoError> {
        let nonce = random::<16>()?;
        let (commitment, ciphertext) = context.headers(|headers| {
            let (key, commitment) = self.derive(headers);
            let vectors = headers.iter().copied().chain([nonce.as_slice()]);
            let ciphertext = Siv::new(&key).seal(vectors, plaintext)?;
            Ok::<_, CryptoError>((commitment, ciphertext))
        })?;
        let sealed = [nonce.as_slice(), &ciphertext].concat();
        Ok(SealedValue { commitment, sealed })
    }

    /// Opens a value after its commitment held.
    ///
    /// # Errors
    /// [`CryptoError::Forged`] where the commitment or the seal does not hold.
    pub fn open_value(
        &self,
        context: &ValueContext<'_>,
        value: &SealedValue,
    ) -> Result<SecretBytes, CryptoError> {
        context.headers(|headers| {
            let key = self.committed(headers, &value.commitment)?;
            let (nonce, sealed) = value.sealed.split_at_checked(16).ok_or(CryptoError::Forged)?;
            Siv::new(&key).open(headers.iter().copied().chain([nonce]), sealed)
        })
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey").finish_non_exhaustive()
    }
}
