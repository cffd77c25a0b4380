//! Opening the store at the start.

use std::path::PathBuf;
use std::time::Duration;

use kube::Client;
use strongroom_process::{Check, Health};
use strongroom_store::audit::RetentionLimits;
use strongroom_store::vault::Quota;

use super::now;
use crate::anchor::AnchorConfigMap;
use crate::bootstrap::{AcceptFlags, Bootstrap, OpenedStore, StartError};
use crate::seal::SealSource;

/// How the store is opened.
#[derive(Clone, Debug)]
pub(crate) struct OpenSettings {
    /// The store's place.
    pub(crate) dir: PathBuf,
    /// What opens the seal.
    pub(crate) source: SealSource,
    /// Whether each commit is anchored before it is acknowledged.
    pub(crate) strict_anchor: bool,
    /// What a person accepts.
    pub(crate) accept: AcceptFlags,
    /// The engine's page cache in bytes.
    pub(crate) cache_bytes: usize,
    /// How much of the audit is kept.
    pub(crate) audit: RetentionLimits,
    /// What one namespace may have of the store.
    pub(crate) quota: Option<Quota>,
}

/// Opens the store; while the API server is away, waits for it.
pub(super) async fn open(
    settings: &OpenSettings,
    client: &Client,
    namespace: &str,
    anchor: &AnchorConfigMap,
    epoch: u64,
    health: &Health,
) -> Result<OpenedStore, StartError> {
    let OpenSettings {
        dir,
        source,
        strict_anchor,
        accept,
        cache_bytes,
        audit,
        quota,
    } = settings;
    loop {
        let bootstrap = Bootstrap {
            client: client.clone(),
            namespace,
            dir,
            source,
            anchor,
            accept: *accept,
            epoch,
            cache_bytes: *cache_bytes,
            strict_anchor: strict_anchor.then(|| anchor.strict()),
            audit: *audit,
            quota: *quota,
            now: now(),
        };
        match bootstrap.start().await {
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "store open failed");
                health.set("store", Check::Waiting(error.to_string()));
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            other => return other,
        }
    }
}
