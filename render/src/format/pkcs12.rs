//! PKCS#12 (RFC 7292): a key store of `tls.key`, `tls.crt` and `ca.crt`, or a trust store of `ca.crt` alone, as cert-manager makes them and Java
//! reads them. AES-256 and HMAC-SHA-256, of which Java 8u301 and everything newer is capable.
//!
//! A store holds random salts, so that no two of the same content are equal: [`same`] compares what is in them.

use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, Pkcs12ImportPolicy, PrivateKey, PrivateKeyChain};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use strongroom_value::KeyBytes;
use zeroize::Zeroizing;

use super::private_key::pkcs8;
use super::{Entries, FormatError};

/// What a key is called in its store, and the first of trusted certificates in theirs: cert-manager's names.
const KEY_ALIAS: &str = "certificate";
const CA_ALIAS: &str = "ca";
/// The keys of a secret of type `kubernetes.io/tls`, and the one that cert-manager adds.
const KEY: &str = "tls.key";
const CERTIFICATES: &str = "tls.crt";
const AUTHORITIES: &str = "ca.crt";

/// A private key, its certificates, and the authorities' where the secret has them.
pub(super) fn key_store(entries: &Entries<'_>) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let key = pkcs8(entries.key(KEY)?.expose()).ok_or_else(|| FormatError::NotKey(KEY.to_owned()))?;
    let key = PrivateKey::from_der(key.as_bytes()).map_err(|_| FormatError::NotKey(KEY.to_owned()))?;
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
pub fn same(one: &[u8], other: &[u8], password: &KeyBytes) -> bool {
    let open = |bytes: &[u8]| {
        let password = std::str::from_utf8(password.expose()).ok()?;
        KeyStore::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Strict).ok()
    };
    match (open(one), open(other)) {
        (Some(one), Some(other)) => one.entries().eq(other.entries()),
        _ => false,
    }
}

fn certificates(entries: &Entries<'_>, name: &str) -> Result<Vec<Certificate>, FormatError> {
    let refused = || FormatError::NotCertificates(name.to_owned());
    let pem = entries.key(name)?.expose();
    let certificate = |der: Result<CertificateDer<'_>, _>| {
        let der = der.map_err(|_| refused())?;
        Certificate::from_der(&der).map_err(|_| refused())
    };
    let found: Vec<Certificate> = CertificateDer::pem_slice_iter(pem)
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
