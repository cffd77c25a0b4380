//! The watches behind [`super::presence`]: metadata of pods, ServiceAccounts and nodes of the whole cluster,
//! of which nothing is kept here but the names of a list while it comes.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::api::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use strongroom_process::Shutdown;

use super::presence::{HolderKind, Presence, PresenceEvent};
use crate::kube::watch::{Selection, WatchChange, changes, watcher};
use crate::kube::watch_in_words;

/// Watches until the shutdown begins.
pub(in crate::gateway) async fn watch(client: Client, presence: Arc<Presence>, shutdown: Shutdown) {
    let all = async {
        tokio::join!(
            follow(metadata::<Pod>(&client), HolderKind::Pod, &presence),
            follow(
                metadata::<ServiceAccount>(&client),
                HolderKind::ServiceAccount,
                &presence
            ),
            follow(metadata::<Node>(&client), HolderKind::Node, &presence),
        );
    };
    tokio::select! {
        () = all => {}
        () = shutdown.wait() => {}
    }
}

/// The metadata of all of a kind: nothing else of an object is asked for.
fn metadata<K>(client: &Client) -> Api<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = ()>,
{
    Api::all(client.clone())
}

async fn follow<M>(api: Api<M>, kind: HolderKind, presence: &Presence)
where
    M: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let events = watcher(api, Selection::metadata()).default_backoff();
    let events = events.filter_map(|event| {
        let event = event.inspect_err(|error| {
            tracing::warn!(?kind, error = watch_in_words(error), "watch failed");
            presence.observe(kind, &PresenceEvent::WatchBroken);
        });
        std::future::ready(event.ok())
    });
    let each = changes(events).for_each(|change| {
        observe(presence, kind, &change);
        std::future::ready(())
    });
    each.await;
}

fn observe<M: Resource>(presence: &Presence, kind: HolderKind, change: &WatchChange<M>) {
    let place = |object: &M| (object.namespace().unwrap_or_default(), object.name_any());
    match change {
        WatchChange::Applied { object, .. } => {
            let (namespace, name) = place(object);
            let present = PresenceEvent::Present {
                namespace: &namespace,
                name: &name,
                uid: object.meta().uid.as_deref().unwrap_or_default(),
            };
            presence.observe(kind, &present);
        }
        WatchChange::Deleted(object) => {
            let (namespace, name) = place(object);
            let gone = PresenceEvent::Gone {
                namespace: &namespace,
                name: &name,
            };
            presence.observe(kind, &gone);
        }
        WatchChange::Listed(listed) => presence.observe(kind, &PresenceEvent::Listed(listed)),
    }
}
