//! Who has which version of which secret: volumes by what their nodes acknowledged (`volumes`), callers of
//! the API by what they read last (`readers`), and pods with a native Secret by their specs and start times
//! (`pods`).
//!
//! The gateway and the watch of pods tell; `status.consumers` and ListSecretConsumers ask. Whether an old
//! version can be retired depends on it: in doubt, the older version counts. Nothing of it is kept beyond the
//! process, so that all is complete only some time after its start. Must not hold a value.

pub(crate) mod pods;
pub(crate) mod readers;
pub(crate) mod volumes;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use strongroom_model::id::SecretId;
use strongroom_model::name::{Stage, VersionId};
use tokio::time::Instant;

use self::pods::PodTracker;
use self::readers::ReaderTracker;
use self::volumes::{FollowedVersion, VolumeConsumer, VolumeTracker};

/// After so long all nodes have come back, and said what their volumes show.
const SETTLE_TIME: Duration = Duration::from_secs(60);

/// The consumers; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerIndex(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    volumes: VolumeTracker,
    readers: ReaderTracker,
    pods: PodTracker,
    since: (Instant, Timestamp),
    /// Since when some volumes of a secret have not shown what they follow.
    behind: Mutex<HashMap<SecretId, Timestamp>>,
    news: Mutex<BTreeSet<ConsumerChange>>,
}

/// Whose consumers have changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ConsumerChange {
    /// Of a secret in a namespace.
    Secret(String, SecretId),
    /// Of a native Secret, by namespace and name.
    Native(String, String),
    /// Of the secrets in a pod's volumes, by its namespace and name.
    Pod(String, String),
}

/// How many have a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VersionCount {
    /// Volumes whose pods have it.
    pub(crate) volumes: u32,
    /// Callers of the API.
    pub(crate) readers: u32,
    /// Pods with the native Secret.
    pub(crate) pods: u32,
}

/// The consumers of one secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConsumerCounts {
    /// By the id of the version.
    pub(crate) versions: BTreeMap<String, VersionCount>,
    /// When some of them have another version without anything being told.
    pub(crate) settles: Option<Timestamp>,
    /// Volumes with the secret, whatever version they show.
    pub(crate) volumes: u32,
    /// Those that have not shown the version of the stage that they follow, as people name them, and since
    /// when there have been any.
    pub(crate) behind: Option<(Vec<String>, Timestamp)>,
}

impl ConsumerIndex {
    /// Nobody yet.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self(Arc::new(Inner {
            volumes: VolumeTracker::default(),
            readers: ReaderTracker::default(),
            pods: PodTracker::default(),
            since: (Instant::now(), now),
            behind: Mutex::default(),
            news: Mutex::default(),
        }))
    }

    /// Nobody, and everybody has had the time to say so.
    #[cfg(test)]
    pub(crate) fn complete_from(now: Timestamp) -> Self {
        let (volumes, readers) = <_>::default();
        let pods = PodTracker::default();
        let _ = pods.change(None, &crate::kube::watch::WatchChange::Listed(<_>::default()));
        let since = Instant::now().checked_sub(SETTLE_TIME).unwrap();
        Self(Arc::new(Inner {
            volumes,
            readers,
            pods,
            since: (since, now),
            behind: Mutex::default(),
            news: Mutex::default(),
        }))
    }

    pub(crate) fn volumes(&self) -> &VolumeTracker {
        &self.0.volumes
    }

    pub(crate) fn readers(&self) -> &ReaderTracker {
        &self.0.readers
    }

    pub(crate) fn pods(&self) -> &PodTracker {
        &self.0.pods
    }

    /// Since when reads are known.
    pub(crate) fn since(&self) -> Timestamp {
        self.0.since.1
    }

    /// Whether nodes and the watch of pods have had the time to say everything.
    pub(crate) fn complete(&self) -> bool {
        self.0.since.0.elapsed() >= SETTLE_TIME && self.0.pods.listed()
    }

    /// Somebody has another version than before, or comes, or goes.
    pub(crate) fn changed(&self, news: impl IntoIterator<Item = ConsumerChange>) {
        let of_volumes = |news| match news {
            ConsumerChange::Pod(namespace, pod) => self.0.volumes.of_pod(&namespace, &pod),
            other => vec![other],
        };
        let news: Vec<ConsumerChange> = news.into_iter().flat_map(of_volumes).collect();
        let mut known = self.0.news.lock();
        known.extend(news);
    }

    /// The volumes that have a secret with this previous version, each with the version that its programs
    /// have.
    pub(crate) fn volume_consumers(
        &self,
        secret: SecretId,
        previous: Option<&str>,
        now: Timestamp,
    ) -> Vec<VolumeConsumer> {
        let mut volumes = self.0.volumes.for_secret(secret);
        for volume in &mut volumes {
            if let Some(started) = self.0.pods.pinned(&volume.namespace, &volume.pod) {
                volume.pin(started, previous, now);
            }
        }
        volumes
    }

    /// What has changed since this was asked last.
    pub(crate) fn take_changes(&self) -> BTreeSet<ConsumerChange> {
        std::mem::take(&mut *self.0.news.lock())
    }

    /// Counts those of a secret whose versions have these stages.
    pub(crate) fn count(
        &self,
        secret: SecretId,
        stages: &BTreeMap<Stage, VersionId>,
        now: Timestamp,
    ) -> ConsumerCounts {
        let mut counted = ConsumerCounts::default();
        let mut behind = Vec::new();
        let mut more = |version: &str, one: fn(&mut VersionCount) -> &mut u32| {
            let count = one(counted.versions.entry(version.to_owned()).or_default());
            *count = count.saturating_add(1);
        };
        let previous = stages.get(&Stage::Previous).map(VersionId::as_str);
        for consumer in self.volume_consumers(secret, previous, now) {
            counted.volumes = counted.volumes.saturating_add(1);
            if let FollowedVersion::Stage(stage) = &consumer.follows
                && stages.get(stage) != consumer.shows.version()
            {
                let away = if consumer.away { ", which is away" } else { "" };
                behind.push(format!(
                    "{}/{} on {}{away}",
                    consumer.namespace, consumer.pod, consumer.node
                ));
            }
            if let Some(version) = consumer.effective_version() {
                more(version.as_str(), |count| &mut count.volumes);
            }
        }
        for reader in self.0.readers.for_secret(secret) {
            more(reader.version.as_str(), |count| &mut count.readers);
        }
        let mut settles = Vec::new();
        for pod in self.0.pods.for_secret(secret, now) {
            more(&pod.version, |count| &mut count.pods);
            settles.extend(pod.settles);
        }
        counted.settles = settles.into_iter().min();
        let mut since = self.0.behind.lock();
        if behind.is_empty() {
            since.remove(&secret);
        } else {
            counted.behind = Some((behind, *since.entry(secret).or_insert(now)));
        }
        counted
    }
}
