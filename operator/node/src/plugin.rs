//! What the plugin does, whether kubelet or the gateway asks: [`Plugin::publish`], [`Plugin::unpublish`],
//! changes of running volumes, and what a start finds.
//!
//! A publish is fetch, plan, record, build, attach, one file here. It is finished even if kubelet cancels the
//! call meanwhile: otherwise nobody would clean up what a half-finished call left. Must not speak gRPC.

mod agent;
mod error;
mod held_plan;
mod notice;
mod offline;
mod publish;
mod request;
mod resume;
mod unpublish;
mod update;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use strongroom_api::stream::proto::{self, AppliedSecret, applied_secret, requested_secret};
use strongroom_process::WorkPool;
use strongroom_render::attributes::{Attributes, ReadMode, RequestedSecret, RequestedVersion};
use strongroom_render::plan::SLACK_BYTES;
use tokio::sync::Semaphore;

pub use error::PluginError;
pub use offline::OfflineFallback;
pub use request::{PublishRequest, RequestParser, volume_id};

use self::held_plan::PlanRoom;
use crate::agent::VolumeSnapshot;
use crate::memory_quota::MemoryQuota;
use crate::metrics::Metrics;
use crate::mount::{self, Limits, MountState, Usage};
use crate::notice::Notices;
use crate::offline::TokenClaims;
use crate::state::{VolumeRecord, VolumeRecords};
use crate::stream::{SubscriptionSpec, Subscriptions};
use crate::volumes::{Volume, VolumeState, Volumes};

/// INVARIANT: what a volume may name, one subscription can ask for.
const _: () = assert!(strongroom_render::attributes::MAX_SECRETS <= strongroom_api::stream::SECRETS);

/// What the plugin works with.
#[derive(Debug)]
pub struct Parts {
    /// How calls are read.
    pub parser: RequestParser,
    /// What the gateway is asked for, and its answers.
    pub subscriptions: Subscriptions,
    /// What outlives the process.
    pub records: VolumeRecords,
    /// The kernel's id of this boot: another one after each.
    pub boot_id: String,
    /// The largest a volume may become.
    pub limits: Limits,
    /// What all volumes may take.
    pub memory_quota: MemoryQuota,
    /// Where files are made.
    pub work: WorkPool,
    /// How long a publish waits for the gateway.
    pub patience: Duration,
    /// What there is while there is no gateway.
    pub offline: OfflineFallback,
    /// The counters.
    pub metrics: Metrics,
}

/// The plugin; cheap to clone.
#[derive(Clone, Debug)]
pub struct Plugin {
    parts: Arc<Parts>,
    volumes: Volumes,
    /// Room for what volumes are to show, until it is written.
    plans: PlanRoom,
    /// Room for notices to pods.
    noticing: Arc<Semaphore>,
}

impl Plugin {
    /// A plugin that knows no volume yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
            volumes: Volumes::default(),
            plans: PlanRoom::default(),
            noticing: Arc::new(Semaphore::new(notice::MAX_CONCURRENT_NOTICES)),
        }
    }

    /// How calls are read.
    #[must_use]
    pub fn parser(&self) -> &RequestParser {
        &self.parts.parser
    }

    /// How full a volume is.
    ///
    /// # Errors
    /// [`PluginError::NoVolume`].
    pub fn usage(&self, volume_id: &str, path: &Path) -> Result<Usage, PluginError> {
        let volume = self.volumes.find(volume_id).ok_or(PluginError::NoVolume)?;
        match mount::inspect(path)? {
            MountState::Volume(root) if volume.target == path => Ok(mount::usage(root.as_fd())?),
            _ => Err(PluginError::NoVolume),
        }
    }

    /// A volume that is to be known.
    fn volume(&self, request: &PublishRequest) -> Volume {
        let asked = request.attributes.size.unwrap_or(u64::MAX);
        let shown = || {
            Arc::new(VolumeSnapshot::new(
                request.pod.namespace.clone(),
                request.attributes.secrets.clone(),
            ))
        };
        Volume {
            id: request.volume_id.clone(),
            target: request.target.clone(),
            attributes: request.attributes.clone(),
            pod: request.pod.clone(),
            group: request.group,
            limits: Limits {
                bytes: self.parts.limits.bytes.min(asked),
                inodes: self.parts.limits.inodes,
            },
            account: Mutex::new(request.token.as_ref().and_then(TokenClaims::from_token)),
            shown: request.attributes.socket.then(shown),
            socket: tokio::sync::Mutex::default(),
            notices: Notices::default(),
            writing: tokio::sync::Mutex::new(VolumeState::default()),
        }
    }

    /// A volume of an earlier process takes what it takes: at least what a plan for it would, so that its
    /// next change, and a wipe above all, fits.
    fn reserve_existing(&self, volume: &Volume, root: BorrowedFd<'_>) -> Result<(), PluginError> {
        let used = mount::usage(root)?.used();
        let quota = &self.parts.memory_quota;
        quota.set(
            &volume.id,
            &volume.pod.namespace,
            used.saturating_add(SLACK_BYTES),
        );
        Ok(())
    }

    /// What is kept of a volume.
    fn volume_record(
        &self,
        volume: &Volume,
        text: &std::collections::BTreeMap<String, String>,
        versions: Vec<String>,
        first: Vec<String>,
    ) -> VolumeRecord {
        VolumeRecord {
            volume_id: volume.id.clone(),
            target: volume.target.clone(),
            boot_id: self.parts.boot_id.clone(),
            attributes: text.clone(),
            pod: (&volume.pod).into(),
            group: volume.group,
            versions,
            first,
        }
    }
}

/// Versions that a volume shows first, as far as that is kept of it.
fn first_versions(attributes: &Attributes, versions: &[String]) -> Vec<String> {
    match attributes.reads {
        ReadMode::Follows => Vec::new(),
        ReadMode::AtStart => versions.to_vec(),
    }
}

/// What a volume wants, as the stream says it. `shown` are the versions that it shows, `first` those that it
/// showed first.
fn subscription_spec(volume: &Volume, shown: &[String], first: &[String]) -> SubscriptionSpec {
    let attributes = &volume.attributes;
    let want = |(index, secret): (usize, &RequestedSecret)| proto::RequestedSecret {
        at_start: attributes.reads == ReadMode::AtStart,
        first_version_id: first.get(index).cloned().unwrap_or_default(),
        namespace: secret.namespace.clone().unwrap_or_default(),
        name: secret.name.clone(),
        applied_version_id: shown.get(index).cloned().unwrap_or_default(),
        version: Some(match &secret.version {
            RequestedVersion::Stage(stage) => requested_secret::Version::Stage(stage.clone()),
            RequestedVersion::Id(id) => requested_secret::Version::VersionId(id.clone()),
        }),
    };
    SubscriptionSpec {
        pod_uid: volume.pod.uid.clone(),
        secrets: attributes.secrets.iter().enumerate().map(want).collect(),
    }
}

/// One outcome for each secret of a volume.
fn secret_outcomes(count: usize, outcome: impl Fn(usize) -> applied_secret::Outcome) -> Vec<AppliedSecret> {
    (0..count)
        .map(|index| AppliedSecret {
            secret: u32::try_from(index).unwrap_or(u32::MAX),
            outcome: Some(outcome(index)),
        })
        .collect()
}
