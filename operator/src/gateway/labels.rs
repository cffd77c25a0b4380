//! Labels of pods and nodes, looked up only where a statement asks for them. Labels that cannot be looked up
//! are unknown, and the decision is made without them.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client};

use super::authenticate::Caller;
use super::ttl_cache::TtlCache;
use crate::kube::in_words;

/// How long an answer of the API server counts.
const LABELS_TTL: Duration = Duration::from_secs(10);

/// Labels of one object; `None` where they are not known.
pub(super) type Labels = Option<BTreeMap<String, String>>;

/// Labels by object.
pub(super) struct LabelCache {
    client: Client,
    seen: TtlCache<String, Labels>,
}

impl std::fmt::Debug for LabelCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LabelCache").finish_non_exhaustive()
    }
}

impl LabelCache {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            seen: TtlCache::default(),
        }
    }

    /// Forgets what does not count any more.
    pub(super) fn forget(&self) {
        self.seen.forget(|age, _| age < LABELS_TTL);
    }

    /// Labels of the caller's pod and of the node that it runs on.
    pub(super) async fn for_caller(&self, caller: &Caller) -> (Labels, Labels) {
        let pod = match (&caller.pod, caller.principal.identity.namespace()) {
            (Some((name, uid)), Some(namespace)) => {
                let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
                let look = async {
                    let pod = api.get_metadata_opt(name).await?;
                    // Another pod of the same name is another pod.
                    Ok(pod
                        .filter(|pod| pod.metadata.uid.as_ref() == Some(uid))
                        .map(|pod| pod.metadata))
                };
                self.look_up(format!("pod {uid}"), look).await
            }
            _ => None,
        };
        let node = match &caller.node {
            Some(name) => {
                let api: Api<Node> = Api::all(self.client.clone());
                let look = async { Ok(api.get_metadata_opt(name).await?.map(|node| node.metadata)) };
                self.look_up(format!("node {name}"), look).await
            }
            None => None,
        };
        (pod, node)
    }

    async fn look_up(
        &self,
        key: String,
        look: impl Future<Output = Result<Option<kube::core::ObjectMeta>, kube::Error>>,
    ) -> Labels {
        if let Some(labels) = self.seen.get(&key, LABELS_TTL) {
            return labels;
        }
        let labels = match look.await {
            Ok(meta) => meta.map(|meta| meta.labels.unwrap_or_default()),
            Err(error) => {
                tracing::warn!(key, error = %in_words(&error), "label lookup failed");
                return None;
            }
        };
        self.seen.put(key, labels.clone(), |age, _| age < LABELS_TTL);
        labels
    }
}
