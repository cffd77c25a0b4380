//! The key over all keys: 32 random bytes, in memory that is not swapped out. Must not be copied, printed or
//! stored; seal slots hold wrapped copies.

use std::fmt;

use strongroom_model::SecretBytes;

use super::locked::LockedBytes;
use super::{CryptoError, random};

/// The key over all keys of a store.
pub struct RootKey(LockedBytes<32>);

impl RootKey {
    /// A new root key from the operating system's randomness.
    ///
    /// # Errors
    /// [`CryptoError::NoRandomness`].
    pub fn generate() -> Result<Self, CryptoError> {
        random::<32>().map(|bytes| Self(LockedBytes::new(&bytes)))
    }

    /// The root key of these bytes.
    ///
    /// # Errors
    /// [`CryptoError::Forged`] where they are not 32.
    pub fn from_secret(bytes: &SecretBytes) -> Result<Self, CryptoError> {
        let array: &[u8; 32] = bytes.expose().try_into().map_err(|_| CryptoError::Forged)?;
        Ok(Self(LockedBytes::new(array)))
    }

    /// Whether the operating system keeps the key out of swap.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.0.is_locked()
    }

    /// Lends the bytes to a derivation or a seal slot; they must not be copied from there.
    pub(crate) fn with<T>(&self, use_key: impl FnOnce(&[u8; 32]) -> T) -> T {
        use_key(self.0.expose())
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootKey")
            .field("locked", &self.is_locked())
            .finish_non_exhaustive()
    }
}
