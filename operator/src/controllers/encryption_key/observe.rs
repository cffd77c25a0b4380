//! All reading for one `EncryptionKey`: the namespace, the key in the store, and what depends on it. It
//! changes nothing.

use jiff::SignedDuration;
use kube::{Resource, ResourceExt};
use strongroom_crds::annotation::CONFIRM_DATA_LOSS;
use strongroom_crds::v1alpha1::EncryptionKey;
use strongroom_model::id::NamespaceId;
use strongroom_model::name::KeyName;
use strongroom_rules::encryption_key::{Declaration, DesiredKeyState, KeyFacts, StoredKey};
use strongroom_rules::object::NamespaceBinding;
use strongroom_rules::uid::Uid;
use strongroom_rules::value::{DEFAULT_RECOVERY_WINDOW_DAYS, RECOVERY_WINDOW_DAYS};
use strongroom_store::vault::{KeyUsage, KeyView};

use crate::controllers::Ctx;
use crate::controllers::failure::Failure;
use crate::controllers::identity::Identity;
use crate::controllers::namespace::namespace_facts;
use crate::store_handle::timestamp;

/// What was read of one object.
pub(super) struct ObservedKey {
    /// What to decide on.
    pub(super) facts: KeyFacts,
    /// Its name, in the terms of the store.
    pub(super) name: KeyName,
    /// Its namespace in the store.
    pub(super) namespace: Option<NamespaceId>,
    /// The key of this name in the store; none: it is still to be made.
    pub(super) key: Option<KeyView>,
    /// What depends on it.
    pub(super) usage: KeyUsage,
}

/// Reads everything.
pub(super) async fn observe(
    ctx: &Ctx,
    object: &EncryptionKey,
    identity: &Identity,
) -> Result<ObservedKey, Failure> {
    let name = KeyName::new(&identity.name).map_err(|error| Failure::Name(error.to_string()))?;
    let (namespace, record) = namespace_facts(ctx, &identity.namespace).await?;
    let mut key = None;
    let mut usage = KeyUsage::default();
    // Of a namespace that is not ours to read nothing is read.
    if let (NamespaceBinding::Bound, Some(record)) = (&namespace.binding, &record) {
        key = ctx.store.key(record.id, &name).await?;
        if let Some(key) = &key {
            let all = ctx.store.key_usage(record.id).await?;
            usage = all.get(&key.id).copied().unwrap_or_default();
        }
    }
    Ok(ObservedKey {
        facts: KeyFacts {
            leaving: object.meta().deletion_timestamp.is_some(),
            wanted: desired(object, identity),
            namespace,
            stored: key.as_ref().map(stored),
        },
        name,
        namespace: record.map(|record| record.id),
        key,
        usage,
    })
}

fn desired(object: &EncryptionKey, identity: &Identity) -> DesiredKeyState {
    let spec = &object.spec;
    let window = spec.deletion.as_ref().and_then(|deletion| deletion.window);
    DesiredKeyState {
        enabled: spec.enabled.unwrap_or(true),
        rotate_every: spec
            .rotation
            .as_ref()
            .map(|rotation| SignedDuration::from_secs(rotation.every.seconds())),
        declaration: Declaration {
            uid: Uid::new(&identity.uid),
            window_days: window.map_or(DEFAULT_RECOVERY_WINDOW_DAYS, |window| {
                let days = u32::try_from(window.whole_days()).unwrap_or(DEFAULT_RECOVERY_WINDOW_DAYS);
                // The schema lets no others through.
                days.clamp(*RECOVERY_WINDOW_DAYS.start(), *RECOVERY_WINDOW_DAYS.end())
            }),
            loss_accepted: object
                .annotations()
                .get(CONFIRM_DATA_LOSS)
                .is_some_and(|value| value == "true"),
        },
    }
}

fn stored(key: &KeyView) -> StoredKey {
    StoredKey {
        state: key.state.map(timestamp),
        rotated: timestamp(key.primary_created),
        declaration: key.declaration.as_ref().map(|declared| Declaration {
            uid: Uid::new(declared.object.uid.as_str()),
            window_days: declared.window_days,
            loss_accepted: declared.loss_accepted,
        }),
    }
}
