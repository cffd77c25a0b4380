//! Which pods show which version of which secret, by what their nodes acknowledged. It is what nodes say now, not what was: a node whose stream has
//! ended says everything again when it comes back.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use strongroom_api::stream::proto::{Applied, shown};
use strongroom_store::id::SecretId;
use strongroom_store::name::VersionId;

use super::authenticate::Caller;
use super::delivery::{Subscription, Told, Which};

/// The consumers.
#[derive(Debug, Default)]
pub(super) struct Consumers(Mutex<Nodes>);

/// Volumes by node.
type Nodes = BTreeMap<String, BTreeMap<String, Volume>>;

#[derive(Clone, Debug, Default)]
struct Volume {
    namespace: String,
    pod: String,
    account: String,
    /// By the place of the secret in the volume.
    secrets: BTreeMap<usize, Shown>,
}

#[derive(Clone, Debug)]
struct Shown {
    secret: SecretId,
    follows: Which,
    shows: Shows,
}

/// What a volume shows of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// Nothing yet.
    Nothing,
    /// This version.
    Version(VersionId),
    /// This version does not fit into it: what stood there before still does.
    Not(VersionId),
    /// Its files are gone, as its owner wanted.
    Wiped,
}

/// One volume that has a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Consumer {
    /// The node.
    pub(crate) node: String,
    /// The pod's namespace.
    pub(crate) namespace: String,
    /// The pod's name.
    pub(crate) pod: String,
    /// Its ServiceAccount.
    pub(crate) account: String,
    /// Which version it wants.
    pub(crate) follows: Which,
    /// What it shows.
    pub(crate) shows: Shows,
}

impl Consumers {
    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        // A panic while the lock was held leaves at worst a consumer that is counted until its node says more.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A volume of this pod is subscribed.
    pub(super) fn subscribed(&self, node: &str, volume: &str, caller: &Caller) {
        let identity = &caller.principal.identity;
        let it = Volume {
            namespace: identity.namespace().unwrap_or_default().to_owned(),
            pod: caller
                .pod
                .as_ref()
                .map(|(name, _)| name.clone())
                .unwrap_or_default(),
            account: identity.to_string(),
            secrets: BTreeMap::new(),
        };
        self.nodes()
            .entry(node.to_owned())
            .or_default()
            .insert(volume.to_owned(), it);
    }

    /// A volume was told of its secrets. What it showed when it subscribed counts at once.
    pub(super) fn told(&self, node: &str, volume: &str, subscription: &Subscription) {
        let wanted = subscription
            .wanted
            .iter()
            .map(|want| (&want.which, want.shown.as_deref()));
        let told = subscription.told.iter().flatten().map(|told| told.key.0);
        self.may_show(node, volume, told.zip(wanted));
    }

    fn may_show<'a>(
        &self,
        node: &str,
        volume: &str,
        told: impl Iterator<Item = (SecretId, (&'a Which, Option<&'a str>))>,
    ) {
        if let Some(it) = self.nodes().get_mut(node).and_then(|of| of.get_mut(volume)) {
            for (place, (secret, (which, shown))) in told.enumerate() {
                let before = it.secrets.get(&place).filter(|before| before.secret == secret);
                let shows = match before {
                    Some(before) => before.shows.clone(),
                    None => shown
                        .and_then(|id| id.parse().ok())
                        .map_or(Shows::Nothing, Shows::Version),
                };
                let follows = which.clone();
                it.secrets.insert(
                    place,
                    Shown {
                        secret,
                        follows,
                        shows,
                    },
                );
            }
        }
    }

    /// A volume shows something else now.
    pub(super) fn shows(&self, node: &str, applied: &Applied, told: &[Told]) {
        let mut nodes = self.nodes();
        let Some(it) = nodes
            .get_mut(node)
            .and_then(|of| of.get_mut(&applied.subscription))
        else {
            return;
        };
        for shown in &applied.secrets {
            let place = usize::try_from(shown.secret).unwrap_or(usize::MAX);
            let Some(told) = told.get(place) else { continue };
            let shows = match &shown.outcome {
                Some(shown::Outcome::VersionId(id)) => id.parse().map(Shows::Version),
                Some(shown::Outcome::NotApplied(not)) => not.version_id.parse().map(Shows::Not),
                Some(shown::Outcome::Wiped(_)) => Ok(Shows::Wiped),
                None => continue,
            };
            let known = it.secrets.get_mut(&place);
            // A version id that is none is no version that we told of.
            if let (Ok(shows), Some(known)) = (shows, known.filter(|known| known.secret == told.key.0)) {
                known.shows = shows;
            }
        }
    }

    /// A volume is gone.
    pub(super) fn gone(&self, node: &str, volume: &str) {
        if let Some(of) = self.nodes().get_mut(node) {
            of.remove(volume);
        }
    }

    /// The stream of a node has ended.
    pub(super) fn detached(&self, node: &str) {
        self.nodes().remove(node);
    }

    /// The volumes that have a secret, in order of node and volume.
    pub(crate) fn of(&self, secret: SecretId) -> Vec<Consumer> {
        let nodes = self.nodes();
        let volumes = nodes
            .iter()
            .flat_map(|(node, of)| of.values().map(move |it| (node, it)));
        let has = |(node, it): (&String, &Volume)| {
            let shown = it.secrets.values().find(|shown| shown.secret == secret)?;
            Some(Consumer {
                node: node.clone(),
                namespace: it.namespace.clone(),
                pod: it.pod.clone(),
                account: it.account.clone(),
                follows: shown.follows.clone(),
                shows: shown.shows.clone(),
            })
        };
        volumes.filter_map(has).collect()
    }
}

#[cfg(test)]
mod tests {
    use strongroom_api::stream::proto::{self, Wiped};
    use strongroom_rules::policy::{Identity, Principal};

    use super::*;

    #[test]
    fn a_volume_counts_for_what_its_node_said_last() {
        let consumers = Consumers::default();
        let caller = Caller {
            principal: Principal {
                identity: Identity::of("system:serviceaccount:shop:app"),
                groups: Vec::new(),
            },
            pod: Some(("app-1".to_owned(), "uid".to_owned())),
            node: Some("n".to_owned()),
            offline: false,
            through_front: false,
        };
        let secret = SecretId::from_bytes([1; 16]);
        let told = [Told {
            key: (secret, "v-1".parse().unwrap()),
            terms: crate::terms::Terms::default(),
            ended: None,
        }];
        let applied = |outcome| Applied {
            subscription: "vol".to_owned(),
            secrets: vec![proto::Shown {
                secret: 0,
                outcome: Some(outcome),
            }],
        };
        let shows = || {
            consumers
                .of(secret)
                .into_iter()
                .map(|it| it.shows)
                .collect::<Vec<_>>()
        };
        let current = Which::Stage("Current".parse().unwrap());
        let may = |shown: Option<&'static str>| [(secret, (&current, shown))].into_iter();
        let version = |id: &str| shown::Outcome::VersionId(id.to_owned());
        consumers.shows("n", &applied(version("v-1")), &told);
        assert_eq!(shows(), [], "nobody subscribed yet");
        consumers.subscribed("n", "vol", &caller);
        consumers.may_show("n", "vol", may(None));
        assert_eq!(shows(), [Shows::Nothing]);
        consumers.shows("n", &applied(version("v-1")), &told);
        consumers.may_show("n", "vol", may(None));
        assert_eq!(shows(), [Shows::Version("v-1".parse().unwrap())]);
        consumers.shows("n", &applied(version("not a version")), &told);
        assert_eq!(shows(), [Shows::Version("v-1".parse().unwrap())]);
        consumers.shows("n", &applied(shown::Outcome::Wiped(Wiped {})), &told);
        assert_eq!(shows(), [Shows::Wiped]);
        assert_eq!(consumers.of(secret)[0].pod, "app-1");
        consumers.gone("n", "vol");
        assert_eq!(shows(), []);
        consumers.subscribed("n", "vol", &caller);
        consumers.may_show("n", "vol", may(Some("v-0")));
        assert_eq!(shows(), [Shows::Version("v-0".parse().unwrap())]);
        consumers.detached("n");
        assert_eq!(shows(), []);
    }
}
