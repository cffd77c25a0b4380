//! Whom the front believes and as whom it speaks: its own certificate, what the API server says about itself in ConfigMap
//! `extension-apiserver-authentication`, and the certificate that the gateway's process makes for it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Body;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use zeroize::Zeroizing;

use super::certificate::Certificate;
use super::requestheader::Names;
use crate::gateway::listen::Entrance;
use crate::gateway::tls::proof::{common_names, mutual, roots};
use crate::gateway::tls::{GATEWAY, TlsError};

/// Where the API server says how it proves itself.
pub(super) const AUTHENTICATION: &str = "extension-apiserver-authentication";
/// How long the gateway's address may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How often an idle connection to the gateway is tried, and how long that may take: its pod may have gone without a word.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Calls the gateway.
pub(super) type GatewayClient = HttpClient<HttpsConnector<HttpConnector>, Body>;

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

/// What the gateway's process makes for the front: a certificate by which the gateway knows it, and what to trust there; all PEM.
#[derive(PartialEq, Eq)]
pub(super) struct Link {
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    /// The gateway's authorities.
    pub(super) authority: Vec<u8>,
}

impl Link {
    /// From the Secret; none where half of it is missing.
    pub(super) fn of(secret: Secret) -> Option<Self> {
        let mut data = secret.data?;
        let mut part = |key: &str| data.remove(key).map(|bytes| bytes.0);
        Some(Self {
            chain: part("tls.crt")?,
            key: Zeroizing::new(part("tls.key")?),
            authority: part("ca.crt")?,
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
    let malformed = |error: &dyn std::fmt::Display| Missing::Malformed(error.to_string());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&link.chain)
        .collect::<Result<_, _>>()
        .map_err(|error| malformed(&error))?;
    let key = PrivateKeyDer::from_pem_slice(&link.key).map_err(|error| malformed(&error))?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots(&link.authority)?)
        .with_client_auth_cert(chain, key)
        .map_err(|error| malformed(&error))?;
    let name = ServerName::try_from(GATEWAY).map_err(|error| malformed(&error))?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only()
        .with_server_name_resolver(FixedServerNameResolver::new(name))
        .enable_http2()
        .wrap_connector(tcp);
    Ok(HttpClient::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .http2_only(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(KEEP_ALIVE)
        .http2_keep_alive_while_idle(true)
        .build(connector))
}
