//! ConfigMap `strongroom-ca`: what a client of the API has to trust, in every namespace that has an object of
//! ours, asks for it by the label `strongroom.dev/ca: "true"` on the Namespace, or is a node plugin's. It
//! stays when the last object goes: a pod may still mount it. One of somebody else stays as it is, and an
//! Event says so. A watch tells which was changed or deleted, and that one is looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Resource, ResourceExt};
use parking_lot::Mutex;
use strongroom_rules::ca_bundle::{self, BundleStep, NAME};
use strongroom_rules::retry::ErrorClass;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::Ctx;
use super::failure::Failure;
use super::runtime::watch::logged;
use crate::kube::watch::{ListedObjects, Selection, WatchChange, changes, watcher};
use crate::kube::{EventMessage, EventReason, field_manager};

/// The label on a Namespace that asks for it.
pub(super) const LABEL: &str = "strongroom.dev/ca";
/// How long until what somebody else has, or what the API server refused, is looked at again. What is right
/// is watched.
const REPAIR_DELAY: Duration = Duration::from_secs(600);
/// How long after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// How long after somebody changed it between our look and our write.
const CONFLICT_DELAY: Duration = Duration::from_millis(200);
/// A `resourceVersion` that no object has: an apply with it creates, and meets what exists as a conflict.
const NO_VERSION: &str = "1";

/// The namespaces that are to have the bundle.
#[derive(Debug, Default)]
pub(crate) struct BundleNamespaces {
    homes: Mutex<BTreeMap<String, NamespaceBundle>>,
    news: Notify,
}

/// What is known of the bundle in one namespace.
#[derive(Debug)]
struct NamespaceBundle {
    /// When to look at it; `None`: when the watch tells of it.
    due: Option<Instant>,
    /// The `resourceVersion` in which it was found or left right.
    right: Option<Box<str>>,
}

impl BundleNamespaces {
    /// A namespace is to have it.
    pub(super) fn want(&self, namespace: &str) {
        let mut homes = self.homes.lock();
        if !homes.contains_key(namespace) {
            let home = NamespaceBundle {
                due: Some(Instant::now()),
                right: None,
            };
            homes.insert(namespace.to_owned(), home);
            self.news.notify_one();
        }
    }

    /// A namespace is gone.
    pub(super) fn lost(&self, namespace: &str) {
        self.homes.lock().remove(namespace);
    }

    /// The bundle of a namespace is in this state now; `None`: it is gone.
    fn changed(&self, namespace: &str, version: Option<&str>) {
        if let Some(home) = self.homes.lock().get_mut(namespace)
            && (version.is_none() || home.right.as_deref() != version)
        {
            home.due = Some(Instant::now());
            home.right = None;
            self.news.notify_one();
        }
    }

    /// A complete list has come: where it does not have what was right, that is gone.
    fn listed(&self, listed: &ListedObjects) {
        for (namespace, home) in self.homes.lock().iter_mut() {
            if home.right.is_some() && !listed.contains(namespace, NAME) {
                home.due = Some(Instant::now());
                home.right = None;
                self.news.notify_one();
            }
        }
    }

    /// The text has changed: all ConfigMaps are checked.
    fn all_due(&self) {
        let now = Instant::now();
        for home in self.homes.lock().values_mut() {
            home.due = Some(now);
        }
    }

    /// The namespaces whose bundle is due, which is remembered as looked at; and when the next one is.
    fn take_due(&self, now: Instant) -> (Vec<String>, Option<Instant>) {
        let mut homes = self.homes.lock();
        let mut due = Vec::new();
        for (namespace, home) in homes.iter_mut() {
            if home.due.is_some_and(|at| at <= now) {
                home.due = None;
                due.push(namespace.clone());
            }
        }
        (due, homes.values().filter_map(|home| home.due).min())
    }

    /// Whether one is due now.
    fn any_due(&self) -> bool {
        let now = Instant::now();
        self.homes
            .lock()
            .values()
            .any(|home| home.due.is_some_and(|at| at <= now))
    }

    /// How a look ended. What the watch told meanwhile stays due.
    fn looked(&self, namespace: &str, look: BundleOutcome) {
        if let Some(home) = self.homes.lock().get_mut(namespace) {
            match look {
                BundleOutcome::Right(version) => home.right = Some(version),
                BundleOutcome::Again(after) => {
                    home.due.get_or_insert_with(|| Instant::now() + after);
                }
            }
        }
    }
}

/// How a look at the bundle of one namespace ended.
#[derive(Debug)]
enum BundleOutcome {
    /// It is right in this `resourceVersion`.
    Right(Box<str>),
    /// It has to be looked at again after so long.
    Again(Duration),
}

/// Writes the bundle wherever it is wanted.
pub(super) async fn run(ctx: Arc<Ctx>, bundle: watch::Receiver<String>) {
    futures::future::join(write_due(&ctx, bundle), watch_all(&ctx)).await;
}

async fn write_due(ctx: &Ctx, mut bundle: watch::Receiver<String>) {
    loop {
        let text = bundle.borrow_and_update().clone();
        // Before that nothing is served, or with a certificate of somebody else.
        let mut next = None;
        if !text.is_empty() {
            let due;
            (due, next) = ctx.bundles.take_due(Instant::now());
            for namespace in due {
                let outcome = publish(ctx, &namespace, &text).await;
                ctx.bundles.looked(&namespace, outcome);
            }
            if ctx.bundles.any_due() {
                continue;
            }
        }
        let next = next.unwrap_or_else(|| Instant::now() + REPAIR_DELAY);
        tokio::select! {
            () = ctx.bundles.news.notified() => {}
            () = tokio::time::sleep_until(next) => {}
            changed = bundle.changed() => {
                if changed.is_err() {
                    // The gateway is gone, and with it what the bundle is for. The process ends.
                    return std::future::pending().await;
                }
                ctx.bundles.all_due();
            }
        }
    }
}

/// Hears of every ConfigMap of the name, and of no other.
async fn watch_all(ctx: &Arc<Ctx>) {
    let selection = Selection::metadata().fields(&format!("metadata.name={NAME}"));
    let api: Api<PartialObjectMeta<ConfigMap>> = Api::all(ctx.client.clone());
    let events = logged(Arc::clone(ctx), "ConfigMap", watcher(api, selection));
    changes(events)
        .for_each(|change| {
            heard(&ctx.bundles, &change);
            std::future::ready(())
        })
        .await;
}

fn heard(bundles: &BundleNamespaces, change: &WatchChange<PartialObjectMeta<ConfigMap>>) {
    match change {
        WatchChange::Applied { object: map, .. } => {
            let namespace = map.namespace().unwrap_or_default();
            bundles.changed(&namespace, map.metadata.resource_version.as_deref());
        }
        WatchChange::Deleted(map) => bundles.changed(&map.namespace().unwrap_or_default(), None),
        WatchChange::Listed(listed) => bundles.listed(listed),
    }
}

/// Looks at the bundle of one namespace, and writes it where it is ours or absent.
async fn publish(ctx: &Ctx, namespace: &str, text: &str) -> BundleOutcome {
    let terminates = ctx
        .cluster
        .namespace(namespace)
        .is_some_and(|seen| seen.terminating);
    if terminates {
        return BundleOutcome::Again(REPAIR_DELAY);
    }
    match write(ctx, namespace, text).await.map_err(Failure::from) {
        Ok(look) => look,
        Err(failure) => match failure.class() {
            // Nobody's business: the namespace is going.
            ErrorClass::Gone => BundleOutcome::Again(REPAIR_DELAY),
            // It changed since it was read.
            ErrorClass::Conflict => BundleOutcome::Again(CONFLICT_DELAY),
            class => {
                tracing::warn!(namespace, name = NAME, error = %failure, "ConfigMap write failed");
                let lasts = matches!(class, ErrorClass::Forbidden | ErrorClass::Rejected);
                BundleOutcome::Again(if lasts { REPAIR_DELAY } else { RETRY_DELAY })
            }
        },
    }
}

async fn write(ctx: &Ctx, namespace: &str, text: &str) -> Result<BundleOutcome, kube::Error> {
    let api: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), namespace);
    let found = api.get_opt(NAME).await?;
    let read = found.as_ref().and_then(ResourceExt::resource_version);
    let over = match ca_bundle::plan(found.as_ref(), text) {
        BundleStep::Nothing => return Ok(BundleOutcome::Right(read.unwrap_or_default().into())),
        BundleStep::Leave { manager } => {
            say_taken(ctx, namespace, found.as_ref(), manager.as_deref()).await;
            return Ok(BundleOutcome::Again(REPAIR_DELAY));
        }
        BundleStep::Create => NO_VERSION.to_owned(),
        BundleStep::Write => read.unwrap_or_default(),
    };
    let api: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(ctx.client.clone(), namespace);
    let params = PatchParams::apply(field_manager::CONTROLLERS).force();
    let desired = Patch::Apply(ca_bundle::desired(text, &over));
    let written = api.patch(NAME, &params, &desired).await?;
    Ok(BundleOutcome::Right(
        written.resource_version().unwrap_or_default().into(),
    ))
}

async fn say_taken(ctx: &Ctx, namespace: &str, found: Option<&ConfigMap>, manager: Option<&str>) {
    let of = manager.map_or_else(String::new, |manager| {
        format!(", written by field manager `{manager}`,")
    });
    let note = format!(
        "this ConfigMap{of} is not strongroom's, so it is left as it is; pods of this namespace that take the authority of strongroom's API from \
         it do not get it. Give it another name, and strongroom makes its own `{NAME}` at once"
    );
    tracing::warn!(
        namespace,
        name = NAME,
        manager,
        "ConfigMap owned by another manager, left unchanged"
    );
    let message = EventMessage::new(EventReason::NotOurs, "Write", note);
    let regarding = ObjectReference {
        namespace: Some(namespace.to_owned()),
        ..found.map(|found| found.object_ref(&())).unwrap_or_default()
    };
    ctx.events.tell(message, &regarding).await;
}

#[cfg(test)]
mod tests;
