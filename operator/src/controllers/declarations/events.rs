//! Declarations that the watches see and no reconcile handles: deleted objects, and our annotations and
//! labels on Namespaces.

use std::collections::HashSet;
use std::sync::Arc;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use strongroom_model::name::{ExternalId, NameError, NamespaceName};
use strongroom_rules::declaration::{DeclarationScope, Digest, is_marked};
use strongroom_store::vault::DeclaredObject;

use super::state::{WatchEvent, short};
use crate::controllers::Ctx;
use crate::kube::watch::WatchChange;
use crate::store_handle::StoreFailure;

/// The kind of Namespaces.
const NAMESPACE: &str = "Namespace";
/// Kinds whose names are told.
const KINDS: [&str; 6] = [
    "ManagedSecret",
    "RotationSchedule",
    "SecretPolicy",
    "EncryptionKey",
    "SecretProduct",
    NAMESPACE,
];
/// Kinds whose objects something in the store belongs to: it goes later, in the name of whoever deleted the
/// object.
const AWAITED_KINDS: [&str; 2] = ["ManagedSecret", "EncryptionKey"];
/// Events that the store takes at the same time.
const MAX_PARALLEL_EVENTS: usize = 32;

/// Reads what is known. Must come before the watches.
pub(crate) async fn begin(ctx: &Ctx) {
    let begun = ctx.store.begin_attestations().await;
    let known = ctx.store.declarations_without(NAMESPACE, HashSet::new()).await;
    match begun.and(known) {
        Ok(known) => ctx
            .declarations
            .namespaces
            .lock()
            .extend(known.into_iter().map(|known| known.uid.to_string())),
        Err(error) => tracing::warn!(%error, "declarations read failed"),
    }
    match ctx.store.withdrawn_objects().await {
        Ok(gone) => {
            for object in gone {
                ctx.declarations.keeps(kind_of(&object), object.uid.to_string());
            }
        }
        Err(error) => tracing::warn!(%error, "withdrawn objects read failed"),
    }
}

/// Has the store take in what the watches say, until it is dropped.
pub(crate) async fn run(ctx: Arc<Ctx>) {
    let receiver = ctx.declarations.receiver.lock().take();
    if let Some(receiver) = receiver {
        receiver
            .map(|event| {
                let ctx = Arc::clone(&ctx);
                async move { take_in(&ctx, event).await }
            })
            .buffer_unordered(MAX_PARALLEL_EVENTS)
            .for_each(|()| std::future::ready(()))
            .await;
    }
    // The watches go on whatever becomes of this.
    std::future::pending::<()>().await;
}

pub(super) async fn take_in(ctx: &Ctx, event: WatchEvent) {
    let done = match event {
        WatchEvent::Gone(object, digest) => {
            let uid = object.uid.to_string();
            let done = withdraw(ctx, object, digest).await;
            ctx.declarations.ended(&uid);
            done
        }
        WatchEvent::Listed(kind, there) => listed(ctx, kind, there).await,
        WatchEvent::Namespace(object, created, digest) => namespace(ctx, object, created, digest).await,
    };
    if let Err(error) = done {
        // What is still kept of it is found missing at the next list.
        tracing::warn!(%error, "declaration record failed");
    }
}

/// The same text for as long as the process lives.
fn kind_of(object: &DeclaredObject) -> &'static str {
    KINDS
        .into_iter()
        .find(|kind| *kind == object.kind)
        .unwrap_or("other")
}

async fn withdraw(ctx: &Ctx, object: DeclaredObject, digest: Option<Digest>) -> Result<(), StoreFailure> {
    let (kind, uid) = (kind_of(&object), object.uid.to_string());
    ctx.declarations.settled.lock().remove(&short(uid.as_bytes()));
    let awaited = AWAITED_KINDS.contains(&kind);
    let taken = ctx.store.withdraw_declaration(object, digest, awaited).await?;
    ctx.declarations.taken(&ctx.metrics, kind, &taken);
    if taken.changed {
        ctx.declarations.withdraw(&uid, taken.requester);
        if awaited {
            ctx.declarations.keeps(kind, uid);
        }
    }
    Ok(())
}

async fn listed(ctx: &Ctx, kind: &'static str, there: HashSet<String>) -> Result<(), StoreFailure> {
    for gone in ctx.store.declarations_without(kind, there).await? {
        withdraw(ctx, gone, None).await?;
    }
    Ok(())
}

async fn namespace(
    ctx: &Ctx,
    object: DeclaredObject,
    created: Timestamp,
    digest: Digest,
) -> Result<(), StoreFailure> {
    let place = short(object.uid.as_str().as_bytes());
    let taken = ctx.store.take_declaration(object, created, digest).await;
    if taken.is_err() {
        // The next event of it tries again.
        ctx.declarations.settled.lock().remove(&place);
    }
    ctx.declarations.taken(&ctx.metrics, NAMESPACE, &taken?);
    Ok(())
}

/// Follows what Namespaces carry of ours, by the events of their watch. Of one that carries nothing, and
/// never did, nothing is kept.
pub(crate) fn saw_namespaces(ctx: &Ctx, change: &WatchChange<PartialObjectMeta<Namespace>>) {
    match change {
        WatchChange::Applied { object, listed } => saw(ctx, object, !listed),
        WatchChange::Deleted(namespace) => gone(ctx, namespace),
        WatchChange::Listed(listed) => {
            let there = listed.uids();
            ctx.declarations
                .namespaces
                .lock()
                .retain(|uid| there.contains(uid));
            ctx.declarations.listed(NAMESPACE, there);
        }
    }
}

/// `just_now`: it was not so a moment ago, however old the Namespace is.
fn saw(ctx: &Ctx, namespace: &PartialObjectMeta<Namespace>, just_now: bool) {
    // From here on nothing of it counts, and who deleted it is known now.
    if namespace.metadata.deletion_timestamp.is_some() {
        return gone(ctx, namespace);
    }
    let uid = namespace.uid().unwrap_or_default();
    let keys = namespace.labels().keys().chain(namespace.annotations().keys());
    let is_new = {
        let mut known = ctx.declarations.namespaces.lock();
        if is_marked(keys.map(String::as_str)) {
            known.insert(uid.clone());
        } else if !known.contains(&uid) {
            return;
        }
        let (place, digest) = (short(uid.as_bytes()), short(carried(namespace).bytes()));
        ctx.declarations.settled.lock().insert(place, digest) != Some(digest)
    };
    if is_new && let Ok(object) = object(namespace) {
        let created = namespace
            .creation_timestamp()
            .filter(|_| !just_now)
            .map_or(Timestamp::MAX, |time| time.0);
        ctx.declarations
            .tell(WatchEvent::Namespace(object, created, carried(namespace)));
    }
}

fn gone(ctx: &Ctx, namespace: &PartialObjectMeta<Namespace>) {
    let uid = namespace.uid().unwrap_or_default();
    ctx.declarations.settled.lock().remove(&short(uid.as_bytes()));
    if ctx.declarations.namespaces.lock().remove(&uid)
        && let Ok(object) = object(namespace)
    {
        ctx.declarations
            .tell(WatchEvent::Gone(object, Some(carried(namespace))));
    }
}

fn carried(namespace: &PartialObjectMeta<Namespace>) -> Digest {
    let labels = namespace.labels().iter();
    let annotations = namespace.annotations().iter();
    Digest::from_parts(
        DeclarationScope::Marks,
        None,
        labels.map(|(key, value)| (key.as_str(), value.as_str())),
        annotations.map(|(key, value)| (key.as_str(), value.as_str())),
    )
}

fn object(namespace: &PartialObjectMeta<Namespace>) -> Result<DeclaredObject, NameError> {
    Ok(DeclaredObject {
        kind: NAMESPACE.to_owned(),
        namespace: NamespaceName::new(&namespace.name_any())?,
        name: namespace.name_any(),
        uid: ExternalId::new(&namespace.uid().unwrap_or_default())?,
    })
}
