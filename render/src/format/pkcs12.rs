//! PKCS#12 (RFC 7292): a key store of `tls.key`, `tls.crt` and `ca.crt`, or a trust store of `ca.crt` alone,
//! as cert-manager makes them and Java reads them. AES-256 and HMAC-SHA-256, of which Java 8u301 and
//! everything newer is capable.
//!
//! A store holds random salts, so that no two of the same content are equal: [`same`] compares what is in
//! them.

use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, Pkcs12ImportPolicy, PrivateKey, PrivateKeyChain};
use strongroom_model::SecretBytes;
use zeroize::Zeroizing;

use super::private_key::pkcs8;
use super::{Entries, FormatError};
use crate::pem;

/// What a key is called in its store, and the first of trusted certificates in theirs: cert-manager's names.
const KEY_ALIAS: &str = "certificate";
const CA_ALIAS: &str = "ca";
/// The keys of a secret of type `kubernetes.io/tls`, and the one that cert-manager adds.
pub(super) const KEY: &str = "tls.key";
pub(super) const CERTIFICATES: &str = "tls.crt";
pub(super) const AUTHORITIES: &str = "ca.crt";

/// A private key, its certificates, and the authorities' where the secret has them.
pub(super) fn key_store(entries: &Entries<'_>) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let refused = || FormatError::NotKey(KEY.to_owned());
    let blocks = pem::blocks(entries.key(KEY)?.expose()).map_err(|_| refused())?;
    let key = pkcs8(&blocks).ok_or_else(refused)?;
    let key = PrivateKey::from_der(key.as_bytes()).map_err(|_| refused())?;
    let mut chain = certificates(entries, CERTIFICATES)?;
    if entries.key(AUTHORITIES).is_ok_and(|key| !key.expose().is_empty()) {
        for authority in certificates(entries, AUTHORITIES)? {
            if !chain.contains(&authority) {
                chain.push(authority);
            }
        }
    }
    let mut store = KeyStore::new();
    // The number that leads from a key to its certificate, within this store.
    let entry = PrivateKeyChain::new(vec![1], key, chain);
    store.add_entry(KEY_ALIAS, KeyStoreEntry::PrivateKeyChain(entry));
    written(&store, entries)
}

/// The authorities' certificates, as trusted.
pub(super) fn trust_store(entries: &Entries<'_>) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let mut store = KeyStore::new();
    for (index, certificate) in certificates(entries, AUTHORITIES)?.into_iter().enumerate() {
        let alias = match index {
            0 => CA_ALIAS.to_owned(),
            index => format!("{CA_ALIAS}-{index}"),
        };
        store.add_entry(&alias, KeyStoreEntry::Certificate(certificate));
    }
    written(&store, entries)
}

/// Whether two stores hold the same under this password. One that cannot be opened is another.
#[must_use]
pub fn same(one: &[u8], other: &[u8], password: &SecretBytes) -> bool {
    let open = |bytes: &[u8]| {
        let password = std::str::from_utf8(password.expose()).ok()?;
        KeyStore::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Strict).ok()
    };
    match (open(one), open(other)) {
        (Some(one), Some(other)) => one.entries().eq(other.entries()),
        _ => false,
    }
}

/// The certificates of a key; blocks of other labels are passed over. The old labels are those of RFC 7468
/// section 5.1.
fn certificates(entries: &Entries<'_>, name: &str) -> Result<Vec<Certificate>, FormatError> {
    let refused = || FormatError::NotCertificates(name.to_owned());
    let blocks = pem::blocks(entries.key(name)?.expose()).map_err(|_| refused())?;
    let labelled = |block: &&pem::Block<'_>| {
        matches!(
            block.label,
            "CERTIFICATE" | "X509 CERTIFICATE" | "X.509 CERTIFICATE"
        )
    };
    let certificate = |block: &pem::Block<'_>| {
        let der = block.bytes().ok_or_else(refused)?;
        Certificate::from_der(der).map_err(|_| refused())
    };
    let found: Vec<Certificate> = blocks
        .iter()
        .filter(labelled)
        .map(certificate)
        .collect::<Result<_, _>>()?;
    if found.is_empty() {
        return Err(refused());
    }
    Ok(found)
}

fn written(store: &KeyStore, entries: &Entries<'_>) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let password = entries.password.ok_or(FormatError::NoPassword)?;
    let text = std::str::from_utf8(password.expose()).map_err(|_| FormatError::NoPassword)?;
    // Java opens none without one.
    if text.is_empty() {
        return Err(FormatError::NoPassword);
    }
    // What went wrong is told by no text of the library's: that could hold what it read.
    let bytes = store.writer(text).write().map_err(|_| FormatError::Store)?;
    Ok(Zeroizing::new(bytes))
}

#[cfg(test)]
mod tests;
