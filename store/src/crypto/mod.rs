//! The store's cryptography: what may be called.
//!
//! ```text
//! root key ─HKDF─▶ wrap, metadata, index, audit, state, anchor, backup keys, signing seed          (Keyring)
//!   wrap key ─SIV─▶ material of an encryption key's version                                        (KeyMaterial)
//!     material ─SIV─▶ data key of one secret's version                                             (DataKey)
//!       data key ─HKDF(whole context)─▶ value key + commitment ─SIV─▶ value
//! ```
//!
//! Every sealed thing is bound to its place: store, namespace, secret, sequence and so on stand in the
//! associated data, each as a vector of its own (RFC 5297 section 2.4), so that no two records can change
//! places. Raw ciphers are in `hazmat`, which nothing outside of this module may name.

mod context;
mod core_dumps;
mod data_key;
mod hazmat;
mod keyring;
mod locked;
mod material;
mod root_key;
#[cfg(test)]
pub(crate) mod scan;
mod signing;
mod state_digest;

pub use context::Context;
pub use core_dumps::{CoreDumps, forbid_core_dumps};
pub use data_key::{DataKey, DataKeyContext, SealedValue, ValueContext};
pub use keyring::{IndexDomain, Keyring};
pub use material::{KeyMaterial, MaterialContext};
pub use root_key::RootKey;
pub use signing::{PublicKey, PublicKeyError, Signature, Signer};
pub use state_digest::{StateDigest, Term};

pub(crate) use hazmat::kdf;
pub(crate) use hazmat::siv::Siv;

/// Sealed bytes could not be opened, or nothing could be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// The bytes were changed, moved, or sealed under another key.
    #[error("sealed bytes do not open: changed, moved from another place, or sealed under another key")]
    Forged,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes; check that /dev/urandom works")]
    NoRandomness,
    /// More than an envelope can hold.
    #[error("more bytes than an envelope can hold")]
    TooLarge,
}

/// Fills an array from the operating system's randomness.
pub(crate) fn random<const N: usize>() -> Result<zeroize::Zeroizing<[u8; N]>, CryptoError> {
    let mut bytes = zeroize::Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| CryptoError::NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
