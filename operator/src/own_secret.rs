//! Secrets that the process keeps for itself: of its own namespace, with names of a product, so that no
//! ManagedSecret can claim them. The gateway shows them to nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use strongroom_model::SecretBytes;
use strongroom_model::id::{NamespaceId, RequestId, SecretId};
use strongroom_model::name::{DataKeyName, SecretName, VersionId};
use strongroom_store::audit::Actor;
use strongroom_store::value::Value;
use strongroom_store::vault::{BindNamespace, CreateSecret, GetValue, Meta, PutValue, Store, StoreError};
use zeroize::Zeroizing;

use crate::store_handle::store_time;

/// What the names of all of them begin with.
pub(crate) const NAME_PREFIX: &str = "strongroom!";

/// Bytes by key, wiped when they go.
pub(crate) type OwnSecretData = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// One of the process's own secrets; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct OwnSecret {
    store: Store,
    /// The process's own namespace: name and UID.
    namespace: (String, String),
    name: &'static str,
    description: &'static str,
    /// Whoever looks may make the next version; two of them would make two.
    turn: Arc<Mutex<()>>,
}

/// It cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnSecretError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    Id(#[from] strongroom_model::id::IdError),
    /// A name or a size: a defect here, or a namespace that is none.
    #[error("{0}")]
    Malformed(String),
}

fn malformed(error: impl std::fmt::Display) -> OwnSecretError {
    OwnSecretError::Malformed(error.to_string())
}

impl OwnSecret {
    /// The secret `strongroom!…` of this name.
    pub(crate) fn new(
        store: Store,
        namespace: (String, String),
        name: &'static str,
        description: &'static str,
    ) -> Self {
        Self {
            store,
            namespace,
            name,
            description,
            turn: Arc::default(),
        }
    }

    /// When the store's root key was last replaced: what was made before may be known to somebody.
    pub(crate) fn rekeyed(&self) -> Option<Timestamp> {
        let rekeyed = self.store.rekeyed()?;
        Timestamp::from_millisecond(rekeyed.as_millis()).ok()
    }

    /// The content after `next` was applied to it, and whether that is new. Nothing is written if `next`
    /// returns none. Waits for the disk.
    ///
    /// # Errors
    /// Those of `next`, and [`OwnSecretError`].
    pub(crate) fn advance<E: From<OwnSecretError>>(
        &self,
        now: Timestamp,
        next: impl FnOnce(&OwnSecretData) -> Result<Option<OwnSecretData>, E>,
    ) -> Result<(OwnSecretData, bool), E> {
        let _turn = self.turn.lock();
        let namespace = self.bind(now)?;
        let name: SecretName = self.name.parse().map_err(malformed)?;
        let known = self.store.find(namespace, &name).map_err(OwnSecretError::from)?;
        let known = known.map(|secret| secret.id);
        let before = known.map_or(Ok(OwnSecretData::new()), |secret| self.read(secret, now))?;
        let Some(after) = next(&before)? else {
            return Ok((before, false));
        };
        self.write(namespace, name, known, &after, now)?;
        Ok((after, true))
    }

    fn bind(&self, now: Timestamp) -> Result<NamespaceId, OwnSecretError> {
        let bind = BindNamespace {
            name: self.namespace.0.parse().map_err(malformed)?,
            uid: self.namespace.1.parse().map_err(malformed)?,
        };
        Ok(self.store.run(bind, meta(now)?)?)
    }

    fn read(&self, secret: SecretId, now: Timestamp) -> Result<OwnSecretData, OwnSecretError> {
        let get = GetValue {
            detail: "to serve the API".to_owned(),
            ..GetValue::current(secret)
        };
        let read = self.store.value(&get, &meta(now)?)?;
        let part =
            |(key, bytes): (&DataKeyName, &SecretBytes)| (key.to_string(), bytes.expose().to_vec().into());
        Ok(read.value.keys().iter().map(part).collect())
    }

    fn write(
        &self,
        namespace: NamespaceId,
        name: SecretName,
        known: Option<SecretId>,
        parts: &OwnSecretData,
        now: Timestamp,
    ) -> Result<(), OwnSecretError> {
        let mut keys = BTreeMap::new();
        for (key, bytes) in parts {
            keys.insert(key.parse().map_err(malformed)?, SecretBytes::new(bytes.to_vec()));
        }
        let value = Value::from_keys(keys).map_err(malformed)?;
        let version: VersionId = format!("v-{}", now.as_second()).parse().map_err(malformed)?;
        match known {
            Some(secret) => {
                let put = PutValue {
                    secret,
                    version,
                    value,
                    stages: Vec::new(),
                };
                self.store.run(put, meta(now)?)?;
            }
            None => {
                let create = CreateSecret {
                    description: self.description.to_owned(),
                    ..CreateSecret::new(SecretId::generate()?, namespace, name, version, value)
                };
                self.store.run(create, meta(now)?)?;
            }
        }
        Ok(())
    }
}

fn meta(now: Timestamp) -> Result<Meta, OwnSecretError> {
    Ok(Meta {
        actor: Actor::Controller("gateway".to_owned()),
        request: RequestId::generate()?,
        now: store_time(now),
        asked: None,
    })
}
