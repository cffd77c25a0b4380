//! The gateway's certificate: of an authority of our own, whose key is a secret of the store, or one that is given as files.

mod authority;
mod given;
mod keeper;

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

pub(super) use self::given::Given;
pub(super) use self::keeper::Keeper;

/// A certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("`{path}` cannot be read: {source}")]
    Read {
        /// Its path.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a certificate and its key.
    #[error("not a PEM certificate chain and its private key: {0}")]
    Malformed(String),
    /// A certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Make(String),
    /// The store does not keep the authority.
    #[error("the authority cannot be kept: {0}")]
    Store(String),
}

/// The certificate that new connections get; those that are there keep theirs.
#[derive(Debug, Default)]
pub(super) struct Served {
    key: RwLock<Option<Arc<CertifiedKey>>>,
}

impl Served {
    /// Serves another certificate from now on.
    pub(super) fn swap(&self, key: CertifiedKey) {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
    }

    /// What is served now.
    #[cfg(test)]
    pub(super) fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.key.read().unwrap().clone()
    }

    /// [`Self::swap`], of one that is shared.
    #[cfg(test)]
    pub(super) fn put(&self, key: Arc<CertifiedKey>) {
        *self.key.write().unwrap() = Some(key);
    }

    /// The configuration of a port that serves it.
    pub(super) fn config(self: &Arc<Self>) -> ServerConfig {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(self) as _;
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A chain and its key, from PEM.
fn certified(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsError> {
    let malformed = |error: &dyn std::fmt::Display| TlsError::Malformed(error.to_string());
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| malformed(&error))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| malformed(&error))?;
    CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
        .map_err(|error| malformed(&error))
}

/// A certificate for `localhost` of an authority made for a test, and that authority.
#[cfg(test)]
pub(super) fn test_certificate(now: jiff::Timestamp) -> (CertifiedKey, String) {
    let authorities = authority::Authorities::default().advance(now).unwrap().unwrap();
    let leaf = authorities.leaf(&["localhost".to_owned()], now).unwrap();
    (certified(&leaf.chain, &leaf.key).unwrap(), authorities.bundle())
}

/// A certificate for `localhost` and its key in PEM, and what a client has to trust.
#[cfg(test)]
pub(crate) fn test_pem(now: jiff::Timestamp) -> (String, String, String) {
    let authorities = authority::Authorities::default().advance(now).unwrap().unwrap();
    let leaf = authorities.leaf(&["localhost".to_owned()], now).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&leaf.chain), text(&leaf.key), authorities.bundle())
}
