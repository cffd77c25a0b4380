//! Whom the front believes and as whom it speaks: its own certificate, what the API server says about itself in ConfigMap
//! `extension-apiserver-authentication`, and the certificate that the gateway's process makes for it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::api::core::v1::ConfigMap;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

use super::certificate::Certificate;
use super::requestheader::Names;
use crate::gateway::listen::Entrance;
use crate::gateway::tls::proof::{common_names, mutual};
use crate::gateway::tls::{GATEWAY, TlsError};
pub(super) use crate::gateway::tls::{Link, LinkClient as GatewayClient};

/// Where the API server says how it proves itself.
pub(super) const AUTHENTICATION: &str = "extension-apiserver-authentication";

/// What counts now; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Trust(Arc<RwLock<Option<Arc<Trusted>>>>);

/// Whom the front believes, and as whom it speaks.
#[derive(Debug)]
pub(super) struct Trusted {
    server: Arc<ServerConfig>,
    /// Common names of the API server's certificate; empty: any of its authority.
    allowed: Vec<String>,
    pub(super) headers: Names,
    /// None before the gateway's process made the certificate for it.
    pub(super) client: Option<GatewayClient>,
}

/// Something is not there yet, or is not what it should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Missing {
    #[error(
        "ConfigMap `kube-system/{AUTHENTICATION}` does not say `{0}`: the API server runs without the aggregation layer"
    )]
    Authentication(&'static str),
    #[error("Secret or ConfigMap: {0}")]
    Malformed(String),
}

impl From<TlsError> for Missing {
    fn from(error: TlsError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl Trust {
    pub(super) fn current(&self) -> Option<Arc<Trusted>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn put(&self, trusted: Trusted) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(trusted));
    }
}

impl Entrance for Trust {
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
pub(super) struct Authentication {
    /// Authorities of its certificate, PEM.
    authorities: String,
    allowed: Vec<String>,
    headers: Names,
}

impl Authentication {
    /// From the ConfigMap.
    pub(super) fn of(map: Option<ConfigMap>) -> Result<Self, Missing> {
        let mut said: BTreeMap<String, String> = map.and_then(|map| map.data).unwrap_or_default();
        let mut said = |key: &'static str| said.remove(key).ok_or(Missing::Authentication(key));
        let authorities = said("requestheader-client-ca-file")?;
        let allowed = serde_json::from_str(&said("requestheader-allowed-names")?)
            .map_err(|_| Missing::Authentication("requestheader-allowed-names"))?;
        let headers = Names::parse(
            &said("requestheader-username-headers")?,
            &said("requestheader-group-headers")?,
            &said("requestheader-extra-headers-prefix")?,
        )
        .ok_or(Missing::Authentication("requestheader-username-headers"))?;
        Ok(Self {
            authorities,
            allowed,
            headers,
        })
    }
}

/// What all of it comes to.
pub(super) fn trusted(
    certificate: &Certificate,
    client: Option<GatewayClient>,
    authentication: &Authentication,
) -> Result<Trusted, Missing> {
    let authorities = authentication.authorities.as_bytes();
    Ok(Trusted {
        server: Arc::new(mutual(certificate.certified()?, authorities)?),
        allowed: authentication.allowed.clone(),
        headers: authentication.headers.clone(),
        client,
    })
}

/// Calls the gateway as the front.
pub(super) fn client(link: &Link) -> Result<GatewayClient, Missing> {
    Ok(link.client(GATEWAY)?)
}
