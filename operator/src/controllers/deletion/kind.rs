//! The kinds whose objects stand for something in the store, and what differs between them when an object is
//! gone.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;

use jiff::Timestamp;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector;
use kube::{Api, CustomResourceExt, Resource, ResourceExt};
use strongroom_crds::v1alpha1::{EncryptionKey, ManagedSecret};
use strongroom_model::id::SecretId;
use strongroom_model::name::ExternalId;
use strongroom_model::object_ref::ObjectRef;
use strongroom_rules::encryption_key::goes_with_its_object;
use strongroom_store::vault::{KeyView, Recovery};

use super::signals::DeletionSignals;
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;
use crate::kube::watch::{self, Selection};
use crate::secret_labels::{Deletion, deletion, recovery};
use crate::store_handle::{OwnedKey, OwnedSecret, timestamp};

/// A kind whose absent objects mean something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OwnerKind {
    /// The secret's recovery window opens.
    #[default]
    ManagedSecret,
    /// The key's destruction is scheduled.
    EncryptionKey,
}

/// Something of the store that belongs to an object.
#[derive(Clone, Debug)]
pub(super) struct OwnedResource {
    /// Its id, in hex.
    pub(super) id: String,
    /// Name of its namespace.
    pub(super) namespace: String,
    /// UID of the Namespace that the store recorded.
    pub(super) namespace_uid: ExternalId,
    /// The object that declares it, by name and UID.
    pub(super) object: ObjectRef,
    /// When it was made.
    pub(super) created: Timestamp,
    /// What follows its deletion, by what the store has.
    pub(super) recovery: Recovery,
    /// Whether it is a secret or a key.
    pub(super) resource: StoredResource,
}

/// What belongs to an object.
#[derive(Clone, Debug)]
pub(super) enum StoredResource {
    /// A live secret.
    Secret(SecretId),
    /// A key that works or is disabled.
    Key(Box<KeyView>),
}

/// What lost its object, as our cache has it.
#[derive(Debug, Default)]
pub(super) struct DeletionCandidates {
    /// What goes when its object is gone, and whose object is not in our cache.
    pub(super) owned: Vec<OwnedResource>,
    /// UIDs of the objects of those, and of those whose keys go once nothing lies under them.
    pub(super) awaited: HashSet<String>,
    /// Ids of what has its object, of the namespaces that those are of.
    pub(super) present: BTreeMap<String, BTreeSet<String>>,
    /// Secrets that were made where nothing is kept, and that are kept now: the label of the namespace is
    /// gone, or their object retains them.
    pub(super) keep: Vec<SecretId>,
}

impl OwnerKind {
    /// The ConfigMap that lists what waits for a person.
    pub(super) const fn config_map(self) -> &'static str {
        match self {
            Self::ManagedSecret => "strongroom-deletions",
            Self::EncryptionKey => "strongroom-key-deletions",
        }
    }

    /// The kind's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ManagedSecret => "ManagedSecret",
            Self::EncryptionKey => "EncryptionKey",
        }
    }

    /// Name of its CustomResourceDefinition.
    pub(super) fn crd_name(self) -> &'static str {
        match self {
            Self::ManagedSecret => ManagedSecret::crd_name(),
            Self::EncryptionKey => EncryptionKey::crd_name(),
        }
    }

    /// What the watches tell about it.
    pub(super) const fn signals(self, ctx: &Ctx) -> &DeletionSignals {
        match self {
            Self::ManagedSecret => &ctx.deletion_signals,
            Self::EncryptionKey => &ctx.key_deletion_signals,
        }
    }

    /// Whether our cache has an object of this name. One that was made anew takes over in its own turn.
    pub(super) fn is_there(self, ctx: &Ctx, namespace: &str, name: &str) -> bool {
        match self {
            Self::ManagedSecret => ctx
                .managed_secrets
                .get(&reflector::ObjectRef::new(name).within(namespace))
                .is_some(),
            Self::EncryptionKey => ctx.keys.has_object(namespace, name),
        }
    }

    /// UIDs of the objects in our cache.
    pub(super) fn uids(self, ctx: &Ctx) -> Vec<String> {
        match self {
            Self::ManagedSecret => ctx
                .managed_secrets
                .state()
                .iter()
                .filter_map(|kept| kept.uid())
                .collect(),
            Self::EncryptionKey => ctx.keys.uids(),
        }
    }

    /// Compares the store with our cache.
    pub(super) async fn candidates(self, ctx: &Ctx) -> Result<DeletionCandidates, Failure> {
        let mut suspects = DeletionCandidates::default();
        // Namespace and id of what has its object.
        let mut places: Vec<(String, String)> = Vec::new();
        match self {
            Self::ManagedSecret => {
                for owned in ctx.store.owned().await? {
                    let id = owned.view.id.to_string();
                    if is_retained_now(ctx, &owned) {
                        suspects.keep.push(owned.view.id);
                    }
                    let Some(object) = owned.view.object else { continue };
                    if self.is_there(ctx, &owned.namespace.name, &object.name) {
                        places.push((owned.namespace.name, id));
                    } else if deletion(&owned.view.labels) != Deletion::Retain {
                        suspects.awaited.insert(object.uid.to_string());
                        suspects.owned.push(OwnedResource {
                            id,
                            namespace: owned.namespace.name,
                            namespace_uid: owned.namespace.uid,
                            object,
                            created: timestamp(owned.view.created),
                            recovery: owned.view.recovery,
                            resource: StoredResource::Secret(owned.view.id),
                        });
                    }
                }
            }
            Self::EncryptionKey => {
                for owned in ctx.store.owned_keys().await? {
                    let Some(declared) = &owned.key.declaration else {
                        continue;
                    };
                    if self.is_there(ctx, &owned.namespace.name, &declared.object.name) {
                        places.push((owned.namespace.name, owned.key.id.to_string()));
                    } else {
                        suspects.awaited.insert(declared.object.uid.to_string());
                        suspects.owned.extend(deletable(ctx, owned).await?);
                    }
                }
            }
        }
        for owned in &suspects.owned {
            suspects.present.entry(owned.namespace.clone()).or_default();
        }
        for (namespace, id) in places {
            if let Some(present) = suspects.present.get_mut(&namespace) {
                present.insert(id);
            }
        }
        Ok(suspects)
    }

    /// Namespace and name of every object there is.
    pub(super) async fn list(self, ctx: &Ctx) -> Result<HashSet<(String, String)>, Failure> {
        match self {
            Self::ManagedSecret => list::<ManagedSecret>(ctx).await,
            Self::EncryptionKey => list::<EncryptionKey>(ctx).await,
        }
    }
}

/// Whether a secret was made where nothing is kept, and that is not so any more.
fn is_retained_now(ctx: &Ctx, owned: &OwnedSecret) -> bool {
    let labelled = match ctx.cluster.namespace(&owned.namespace.name) {
        Some(seen) if seen.uid == owned.namespace.uid.as_str() => seen.keeps_nothing,
        // Gone, or not seen yet: as far as is known the label stood to the end.
        _ => true,
    };
    owned.view.recovery == Recovery::Nothing && recovery(&owned.view.labels, labelled) == Recovery::Window
}

/// A key whose object is gone, if it goes with it.
async fn deletable(ctx: &Ctx, owned: OwnedKey) -> Result<Option<OwnedResource>, Failure> {
    let Some(declared) = owned.key.declaration.clone() else {
        return Ok(None);
    };
    let usage = ctx.store.key_usage(owned.key.namespace).await?;
    let dependents = usage.get(&owned.key.id).map_or(0, |usage| usage.secrets);
    if !goes_with_its_object(dependents, declared.loss_accepted) {
        return Ok(None);
    }
    Ok(Some(OwnedResource {
        id: owned.key.id.to_string(),
        namespace: owned.namespace.name,
        namespace_uid: owned.namespace.uid,
        object: declared.object,
        created: timestamp(owned.key.created),
        recovery: Recovery::Window,
        resource: StoredResource::Key(Box::new(owned.key)),
    }))
}

/// A consistent list: it is no older than the request.
async fn list<K>(ctx: &Ctx) -> Result<HashSet<(String, String)>, Failure>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    #[derive(serde::Deserialize)]
    struct PartialObject {
        metadata: Place,
    }
    #[derive(serde::Deserialize)]
    struct Place {
        namespace: String,
        name: String,
    }
    let api: Api<K> = Api::all(ctx.client.clone());
    let mut found = HashSet::new();
    watch::list(api, Selection::metadata(), |PartialObject { metadata }| {
        found.insert((metadata.namespace, metadata.name));
        ControlFlow::Continue(())
    })
    .await?;
    Ok(found)
}
