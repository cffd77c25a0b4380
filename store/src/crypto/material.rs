//! The material of one version of an encryption key: 64 random bytes that wrap data keys.

use std::fmt;

use strongroom_model::SecretBytes;
use strongroom_model::id::{KeyId, NamespaceId, StoreId};

use super::locked::LockedBytes;
use super::{CryptoError, random};

/// Where wrapped material stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaterialContext {
    /// Where the key belongs.
    pub namespace: NamespaceId,
    /// The key whose material it is.
    pub key: KeyId,
    /// Its version, from 1.
    pub version: u32,
}

impl MaterialContext {
    /// The headers, for as long as `then` runs.
    pub(super) fn headers<T>(&self, store: &StoreId, then: impl FnOnce(&[&[u8]]) -> T) -> T {
        then(&[
            b"sr/cmk/1",
            store.as_bytes(),
            self.namespace.as_bytes(),
            self.key.as_bytes(),
            &self.version.to_be_bytes(),
        ])
    }
}

/// Key bytes, on locked pages where there are some; wiped when dropped.
pub struct KeyMaterial(LockedBytes<64>);

impl KeyMaterial {
    /// New material from the operating system's randomness.
    ///
    /// # Errors
    /// [`CryptoError::NoRandomness`].
    pub fn generate() -> Result<Self, CryptoError> {
        random().map(|bytes| Self(LockedBytes::new(&bytes)))
    }

    pub(super) fn bytes(&self) -> &[u8; 64] {
        self.0.expose()
    }

    pub(super) fn from_secret(bytes: &SecretBytes) -> Result<Self, CryptoError> {
        let array: &[u8; 64] = bytes.expose().try_into().map_err(|_| CryptoError::Forged)?;
        Ok(Self(LockedBytes::new(array)))
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyMaterial").finish_non_exhaustive()
    }
}
