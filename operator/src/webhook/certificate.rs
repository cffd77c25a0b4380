//! The webhook's certificate: the Secret that the gateway's process keeps for it, followed in the cluster.
//! The API server is served with it, and that process is called.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use parking_lot::RwLock;
use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use strongroom_process::{Check, Health};

use crate::gateway::listen::ConfigResolver;
use crate::gateway::tls::{
    ATTESTATIONS_SERVER_NAME, CertResolver, ClientIdentity, GatewayClient, TlsError, certified_key,
    client_secret_name,
};
use crate::kube::watch_in_words;

/// What is served now; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct WebhookCertificate {
    served: Arc<CertResolver>,
    config: Arc<ServerConfig>,
    link: Arc<RwLock<Option<GatewayClient>>>,
}

impl WebhookCertificate {
    /// None yet; when it ends is told in a gauge.
    pub(super) fn with_expiration(expiration: Gauge) -> Self {
        let served = Arc::new(CertResolver::with_expiration(expiration));
        let config = Arc::new(served.config());
        Self {
            served,
            config,
            link: Arc::default(),
        }
    }

    /// Follows it for as long as the process lives. What was right stays in force while something is wrong.
    pub(super) async fn follow(self, client: Client, namespace: String, service: String, health: Health) {
        let name = client_secret_name(&service);
        let secrets: Api<Secret> = Api::namespaced(client, &namespace);
        let mut secrets = Box::pin(watcher::watch_object(secrets, &name).default_backoff());
        while let Some(seen) = secrets.next().await {
            let waits = match seen {
                Ok(Some(secret)) => match self.take(secret) {
                    Ok(()) => {
                        health.set("webhook", Check::Ready);
                        tracing::info!("certificate loaded");
                        continue;
                    }
                    Err(error) => format!("Secret `{name}`: {error}"),
                },
                Ok(None) => {
                    format!("Secret `{name}` does not exist yet: the gateway's process creates it")
                }
                Err(error) => {
                    tracing::warn!(kind = "Secret", error = watch_in_words(&error), "watch failed");
                    continue;
                }
            };
            tracing::info!(reason = waits, "webhook not ready");
            if !self.served.has_certificate() {
                health.set("webhook", Check::Waiting(waits));
            }
        }
    }

    /// Serves what the Secret has, and calls with it.
    pub(super) fn take(&self, secret: Secret) -> Result<(), TlsError> {
        let part = |key: &str| {
            let data = secret.data.as_ref();
            data.and_then(|data| data.get(key))
                .map_or(&[][..], |bytes| &bytes.0)
        };
        self.served.swap(certified_key(part("tls.crt"), part("tls.key"))?);
        if let Some(link) = ClientIdentity::from_secret(secret) {
            let client = link.client(ATTESTATIONS_SERVER_NAME)?;
            *self.link.write() = Some(client);
        }
        Ok(())
    }

    /// How the process with the store is called; none before there is a certificate.
    pub(super) fn link(&self) -> Option<GatewayClient> {
        self.link.read().clone()
    }
}

impl ConfigResolver for WebhookCertificate {
    fn config(&self, _: Option<&str>) -> Option<Arc<ServerConfig>> {
        self.served.has_certificate().then(|| Arc::clone(&self.config))
    }

    fn admits(&self, _: &CertificateDer<'_>) -> bool {
        // Nobody is asked for one: the answer depends on the question alone, and tells nobody anything else.
        true
    }
}
