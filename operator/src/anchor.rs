//! The anchor: how many commits the store has, kept outside of it in a ConfigMap, so that an older copy of
//! the file is noticed.
//!
//! Written at most once a second after a commit, or, in strict mode, before a commit is acknowledged. Must
//! not hold anything that tells of a secret: a counter and a MAC.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, PostParams};
use strongroom_store::vault::{Anchor, MalformedAnchor, Store, StrictAnchor};
use tokio::sync::{Mutex, watch};

use crate::kube::in_words;

/// Its name in the process's own namespace.
pub(crate) const CONFIG_MAP_NAME: &str = "strongroom-anchor";

/// The restores that wrote it, the last one last, separated by commas: none of them is carried out again.
const RESTORES_ANNOTATION: &str = "strongroom.dev/restore-requests";

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// At most one write in so long.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// The anchor cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnchorError {
    /// Something else is in it.
    #[error(
        "the ConfigMap `{CONFIG_MAP_NAME}` contains no anchor: {0}; restore it, or start with --accept-rollback"
    )]
    Malformed(#[from] MalformedAnchor),
    /// Somebody else writes it.
    #[error("the ConfigMap `{CONFIG_MAP_NAME}` was changed by somebody else in the meantime")]
    Conflict,
    /// The API server refused.
    #[error("the ConfigMap `{CONFIG_MAP_NAME}`: {}", in_words(.0))]
    Kube(#[from] Box<kube::Error>),
    /// The API server did not answer.
    #[error("the API server did not answer within {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout,
}

/// Reads and writes the ConfigMap; cheap to clone.
#[derive(Clone)]
pub(crate) struct AnchorConfigMap {
    api: Api<ConfigMap>,
    /// What was last read or written, for the next write.
    known: Arc<Mutex<Option<ConfigMap>>>,
}

impl std::fmt::Debug for AnchorConfigMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnchorConfigMap").finish_non_exhaustive()
    }
}

impl AnchorConfigMap {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            known: Arc::default(),
        }
    }

    /// The anchor; none where there is no ConfigMap.
    pub(crate) async fn read(&self) -> Result<Option<Anchor>, AnchorError> {
        let object = in_time(self.api.get_opt(CONFIG_MAP_NAME)).await?;
        let anchor = object.as_ref().map(anchor_of).transpose();
        *self.known.lock().await = object;
        Ok(anchor?)
    }

    /// The ids of the restores that wrote an anchor, as it was last read; the last one is the last.
    pub(crate) async fn restore_requests(&self) -> Vec<String> {
        let known = self.known.lock().await;
        let annotations = known
            .as_ref()
            .and_then(|object| object.metadata.annotations.as_ref());
        let ids = annotations.and_then(|annotations| annotations.get(RESTORES_ANNOTATION));
        ids.map_or_else(Vec::new, |ids| ids.split(',').map(str::to_owned).collect())
    }

    /// Writes the anchor. The resource version that was last seen goes with it: only one process writes here.
    pub(crate) async fn write(&self, anchor: &Anchor) -> Result<(), AnchorError> {
        self.put(anchor, None).await
    }

    /// Writes the anchor of a restored store over whatever was read, with the id of the restore.
    pub(crate) async fn take_over(&self, anchor: &Anchor, request: &str) -> Result<(), AnchorError> {
        self.put(anchor, Some(request)).await
    }

    async fn put(&self, anchor: &Anchor, restore: Option<&str>) -> Result<(), AnchorError> {
        let mut known = self.known.lock().await;
        let mut metadata = known.as_ref().map_or_else(
            || ObjectMeta {
                name: Some(CONFIG_MAP_NAME.to_owned()),
                labels: Some(BTreeMap::from([(
                    "app.kubernetes.io/managed-by".to_owned(),
                    "strongroom".to_owned(),
                )])),
                ..ObjectMeta::default()
            },
            |object| ObjectMeta {
                name: object.metadata.name.clone(),
                labels: object.metadata.labels.clone(),
                annotations: object.metadata.annotations.clone(),
                resource_version: object.metadata.resource_version.clone(),
                ..ObjectMeta::default()
            },
        );
        if let Some(restore) = restore {
            let annotations = metadata.annotations.get_or_insert_default();
            annotations
                .entry(RESTORES_ANNOTATION.to_owned())
                .and_modify(|ids| *ids = format!("{ids},{restore}"))
                .or_insert_with(|| restore.to_owned());
        }
        let object = ConfigMap {
            metadata,
            data: Some(anchor.to_fields()),
            ..ConfigMap::default()
        };
        let written = if known.is_some() {
            in_time(self.api.replace(CONFIG_MAP_NAME, &PostParams::default(), &object)).await
        } else {
            in_time(self.api.create(&PostParams::default(), &object)).await
        };
        if matches!(written, Err(AnchorError::Conflict)) {
            // Look before the next try; an anchor that is ahead of ours is never set back.
            *known = in_time(self.api.get_opt(CONFIG_MAP_NAME)).await?;
            if restore.is_none()
                && let Some(object) = known.as_ref()
                && anchor_of(object).is_ok_and(|there| there.counter > anchor.counter)
            {
                return Ok(());
            }
        }
        *known = Some(written?);
        Ok(())
    }

    /// Follows the store until `stop` turns true, and writes once more at the end.
    pub(crate) async fn follow(self, store: Store, written: impl Fn(u64), mut stop: watch::Receiver<bool>) {
        let mut counter = 0;
        loop {
            let begun = Instant::now();
            let stopping = *stop.borrow();
            let asked = store.clone();
            let moved =
                tokio::task::spawn_blocking(move || asked.anchor_after(counter, WRITE_INTERVAL / 2)).await;
            if let Ok(Some(anchor)) = moved {
                match self.write(&anchor).await {
                    Ok(()) => {
                        counter = anchor.counter;
                        written(counter);
                    }
                    Err(error) => tracing::warn!(%error, "anchor write failed"),
                }
            }
            if stopping {
                return;
            }
            let rest = WRITE_INTERVAL.saturating_sub(begun.elapsed());
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                // A sender that is gone means that the process ends.
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// For strict mode: called by the store's writer thread, which waits.
    pub(crate) fn strict(&self) -> StrictAnchor {
        let (writer, runtime) = (self.clone(), tokio::runtime::Handle::current());
        Box::new(move |anchor| {
            let again = async {
                match writer.write(anchor).await {
                    Err(AnchorError::Conflict) => writer.write(anchor).await,
                    other => other,
                }
            };
            runtime.block_on(again).map_err(|error| error.to_string())
        })
    }
}

fn anchor_of(object: &ConfigMap) -> Result<Anchor, MalformedAnchor> {
    Anchor::from_fields(object.data.as_ref().unwrap_or(&BTreeMap::new()))
}

async fn in_time<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, AnchorError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.is_conflict() || status.is_already_exists() => {
            Err(AnchorError::Conflict)
        }
        Ok(Err(error)) => Err(Box::new(error).into()),
        Err(_) => Err(AnchorError::Timeout),
    }
}
