//! Whom the extension API trusts, and its own identities: its own certificate, what the API server says about
//! itself in ConfigMap `extension-apiserver-authentication`, and the certificate that the gateway's process
//! makes for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

use super::certificate::ServingCertificate;
use super::requestheader::HeaderNames;
use crate::gateway::listen::ConfigResolver;
use crate::gateway::tls::client_auth::{common_names, mutual_tls_config};
pub(super) use crate::gateway::tls::{ClientIdentity, GatewayClient};
use crate::gateway::tls::{GATEWAY_SERVER_NAME, TlsError};

/// Where the API server says how it proves itself.
pub(super) const AUTHENTICATION_CONFIG_MAP: &str = "extension-apiserver-authentication";

/// What counts now; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedTrust(Arc<RwLock<Option<Arc<ActiveTrust>>>>);

/// Whom the extension API believes, and as whom it speaks.
#[derive(Debug)]
pub(super) struct ActiveTrust {
    server: Arc<ServerConfig>,
    /// Common names of the API server's certificate; empty: any of its authority.
    allowed: Vec<String>,
    pub(super) headers: HeaderNames,
    /// None before the gateway's process made the certificate for it.
    pub(super) client: Option<GatewayClient>,
}

/// Something is not there yet, or is not what it should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TrustError {
    #[error(
        "ConfigMap `kube-system/{AUTHENTICATION_CONFIG_MAP}` has no `{0}`: the API server runs without the aggregation layer"
    )]
    Authentication(&'static str),
    #[error("Secret or ConfigMap: {0}")]
    Malformed(String),
}

impl From<TlsError> for TrustError {
    fn from(error: TlsError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl SharedTrust {
    pub(super) fn current(&self) -> Option<Arc<ActiveTrust>> {
        self.0.read().clone()
    }

    pub(super) fn put(&self, trusted: ActiveTrust) {
        *self.0.write() = Some(Arc::new(trusted));
    }
}

impl ConfigResolver for SharedTrust {
    fn config(&self, _: Option<&str>) -> Option<Arc<ServerConfig>> {
        self.current().map(|trusted| Arc::clone(&trusted.server))
    }

    fn admits(&self, client: &CertificateDer<'_>) -> bool {
        self.current().is_some_and(|trusted| {
            trusted.allowed.is_empty()
                || common_names(client)
                    .iter()
                    .any(|name| trusted.allowed.contains(name))
        })
    }
}

/// What the API server says about itself.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RequestHeaderConfig {
    /// Authorities of its certificate, PEM.
    authorities: String,
    allowed: Vec<String>,
    headers: HeaderNames,
}

impl RequestHeaderConfig {
    /// From the ConfigMap.
    pub(super) fn from_config_map(map: Option<ConfigMap>) -> Result<Self, TrustError> {
        let mut fields: BTreeMap<String, String> = map.and_then(|map| map.data).unwrap_or_default();
        let mut field = |key: &'static str| fields.remove(key).ok_or(TrustError::Authentication(key));
        let authorities = field("requestheader-client-ca-file")?;
        let allowed = serde_json::from_str(&field("requestheader-allowed-names")?)
            .map_err(|_| TrustError::Authentication("requestheader-allowed-names"))?;
        let headers = HeaderNames::parse(
            &field("requestheader-username-headers")?,
            &field("requestheader-group-headers")?,
            &field("requestheader-extra-headers-prefix")?,
        )
        .ok_or(TrustError::Authentication("requestheader-username-headers"))?;
        Ok(Self {
            authorities,
            allowed,
            headers,
        })
    }
}

/// What all of it comes to.
pub(super) fn build_trust(
    certificate: &ServingCertificate,
    client: Option<GatewayClient>,
    authentication: &RequestHeaderConfig,
) -> Result<ActiveTrust, TrustError> {
    let authorities = authentication.authorities.as_bytes();
    Ok(ActiveTrust {
        server: Arc::new(mutual_tls_config(certificate.certified()?, authorities)?),
        allowed: authentication.allowed.clone(),
        headers: authentication.headers.clone(),
        client,
    })
}

/// Calls the gateway as the extension API.
pub(super) fn gateway_client(link: &ClientIdentity) -> Result<GatewayClient, TrustError> {
    Ok(link.client(GATEWAY_SERVER_NAME)?)
}
