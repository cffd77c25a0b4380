//! The gateway's certificate: of an authority of our own, whose key is a secret of the store, or one that is
//! given as files.

pub(super) mod authority;
mod ca_store;
pub(super) mod client_auth;
mod client_certificate;
mod client_identity;
mod config_resolver;
mod file_certificate;
pub(super) mod owner;
mod rotator;

use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

pub(super) use self::ca_store::CaStore;
pub(super) use self::client_certificate::ClientCertificateRotator;
pub(crate) use self::client_certificate::client_secret_name;
pub(crate) use self::client_identity::{ClientIdentity, GatewayClient};
pub(crate) use self::config_resolver::ATTESTATIONS_SERVER_NAME;
pub(super) use self::config_resolver::{
    CertificateClient, ClientProcess, GATEWAY_SERVER_NAME, PortConfigResolver,
};
pub(crate) use self::file_certificate::FileCertificate;
pub(super) use self::rotator::CertificateRotator;

/// What is spoken (ALPN, RFC 7301).
pub(super) const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("`{path}` cannot be read: {source}")]
    Read {
        path: std::path::PathBuf,
        source: std::io::Error,
    },
    /// Not a certificate and its key.
    #[error("not a PEM certificate chain and its private key: {0}")]
    Malformed(String),
    /// A certificate could not be made.
    #[error("a certificate could not be created: {0}")]
    Make(String),
    /// The store does not keep the authority.
    #[error("the CA cannot be stored: {0}")]
    Store(String),
}

/// The certificate that new connections get; those that are there keep theirs.
#[derive(Debug, Default)]
pub(crate) struct CertResolver {
    key: RwLock<Option<Arc<CertifiedKey>>>,
    /// When it ends, in seconds since the epoch, for whoever looks at the metrics.
    expiration: Gauge,
}

impl CertResolver {
    /// One without a certificate yet; when that ends is told in a gauge.
    pub(crate) fn with_expiration(expiration: Gauge) -> Self {
        Self {
            key: RwLock::default(),
            expiration,
        }
    }

    /// Serves another certificate from now on.
    pub(crate) fn swap(&self, key: CertifiedKey) {
        if let Some(Ok((_, own))) = key.cert.first().map(|own| X509Certificate::from_der(own)) {
            self.expiration.set(own.validity().not_after.timestamp());
        }
        *self.key.write() = Some(Arc::new(key));
    }

    /// Whether there is one.
    pub(crate) fn has_certificate(&self) -> bool {
        self.key.read().is_some()
    }

    /// What is served now.
    #[cfg(test)]
    pub(super) fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.key.read().clone()
    }

    /// [`Self::swap`], of one that is shared.
    #[cfg(test)]
    pub(super) fn put(&self, key: Arc<CertifiedKey>) {
        *self.key.write() = Some(key);
    }

    /// The configuration of a port that serves it.
    pub(crate) fn config(self: &Arc<Self>) -> ServerConfig {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(self) as _;
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        config
    }
}

impl ResolvesServerCert for CertResolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key.read().clone()
    }
}

/// A chain and its key, from PEM.
pub(crate) fn certified_key(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsError> {
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
    let issuer = Issuer::new(now);
    let (chain, key) = issuer.leaf("localhost");
    (certified_key(&chain, &key).unwrap(), issuer.bundle())
}

/// A certificate for `localhost` and its key in PEM, and what a client has to trust.
#[cfg(test)]
pub(crate) fn test_pem(now: jiff::Timestamp) -> (String, String, String) {
    let issuer = Issuer::new(now);
    let (chain, key) = issuer.leaf("localhost");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(chain), text(key), issuer.bundle())
}

/// An authority made for a test, and what it signs.
#[cfg(test)]
pub(super) struct Issuer(authority::Authorities, jiff::Timestamp);

#[cfg(test)]
impl Issuer {
    pub(super) fn new(now: jiff::Timestamp) -> Self {
        Self(
            authority::Authorities::default()
                .advance(now, None)
                .unwrap()
                .unwrap(),
            now,
        )
    }

    pub(super) fn bundle(&self) -> String {
        self.0.bundle()
    }

    /// A certificate for this name with the common name `strongroom`, and its key; both PEM.
    pub(super) fn leaf(&self, name: &str) -> (Vec<u8>, Vec<u8>) {
        let leaf = self.0.leaf(&[name.to_owned()], self.1).unwrap();
        (leaf.chain, leaf.key.to_vec())
    }
}
