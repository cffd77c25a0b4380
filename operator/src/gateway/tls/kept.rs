//! The authorities as the store keeps them: brought up to date whenever somebody asks, by one at a time.
//!
//! They are a secret of the process's own namespace with a name of a product, `strongroom!ca`: no ManagedSecret can claim it, and the
//! gateway shows it to nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use strongroom_store::audit::{Actor, Durability};
use strongroom_store::id::{NamespaceId, RequestId, SecretId};
use strongroom_store::name::{DataKeyName, SecretName, VersionId};
use strongroom_store::secret::SecretBytes;
use strongroom_store::value::Value;
use strongroom_store::vault::{
    BindNamespace, CreateSecret, GetValue, KeyRef, Meta, PutValue, Store, StoreError,
};

use super::TlsError;
use super::authority::Authorities;

/// Name of the secret in the store.
pub(in crate::gateway) const SECRET: &str = "strongroom!ca";

/// Where the authorities are kept; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Kept {
    store: Store,
    /// The process's own namespace, and its UID.
    namespace: (String, String),
    /// Whoever looks may make the next authority; two of them would make two.
    turn: Arc<Mutex<()>>,
}

impl Kept {
    pub(in crate::gateway) fn new(store: Store, namespace: (String, String)) -> Self {
        Self {
            store,
            namespace,
            turn: Arc::default(),
        }
    }

    /// The authorities as they should be now, and whether they changed. Waits for the medium.
    ///
    /// # Errors
    /// [`TlsError::Store`], [`TlsError::Make`].
    pub(super) fn authorities(&self, now: Timestamp) -> Result<(Authorities, bool), TlsError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
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
