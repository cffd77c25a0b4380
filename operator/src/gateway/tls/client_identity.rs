//! The identity of a process without a store that calls us: it has a certificate that was issued for it, and
//! calls a server name of its own.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use strongroom_process::{HttpClient, http2_client};
use zeroize::Zeroizing;

use super::TlsError;
use super::client_auth::root_store;

/// How long the address may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Calls the process with the store.
pub(crate) type GatewayClient = HttpClient;

/// What is made for such a process: a certificate by which it is known, and what to trust; all PEM.
#[derive(PartialEq, Eq)]
pub(crate) struct ClientIdentity {
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    /// Certificates of the authorities that it trusts.
    pub(crate) authority: Vec<u8>,
}

impl ClientIdentity {
    /// From the Secret; none where half of it is missing.
    pub(crate) fn from_secret(secret: Secret) -> Option<Self> {
        let mut data = secret.data?;
        let mut part = |key: &str| data.remove(key).map(|bytes| bytes.0);
        Some(Self {
            chain: part("tls.crt")?,
            key: Zeroizing::new(part("tls.key")?),
            authority: part("ca.crt")?,
        })
    }

    /// Calls the server by this name.
    ///
    /// # Errors
    /// [`TlsError::Malformed`].
    pub(crate) fn client(&self, server_name: &'static str) -> Result<GatewayClient, TlsError> {
        let malformed = |error: &dyn std::fmt::Display| TlsError::Malformed(error.to_string());
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.chain)
            .collect::<Result<_, _>>()
            .map_err(|error| malformed(&error))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| malformed(&error))?;
        let config = ClientConfig::builder()
            .with_root_certificates(root_store(&self.authority)?)
            .with_client_auth_cert(chain, key)
            .map_err(|error| malformed(&error))?;
        let name = ServerName::try_from(server_name).map_err(|error| malformed(&error))?;
        Ok(http2_client(config, name, CONNECT_TIMEOUT))
    }
}
