//! Which nodes have a stream. A second stream of a node ends its first.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, RateLimiter};
use parking_lot::Mutex;
use strongroom_model::id::SecretId;
use strongroom_rules::policy::Identity;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::journal::JOURNAL_QUOTA;
use super::presence::Presence;
use crate::gateway::authenticate::Caller;

/// A token that holds a stream is reviewed again after so many milliseconds.
const REVIEW_AGAIN_MS: u64 = 300_000;

/// Streams that look at what is due at the same time: it takes processors and memory, and thousands come at
/// once after a restart.
const MAX_DISPATCHING: usize = 16;

/// Secrets of one node that are known to have been granted: what a node's journal says of more is not
/// believed.
const MAX_GRANTED_SECRETS: usize = 16_384;

/// Versions of plugins that are told apart, and how long the name of one may be.
const MAX_VERSIONS: usize = 16;
const MAX_VERSION_CHARS: usize = 32;
/// What the others are counted as.
const OTHER_VERSION: &str = "other";

/// The streams of all node plugins, and who may open one.
#[derive(Debug)]
pub(in crate::gateway) struct Nodes {
    /// The ServiceAccounts of node plugins. More than one while the plugin moves to another namespace; if
    /// there is none, no token is accepted from a node.
    accounts: Vec<Identity>,
    working: Semaphore,
    streams: Mutex<Streams>,
    /// The last entry of each node's journal that is audited by this process.
    journals: Mutex<HashMap<String, u64>>,
    /// How much of its journal each may still record.
    journal_rate: DefaultKeyedRateLimiter<String>,
    /// The secrets that this process granted to pods of each node.
    granted: Mutex<HashMap<String, HashSet<SecretId>>>,
    /// Who of those that hold streams is still there.
    presence: Arc<Presence>,
    /// After how many milliseconds a token that holds a stream is reviewed again.
    review_again: AtomicU64,
}

#[derive(Debug, Default)]
struct Streams {
    next: u64,
    by_node: HashMap<String, NodeStream>,
}

#[derive(Debug)]
struct NodeStream {
    number: u64,
    superseded: Arc<Notify>,
    /// The version of the plugin, as it says.
    version: String,
}

/// The stream of a node, until it is dropped.
#[derive(Debug)]
pub(super) struct AttachedStream<'a> {
    nodes: &'a Nodes,
    node: String,
    number: u64,
    superseded: Arc<Notify>,
}

impl Nodes {
    /// Those whose plugin runs as one of these ServiceAccounts.
    pub(in crate::gateway) fn new(accounts: Vec<Identity>) -> Self {
        Self {
            accounts,
            working: Semaphore::new(MAX_DISPATCHING),
            streams: Mutex::default(),
            journals: Mutex::default(),
            journal_rate: RateLimiter::keyed(JOURNAL_QUOTA),
            granted: Mutex::default(),
            presence: Arc::default(),
            review_again: AtomicU64::new(REVIEW_AGAIN_MS),
        }
    }

    /// Who of those that hold streams is still there.
    pub(in crate::gateway) const fn presence(&self) -> &Arc<Presence> {
        &self.presence
    }

    /// How old the last review of a token that holds a stream may be.
    pub(super) fn review_again(&self) -> Duration {
        Duration::from_millis(self.review_again.load(Ordering::Relaxed))
    }

    /// From now on as old as this.
    #[cfg(test)]
    pub(in crate::gateway) fn review_again_after(&self, age: Duration) {
        let age = u64::try_from(age.as_millis()).unwrap();
        self.review_again.store(age, Ordering::Relaxed);
    }

    /// Whether there are any.
    pub(in crate::gateway) const fn are_enabled(&self) -> bool {
        !self.accounts.is_empty()
    }

    /// A stream's turn to look at what is due, until it is dropped.
    pub(super) async fn dispatch_permit(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.working.acquire().await.ok()
    }

    /// The node whose plugin the caller is.
    pub(super) fn node_of<'a>(&self, caller: &'a Caller) -> Option<&'a str> {
        let plugin = self.accounts.contains(&caller.principal.identity);
        caller.node.as_deref().filter(|_| plugin && caller.pod.is_some())
    }

    /// The last entry of a node's journal that is known to be audited.
    pub(super) fn journal(&self, node: &str) -> u64 {
        let journals = self.journals.lock();
        journals.get(node).copied().unwrap_or_default()
    }

    /// Its entries up to this one are.
    pub(super) fn journal_recorded(&self, node: &str, sequence: u64) {
        let mut journals = self.journals.lock();
        let known = journals.entry(node.to_owned()).or_default();
        *known = sequence.max(*known);
    }

    /// Whether a node may have so many entries recorded now; if so, they are deducted from its allowance.
    pub(super) fn may_record(&self, node: &str, entries: NonZeroU32) -> bool {
        let taken = self.journal_rate.check_key_n(&node.to_owned(), entries);
        matches!(taken, Ok(Ok(())))
    }

    /// A pod of the node was granted a secret.
    pub(super) fn record_grant(&self, node: &str, secret: SecretId) {
        let mut granted = self.granted.lock();
        let of_node = granted.entry(node.to_owned()).or_default();
        if of_node.len() < MAX_GRANTED_SECRETS {
            of_node.insert(secret);
        }
    }

    /// Whether one was.
    pub(super) fn was_granted(&self, node: &str, secret: SecretId) -> bool {
        let granted = self.granted.lock();
        granted.get(node).is_some_and(|of_node| of_node.contains(&secret))
    }

    /// How many nodes have a stream, by the version of their plugin. What plugins say is cut, and so is how
    /// many versions they may name.
    pub(in crate::gateway) fn plugin_versions(&self) -> BTreeMap<String, u64> {
        let mut versions: BTreeMap<String, u64> = BTreeMap::new();
        for stream in self.streams.lock().by_node.values() {
            let known = versions.len() < MAX_VERSIONS || versions.contains_key(&stream.version);
            let version = if known {
                stream.version.as_str()
            } else {
                OTHER_VERSION
            };
            *versions.entry(version.to_owned()).or_default() += 1;
        }
        versions
    }

    /// The node has a new stream, of a plugin of this version; a former one ends.
    pub(super) fn attach(&self, node: &str, version: &str) -> AttachedStream<'_> {
        let mut streams = self.streams.lock();
        streams.next += 1;
        let (number, superseded) = (streams.next, Arc::new(Notify::new()));
        let stream = NodeStream {
            number,
            superseded: Arc::clone(&superseded),
            version: version.chars().take(MAX_VERSION_CHARS).collect(),
        };
        if let Some(former) = streams.by_node.insert(node.to_owned(), stream) {
            former.superseded.notify_one();
        }
        AttachedStream {
            nodes: self,
            node: node.to_owned(),
            number,
            superseded,
        }
    }
}

impl AttachedStream<'_> {
    /// The node's name.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// Whether the node has no newer stream.
    pub(super) fn is_newest(&self) -> bool {
        let streams = self.nodes.streams.lock();
        let newest = streams.by_node.get(&self.node);
        newest.is_some_and(|stream| stream.number == self.number)
    }

    /// Returns once the node has another stream.
    pub(super) async fn superseded(&self) {
        self.superseded.notified().await;
    }
}

impl Drop for AttachedStream<'_> {
    fn drop(&mut self) {
        if self.is_newest() {
            self.nodes.streams.lock().by_node.remove(&self.node);
        }
    }
}

#[cfg(test)]
mod tests {
    use strongroom_rules::policy::Principal;

    use super::*;

    fn caller(account: &str, node: Option<&str>) -> Caller {
        Caller {
            principal: Principal {
                identity: Identity::from_username(account),
                groups: Vec::new(),
            },
            account_uid: None,
            pod: Some(("plugin".to_owned(), "uid".to_owned())),
            node: node.map(str::to_owned),
            offline: false,
            via_extension_api: false,
            may_get: None,
        }
    }

    #[test]
    fn only_the_plugin_on_a_node_is_a_node() {
        let plugin = "system:serviceaccount:strongroom:node";
        let moved = "system:serviceaccount:nodes:node";
        let nodes = Nodes::new(vec![
            Identity::from_username(plugin),
            Identity::from_username(moved),
        ]);
        assert_eq!(nodes.node_of(&caller(plugin, Some("n-1"))), Some("n-1"));
        assert_eq!(nodes.node_of(&caller(moved, Some("n-1"))), Some("n-1"));
        assert_eq!(nodes.node_of(&caller(plugin, None)), None);
        let other = caller("system:serviceaccount:shop:node", Some("n-1"));
        assert_eq!(nodes.node_of(&other), None);
        let unbound = Caller {
            pod: None,
            ..caller(plugin, Some("n-1"))
        };
        assert_eq!(nodes.node_of(&unbound), None);
        assert_eq!(Nodes::new(Vec::new()).node_of(&caller(plugin, Some("n-1"))), None);
    }

    #[tokio::test]
    async fn a_second_stream_ends_the_first() {
        let nodes = Nodes::new(Vec::new());
        let first = nodes.attach("n-1", "1");
        let other = nodes.attach("n-2", "1");
        let second = nodes.attach("n-1", "2");
        let versions = |one, two| BTreeMap::from([("1".to_owned(), one), ("2".to_owned(), two)]);
        assert_eq!(nodes.plugin_versions(), versions(1, 1));
        first.superseded().await;
        assert!(!first.is_newest() && second.is_newest());
        drop(first);
        let third = nodes.attach("n-1", "2");
        second.superseded().await;
        for quiet in [&other, &third] {
            assert!(futures::FutureExt::now_or_never(quiet.superseded()).is_none());
        }
        assert_eq!(nodes.plugin_versions(), versions(1, 1));
    }

    #[test]
    fn plugins_name_few_and_short_versions() {
        let nodes = Nodes::new(Vec::new());
        let names: Vec<_> = (10..30)
            .map(|number| format!("{number}{}", "x".repeat(1_000)))
            .collect();
        let streams: Vec<_> = names.iter().map(|name| nodes.attach(name, name)).collect();
        let versions = nodes.plugin_versions();
        assert_eq!(versions.len(), MAX_VERSIONS + 1);
        assert_eq!(versions.values().sum::<u64>(), 20);
        assert_eq!(versions[OTHER_VERSION], 4);
        assert!(
            versions
                .keys()
                .all(|name| name.chars().count() <= MAX_VERSION_CHARS)
        );
        drop(streams);
        assert!(nodes.plugin_versions().is_empty());
    }
}
