//! What the processes without a store need of the gateway's authority, made here and renewed in time: a
//! certificate, in a Secret of the own namespace. The webhook serves with it, and the API server is told whom
//! to trust; the extension API is our client by it, and so is the webhook, each by a server name of its own.
//! By which certificate the extension API serves is for it to say: it has to answer also where the gateway
//! never came up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client};
use prometheus_client::metrics::gauge::Gauge;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::de::DeserializeOwned;
use serde_json::json;
use strongroom_process::Shutdown;

use super::TlsError;
use super::authority::{self, LEAF_RENEW_BEFORE, Leaf};
use super::ca_store::CaStore;
use super::client_auth;
use super::config_resolver::{CertificateClient, ClientProcess};
use super::owner::{CertificateSecretError, owner, owns};
use crate::kube::field_manager;
use crate::kube::in_words;

/// How often everything is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// The same, while there may be more to tell.
const PENDING_CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// The same, while it is not as it should be.
const RETRY_INTERVAL: Duration = Duration::from_secs(3);

/// The Secret with the certificate of the process that this Service leads to.
pub(crate) fn client_secret_name(service: &str) -> String {
    format!("{service}-tls")
}

/// Keeps one of them believed.
pub(in crate::gateway) struct ClientCertificateRotator {
    pub(in crate::gateway) ca_store: CaStore,
    pub(in crate::gateway) client: Client,
    /// The own namespace.
    pub(in crate::gateway) namespace: String,
    /// The Service that leads to it.
    pub(in crate::gateway) service: String,
    /// The process whose certificate it is, and how it is served.
    pub(in crate::gateway) holder: CertificateClient,
    /// When that in the Secret ends, in seconds since the epoch.
    pub(in crate::gateway) expiration: Gauge,
    pub(in crate::gateway) now: fn() -> Timestamp,
}

/// What counts now: the authorities, and what is served to it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ListenerState {
    bundle: String,
    renew: Timestamp,
}

/// Why it is not believed yet.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{}", in_words(.0))]
    Cluster(#[from] kube::Error),
    #[error(transparent)]
    Secret(#[from] CertificateSecretError),
}

impl ClientCertificateRotator {
    /// Keeps it until the shutdown begins.
    pub(in crate::gateway) async fn keep(self, shutdown: Shutdown) {
        let rotator = Arc::new(self);
        let mut serving = None;
        loop {
            let wait = match Arc::clone(&rotator).renew(&mut serving).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(%error, process = rotator.holder.process.name(), "certificate update failed");
                    RETRY_INTERVAL
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shutdown.wait() => return,
            }
        }
    }

    async fn renew(self: Arc<Self>, serving: &mut Option<ListenerState>) -> Result<Duration, Failure> {
        let before = serving.clone();
        let rotator = Arc::clone(&self);
        let now = rotator.blocking(move |rotator| rotator.serve(before)).await?;
        let bundle = now.bundle.clone();
        *serving = Some(now);
        self.secret(&bundle).await?;
        match self.holder.process {
            ClientProcess::ExtensionApi => Ok(CHECK_INTERVAL),
            ClientProcess::Webhook => self.webhook(&bundle).await,
        }
    }

    async fn blocking<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, TlsError> + Send + 'static,
    ) -> Result<T, TlsError> {
        tokio::task::spawn_blocking(move || work(&self))
            .await
            .map_err(|error| TlsError::Make(error.to_string()))?
    }

    /// What counts now. Sets the TLS configuration, unless it is that already.
    fn serve(&self, before: Option<ListenerState>) -> Result<ListenerState, TlsError> {
        let now = (self.now)();
        let (authorities, _) = self.ca_store.authorities(now)?;
        let bundle = authorities.bundle();
        if let Some(before) = before
            && before.bundle == bundle
            && now < before.renew
        {
            return Ok(before);
        }
        let CertificateClient { process, config } = &self.holder;
        let leaf = authorities.leaf(&[process.server_name().to_owned()], now)?;
        config.set(&leaf.chain, &leaf.key, &bundle)?;
        Ok(ListenerState {
            bundle,
            renew: leaf.renew,
        })
    }

    /// The names that it is known by. The extension API of an earlier release serves by this certificate as
    /// well.
    fn names(&self) -> Vec<String> {
        let Self {
            service, namespace, ..
        } = self;
        vec![
            self.holder.process.client_name().to_owned(),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
        ]
    }

    fn leaf(&self) -> Result<Leaf, TlsError> {
        let now = (self.now)();
        let (authorities, _) = self.ca_store.authorities(now)?;
        authorities.leaf(&self.names(), now)
    }

    /// Writes the Secret of its certificate, where what is there will not do.
    async fn secret(self: &Arc<Self>, bundle: &str) -> Result<(), Failure> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = client_secret_name(&self.service);
        let owner = owner(&self.client, &self.namespace, &self.service).await?;
        let owner = owner.ok_or_else(|| CertificateSecretError::NoService(self.service.clone()))?;
        let found = api.get_opt(&name).await?;
        if let Some(found) = found {
            if is_current(&found, bundle, &self.names(), (self.now)()) && owns(&owner, &found) {
                self.tell_end(chain_of(&found));
                return Ok(());
            }
            let entries = found.metadata.managed_fields.unwrap_or_default();
            if !entries
                .iter()
                .any(|entry| entry.manager.as_deref() == Some(field_manager::CERTIFICATES))
            {
                return Err(CertificateSecretError::NotOurs(name).into());
            }
        }
        let leaf = Arc::clone(self).blocking(Self::leaf).await?;
        let data = [
            ("tls.crt", leaf.chain.clone()),
            ("tls.key", leaf.key.to_vec()),
            ("ca.crt", bundle.as_bytes().to_vec()),
        ];
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some([("app.kubernetes.io/managed-by".to_owned(), "strongroom".to_owned())].into()),
                owner_references: Some(vec![owner]),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(BTreeMap::from(
                data.map(|(key, bytes)| (key.to_owned(), ByteString(bytes))),
            )),
            ..Secret::default()
        };
        // By force: what somebody else changed in it is put back.
        api.patch(
            &name,
            &PatchParams::apply(field_manager::CERTIFICATES).force(),
            &Patch::Apply(&secret),
        )
        .await?;
        self.tell_end(Some(&leaf.chain));
        tracing::info!(secret = name, renew = %leaf.renew, "certificate issued");
        Ok(())
    }

    fn tell_end(&self, chain: Option<&[u8]>) {
        if let Some((_, end)) = chain.and_then(authority::validity) {
            self.expiration.set(end.as_second());
        }
    }

    /// Tells the API server which authority the webhook's certificate is of; answers when to look again.
    async fn webhook(&self, bundle: &str) -> Result<Duration, Failure> {
        let validating = self
            .publish_ca_bundle(bundle, |found: ValidatingWebhookConfiguration| {
                let webhooks = found.webhooks.unwrap_or_default().into_iter();
                webhooks
                    .map(|webhook| (webhook.name, webhook.client_config))
                    .collect()
            })
            .await?;
        // Of pods there is one only where they can ask for variables.
        let mutating = self
            .publish_ca_bundle(bundle, |found: MutatingWebhookConfiguration| {
                let webhooks = found.webhooks.unwrap_or_default().into_iter();
                webhooks
                    .map(|webhook| (webhook.name, webhook.client_config))
                    .collect()
            })
            .await?;
        // At an installation such an object comes last, and this one may come with an upgrade.
        Ok(match (validating, mutating) {
            (true, true) => CHECK_INTERVAL,
            (true, false) => PENDING_CHECK_INTERVAL,
            (false, _) => RETRY_INTERVAL,
        })
    }

    /// Tells it in a configuration of this kind; answers whether there is one.
    async fn publish_ca_bundle<K>(
        &self,
        bundle: &str,
        webhooks: impl FnOnce(K) -> Vec<(String, WebhookClientConfig)>,
    ) -> Result<bool, Failure>
    where
        K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let Some(found) = api.get_opt(&self.service).await? else {
            return Ok(false);
        };
        let webhooks = webhooks(found);
        let trusts = |(_, config): &(String, WebhookClientConfig)| {
            let trusted = config.ca_bundle.as_ref();
            trusted.is_some_and(|trusted| trusted.0 == bundle.as_bytes())
        };
        if webhooks.iter().all(trusts) {
            return Ok(true);
        }
        let config = json!({"caBundle": BASE64.encode(bundle.as_bytes())});
        let patched: Vec<_> = webhooks
            .iter()
            .map(|(name, _)| json!({"name": name, "clientConfig": config}))
            .collect();
        // Of each webhook, by its name, this field alone.
        let patch = Patch::Strategic(json!({"webhooks": patched}));
        api.patch(&self.service, &patch_params(), &patch).await?;
        tracing::info!(
            webhook = self.service,
            kind = %K::kind(&()),
            "CA bundle published"
        );
        Ok(true)
    }
}

fn patch_params() -> PatchParams {
    PatchParams {
        field_manager: Some(field_manager::CERTIFICATES.to_owned()),
        ..PatchParams::default()
    }
}

/// The certificate in a Secret, PEM.
fn chain_of(secret: &Secret) -> Option<&[u8]> {
    let chain = secret.data.as_ref()?.get("tls.crt")?;
    Some(&chain.0)
}

/// Whether the process can go on with this Secret. One of an earlier release may lack a name.
fn is_current(secret: &Secret, bundle: &str, names: &[String], now: Timestamp) -> bool {
    let part = |key: &str| secret.data.as_ref().and_then(|data| data.get(key));
    let fresh = chain_of(secret)
        .and_then(authority::validity)
        .and_then(|(_, end)| end.checked_sub(LEAF_RENEW_BEFORE).ok())
        .is_some_and(|renew| now < renew);
    let named = chain_of(secret)
        .and_then(|chain| CertificateDer::from_pem_slice(chain).ok())
        .map(|leaf| client_auth::dns_names(&leaf))
        .is_some_and(|has| names.iter().all(|name| has.contains(name)));
    fresh
        && named
        && part("tls.key").is_some()
        && part("ca.crt").is_some_and(|trusted| trusted.0 == bundle.as_bytes())
}

#[cfg(test)]
mod tests;
