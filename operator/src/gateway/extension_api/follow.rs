//! Follows in the cluster what the extension API depends on: its own certificate, which any replica issues
//! and renews and all serve; the CA bundle in the APIService; the CA by which the API server proves its
//! identity; and the client certificate for the gateway. Only the last is issued by the gateway's process, so
//! without it everything works except calls to the gateway.

#[cfg(test)]
mod tests;

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use prometheus_client::metrics::gauge::Gauge;
use strongroom_process::{Check, Health};

use super::api_service::{self, API_SERVICE, ApiServiceState, ServedCertificate};
use super::certificate::{ServingCertificate, wipe};
use super::trust::{
    AUTHENTICATION_CONFIG_MAP, ClientIdentity, GatewayClient, RequestHeaderConfig, SharedTrust, TrustError,
    build_trust, gateway_client,
};
use crate::gateway::tls::owner::{CertificateSecretError, owner, owns};
use crate::gateway::tls::{TlsError, client_secret_name};
use crate::kube::field_manager;
use crate::kube::{in_words, watch_in_words};

/// How often everything is looked at besides.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// The same, while something is wrong.
const RETRY_INTERVAL: Duration = Duration::from_secs(3);
/// How often a write is tried again that another replica was faster with.
const MAX_WRITE_ATTEMPTS: usize = 3;

/// What it follows with.
pub(super) struct Follower {
    pub(super) client: Client,
    /// The own namespace.
    pub(super) namespace: String,
    /// The Service that leads here.
    pub(super) service: String,
    pub(super) trust: SharedTrust,
    pub(super) health: Health,
    /// When its certificate ends, in seconds since the epoch.
    pub(super) expiration: Gauge,
    pub(super) now: fn() -> Timestamp,
}

/// What is in force.
#[derive(Default)]
struct ActiveState {
    certificate: Option<ServingCertificate>,
    authentication: Option<RequestHeaderConfig>,
    link: Option<(ClientIdentity, GatewayClient)>,
    standing: Option<ApiServiceState>,
}

/// Why the extension API cannot serve, or cannot be believed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("{}", in_words(.0))]
    Cluster(#[from] kube::Error),
    #[error(transparent)]
    Secret(#[from] CertificateSecretError),
}

impl Follower {
    /// Follows for as long as the process lives. What was right stays in force while something is wrong.
    pub(super) async fn follow(self) {
        let mut changes = pin!(self.changes());
        let (mut in_force, mut last_error) = (ActiveState::default(), None);
        loop {
            let wait = match self.update(&mut in_force).await {
                Ok(()) => {
                    last_error = None;
                    self.health.set("front", Check::Ready);
                    CHECK_INTERVAL
                }
                Err(failure) => {
                    let text = failure.to_string();
                    if last_error.as_ref() != Some(&text) {
                        tracing::warn!(error = text, "extension API not ready");
                    }
                    if in_force.standing.is_none() {
                        self.health.set("front", Check::Waiting(text.clone()));
                    }
                    last_error = Some(text);
                    RETRY_INTERVAL
                }
            };
            tokio::select! {
                Some(()) = changes.next() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// The Secret of the own certificate.
    fn own(&self) -> String {
        format!("{}-serving", self.service)
    }

    /// Whenever one of the objects changes.
    fn changes(&self) -> impl Stream<Item = ()> + use<> {
        let secrets = || Api::<Secret>::namespaced(self.client.clone(), &self.namespace);
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), "kube-system");
        let api_services: Api<APIService> = Api::all(self.client.clone());
        let own = watcher::watch_object(secrets(), &self.own()).default_backoff();
        let of_gateway =
            watcher::watch_object(secrets(), &client_secret_name(&self.service)).default_backoff();
        let map = watcher::watch_object(maps, AUTHENTICATION_CONFIG_MAP).default_backoff();
        let api_service = watcher::watch_object(api_services, API_SERVICE).default_backoff();
        let change = |error: Option<watcher::Error>| {
            if let Some(error) = error {
                tracing::warn!(
                    kind = "Secret, ConfigMap or APIService",
                    error = watch_in_words(&error),
                    "watch failed"
                );
            }
        };
        stream::select(
            stream::select(own.map(Result::err), of_gateway.map(Result::err)),
            stream::select(map.map(Result::err), api_service.map(Result::err)),
        )
        .map(change)
    }

    /// Brings everything up to date.
    async fn update(&self, in_force: &mut ActiveState) -> Result<(), Failure> {
        let certificate = self.certificate(in_force.certificate.as_ref()).await?;
        if let Some(end) = certificate.end() {
            self.expiration.set(end.as_second());
        }
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), "kube-system");
        let map = maps.get_opt(AUTHENTICATION_CONFIG_MAP).await?;
        let authentication = RequestHeaderConfig::from_config_map(map)?;
        let link = self.link().await?;
        let published = self.publish_ca_bundle(&certificate, link.as_ref()).await;
        let same = in_force.certificate.as_ref() == Some(&certificate)
            && in_force.authentication.as_ref() == Some(&authentication)
            && link
                .as_ref()
                .is_none_or(|link| in_force.link.as_ref().is_some_and(|(before, _)| before == link));
        if !same {
            let changed = link.filter(|link| in_force.link.as_ref().is_none_or(|(before, _)| before != link));
            if let Some(link) = changed {
                match gateway_client(&link) {
                    Ok(client) => in_force.link = Some((link, client)),
                    Err(error) => {
                        tracing::warn!(%error, "client certificate load failed")
                    }
                }
            }
            let client = in_force.link.as_ref().map(|(_, client)| client.clone());
            self.trust
                .put(build_trust(&certificate, client, &authentication)?);
            in_force.certificate = Some(certificate);
            in_force.authentication = Some(authentication);
            tracing::info!("requestheader CA loaded");
        }
        let standing = published?;
        if standing == ApiServiceState::Elsewhere && in_force.standing != Some(standing) {
            tracing::warn!(
                api_service = API_SERVICE,
                namespace = self.namespace,
                service = self.service,
                "APIService belongs to another installation, left unchanged"
            );
        }
        in_force.standing = Some(standing);
        Ok(())
    }

    async fn publish_ca_bundle(
        &self,
        certificate: &ServingCertificate,
        link: Option<&ClientIdentity>,
    ) -> Result<ApiServiceState, Failure> {
        let api_services: Api<APIService> = Api::all(self.client.clone());
        let found = api_services.get_opt(API_SERVICE).await?;
        let here = (self.namespace.as_str(), self.service.as_str());
        let own = ServedCertificate {
            authority: certificate.trust(),
            ends: certificate.end(),
        };
        let gateway = link.map(|link| link.authority.as_slice());
        Ok(api_service::publish_ca_bundle(&self.client, found.as_ref(), here, &own, gateway).await?)
    }

    /// The certificate for the gateway; none where its process did not make one yet.
    async fn link(&self) -> Result<Option<ClientIdentity>, Failure> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        Ok(secrets
            .get_opt(&client_secret_name(&self.service))
            .await?
            .and_then(ClientIdentity::from_secret))
    }

    /// The own certificate as it should be: what the Secret holds, what is in force where the Secret is gone,
    /// or a new one, which is then written.
    async fn certificate(
        &self,
        in_force: Option<&ServingCertificate>,
    ) -> Result<ServingCertificate, Failure> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let names = [
            format!("{}.{}.svc", self.service, self.namespace),
            format!("{}.{}.svc.cluster.local", self.service, self.namespace),
        ];
        let owner = owner(&self.client, &self.namespace, &self.service).await?;
        let mut turn = 1;
        loop {
            let mut found = secrets.get_opt(&self.own()).await?;
            let held = match &mut found {
                Some(found) => ServingCertificate::from_secret_data(found.data.take().unwrap_or_default()),
                None => in_force.cloned().unwrap_or_default(),
            };
            let changed = held.advance(&names, (self.now)())?;
            let owned = found
                .as_ref()
                .is_some_and(|found| owner.as_ref().is_none_or(|owner| owns(owner, found)));
            if changed.is_none() && owned {
                return Ok(held);
            }
            if found.as_ref().is_some_and(|found| !is_ours(found)) {
                return Err(CertificateSecretError::NotOurs(self.own()).into());
            }
            let owner = owner
                .clone()
                .ok_or_else(|| CertificateSecretError::NoService(self.service.clone()))?;
            let certificate = changed.unwrap_or(held);
            let mut secret = Secret {
                metadata: ObjectMeta {
                    name: Some(self.own()),
                    labels: Some(
                        [("app.kubernetes.io/managed-by".to_owned(), "strongroom".to_owned())].into(),
                    ),
                    owner_references: Some(vec![owner]),
                    // One that no object has where there was none: of two replicas that begin at once, one
                    // writes.
                    resource_version: Some(
                        found
                            .and_then(|found| found.resource_version())
                            .unwrap_or("1".to_owned()),
                    ),
                    ..ObjectMeta::default()
                },
                type_: Some("kubernetes.io/tls".to_owned()),
                data: Some(certificate.data()),
                ..Secret::default()
            };
            // By force: what somebody else changed in it is put back.
            let params = PatchParams::apply(field_manager::EXTENSION_API).force();
            let written = secrets.patch(&self.own(), &params, &Patch::Apply(&secret)).await;
            wipe(secret.data.take());
            match written {
                Ok(mut written) => {
                    wipe(written.data.take());
                    tracing::info!(secret = self.own(), "certificate issued");
                    return Ok(certificate);
                }
                Err(kube::Error::Api(answer)) if answer.code == 409 && turn < MAX_WRITE_ATTEMPTS => turn += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether one of us wrote it.
fn is_ours(secret: &Secret) -> bool {
    secret
        .managed_fields()
        .iter()
        .any(|entry| entry.manager.as_deref() == Some(field_manager::EXTENSION_API))
}
