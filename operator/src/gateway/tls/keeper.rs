//! Keeps the authority in the store, the certificate fresh, and the bundle known.
//!
//! The authority is a secret of the process's own namespace with a name of a product, `strongroom!ca`: no ManagedSecret can claim it, and the
//! gateway shows it to nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use strongroom_process::Shutdown;
use strongroom_store::audit::{Actor, Durability};
use strongroom_store::id::{NamespaceId, RequestId, SecretId};
use strongroom_store::name::{DataKeyName, SecretName, VersionId};
use strongroom_store::secret::SecretBytes;
use strongroom_store::value::Value;
use strongroom_store::vault::{
    BindNamespace, CreateSecret, GetValue, KeyRef, Meta, PutValue, Store, StoreError,
};
use tokio::sync::watch;

use super::authority::Authorities;
use super::{Served, TlsError, certified};

/// Name of the secret in the store.
pub(in crate::gateway) const SECRET: &str = "strongroom!ca";
/// How often the dates are looked at.
const LOOK: Duration = Duration::from_secs(3600);

/// Keeps the gateway's own certificate; cheap to clone.
#[derive(Clone)]
pub(in crate::gateway) struct Keeper {
    pub(in crate::gateway) store: Store,
    /// The process's own namespace, and its UID.
    pub(in crate::gateway) namespace: (String, String),
    /// DNS names and addresses that the gateway is called by.
    pub(in crate::gateway) names: Vec<String>,
    pub(in crate::gateway) served: Arc<Served>,
    /// What clients trust.
    pub(in crate::gateway) bundle: watch::Sender<String>,
    pub(in crate::gateway) now: fn() -> Timestamp,
}

impl Keeper {
    /// Serves a certificate, and each one that takes its place.
    ///
    /// # Errors
    /// [`TlsError`] where the first one cannot be made.
    pub(in crate::gateway) async fn serve(self, shutdown: Shutdown) -> Result<(), TlsError> {
        let mut renew = self.clone().look(None).await?;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = shutdown.wait() => return,
                }
                match self.clone().look(Some(renew)).await {
                    Ok(next) => renew = next,
                    Err(error) => tracing::warn!(%error, "the certificate stays as it is"),
                }
            }
        });
        Ok(())
    }

    /// Brings everything up to date; answers with the time at which the certificate has to be made again.
    async fn look(self, renew: Option<Timestamp>) -> Result<Timestamp, TlsError> {
        let looked = tokio::task::spawn_blocking(move || {
            let now = (self.now)();
            let (authorities, changed) = self.authorities(now)?;
            self.bundle.send_if_modified(|bundle| {
                let newest = authorities.bundle();
                let differs = *bundle != newest;
                *bundle = newest;
                differs
            });
            match renew {
                Some(renew) if !changed && now < renew => Ok(renew),
                _ => {
                    let leaf = authorities.leaf(&self.names, now)?;
                    self.served.swap(certified(&leaf.chain, &leaf.key)?);
                    tracing::info!(renew = %leaf.renew, "serving a new certificate");
                    Ok(leaf.renew)
                }
            }
        });
        looked.await.map_err(|error| TlsError::Make(error.to_string()))?
    }

    /// The authorities as they should be now, kept in the store.
    fn authorities(&self, now: Timestamp) -> Result<(Authorities, bool), TlsError> {
        let stored = |error: StoreError| TlsError::Store(error.to_string());
        let bind = BindNamespace {
            name: self.namespace.0.parse().map_err(|error| name(&error))?,
            uid: self.namespace.1.parse().map_err(|error| name(&error))?,
        };
        let namespace = self.store.run(bind, meta(now)?).map_err(stored)?;
        let secret_name: SecretName = SECRET.parse().map_err(|error| name(&error))?;
        let known = self.store.find(namespace, &secret_name).map_err(stored)?;
        let before = match &known {
            None => Authorities::default(),
            Some(secret) => {
                let get = GetValue {
                    secret: secret.id,
                    version: None,
                    stage: None,
                    durability: Durability::Batched,
                    detail: "to serve the API".to_owned(),
                };
                let read = self.store.value(&get, &meta(now)?).map_err(stored)?;
                Authorities(
                    read.value
                        .keys()
                        .iter()
                        .map(|(key, bytes)| (key.to_string(), bytes.expose().to_vec().into()))
                        .collect(),
                )
            }
        };
        let Some(after) = before.advance(now)? else {
            return Ok((before, false));
        };
        self.keep(namespace, secret_name, known.map(|secret| secret.id), &after, now)?;
        Ok((after, true))
    }

    fn keep(
        &self,
        namespace: NamespaceId,
        secret_name: SecretName,
        known: Option<SecretId>,
        authorities: &Authorities,
        now: Timestamp,
    ) -> Result<(), TlsError> {
        let mut keys: BTreeMap<DataKeyName, SecretBytes> = BTreeMap::new();
        for (key, pem) in &authorities.0 {
            let key = key.parse().map_err(|error| name(&error))?;
            keys.insert(key, SecretBytes::new(pem.to_vec()));
        }
        let value = Value::of(keys).map_err(|error| TlsError::Store(error.to_string()))?;
        let version: VersionId = format!("v-{}", now.as_second())
            .parse()
            .map_err(|error| name(&error))?;
        let kept = match known {
            Some(secret) => {
                let put = PutValue {
                    secret,
                    version,
                    value,
                    stages: Vec::new(),
                };
                self.store.run(put, meta(now)?)
            }
            None => {
                let create = CreateSecret {
                    id: SecretId::generate().map_err(|error| TlsError::Store(error.to_string()))?,
                    namespace,
                    name: secret_name,
                    description: "the authority of the API's certificates".to_owned(),
                    labels: BTreeMap::new(),
                    key: KeyRef::Default,
                    version,
                    value,
                    object: None,
                };
                self.store.run(create, meta(now)?)
            }
        };
        kept.map(drop).map_err(|error| TlsError::Store(error.to_string()))
    }
}

fn name(error: &dyn std::fmt::Display) -> TlsError {
    TlsError::Store(error.to_string())
}

fn meta(now: Timestamp) -> Result<Meta, TlsError> {
    Ok(Meta {
        actor: Actor::Controller("gateway".to_owned()),
        request: RequestId::generate().map_err(|error| TlsError::Store(error.to_string()))?,
        now: strongroom_store::time::Timestamp::from_millis(now.as_millisecond()),
        asked: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::{now, store};

    #[tokio::test]
    async fn the_authority_outlives_the_process_and_a_certificate_is_renewed_in_time() {
        let (store, _keep) = store();
        let (bundle, bundles) = watch::channel(String::new());
        let keeper = Keeper {
            store: store.clone(),
            namespace: ("strongroom".to_owned(), "ns-9".to_owned()),
            names: vec!["strongroom.example".to_owned(), "10.9.8.7".to_owned()],
            served: Arc::default(),
            bundle,
            now,
        };
        let renew = keeper.clone().look(None).await.unwrap();
        let first = bundles.borrow().clone();
        assert!(first.contains("BEGIN CERTIFICATE") && renew > now());
        let served = Arc::clone(&keeper.served);
        let before = served.key.read().unwrap().clone().unwrap();
        // As after a restart.
        let keeper = Keeper {
            served: Arc::default(),
            ..keeper
        };
        keeper.clone().look(None).await.unwrap();
        assert_eq!(*bundles.borrow(), first);
        // Nothing to do, and then something.
        let serving = Arc::clone(&keeper.served);
        let held = serving.key.read().unwrap().clone().unwrap();
        keeper.clone().look(Some(renew)).await.unwrap();
        assert!(Arc::ptr_eq(&held, &serving.key.read().unwrap().clone().unwrap()));
        let keeper = Keeper {
            now: || now() + jiff::SignedDuration::from_hours(25 * 24),
            ..keeper
        };
        keeper.look(Some(renew)).await.unwrap();
        let renewed = serving.key.read().unwrap().clone().unwrap();
        assert!(!Arc::ptr_eq(&held, &renewed));
        assert_ne!(before.cert, renewed.cert);
    }
}
