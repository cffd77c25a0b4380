//! AES-SIV (RFC 5297) for the cache: the only file of the plugin that names the cipher.
#![expect(
    clippy::disallowed_types,
    reason = "the one place of this program where the cipher may be named; the ban stands in clippy.toml"
)]

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use zeroize::Zeroizing;

use super::key::CacheKey;

/// Random bytes before each ciphertext.
const NONCE_BYTES: usize = 16;

/// A text does not become a ciphertext.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealError {
    /// No random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// The cipher refuses.
    #[error("encryption failed")]
    Cipher,
}

/// Closes a text, bound to these headers. Equal texts do not show.
///
/// # Errors
/// [`SealError`].
pub(super) fn seal(key: &CacheKey, headers: [&[u8]; 3], text: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut sealed = vec![0; NONCE_BYTES];
    getrandom::fill(&mut sealed)?;
    let [purpose, id, version] = headers;
    let closed = Aes256Siv::new(key.expose().into())
        .encrypt([purpose, id, version, &sealed], text)
        .map_err(|_| SealError::Cipher)?;
    sealed.extend_from_slice(&closed);
    Ok(sealed)
}

/// Opens it; none where it is not what was closed under these headers.
pub(super) fn open(key: &CacheKey, headers: [&[u8]; 3], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, closed) = sealed.split_at_checked(NONCE_BYTES)?;
    let [purpose, id, version] = headers;
    let text = Aes256Siv::new(key.expose().into()).decrypt([purpose, id, version, nonce], closed);
    text.ok().map(Zeroizing::new)
}
