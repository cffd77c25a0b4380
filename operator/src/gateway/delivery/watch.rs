//! The watches behind [`super::presence`]: metadata of pods, ServiceAccounts and nodes of the whole cluster,
//! of which nothing is kept here.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::api::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::Event;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use strongroom_process::Shutdown;

use super::presence::{HolderKind, Presence, PresenceEvent};
use crate::kube::watch::{Selection, watcher};
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
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => tell(presence, kind, &event),
            Err(error) => {
                tracing::warn!(?kind, error = watch_in_words(&error), "watch failed");
                presence.observe(kind, &PresenceEvent::WatchBroken);
            }
        }
    }
}

fn tell<M: Resource>(presence: &Presence, kind: HolderKind, event: &Event<M>) {
    let name = |object: &M| {
        let meta = object.meta();
        (
            meta.namespace.clone().unwrap_or_default(),
            meta.name.clone().unwrap_or_default(),
            meta.uid.clone().unwrap_or_default(),
        )
    };
    match event {
        Event::Init => presence.observe(kind, &PresenceEvent::ListStarted),
        Event::InitDone => presence.observe(kind, &PresenceEvent::ListComplete),
        Event::Apply(object) | Event::InitApply(object) => {
            let (namespace, name, uid) = name(object);
            let there = PresenceEvent::Present {
                namespace: &namespace,
                name: &name,
                uid: &uid,
            };
            presence.observe(kind, &there);
        }
        Event::Delete(object) => {
            let (namespace, name, _) = name(object);
            let gone = PresenceEvent::Gone {
                namespace: &namespace,
                name: &name,
            };
            presence.observe(kind, &gone);
        }
    }
}
