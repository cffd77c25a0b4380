//! Authentication of clients by certificate.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{PROTOCOLS, TlsError};
use crate::trust_anchors::roots_from_pem;

/// The authorities of a PEM text.
pub(in crate::gateway) fn root_store(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    roots_from_pem(pem).map_err(|error| TlsError::Malformed(error.to_string()))
}

/// The configuration of a server with this certificate, all of whose clients prove themselves by one of these
/// authorities, in PEM.
pub(in crate::gateway) fn mutual_tls_config(
    key: CertifiedKey,
    authorities: &[u8],
) -> Result<ServerConfig, TlsError> {
    let verifier = WebPkiClientVerifier::builder(Arc::new(root_store(authorities)?))
        .build()
        .map_err(|error| TlsError::Malformed(error.to_string()))?;
    let mut config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

/// The DNS names that a certificate is for (RFC 5280 section 4.2.1.6).
pub(in crate::gateway) fn dns_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(dns).collect()
}

/// The common names of its subject.
pub(in crate::gateway) fn common_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    certificate
        .subject()
        .iter_common_name()
        .filter_map(|name| name.as_str().ok())
        .map(str::to_owned)
        .collect()
}
