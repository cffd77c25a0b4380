//! Secrets and their namespaces, as controllers ask about them.

use std::collections::BTreeMap;
use std::time::Duration;

use strongroom_model::id::{NamespaceId, SecretId};
use strongroom_model::name::{ExternalId, KeyName, NamespaceName, SecretName, VersionId};
use strongroom_model::object_ref::ObjectRef;
use strongroom_store::value::Value;
use strongroom_store::vault::{
    AcceptNamespace, BindMaterialized, BindNamespace, BindObject, CLOCK_TRUST_DELAY, CreateSecret,
    DeleteSecret, Deletion, DestroySecret, EnsureVersion, GetValue, KeepRecoveryWindow, NamespaceView,
    PurgeDue, PurgeSecret, Refusal, ReleaseNamespace, RestoreSecret, SecretView, Store, StoreError,
    UpdateSecret,
};

use super::handle::meta;
use super::{StoreFailure, StoreHandle};

/// Who the records of most changes name.
pub(super) const MANAGED_SECRET: &str = "ManagedSecret";

/// Secrets a page, when all are looked through.
const SECRETS_PER_PAGE: usize = 500;

/// A namespace that the store has bound to a Namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamespaceRecord {
    /// Its id in the store.
    pub(crate) id: NamespaceId,
    /// UID of the Namespace that it is bound to.
    pub(crate) uid: ExternalId,
}

/// A secret that belongs to a ManagedSecret, with its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedSecret {
    /// The Namespace that the store recorded.
    pub(crate) namespace: ObjectRef,
    pub(crate) view: SecretView,
}

/// A secret that belongs to no ManagedSecret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Orphan {
    /// Name of the namespace.
    pub(crate) namespace: NamespaceName,
    pub(crate) view: SecretView,
    /// Name of the customer's key that it comes under.
    pub(crate) key: Option<KeyName>,
}

impl StoreHandle {
    /// What is recorded under the name of a namespace.
    pub(crate) async fn namespace(&self, name: &str) -> Result<Option<NamespaceRecord>, StoreFailure> {
        let name = NamespaceName::new(name)?;
        self.read(move |store| {
            let found = store.namespace_named(&name)?;
            // Without a UID it comes from a backup, and learns that of the new cluster when it is bound.
            Ok(found.and_then(|found| {
                Some(NamespaceRecord {
                    id: found.id,
                    uid: found.uid?,
                })
            }))
        })
        .await
    }

    /// The secret of this name.
    pub(crate) async fn find(
        &self,
        namespace: NamespaceId,
        name: &SecretName,
    ) -> Result<Option<SecretView>, StoreFailure> {
        let name = name.clone();
        self.read(move |store| Ok(store.find(namespace, &name)?)).await
    }

    /// The secret of this id.
    pub(crate) async fn describe(&self, secret: SecretId) -> Result<Option<SecretView>, StoreFailure> {
        self.read(move |store| match store.describe(secret) {
            Ok(found) => Ok(Some(found)),
            Err(StoreError::Refused(Refusal::SecretNotFound)) => Ok(None),
            Err(error) => Err(error.into()),
        })
        .await
    }

    /// The value of one version of a live secret.
    pub(crate) async fn open(&self, secret: SecretId, version: &VersionId) -> Result<Value, StoreFailure> {
        self.open_for(secret, version, String::new()).await
    }

    /// The same, for a purpose that its record names.
    pub(crate) async fn open_for(
        &self,
        secret: SecretId,
        version: &VersionId,
        purpose: String,
    ) -> Result<Value, StoreFailure> {
        let get = GetValue {
            version: Some(version.clone()),
            detail: purpose,
            ..GetValue::current(secret)
        };
        let meta = meta(MANAGED_SECRET)?;
        self.read(move |store| Ok(store.value(&get, &meta)?.value)).await
    }

    /// Every live secret with an object, in any order.
    pub(crate) async fn owned(&self) -> Result<Vec<OwnedSecret>, StoreFailure> {
        self.read(|store| {
            let namespaces = store.namespaces()?;
            Ok(collected(store, |secret| Ok(owned(secret, &namespaces)))?)
        })
        .await
    }

    /// Live secrets of people that belong to no object.
    pub(crate) async fn orphans(&self) -> Result<Vec<Orphan>, StoreFailure> {
        self.read(|store| {
            let namespaces = store.namespaces()?;
            Ok(collected(store, |secret| orphan(store, secret, &namespaces))?)
        })
        .await
    }

    /// Records the UID of a namespace under its name.
    pub(crate) async fn bind_namespace(&self, name: &str, uid: &str) -> Result<(), StoreFailure> {
        let command = BindNamespace {
            name: NamespaceName::new(name)?,
            uid: ExternalId::new(uid)?,
        };
        self.change(MANAGED_SECRET, command).await.map(drop)
    }

    /// Gives the secrets under this name to the namespace with this UID.
    pub(crate) async fn accept_namespace(&self, name: &str, uid: &str) -> Result<(), StoreFailure> {
        let command = AcceptNamespace {
            name: NamespaceName::new(name)?,
            uid: ExternalId::new(uid)?,
        };
        self.change(MANAGED_SECRET, command).await.map(drop)
    }

    /// Whether a namespace has room for another secret, of which nothing else is known yet.
    pub(crate) async fn has_room(&self, namespace: NamespaceId) -> Result<(), StoreFailure> {
        self.read(move |store| Ok(store.check_quota(namespace, None)?))
            .await
    }

    /// Makes a secret with its first version.
    pub(crate) async fn create(&self, new: CreateSecret) -> Result<(), StoreFailure> {
        self.change(MANAGED_SECRET, new).await.map(drop)
    }

    /// Adds a version as Current, unless its id exists.
    pub(crate) async fn ensure(&self, new: EnsureVersion) -> Result<(), StoreFailure> {
        self.change(MANAGED_SECRET, new).await.map(drop)
    }

    /// Replaces the labels and the description.
    pub(crate) async fn update(
        &self,
        secret: SecretId,
        labels: BTreeMap<String, String>,
        description: String,
    ) -> Result<(), StoreFailure> {
        let command = UpdateSecret {
            secret,
            description: Some(description),
            labels: Some(labels),
            key: None,
        };
        self.change(MANAGED_SECRET, command).await.map(drop)
    }

    /// Records the object that the secret belongs to.
    pub(crate) async fn bind_object(&self, secret: SecretId, object: ObjectRef) -> Result<(), StoreFailure> {
        let object = Some(object);
        self.change(MANAGED_SECRET, BindObject { secret, object })
            .await
            .map(drop)
    }

    /// Records the native Secret that is ours, or that there is none.
    pub(crate) async fn bind_materialized(
        &self,
        secret: SecretId,
        materialized: Option<ObjectRef>,
    ) -> Result<(), StoreFailure> {
        let command = BindMaterialized { secret, materialized };
        self.change(MANAGED_SECRET, command).await.map(drop)
    }

    /// Takes a secret out of its recovery window.
    pub(crate) async fn restore(&self, secret: SecretId) -> Result<(), StoreFailure> {
        self.change(MANAGED_SECRET, RestoreSecret { secret })
            .await
            .map(drop)
    }

    /// Destroys a secret that is in its recovery window.
    pub(crate) async fn purge(&self, secret: SecretId) -> Result<(), StoreFailure> {
        self.change(MANAGED_SECRET, PurgeSecret { secret }).await
    }

    /// Opens the recovery window of a secret.
    pub(crate) async fn delete(&self, secret: SecretId, days: u32) -> Result<(), StoreFailure> {
        let deletion = Deletion {
            window_days: Some(days),
            force: false,
        };
        self.change(MANAGED_SECRET, DeleteSecret { secret, deletion })
            .await
            .map(drop)
    }

    /// Destroys a secret that was made where nothing is kept.
    pub(crate) async fn destroy(&self, secret: SecretId) -> Result<(), StoreFailure> {
        self.change(MANAGED_SECRET, DestroySecret { secret }).await
    }

    /// Gives a secret a recovery window that was made without one.
    pub(crate) async fn keep_window(&self, secret: SecretId) -> Result<(), StoreFailure> {
        self.change(MANAGED_SECRET, KeepRecoveryWindow { secret }).await
    }

    /// Frees the name of a namespace that is gone, if nothing of it is kept: what is left there is destroyed.
    /// Answers whether the name is free.
    pub(crate) async fn release_namespace(
        &self,
        namespace: NamespaceId,
        uid: ExternalId,
    ) -> Result<bool, StoreFailure> {
        // Most often something is kept, and the writer is not to be asked for that each time.
        if self.read(move |store| store.has_retained_data(namespace)).await? {
            return Ok(false);
        }
        self.change(MANAGED_SECRET, ReleaseNamespace { namespace, uid })
            .await
    }

    /// Destroys some of what is due; the clock has been steady for so long. Answers with the secrets, and
    /// whether there is more. Nothing is destroyed, without an error, while the clock has not been steady for
    /// long enough.
    pub(crate) async fn purge_due(
        &self,
        steady_for: Duration,
    ) -> Result<(Vec<SecretId>, bool), StoreFailure> {
        if steady_for < CLOCK_TRUST_DELAY {
            return Ok((Vec::new(), false));
        }
        let purged = self.change(MANAGED_SECRET, PurgeDue { steady_for }).await?;
        Ok((purged.secrets, purged.more))
    }
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
    if !secret.is_live() || secret.object.is_some() || secret.name.is_products() {
        return Ok(None);
    }
    let Some(home) = home(&secret, namespaces) else {
        return Ok(None);
    };
    let key = match secret.key.customer() {
        None => None,
        Some(key) => Some(store.describe_key(secret.namespace, key)?.name),
    };
    Ok(Some(Orphan {
        namespace: home.name.clone(),
        view: secret,
        key,
    }))
}

fn owned(secret: SecretView, namespaces: &[NamespaceView]) -> Option<OwnedSecret> {
    if !secret.is_live() || secret.object.is_none() {
        return None;
    }
    let home = home(&secret, namespaces)?;
    Some(OwnedSecret {
        namespace: ObjectRef {
            name: home.name.to_string(),
            uid: home.uid.clone()?,
        },
        view: secret,
    })
}

fn home<'a>(secret: &SecretView, namespaces: &'a [NamespaceView]) -> Option<&'a NamespaceView> {
    namespaces
        .iter()
        .find(|namespace| namespace.id == secret.namespace)
}
