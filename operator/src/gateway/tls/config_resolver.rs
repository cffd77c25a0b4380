//! The TLS configurations of one port, told apart by the name that the client calls the server by: one for
//! everybody, who proves who it is by a token, where the port has one, and one for the process that proves it
//! by a certificate of our own authority, where one is let in. That is the extension API at the shared
//! gateway's port and the webhook at that of the attestations: nobody who is let in at one of them is at the
//! other, and neither is at a dedicated gateway.

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

/// A process of ours without a store, which proves itself by a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum ClientProcess {
    /// It calls us.
    ExtensionApi,
    /// It calls us as well, and the API server calls it: by a ValidatingWebhookConfiguration with its
    /// Service's name, and a MutatingWebhookConfiguration where there is one.
    Webhook,
}

impl ClientProcess {
    /// As logs name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ExtensionApi => "front",
            Self::Webhook => "webhook",
        }
    }

    /// The name that it calls us by (SNI, RFC 6066 section 3). It is nobody's address.
    pub(super) const fn server_name(self) -> &'static str {
        match self {
            Self::ExtensionApi => GATEWAY_SERVER_NAME,
            Self::Webhook => ATTESTATIONS_SERVER_NAME,
        }
    }

    /// The DNS name in its certificate by which we know it.
    pub(super) const fn client_name(self) -> &'static str {
        match self {
            Self::ExtensionApi => EXTENSION_API_CLIENT_NAME,
            Self::Webhook => WEBHOOK_CLIENT_NAME,
        }
    }
}

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

/// A process that a port lets in by its certificate, and how it is served there; clones are of the same.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct CertificateClient {
    pub(in crate::gateway) process: ClientProcess,
    pub(in crate::gateway) config: Arc<MutualTlsConfig>,
}

impl CertificateClient {
    /// Nobody is let in until the configuration is set.
    pub(in crate::gateway) fn new(process: ClientProcess) -> Self {
        Self {
            process,
            config: Arc::default(),
        }
    }
}

/// The configurations of a port.
#[derive(Debug)]
pub(in crate::gateway) struct PortConfigResolver {
    /// Everybody's; none: only the process is let in.
    pub(in crate::gateway) everybody: Option<Arc<ServerConfig>>,
    /// The process that is let in by its certificate, where there is one.
    pub(in crate::gateway) client: Option<CertificateClient>,
}

impl ConfigResolver for PortConfigResolver {
    fn config(&self, name: Option<&str>) -> Option<Arc<ServerConfig>> {
        match &self.client {
            Some(client) if name == Some(client.process.server_name()) => client.config.config(),
            Some(_) | None => self.everybody.clone(),
        }
    }

    fn admits(&self, client: &CertificateDer<'_>) -> bool {
        let expected = self.client.as_ref().map(|client| client.process.client_name());
        dns_names(client)
            .iter()
            .any(|name| Some(name.as_str()) == expected)
    }
}
