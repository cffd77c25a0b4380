//! The key of the cache: in root's keyring of the kernel (keyrings(7)), which outlives the plugin but not a
//! reboot of the node. It is never on disk.

use linux_keyutils::{Key, KeyError as Kernel, KeyRing, KeyRingIdentifier};
use zeroize::{Zeroize, Zeroizing};

/// What the key is called in the keyring.
const NAME: &str = "strongroom-node:cache";
/// Bytes of a key: two of 256 bits, as AES-SIV takes them (RFC 5297).
const KEY_BYTES: usize = 64;

/// The key. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct CacheKey(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CacheKey(..)")
    }
}

/// There is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The kernel gives none.
    #[error("the kernel's keyring cannot be used: {0:?}")]
    Keyring(Kernel),
    /// No random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// Somebody put another one there.
    #[error(
        "the entry `{NAME}` in the kernel's keyring is not a key of this plugin: unlink it, or restart the node"
    )]
    Foreign,
}

impl CacheKey {
    /// The key of this boot; made where there is none yet.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn of_this_boot() -> Result<Self, KeyError> {
        // The user's keyring: that of the session is the container's, and goes with it. Only what a process
        // reaches from its own keyrings it may read.
        let own = KeyRing::from_special_id(KeyRingIdentifier::Process, true).map_err(KeyError::Keyring)?;
        own.link_keyring_id(KeyRingIdentifier::User)
            .map_err(KeyError::Keyring)?;
        let ring = KeyRing::from_special_id(KeyRingIdentifier::User, false).map_err(KeyError::Keyring)?;
        match ring.search(NAME) {
            Ok(key) => Self::read(&key),
            Err(Kernel::KeyDoesNotExist) => {
                let new = Self::random()?;
                ring.add_key(NAME, new.0.as_slice()).map_err(KeyError::Keyring)?;
                Ok(new)
            }
            Err(error) => Err(KeyError::Keyring(error)),
        }
    }

    fn read(key: &Key) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        match key.read(&mut *bytes) {
            Ok(KEY_BYTES) => Ok(Self(bytes)),
            Ok(_) => Err(KeyError::Foreign),
            Err(error) => Err(KeyError::Keyring(error)),
        }
    }

    /// A key that nobody has had.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn random() -> Result<Self, KeyError> {
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes)?;
        let key = Self(Zeroizing::new(bytes));
        bytes.zeroize();
        Ok(key)
    }

    /// The bytes, for the cipher.
    pub(super) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_same_for_as_long_as_the_node_runs() {
        // In a sandbox without keyrings there is nothing to see, and the plugin does without a cache.
        let Ok(first) = CacheKey::of_this_boot() else {
            return;
        };
        let again = std::thread::spawn(CacheKey::of_this_boot)
            .join()
            .unwrap()
            .unwrap();
        assert_eq!(first.expose(), again.expose());
        assert_eq!(format!("{first:?}"), "CacheKey(..)");
    }
}
