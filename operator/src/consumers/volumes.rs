//! Which pods show which version of which secret, by what their nodes acknowledged. It is what nodes said
//! last: of a node whose stream has ended it is kept for a day, since its pods go on with what they have;
//! when it comes back it says everything again, in the end also those volumes for which its plugin needs a
//! token first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use strongroom_api::stream::proto::{Applied, applied_secret};
use strongroom_model::id::SecretId;
use strongroom_model::name::{Stage, VersionId};
use strongroom_rules::consumers::{ReplacedVersion, SecretUse, replaced_versions, version};
use tokio::time::Instant;

use super::ConsumerChange;

/// How many versions that a volume showed before are known.
const MAX_FORMER_VERSIONS: usize = 16;
/// How long a node that is away counts.
const AWAY_NODE_TTL: Duration = Duration::from_secs(24 * 3_600);
/// How long a node that has come back may take to say a volume again: after a restart of its plugin kubelet
/// brings the tokens within one and a half minutes.
const RESUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(180);

/// Which version each volume of each node shows, as the node plugins report it.
#[derive(Debug, Default)]
pub(crate) struct VolumeTracker(Mutex<TrackedVolumes>);

#[derive(Debug, Default)]
struct TrackedVolumes {
    nodes: BTreeMap<String, Node>,
    /// The volumes that have a secret, by node and id: it is asked for with each look at an object, and there
    /// may be many thousands of either.
    having: VolumesBySecret,
}

type VolumesBySecret = HashMap<SecretId, BTreeSet<(String, String)>>;

#[derive(Debug, Default)]
struct Node {
    volumes: BTreeMap<String, Volume>,
    away: Option<Instant>,
}

#[derive(Clone, Debug, Default)]
struct Volume {
    namespace: String,
    pod: String,
    account: String,
    /// In the order of the volume's secrets, as far as it was told of them.
    secrets: Vec<SecretState>,
    /// The node has come back then, and has not said it again.
    unsaid: Option<Instant>,
}

#[derive(Clone, Debug)]
struct SecretState {
    secret: SecretId,
    /// The secret's.
    namespace: String,
    follows: FollowedVersion,
    shows: ShownVersion,
    /// Its files are read once; inside, the version that they had first.
    at_start: Option<Option<VersionId>>,
    /// What it showed before, the newest first.
    former: Vec<ReplacedVersion>,
    /// When it was there already as this process heard of it first: what it showed before that is not known.
    met: Option<Timestamp>,
}

impl SecretState {
    /// What counts where the files are read once: what they had first, for as long as the pod lives.
    fn begin(&mut self) {
        if let Some(first @ None) = &mut self.at_start {
            *first = self.shows.version().cloned();
        }
    }
}

/// Which version a volume wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FollowedVersion {
    /// The one that has this stage.
    Stage(Stage),
    /// This one.
    Version(VersionId),
}

/// What a volume shows of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShownVersion {
    /// Nothing yet.
    Nothing,
    /// This version.
    Version(VersionId),
    /// This version does not fit into it: what stood there before still does.
    Not(VersionId, Option<VersionId>),
    /// Its files are gone, as its owner wanted.
    Wiped,
}

impl ShownVersion {
    /// The version whose files are there.
    pub(crate) fn version(&self) -> Option<&VersionId> {
        match self {
            Self::Version(version) => Some(version),
            Self::Not(_, before) => before.as_ref(),
            Self::Nothing | Self::Wiped => None,
        }
    }
}

/// One volume that has a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeConsumer {
    /// Name of the node that it is mounted on.
    pub(crate) node: String,
    /// The node has no stream, or has a new one and did not say it again: this is what it said last.
    pub(crate) away: bool,
    /// The pod's namespace.
    pub(crate) namespace: String,
    /// The pod's name.
    pub(crate) pod: String,
    /// Its ServiceAccount.
    pub(crate) account: String,
    /// Which version it wants.
    pub(crate) follows: FollowedVersion,
    /// The version that its files have, as its node said last.
    pub(crate) shows: ShownVersion,
    /// What its files had first, where they are read once.
    pub(crate) at_start: Option<VersionId>,
    former: Vec<ReplacedVersion>,
    met: Option<Timestamp>,
}

impl VolumeConsumer {
    /// Its files stay as they were when a container started: it counts for the version that it showed then,
    /// and for the previous one where that is not known any more.
    pub(super) fn pin(&mut self, started: Timestamp, previous: Option<&str>, now: Timestamp) {
        let (Some(current), None) = (self.shows.version(), &self.at_start) else {
            return;
        };
        let known = self.met.is_none_or(|met| met <= started);
        let then = match previous {
            Some(previous) if !known && self.former.is_empty() => previous,
            _ => version(current.as_str(), &self.former, SecretUse::AtStart(started), now),
        };
        self.at_start = then.parse().ok();
    }

    /// The version that its programs have, the older one where that is in doubt.
    pub(crate) fn effective_version(&self) -> Option<&VersionId> {
        self.at_start.as_ref().or(self.shows.version())
    }
}

/// The pod that a volume is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VolumeOwner<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) pod: &'a str,
    /// As policies name it.
    pub(crate) account: &'a str,
}

/// A secret that a volume was told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VolumeSecret<'a> {
    pub(crate) secret: SecretId,
    /// The secret's.
    pub(crate) namespace: &'a str,
    pub(crate) which: &'a FollowedVersion,
    /// What it showed when it subscribed.
    pub(crate) shown: Option<&'a str>,
    /// Its files are read once; inside, what they had first.
    pub(crate) at_start: Option<Option<&'a str>>,
}

impl VolumeTracker {
    /// A volume of this pod is subscribed.
    pub(crate) fn subscribed(&self, node: &str, volume: &str, whose: VolumeOwner<'_>) {
        let it = Volume {
            namespace: whose.namespace.to_owned(),
            pod: whose.pod.to_owned(),
            account: whose.account.to_owned(),
            secrets: Vec::new(),
            unsaid: None,
        };
        let mut known = self.0.lock();
        known.remove(node, volume);
        let node = known.nodes.entry(node.to_owned()).or_default();
        node.volumes.insert(volume.to_owned(), it);
    }

    /// A volume was told of its secrets. What it showed when it subscribed counts at once.
    #[must_use]
    pub(crate) fn secrets_sent<'a>(
        &self,
        node: &str,
        volume: &str,
        told: impl Iterator<Item = VolumeSecret<'a>>,
    ) -> Vec<ConsumerChange> {
        let mut news = Vec::new();
        let mut known = self.0.lock();
        let TrackedVolumes { nodes, having } = &mut *known;
        let Some(it) = nodes.get_mut(node).and_then(|of| of.volumes.get_mut(volume)) else {
            return news;
        };
        for (place, told) in told.enumerate() {
            let before = it
                .secrets
                .get(place)
                .filter(|before| before.secret == told.secret);
            let shows = match before {
                Some(before) => before.shows.clone(),
                None => told
                    .shown
                    .and_then(|id| id.parse().ok())
                    .map_or(ShownVersion::Nothing, ShownVersion::Version),
            };
            if before.is_none() {
                news.push(ConsumerChange::Secret(told.namespace.to_owned(), told.secret));
            }
            let said = |first: Option<&str>| first.and_then(|id| id.parse().ok());
            let mut shown = SecretState {
                secret: told.secret,
                namespace: told.namespace.to_owned(),
                follows: told.which.clone(),
                shows,
                at_start: match before {
                    Some(before) => before.at_start.clone(),
                    None => told.at_start.map(said),
                },
                former: before.map(|before| before.former.clone()).unwrap_or_default(),
                met: match before {
                    Some(before) => before.met,
                    None => told.shown.map(|_| Timestamp::now()),
                },
            };
            shown.begin();
            let at = (node.to_owned(), volume.to_owned());
            let former = match it.secrets.get_mut(place) {
                Some(there) => Some(std::mem::replace(there, shown)),
                None => {
                    it.secrets.push(shown);
                    None
                }
            };
            // One that was made again under its name is another secret.
            if let Some(former) = former.filter(|former| former.secret != told.secret) {
                lose(having, former.secret, &at);
            }
            having.entry(told.secret).or_default().insert(at);
        }
        news
    }

    /// A volume shows something else now; `told` says which secret it was told of at which place.
    #[must_use]
    pub(crate) fn applied(
        &self,
        node: &str,
        applied: &Applied,
        told: impl Fn(usize) -> Option<SecretId>,
    ) -> Vec<ConsumerChange> {
        let mut news = Vec::new();
        let mut known = self.0.lock();
        let Some(it) = known
            .nodes
            .get_mut(node)
            .and_then(|of| of.volumes.get_mut(&applied.subscription))
        else {
            return news;
        };
        for shown in &applied.secrets {
            let place = usize::try_from(shown.secret).unwrap_or(usize::MAX);
            let Some(known) = it
                .secrets
                .get_mut(place)
                .filter(|known| told(place) == Some(known.secret))
            else {
                continue;
            };
            let shows = match &shown.outcome {
                Some(applied_secret::Outcome::VersionId(id)) => id.parse().map(ShownVersion::Version),
                Some(applied_secret::Outcome::NotApplied(not)) => not
                    .version_id
                    .parse()
                    .map(|not| ShownVersion::Not(not, known.shows.version().cloned())),
                Some(applied_secret::Outcome::Wiped(_)) => Ok(ShownVersion::Wiped),
                None => continue,
            };
            // A version id that is none is no version that we told of.
            if let Ok(shows) = shows
                && known.shows != shows
            {
                let before = std::mem::replace(&mut known.shows, shows);
                if let (Some(before), Some(now)) = (before.version(), known.shows.version()) {
                    let former = std::mem::take(&mut known.former);
                    let before = Some(before.as_str());
                    known.former = replaced_versions(
                        former,
                        before,
                        now.as_str(),
                        Timestamp::now(),
                        MAX_FORMER_VERSIONS,
                    );
                }
                known.begin();
                news.push(ConsumerChange::Secret(known.namespace.clone(), known.secret));
            }
        }
        news
    }

    /// A volume is gone.
    #[must_use]
    pub(crate) fn unsubscribed(&self, node: &str, volume: &str) -> Vec<ConsumerChange> {
        news(self.0.lock().remove(node, volume).iter())
    }

    /// A node has a new stream, and says everything again. What it said before counts until then.
    pub(crate) fn attached(&self, node: &str) {
        if let Some(node) = self.0.lock().nodes.get_mut(node) {
            node.away = None;
            for volume in node.volumes.values_mut() {
                // From now on, also where it was away before it came to that.
                volume.unsaid = Some(Instant::now());
            }
        }
    }

    /// The stream of a node has ended.
    pub(crate) fn detached(&self, node: &str) {
        if let Some(node) = self.0.lock().nodes.get_mut(node) {
            node.away = Some(Instant::now());
        }
    }

    /// Forgets nodes that will hardly come back, and volumes that were not there any more when theirs did.
    #[must_use]
    pub(crate) fn forget(&self) -> Vec<ConsumerChange> {
        let mut known = self.0.lock();
        let lost = |node: &Node| node.away.is_some_and(|away| away.elapsed() >= AWAY_NODE_TTL);
        let nodes = known.nodes.iter().filter(|(_, node)| lost(node));
        let names: Vec<String> = nodes.map(|(name, _)| name.clone()).collect();
        let mut gone: Vec<ConsumerChange> = names.iter().flat_map(|name| known.remove_node(name)).collect();
        let late = |volume: &Volume| {
            volume
                .unsaid
                .is_some_and(|since| since.elapsed() >= RESUBSCRIBE_TIMEOUT)
        };
        let of = |(name, node): (&String, &Node)| {
            let late = node.volumes.iter().filter(|(_, volume)| late(volume));
            late.map(|(id, _)| (name.clone(), id.clone())).collect::<Vec<_>>()
        };
        let late: Vec<_> = known
            .nodes
            .iter()
            .filter(|(_, node)| node.away.is_none())
            .flat_map(of)
            .collect();
        for (node, volume) in late {
            gone.extend(news(known.remove(&node, &volume).iter()));
        }
        gone
    }

    /// How many volumes are on nodes with a stream that have named them, and how many others are known.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let known = self.0.lock();
        let there = known.nodes.values().filter(|node| node.away.is_none());
        let named = there.flat_map(|node| node.volumes.values().filter(|volume| volume.unsaid.is_none()));
        let connected = named.count();
        let all: usize = known.nodes.values().map(|node| node.volumes.len()).sum();
        (connected, all.saturating_sub(connected))
    }

    /// The secrets of a pod's volumes.
    pub(super) fn of_pod(&self, namespace: &str, pod: &str) -> Vec<ConsumerChange> {
        let known = self.0.lock();
        let volumes = known.nodes.values().flat_map(|node| node.volumes.values());
        news(volumes.filter(|volume| volume.namespace == namespace && volume.pod == pod))
    }

    /// The volumes that have a secret, in order of node and volume.
    pub(crate) fn for_secret(&self, secret: SecretId) -> Vec<VolumeConsumer> {
        let known = self.0.lock();
        let having = known.having.get(&secret).into_iter().flatten();
        let has = |(name, volume): &(String, String)| {
            let node = known.nodes.get(name)?;
            let it = node.volumes.get(volume)?;
            let shown = it.secrets.iter().find(|shown| shown.secret == secret)?;
            Some(VolumeConsumer {
                node: name.clone(),
                away: node.away.is_some() || it.unsaid.is_some(),
                namespace: it.namespace.clone(),
                pod: it.pod.clone(),
                account: it.account.clone(),
                follows: shown.follows.clone(),
                shows: shown.shows.clone(),
                at_start: shown.at_start.clone().flatten(),
                former: shown.former.clone(),
                met: shown.met,
            })
        };
        having.filter_map(has).collect()
    }
}

impl TrackedVolumes {
    fn remove(&mut self, node: &str, volume: &str) -> Option<Volume> {
        let gone = self.nodes.get_mut(node)?.volumes.remove(volume)?;
        let at = (node.to_owned(), volume.to_owned());
        for shown in &gone.secrets {
            lose(&mut self.having, shown.secret, &at);
        }
        Some(gone)
    }

    fn remove_node(&mut self, node: &str) -> Vec<ConsumerChange> {
        let volumes = self
            .nodes
            .get(node)
            .into_iter()
            .flat_map(|node| node.volumes.keys());
        let volumes: Vec<String> = volumes.cloned().collect();
        let gone: Vec<Volume> = volumes
            .iter()
            .filter_map(|volume| self.remove(node, volume))
            .collect();
        self.nodes.remove(node);
        news(gone.iter())
    }
}

/// A volume has a secret no more.
fn lose(having: &mut VolumesBySecret, secret: SecretId, at: &(String, String)) {
    if let Some(volumes) = having.get_mut(&secret) {
        volumes.remove(at);
        if volumes.is_empty() {
            having.remove(&secret);
        }
    }
}

fn news<'a>(volumes: impl Iterator<Item = &'a Volume>) -> Vec<ConsumerChange> {
    volumes
        .flat_map(|volume| &volume.secrets)
        .map(|shown| ConsumerChange::Secret(shown.namespace.clone(), shown.secret))
        .collect()
}

#[cfg(test)]
mod tests;
