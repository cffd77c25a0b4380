//! [`SecretStore`] on the real store. Reads go to the blocking pool, because they touch the disk; changes
//! wait for the writer's answer.

use std::time::Duration;

use jiff::Timestamp;
use strongroom_store::audit::{Actor, Durability};
use strongroom_store::engine::EngineError;
use strongroom_store::id::{NamespaceId, RequestId, SecretId};
use strongroom_store::name::{ExternalId, NameError, NamespaceName, SecretName, VersionId};
use strongroom_store::time::Timestamp as StoreTime;
use strongroom_store::value::Value;
use strongroom_store::vault::{
    AcceptNamespace, BindMaterialized, BindNamespace, BindObject, CLOCK_TRUST_DELAY, Command, CreateSecret,
    DeleteSecret, Deletion, DestroySecret, EnsureVersion, GetValue, KeepRecoveryWindow, KeyRef,
    MaterializedObject, Meta, NamespaceView, ObjectBinding, PurgeDue, PurgeSecret, Refusal, ReleaseNamespace,
    RestoreSecret, RotationMark, SecretState, SecretView, Store, StoreError, UpdateSecret,
};
use tokio::sync::{Semaphore, oneshot};

use super::{
    BoundObject, NamespaceRecord, NewSecret, NewVersion, Orphan, OwnedSecret, RotationCause, SecretRecord,
    SecretStore, StoreFailure, VersionView,
};
use crate::controllers::declarations;

/// Secrets a page, when all are looked through.
const SECRETS_PER_PAGE: usize = 500;

impl From<StoreError> for StoreFailure {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Refused(Refusal::BaseMoved) => Self::BaseMoved,
            StoreError::Refused(
                Refusal::KeyDisabled | Refusal::KeyPendingDeletion { .. } | Refusal::KeyDestroyed,
            ) => Self::KeyDisabled(text),
            StoreError::Refused(Refusal::KeyInUse | Refusal::KeyVersionInUse) => Self::KeyInUse(text),
            StoreError::Refused(Refusal::NamespaceFull { .. }) => Self::NamespaceFull(text),
            StoreError::Refused(_) => Self::Refused(text),
            StoreError::Damaged { .. } => Self::Damaged(text),
            StoreError::Audit(_) => Self::AuditUnavailable(text),
            StoreError::Engine(EngineError::OutOfSpace) => Self::Full,
            StoreError::Fenced
            | StoreError::Unknown { .. }
            | StoreError::NotCommitted
            | StoreError::AnchorUnavailable(_)
            | StoreError::Closed
            | StoreError::Engine(_)
            | StoreError::Crypto(_) => Self::Unavailable(text),
        }
    }
}

impl From<NameError> for StoreFailure {
    fn from(error: NameError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Who the records of most changes name.
const ACTOR: &str = "ManagedSecret";

/// Who asks, and when.
fn meta(controller: &str) -> Result<Meta, StoreFailure> {
    let request = RequestId::generate().map_err(|error| StoreFailure::Unavailable(error.to_string()))?;
    let now = StoreTime::from_millis(Timestamp::now().as_millisecond());
    Ok(Meta {
        actor: Actor::Controller(controller.to_owned()),
        request,
        now,
        asked: None,
    })
}

/// Reads at the same time. More would come no sooner, and each would have a thread of its own, with a stack
/// and a heap: those of a burst stay resident long after it.
const MAX_PARALLEL_READS: usize = 4;
static READING: Semaphore = Semaphore::const_new(MAX_PARALLEL_READS);

/// Runs a read on the blocking pool.
pub(super) async fn read<T: Send + 'static>(
    store: &Store,
    read: impl FnOnce(&Store) -> Result<T, StoreFailure> + Send + 'static,
) -> Result<T, StoreFailure> {
    let store = store.clone();
    // It is never closed.
    let turn = READING.acquire().await;
    let done = tokio::task::spawn_blocking(move || read(&store)).await;
    drop(turn);
    done.map_err(|_| StoreFailure::Unavailable("the process is ending".to_owned()))?
}

/// Runs a command on the writer, on behalf of a ManagedSecret.
pub(super) async fn change<C: Command>(store: &Store, command: C) -> Result<C::Reply, StoreFailure> {
    change_as(store, ACTOR, command).await
}

/// Runs a command on the writer, on behalf of an object of this kind, and of whoever wrote it where that is
/// known ([`declarations::on_behalf_of`]).
pub(super) async fn change_as<C: Command>(
    store: &Store,
    controller: &str,
    command: C,
) -> Result<C::Reply, StoreFailure> {
    let (answer, answered) = oneshot::channel();
    let requester = declarations::requester();
    store.submit_for(requester, command, meta(controller)?, move |reply| {
        // Nobody waits any more: the process is ending.
        let _ = answer.send(reply);
    });
    let reply = answered
        .await
        .map_err(|_| StoreFailure::Unavailable("the store is closing".to_owned()))?;
    Ok(reply?)
}

pub(super) fn time(time: StoreTime) -> Timestamp {
    Timestamp::from_millisecond(time.as_millis()).unwrap_or(Timestamp::MAX)
}

fn view(secret: SecretView) -> SecretRecord {
    SecretRecord {
        id: secret.id,
        namespace: secret.namespace,
        until: match secret.state {
            SecretState::Live => None,
            SecretState::PendingDeletion { until, .. } => Some(time(until)),
        },
        key: match secret.key {
            KeyRef::Customer(key) => Some(key),
            KeyRef::Default => None,
        },
        labels: secret.labels,
        description: secret.description,
        object: secret.object.map(|object| BoundObject {
            name: object.name,
            uid: object.uid.to_string(),
        }),
        materialized: secret.materialized.map(|native| BoundObject {
            name: native.name,
            uid: native.uid.to_string(),
        }),
        stages: secret
            .stages
            .iter()
            .map(|(stage, id)| (stage.as_str().to_owned(), id.to_string()))
            .collect(),
        versions: secret
            .versions
            .into_iter()
            .map(|version| VersionView {
                id: version.id.to_string(),
                seq: version.sequence.into(),
                created: time(version.created),
                stages: version
                    .stages
                    .iter()
                    .map(|stage| stage.as_str().to_owned())
                    .collect(),
            })
            .collect(),
        created: time(secret.created),
        recovery: secret.recovery,
        rotated: secret.rotation.last.map(time),
    }
}

impl SecretStore for Store {
    async fn namespace(&self, name: &str) -> Result<Option<NamespaceRecord>, StoreFailure> {
        let name = NamespaceName::new(name)?;
        read(self, move |store| {
            let found = store.namespace_named(&name)?;
            // Without a UID it comes from a backup, and learns that of the new cluster when it is bound.
            Ok(found.and_then(|found| {
                Some(NamespaceRecord {
                    id: found.id,
                    uid: found.uid?.to_string(),
                })
            }))
        })
        .await
    }

    async fn find(
        &self,
        namespace: NamespaceId,
        name: &SecretName,
    ) -> Result<Option<SecretRecord>, StoreFailure> {
        let name = name.clone();
        read(self, move |store| Ok(store.find(namespace, &name)?.map(view))).await
    }

    async fn describe(&self, secret: SecretId) -> Result<Option<SecretRecord>, StoreFailure> {
        read(self, move |store| match store.describe(secret) {
            Ok(found) => Ok(Some(view(found))),
            Err(StoreError::Refused(Refusal::SecretNotFound)) => Ok(None),
            Err(error) => Err(error.into()),
        })
        .await
    }

    async fn open(&self, secret: SecretId, version: &str) -> Result<Value, StoreFailure> {
        self.open_for(secret, version, String::new()).await
    }

    async fn open_for(
        &self,
        secret: SecretId,
        version: &str,
        purpose: String,
    ) -> Result<Value, StoreFailure> {
        let version = Some(VersionId::new(version)?);
        let meta = meta(ACTOR)?;
        read(self, move |store| {
            let get = GetValue {
                secret,
                version,
                stage: None,
                durability: Durability::Batched,
                detail: purpose,
            };
            Ok(store.value(&get, &meta)?.value)
        })
        .await
    }

    async fn owned(&self) -> Result<Vec<OwnedSecret>, StoreFailure> {
        read(self, |store| {
            let namespaces = store.namespaces()?;
            Ok(collected(store, |secret| Ok(owned(secret, &namespaces)))?)
        })
        .await
    }

    async fn orphans(&self) -> Result<Vec<Orphan>, StoreFailure> {
        read(self, |store| {
            let namespaces = store.namespaces()?;
            Ok(collected(store, |secret| orphan(store, secret, &namespaces))?)
        })
        .await
    }

    async fn bind_namespace(&self, name: &str, uid: &str) -> Result<(), StoreFailure> {
        let command = BindNamespace {
            name: NamespaceName::new(name)?,
            uid: ExternalId::new(uid)?,
        };
        change(self, command).await.map(drop)
    }

    async fn accept_namespace(&self, name: &str, uid: &str) -> Result<(), StoreFailure> {
        let command = AcceptNamespace {
            name: NamespaceName::new(name)?,
            uid: ExternalId::new(uid)?,
        };
        change(self, command).await.map(drop)
    }

    async fn has_room(&self, namespace: NamespaceId) -> Result<(), StoreFailure> {
        read(self, move |store| Ok(store.check_quota(namespace, None)?)).await
    }

    async fn create(&self, new: NewSecret) -> Result<(), StoreFailure> {
        let command = CreateSecret {
            id: new.id,
            namespace: new.namespace,
            name: new.name,
            description: new.description,
            labels: new.labels,
            key: new.key.map_or(KeyRef::Default, KeyRef::Customer),
            version: VersionId::new(&new.version)?,
            value: new.value,
            object: Some(binding(&new.object)?),
            recovery: new.recovery,
        };
        change(self, command).await.map(drop)
    }

    async fn ensure(&self, new: NewVersion) -> Result<(), StoreFailure> {
        let command = EnsureVersion {
            secret: new.secret,
            version: VersionId::new(&new.version)?,
            value: new.value,
            base: Some(VersionId::new(&new.base)?),
            rotation: new.rotation.map(|(rotation, at)| {
                let trigger = match rotation {
                    RotationCause::Scheduled => None,
                    RotationCause::Asked { text } => Some(text),
                };
                RotationMark {
                    at: StoreTime::from_millis(at.as_millisecond()),
                    trigger,
                }
            }),
            may_grow: new.may_grow,
            labels: new.labels,
        };
        change(self, command).await.map(drop)
    }

    async fn update(
        &self,
        secret: SecretId,
        labels: std::collections::BTreeMap<String, String>,
        description: String,
    ) -> Result<(), StoreFailure> {
        change(
            self,
            UpdateSecret {
                secret,
                description: Some(description),
                labels: Some(labels),
                key: None,
            },
        )
        .await
        .map(drop)
    }

    async fn bind_object(&self, secret: SecretId, object: BoundObject) -> Result<(), StoreFailure> {
        change(
            self,
            BindObject {
                secret,
                object: Some(binding(&object)?),
            },
        )
        .await
        .map(drop)
    }

    async fn bind_materialized(
        &self,
        secret: SecretId,
        native: Option<BoundObject>,
    ) -> Result<(), StoreFailure> {
        let materialized = match native {
            Some(native) => Some(MaterializedObject {
                uid: ExternalId::new(&native.uid)?,
                name: native.name,
            }),
            None => None,
        };
        change(self, BindMaterialized { secret, materialized })
            .await
            .map(drop)
    }

    async fn restore(&self, secret: SecretId) -> Result<(), StoreFailure> {
        change(self, RestoreSecret { secret }).await.map(drop)
    }

    async fn purge(&self, secret: SecretId) -> Result<(), StoreFailure> {
        change(self, PurgeSecret { secret }).await
    }

    async fn delete(&self, secret: SecretId, days: u8) -> Result<(), StoreFailure> {
        let deletion = Deletion {
            window_days: Some(days.into()),
            force: false,
        };
        change(self, DeleteSecret { secret, deletion }).await.map(drop)
    }

    async fn destroy(&self, secret: SecretId) -> Result<(), StoreFailure> {
        change(self, DestroySecret { secret }).await
    }

    async fn keep_window(&self, secret: SecretId) -> Result<(), StoreFailure> {
        change(self, KeepRecoveryWindow { secret }).await
    }

    async fn release_namespace(&self, namespace: NamespaceId, uid: &str) -> Result<bool, StoreFailure> {
        // Most often something is kept, and the writer is not to be asked for that each time.
        if read(self, move |store| Ok(store.has_retained_data(namespace)?)).await? {
            return Ok(false);
        }
        let uid = ExternalId::new(uid)?;
        change(self, ReleaseNamespace { namespace, uid }).await
    }

    async fn purge_due(&self, steady_for: Duration) -> Result<(Vec<SecretId>, bool), StoreFailure> {
        if steady_for < CLOCK_TRUST_DELAY {
            return Ok((Vec::new(), false));
        }
        let purged = change(self, PurgeDue { steady_for }).await?;
        Ok((purged.secrets, purged.more))
    }
}

fn binding(object: &BoundObject) -> Result<ObjectBinding, StoreFailure> {
    Ok(ObjectBinding {
        uid: ExternalId::new(&object.uid)?,
        name: object.name.clone(),
    })
}

/// What `wanted` makes of each secret.
fn collected<T>(
    store: &Store,
    wanted: impl Fn(SecretView) -> Result<Option<T>, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(None, after.as_ref(), SECRETS_PER_PAGE)?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some((last.namespace, last.name.clone()));
        for secret in page {
            found.extend(wanted(secret)?);
        }
    }
}

fn orphan(
    store: &Store,
    secret: SecretView,
    namespaces: &[NamespaceView],
) -> Result<Option<Orphan>, StoreError> {
    // A name with `!` is a product's, or our own.
    if secret.state != SecretState::Live || secret.object.is_some() || secret.name.as_str().contains('!') {
        return Ok(None);
    }
    let home = namespaces
        .iter()
        .find(|namespace| namespace.id == secret.namespace);
    let Some(home) = home else { return Ok(None) };
    let key = match secret.key {
        KeyRef::Default => None,
        KeyRef::Customer(key) => Some(store.describe_key(secret.namespace, key)?.name.to_string()),
    };
    Ok(Some(Orphan {
        namespace: home.name.to_string(),
        name: secret.name.to_string(),
        description: secret.description,
        labels: secret.labels,
        key,
    }))
}

fn owned(secret: SecretView, namespaces: &[NamespaceView]) -> Option<OwnedSecret> {
    if secret.state != SecretState::Live || secret.object.is_none() {
        return None;
    }
    let namespace = namespaces
        .iter()
        .find(|namespace| namespace.id == secret.namespace)?;
    Some(OwnedSecret {
        namespace: namespace.name.to_string(),
        namespace_uid: namespace.uid.as_ref().map(ToString::to_string)?,
        view: view(secret),
    })
}
