//! What the processes without a store need that the API server calls, made here and renewed in time: a certificate, in a Secret of the own namespace,
//! and what the API server has to trust, in the object by which it knows them. And the door through which the people's front comes in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use strongroom_process::Shutdown;

use super::TlsError;
use super::authority::{self, LEAF_RENEWAL, Leaf};
use super::door::{Door, FRONT, GATEWAY};
use super::kept::Kept;
use crate::kube_error::in_words;

/// How often everything is looked at.
const LOOK: Duration = Duration::from_secs(60);
/// The same, while it is not as it should be.
const AGAIN: Duration = Duration::from_secs(3);
/// Who writes.
const MANAGER: &str = "strongroom-gateway";
/// The aggregated API of people.
pub(in crate::gateway) const API_SERVICE: &str = "v1.people.strongroom.dev";

/// The Secret with the certificate of the process that this Service leads to.
pub(crate) fn secret_of(service: &str) -> String {
    format!("{service}-tls")
}

/// Which process is called.
pub(in crate::gateway) enum Called {
    /// The people's front: by an APIService; and it calls us.
    Front(Arc<Door>),
    /// The webhook: by a MutatingWebhookConfiguration with its Service's name.
    Webhook,
}

impl Called {
    /// As logs name it.
    const fn name(&self) -> &'static str {
        match self {
            Self::Front(_) => "front",
            Self::Webhook => "webhook",
        }
    }
}

/// Keeps one of them believed.
pub(in crate::gateway) struct CalledKeeper {
    pub(in crate::gateway) kept: Kept,
    pub(in crate::gateway) client: Client,
    /// The own namespace.
    pub(in crate::gateway) namespace: String,
    /// The Service that leads to it.
    pub(in crate::gateway) service: String,
    pub(in crate::gateway) called: Called,
    pub(in crate::gateway) now: fn() -> Timestamp,
}

/// What counts now: the authorities, and what is served at the door.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Serving {
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
    #[error("Secret `{0}` exists and is not ours, so it is left as it is; delete it, and it is made")]
    NotOurs(String),
    #[error(
        "APIService `{API_SERVICE}` leads to another Service than `{0}`, so it is left as it is; two installations of one cluster cannot both serve it"
    )]
    LeadsElsewhere(String),
}

impl CalledKeeper {
    /// Keeps it until the shutdown begins.
    pub(in crate::gateway) async fn keep(self, shutdown: Shutdown) {
        let keeper = Arc::new(self);
        let mut serving = None;
        loop {
            let wait = match Arc::clone(&keeper).look(&mut serving).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(%error, process = keeper.called.name(), "it is not believed yet; trying again");
                    AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shutdown.wait() => return,
            }
        }
    }

    async fn look(self: Arc<Self>, serving: &mut Option<Serving>) -> Result<Duration, Failure> {
        let before = serving.clone();
        let keeper = Arc::clone(&self);
        let now = keeper.blocking(move |keeper| keeper.serve(before)).await?;
        let bundle = now.bundle.clone();
        *serving = Some(now);
        self.secret(&bundle).await?;
        let told = match &self.called {
            Called::Front(_) => self.api_service(&bundle).await?,
            Called::Webhook => self.webhook(&bundle).await?,
        };
        // At an installation such an object comes last.
        Ok(if told { LOOK } else { AGAIN })
    }

    async fn blocking<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, TlsError> + Send + 'static,
    ) -> Result<T, TlsError> {
        tokio::task::spawn_blocking(move || work(&self))
            .await
            .map_err(|error| TlsError::Make(error.to_string()))?
    }

    /// What counts now. Opens the door, where there is one and it is not open with that.
    fn serve(&self, before: Option<Serving>) -> Result<Serving, TlsError> {
        let now = (self.now)();
        let (authorities, _) = self.kept.authorities(now)?;
        let bundle = authorities.bundle();
        if let Some(before) = before
            && before.bundle == bundle
            && now < before.renew
        {
            return Ok(before);
        }
        let leaf = authorities.leaf(&[GATEWAY.to_owned()], now)?;
        if let Called::Front(door) = &self.called {
            door.open(&leaf.chain, &leaf.key, &bundle)?;
        }
        Ok(Serving {
            bundle,
            renew: leaf.renew,
        })
    }

    /// The names that it is called by: as the server of the API server, and the front also as our client.
    fn names(&self) -> Vec<String> {
        let Self {
            service, namespace, ..
        } = self;
        let own = match &self.called {
            Called::Front(_) => Some(FRONT.to_owned()),
            Called::Webhook => None,
        };
        let of_service = [
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
        ];
        own.into_iter().chain(of_service).collect()
    }

    fn leaf(&self) -> Result<Leaf, TlsError> {
        let now = (self.now)();
        let (authorities, _) = self.kept.authorities(now)?;
        authorities.leaf(&self.names(), now)
    }

    /// Writes the Secret of its certificate, where what is there will not do.
    async fn secret(self: &Arc<Self>, bundle: &str) -> Result<(), Failure> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = secret_of(&self.service);
        let found = api.get_opt(&name).await?;
        if let Some(found) = found {
            if will_do(&found, bundle, (self.now)()) {
                return Ok(());
            }
            let entries = found.metadata.managed_fields.unwrap_or_default();
            if !entries
                .iter()
                .any(|entry| entry.manager.as_deref() == Some(MANAGER))
            {
                return Err(Failure::NotOurs(name));
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
            &PatchParams::apply(MANAGER).force(),
            &Patch::Apply(&secret),
        )
        .await?;
        tracing::info!(secret = name, renew = %leaf.renew, "made a certificate");
        Ok(())
    }

    /// Tells the API server whom to trust; answers whether there is where to tell it.
    async fn api_service(&self, bundle: &str) -> Result<bool, Failure> {
        let api: Api<APIService> = Api::all(self.client.clone());
        let Some(found) = api.get_opt(API_SERVICE).await? else {
            return Ok(false);
        };
        let spec = found.spec.unwrap_or_default();
        let leads_here = spec.service.as_ref().is_some_and(|service| {
            service.name.as_deref() == Some(&self.service)
                && service.namespace.as_deref() == Some(&self.namespace)
        });
        if !leads_here {
            return Err(Failure::LeadsElsewhere(format!(
                "{}/{}",
                self.namespace, self.service
            )));
        }
        if spec
            .ca_bundle
            .is_some_and(|trusted| trusted.0 == bundle.as_bytes())
        {
            return Ok(true);
        }
        let patch = json!({"spec": {"caBundle": BASE64.encode(bundle.as_bytes())}});
        api.patch(API_SERVICE, &writing(), &Patch::Merge(&patch)).await?;
        tracing::info!(
            api_service = API_SERVICE,
            "told the API server which authority to trust"
        );
        Ok(true)
    }

    /// As [`Self::api_service`], for the webhook.
    async fn webhook(&self, bundle: &str) -> Result<bool, Failure> {
        let api: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let Some(found) = api.get_opt(&self.service).await? else {
            return Ok(false);
        };
        let webhooks = found.webhooks.unwrap_or_default();
        let trusts = |webhook: &k8s_openapi::api::admissionregistration::v1::MutatingWebhook| {
            let trusted = webhook.client_config.ca_bundle.as_ref();
            trusted.is_some_and(|trusted| trusted.0 == bundle.as_bytes())
        };
        if webhooks.iter().all(trusts) {
            return Ok(true);
        }
        let config = json!({"caBundle": BASE64.encode(bundle.as_bytes())});
        let told: Vec<_> = webhooks
            .iter()
            .map(|webhook| json!({"name": webhook.name, "clientConfig": config}))
            .collect();
        // Of each webhook, by its name, this field alone.
        let patch = Patch::Strategic(json!({"webhooks": told}));
        api.patch(&self.service, &writing(), &patch).await?;
        tracing::info!(
            webhook = self.service,
            "told the API server which authority to trust"
        );
        Ok(true)
    }
}

fn writing() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// Whether the process can go on with this Secret.
fn will_do(secret: &Secret, bundle: &str, now: Timestamp) -> bool {
    let part = |key: &str| secret.data.as_ref().and_then(|data| data.get(key));
    let fresh = part("tls.crt")
        .and_then(|chain| authority::validity(&chain.0))
        .and_then(|(_, end)| end.checked_sub(LEAF_RENEWAL).ok())
        .is_some_and(|renew| now < renew);
    fresh && part("tls.key").is_some() && part("ca.crt").is_some_and(|trusted| trusted.0 == bundle.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::{now, store};
    use crate::gateway::listen::Entrance;
    use crate::gateway::tls::door::Doors;
    use crate::gateway::tls::{Served, proof};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    #[tokio::test]
    async fn the_front_has_a_certificate_and_a_door_and_both_are_renewed_in_time() {
        let (server, (store, _keep)) = (crate::controllers::testing::Api::default(), store());
        let doors = Doors {
            everybody: Arc::new(Arc::new(Served::default()).config()),
            front: Arc::default(),
        };
        let keeper = |now| CalledKeeper {
            kept: Kept::new(store.clone(), ("strongroom".to_owned(), "ns-9".to_owned())),
            client: server.client(),
            namespace: "strongroom".to_owned(),
            service: "strongroom-front".to_owned(),
            called: Called::Front(Arc::clone(&doors.front)),
            now,
        };
        let api: Api<Secret> = Api::namespaced(server.client(), "strongroom");
        let chain = async || {
            let secret = api.get("strongroom-front-tls").await.unwrap();
            secret.data.unwrap()["tls.crt"].0.clone()
        };
        assert!(
            doors.config(Some(GATEWAY)).is_none(),
            "nobody comes in before there is a certificate"
        );
        let mut serving = None;
        // There is no APIService yet, so it looks again soon.
        assert_eq!(Arc::new(keeper(now)).look(&mut serving).await.unwrap(), AGAIN);
        let first = chain().await;
        let names = proof::names(&CertificateDer::from_pem_slice(&first).unwrap());
        assert_eq!(
            names,
            [
                FRONT,
                "strongroom-front.strongroom.svc",
                "strongroom-front.strongroom.svc.cluster.local"
            ]
        );
        let door = doors.config(Some(GATEWAY)).unwrap();
        Arc::new(keeper(now)).look(&mut serving).await.unwrap();
        assert_eq!(chain().await, first);
        assert!(Arc::ptr_eq(&door, &doors.config(Some(GATEWAY)).unwrap()));
        let later = || now() + jiff::SignedDuration::from_hours(25 * 24);
        Arc::new(keeper(later)).look(&mut serving).await.unwrap();
        assert_ne!(chain().await, first);
        assert!(!Arc::ptr_eq(&door, &doors.config(Some(GATEWAY)).unwrap()));
    }

    #[tokio::test]
    async fn what_leads_elsewhere_or_is_somebody_elses_is_left_alone_and_edits_are_put_back() {
        const SECRET: &str = "/api/v1/namespaces/strongroom/secrets/strongroom-front-tls";
        let service = format!("/apis/apiregistration.k8s.io/v1/apiservices/{API_SERVICE}");
        let (api, (store, _keep)) = (crate::controllers::testing::Api::default(), store());
        let keeper = || {
            Arc::new(CalledKeeper {
                kept: Kept::new(store.clone(), ("strongroom".to_owned(), "ns-9".to_owned())),
                client: api.client(),
                namespace: "strongroom".to_owned(),
                service: "strongroom-front".to_owned(),
                called: Called::Front(Arc::default()),
                now,
            })
        };
        let leads_to = |namespace: &str| {
            json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": API_SERVICE},
                "spec": {
                    "group": "people.strongroom.dev", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
                    "service": {"name": "strongroom-front", "namespace": namespace},
                },
            })
        };
        let elsewhere = api.put(&service, leads_to("other"));
        let failure = keeper().look(&mut None).await.unwrap_err();
        assert!(matches!(failure, Failure::LeadsElsewhere(_)), "{failure}");
        assert_eq!(api.get(&service).unwrap(), elsewhere);
        api.put(&service, leads_to("strongroom"));
        assert_eq!(keeper().look(&mut None).await.unwrap(), LOOK);
        assert!(api.get(&service).unwrap()["spec"]["caBundle"].is_string());

        // Somebody edits the certificate, and it is made anew.
        let mut edited = api.get(SECRET).unwrap();
        edited["data"]["tls.crt"] = json!("bWluZQ==");
        api.put_as("kubectl-edit", SECRET, edited);
        keeper().look(&mut None).await.unwrap();
        assert_ne!(api.get(SECRET).unwrap()["data"]["tls.crt"], "bWluZQ==");
        // A Secret of somebody else has the name.
        api.remove(SECRET);
        let theirs = api.put(
            SECRET,
            json!({"metadata": {"name": "strongroom-front-tls"}, "data": {"a": "Yg=="}}),
        );
        let failure = keeper().look(&mut None).await.unwrap_err();
        assert!(matches!(failure, Failure::NotOurs(_)), "{failure}");
        assert_eq!(api.get(SECRET).unwrap(), theirs);
    }
}
