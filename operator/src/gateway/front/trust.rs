//! Whom the front believes and as whom it speaks, followed in the cluster: the Secret that the gateway's process keeps for it, and what the API
//! server says about itself in ConfigMap `extension-apiserver-authentication`.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use strongroom_process::{Check, Health};

use super::requestheader::Names;
use crate::gateway::listen::Entrance;
use crate::gateway::tls::proof::{common_names, mutual, roots};
use crate::gateway::tls::{GATEWAY, TlsError, certified, secret_of};
use crate::kube_error::watch_in_words;

/// Where the API server says how it proves itself.
const AUTHENTICATION: &str = "extension-apiserver-authentication";
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
    pub(super) client: GatewayClient,
}

/// Something is not there yet, or is not what it should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Missing {
    #[error("Secret `{0}` is not there yet: the process that serves the gateway makes it")]
    Secret(String),
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

    /// Follows both objects for as long as the process lives. What was right stays in force while something is wrong.
    pub(super) async fn follow(self, client: Client, namespace: String, service: String, health: Health) {
        let name = secret_of(&service);
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        let maps: Api<ConfigMap> = Api::namespaced(client, "kube-system");
        let mut secrets = Box::pin(watcher::watch_object(secrets, &name).default_backoff());
        let mut maps = Box::pin(watcher::watch_object(maps, AUTHENTICATION).default_backoff());
        let (mut secret, mut authentication) = (None, None);
        loop {
            let error = tokio::select! {
                Some(seen) = secrets.next() => seen.map(|seen| secret = seen).err(),
                Some(seen) = maps.next() => seen.map(|seen| authentication = seen).err(),
                else => return,
            };
            if let Some(error) = error {
                tracing::warn!(
                    error = watch_in_words(&error),
                    "what the front trusts cannot be followed; trying again"
                );
                continue;
            }
            match trusted(&name, secret.as_ref(), authentication.as_ref()) {
                Ok(trusted) => {
                    self.put(trusted);
                    health.set("front", Check::Ready);
                    tracing::info!("the front knows whom to believe");
                }
                Err(missing) => {
                    tracing::info!(%missing, "the front waits");
                    if self.current().is_none() {
                        health.set("front", Check::Waiting(missing.to_string()));
                    }
                }
            }
        }
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

/// What both objects come to.
pub(super) fn trusted(
    name: &str,
    secret: Option<&Secret>,
    authentication: Option<&ConfigMap>,
) -> Result<Trusted, Missing> {
    let part = |key: &str| {
        let data = secret.and_then(|secret| secret.data.as_ref());
        data.and_then(|data| data.get(key))
            .map(|bytes| bytes.0.as_slice())
            .ok_or_else(|| Missing::Secret(name.to_owned()))
    };
    let said = |key: &'static str| {
        let data = authentication.and_then(|map| map.data.as_ref());
        data.and_then(|data| data.get(key))
            .map(String::as_str)
            .ok_or(Missing::Authentication(key))
    };
    let (chain, key, authority) = (part("tls.crt")?, part("tls.key")?, part("ca.crt")?);
    let api_server = said("requestheader-client-ca-file")?;
    let allowed = serde_json::from_str(said("requestheader-allowed-names")?)
        .map_err(|_| Missing::Authentication("requestheader-allowed-names"))?;
    let headers = Names::parse(
        said("requestheader-username-headers")?,
        said("requestheader-group-headers")?,
        said("requestheader-extra-headers-prefix")?,
    )
    .ok_or(Missing::Authentication("requestheader-username-headers"))?;
    Ok(Trusted {
        server: Arc::new(mutual(certified(chain, key)?, api_server.as_bytes())?),
        allowed,
        headers,
        client: client(chain, key, authority)?,
    })
}

fn client(chain: &[u8], key: &[u8], authority: &[u8]) -> Result<GatewayClient, Missing> {
    let malformed = |error: &dyn std::fmt::Display| Missing::Malformed(error.to_string());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| malformed(&error))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| malformed(&error))?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots(authority)?)
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
