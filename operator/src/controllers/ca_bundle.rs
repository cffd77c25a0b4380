//! ConfigMap `strongroom-ca`: what a client of the API has to trust, in every namespace that has an object of ours or asks for it by the label
//! `strongroom.dev/ca: "true"` on the Namespace. It stays when the last object goes: a pod may still mount it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::Ctx;
use super::report::FIELD_MANAGER;
use super::retry::class_of;
use super::store::SecretStore;
use crate::kube_error::in_words;
use strongroom_rules::retry::ErrorClass;

/// Name of the ConfigMap.
const NAME: &str = "strongroom-ca";
/// Its one key.
const KEY: &str = "ca.crt";
/// The label on a Namespace that asks for it.
pub(super) const LABEL: &str = "strongroom.dev/ca";
/// How often what was written is written again: somebody may have changed it.
const REPAIR: Duration = Duration::from_secs(600);
/// How long after a failure.
const AGAIN: Duration = Duration::from_secs(5);

/// The namespaces that are to have the bundle.
#[derive(Debug, Default)]
pub(crate) struct Bundles {
    wanted: Mutex<BTreeSet<String>>,
    news: Notify,
}

impl Bundles {
    /// A namespace is to have it.
    pub(super) fn want(&self, namespace: &str) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if !wanted.contains(namespace) {
            wanted.insert(namespace.to_owned());
            self.news.notify_one();
        }
    }

    /// A namespace is gone.
    pub(super) fn lost(&self, namespace: &str) {
        self.wanted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(namespace);
    }

    fn wanted(&self) -> BTreeSet<String> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Writes the bundle wherever it is wanted.
pub(super) async fn run<S: SecretStore>(ctx: Arc<Ctx<S>>, mut bundle: watch::Receiver<String>) {
    // When each namespace is due next.
    let mut due: HashMap<String, Instant> = HashMap::new();
    loop {
        let text = bundle.borrow_and_update().clone();
        let now = Instant::now();
        let wanted = ctx.bundles.wanted();
        due.retain(|namespace, _| wanted.contains(namespace));
        for namespace in wanted {
            // Nothing is served yet, or a certificate of somebody else.
            if text.is_empty() || due.get(&namespace).is_some_and(|at| *at > now) {
                continue;
            }
            let wait = match write(&ctx, &namespace, &text).await {
                Ok(()) => REPAIR,
                Err(error) => {
                    tracing::warn!(namespace, error = %in_words(&error), "ConfigMap {NAME} cannot be written");
                    match class_of(&error) {
                        // Not for time to heal, or nobody's business: the namespace is going.
                        ErrorClass::Forbidden | ErrorClass::Gone | ErrorClass::Rejected => REPAIR,
                        _ => AGAIN,
                    }
                }
            };
            due.insert(namespace, now + wait);
        }
        let next = due.values().min().copied().unwrap_or(now + REPAIR);
        tokio::select! {
            () = ctx.bundles.news.notified() => {}
            () = tokio::time::sleep_until(next) => {}
            changed = bundle.changed() => {
                if changed.is_err() {
                    // The gateway is gone, and with it what the bundle is for. The process ends.
                    return std::future::pending().await;
                }
                due.clear();
            }
        }
    }
}

async fn write<S: SecretStore>(ctx: &Ctx<S>, namespace: &str, text: &str) -> Result<(), kube::Error> {
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(KEY.to_owned(), text.to_owned())])),
        ..ConfigMap::default()
    };
    let api: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(ctx.client.clone(), namespace);
    api.patch(
        NAME,
        &PatchParams::apply(FIELD_MANAGER).force(),
        &Patch::Apply(&map),
    )
    .await
    .map(drop)
}
