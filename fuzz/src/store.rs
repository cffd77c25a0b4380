//! The store that all inputs are about: its id and its keys never change, so that an input means the same
//! tomorrow.

use std::sync::{Arc, OnceLock};

use strongroom_model::SecretBytes;
use strongroom_model::id::StoreId;
use strongroom_store::crypto::{CryptoError, Keyring, RootKey};
use strongroom_store::seal::SlotSecret;

/// Its id.
pub const STORE: StoreId = StoreId::from_bytes([0x51; 16]);

/// The key of its first slot.
#[must_use]
pub fn slot() -> SlotSecret {
    SlotSecret::KeyFile(SecretBytes::new(vec![7; 32]))
}

/// Its root key.
///
/// # Errors
/// None in practice: the bytes are of the right length.
pub fn root() -> Result<RootKey, CryptoError> {
    RootKey::from_secret(&SecretBytes::new(vec![9; 32]))
}

/// Its keys; derived once, since each derivation locks memory.
#[must_use]
pub fn keyring() -> Option<Arc<Keyring>> {
    static KEYRING: OnceLock<Option<Arc<Keyring>>> = OnceLock::new();
    KEYRING
        .get_or_init(|| root().ok().map(|root| Arc::new(Keyring::derive(&root, STORE))))
        .clone()
}
