//! Two TLS configurations of one port, told apart by the name that the client calls the server by: one for
//! everybody, who proves who it is by a token, and one for the extension API, which proves it by a
//! certificate of our own authority. The webhook has one likewise, at a port of its own: nobody who is let in
//! at one of them is at another.

use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

use super::client_auth::{dns_names, mutual_tls_config};
use super::{TlsError, certified_key};
use crate::gateway::listen::ConfigResolver;

/// The name that the extension API calls the gateway by. It is nobody's address.
pub(in crate::gateway) const GATEWAY_SERVER_NAME: &str = "gateway.people.strongroom.dev";
/// The name by which the gateway knows the extension API.
pub(in crate::gateway) const EXTENSION_API_CLIENT_NAME: &str = "front.people.strongroom.dev";

/// The name that the webhook calls us by, where it says who writes objects. It is nobody's address.
pub(crate) const ATTESTATIONS_SERVER_NAME: &str = "attestations.strongroom.dev";
/// The name by which we know the webhook.
pub(in crate::gateway) const WEBHOOK_CLIENT_NAME: &str = "webhook.attestations.strongroom.dev";

/// The configuration for a process that proves itself by a certificate: none until there is a certificate for
/// it.
#[derive(Debug, Default)]
pub(in crate::gateway) struct MutualTlsConfig(RwLock<Option<Arc<ServerConfig>>>);

impl MutualTlsConfig {
    fn config(&self) -> Option<Arc<ServerConfig>> {
        self.0.read().clone()
    }

    /// Sets it to this certificate, for clients of these authorities; all PEM.
    pub(in crate::gateway) fn set(
        &self,
        chain: &[u8],
        key: &[u8],
        authorities: &str,
    ) -> Result<(), TlsError> {
        let config = mutual_tls_config(certified_key(chain, key)?, authorities.as_bytes())?;
        *self.0.write() = Some(Arc::new(config));
        Ok(())
    }
}

/// Both configurations.
#[derive(Debug)]
pub(in crate::gateway) struct GatewayConfigResolver {
    /// Everybody's.
    pub(in crate::gateway) everybody: Arc<ServerConfig>,
    /// The extension API's.
    pub(in crate::gateway) extension_api: Arc<MutualTlsConfig>,
}

impl ConfigResolver for GatewayConfigResolver {
    fn config(&self, name: Option<&str>) -> Option<Arc<ServerConfig>> {
        if name == Some(GATEWAY_SERVER_NAME) {
            return self.extension_api.config();
        }
        Some(Arc::clone(&self.everybody))
    }

    fn admits(&self, client: &CertificateDer<'_>) -> bool {
        dns_names(client)
            .iter()
            .any(|name| name == EXTENSION_API_CLIENT_NAME)
    }
}

/// The webhook's configuration, and no other.
#[derive(Debug)]
pub(in crate::gateway) struct WebhookConfigResolver(pub(in crate::gateway) Arc<MutualTlsConfig>);

impl ConfigResolver for WebhookConfigResolver {
    fn config(&self, name: Option<&str>) -> Option<Arc<ServerConfig>> {
        (name == Some(ATTESTATIONS_SERVER_NAME))
            .then(|| self.0.config())
            .flatten()
    }

    fn admits(&self, client: &CertificateDer<'_>) -> bool {
        dns_names(client).iter().any(|name| name == WEBHOOK_CLIENT_NAME)
    }
}
