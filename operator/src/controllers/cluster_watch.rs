//! The watches of namespaces and of native Secrets, and what each event sets in motion; nothing is decided
//! here.

use std::fmt::Debug;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::Ctx;
use super::ca_bundle;
use super::declarations;
use super::managed_secret::native::MANAGED_LABEL;
use super::runtime::watch::logged;
use super::triggers::Triggers;
use crate::kube::watch::{Selection, WatchChange, changes, watcher};

/// The watches of namespaces and of native Secrets. Both see metadata only, and of the Secrets only those
/// with our label.
pub(super) async fn run(ctx: Arc<Ctx>, triggers: Triggers) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(ctx.client.clone());
    let events = logged(Arc::clone(&ctx), "Namespace", watcher(api, Selection::metadata()));
    let namespaces = changes(events).for_each(|change| {
        namespace_changed(&ctx, &triggers, &change);
        std::future::ready(())
    });
    let selection = Selection::metadata().labels(MANAGED_LABEL);
    let natives = native_namespace_changes::<PartialObjectMeta<Secret>>(&ctx, "Secret", &selection).for_each(
        |(scope, change)| {
            for (namespace, name) in ctx.cluster.native_change(scope.as_deref(), &change) {
                triggers.managed_secret(&namespace, &name);
            }
            std::future::ready(())
        },
    );
    futures::future::join(namespaces, natives).await;
}

fn namespace_changed(ctx: &Ctx, triggers: &Triggers, change: &WatchChange<PartialObjectMeta<Namespace>>) {
    declarations::saw_namespaces(ctx, change);
    ctx.product_index.namespace_change(change);
    match change {
        WatchChange::Applied { object, .. } => {
            let name = object.name_any();
            let asks = object
                .labels()
                .get(ca_bundle::LABEL)
                .is_some_and(|value| value == "true");
            if asks || ctx.options.node_namespaces.contains(&name) {
                ctx.bundles.want(&name);
            }
        }
        WatchChange::Deleted(namespace) => ctx.bundles.lost(&namespace.name_any()),
        WatchChange::Listed(_) => {}
    }
    let changed = ctx.cluster.namespace_change(change);
    // One may be gone, or its label that says that nothing is kept.
    if !changed.is_empty() || !matches!(change, WatchChange::Applied { .. }) {
        ctx.deletion_signals.wake();
    }
    if !matches!(change, WatchChange::Applied { .. }) {
        ctx.key_deletion_signals.wake();
    }
    for name in changed {
        triggers.namespace(ctx, &name);
        for (_, key) in ctx.keys.all_objects().iter().filter(|(home, _)| *home == name) {
            ctx.keys.used(&name, Some(key));
        }
    }
}

/// The changes of one kind where native Secrets are: of all namespaces (`None`), or of those that may be
/// read.
pub(super) fn native_namespace_changes<K>(
    ctx: &Arc<Ctx>,
    kind: &'static str,
    selection: &Selection,
) -> impl Stream<Item = (Option<String>, WatchChange<K>)> + Send
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let scopes: Vec<Option<String>> = if ctx.options.native_namespaces.is_empty() {
        vec![None]
    } else {
        ctx.options.native_namespaces.iter().cloned().map(Some).collect()
    };
    futures::stream::select_all(scopes.into_iter().map(|scope| {
        let client = ctx.client.clone();
        let api: Api<K> = match &scope {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        changes(logged(Arc::clone(ctx), kind, watcher(api, selection.clone())))
            .map(move |change| (scope.clone(), change))
            .boxed()
    }))
}
