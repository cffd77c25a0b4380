//! How many objects each namespace lost between two passes. Whether that is many is measured by how many
//! there were when the first one disappeared.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Batch, DeletionFacts, GRACE_PERIOD, MAX_UNCONFIRMED, MissingObject, NamespaceState, SMALL_NAMESPACE,
    WaitingDeletions,
};

/// The namespaces that lost something. Begun anew it knows nothing of what was there before;
/// [`Losses::remember`] gives back what counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    open: BTreeMap<String, Loss>,
    /// Secrets that go, and have not gone yet: judged once, they are not judged again.
    decided: BTreeSet<String>,
}

/// What one namespace lost, from the first one that went until all that are away were judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    first: Timestamp,
    /// How many were there then.
    there: usize,
    /// Which those were.
    known: BTreeSet<String>,
    /// Those of them that went unasked since.
    went: BTreeSet<String>,
    /// How many of them were away or gone at the last look.
    lost: usize,
    wait: Option<Wait>,
}

/// What a namespace waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// The id to confirm.
    pub batch: String,
    /// It waits because many namespaces lost something at once.
    pub cluster: bool,
    /// The secrets that were listed for the person and are still away.
    pub listed: BTreeSet<String>,
}

/// What of a loss has to outlive the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistedLoss {
    /// When the first one went.
    pub first: Timestamp,
    /// How many were there then.
    pub there: usize,
    /// What a person has to confirm before these go; none: nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Wait>,
}

impl Loss {
    fn new(first: Timestamp, known: BTreeSet<String>) -> Self {
        Self {
            first,
            there: known.len(),
            known,
            went: BTreeSet::new(),
            lost: 0,
            wait: None,
        }
    }

    /// More than [`MAX_UNCONFIRMED`]; or more than half of a standing namespace that had at least
    /// [`SMALL_NAMESPACE`]; or any that an earlier CRD may have taken along. Of a namespace that is gone
    /// itself nothing runs any more, so there is no half of it to protect.
    pub(super) fn is_mass_deletion(&self, missing: &[&MissingObject]) -> bool {
        let away = missing
            .iter()
            .filter(|missing| self.known.contains(&missing.secret))
            .count();
        let standing = missing
            .iter()
            .any(|missing| missing.home == NamespaceState::Active);
        missing.iter().any(|missing| missing.crd_replaced) || self.much(away + self.went.len(), standing)
    }

    fn much(&self, lost: usize, standing: bool) -> bool {
        lost > MAX_UNCONFIRMED || standing && self.there >= SMALL_NAMESPACE && lost * 2 > self.there
    }
}

impl Losses {
    /// Takes down what is away, as namespace, secret and since when, and what is there. Each look counts,
    /// also the first, long before anything is judged: it says what was there.
    pub fn observe<'a>(
        &mut self,
        missing: impl Iterator<Item = (&'a str, &'a str, Timestamp)>,
        present: &BTreeMap<String, BTreeSet<String>>,
    ) {
        let mut away: BTreeMap<&str, BTreeMap<&str, Timestamp>> = BTreeMap::new();
        let mut all = BTreeSet::new();
        for (namespace, secret, since) in missing {
            all.insert(secret);
            if !self.decided.contains(secret) {
                away.entry(namespace).or_default().insert(secret, since);
            }
        }
        self.decided.retain(|secret| all.contains(secret.as_str()));
        self.open
            .retain(|namespace, _| away.contains_key(namespace.as_str()));
        for (namespace, away) in away {
            let there = present.get(namespace).into_iter().flatten().cloned();
            let known = || {
                there
                    .chain(away.keys().map(|secret| (*secret).to_owned()))
                    .collect()
            };
            let first = away.values().min().copied().unwrap_or(Timestamp::MAX);
            let loss = match self.open.get_mut(namespace) {
                Some(loss) => {
                    // Remembered from the process before: it knows how many were there, and not which.
                    if loss.known.is_empty() {
                        loss.known = known();
                    }
                    loss
                }
                None => self
                    .open
                    .entry(namespace.to_owned())
                    .or_insert_with(|| Loss::new(first, known())),
            };
            if let Some(present) = present.get(namespace) {
                loss.went.retain(|secret| !present.contains(secret));
            }
            if let Some(wait) = &mut loss.wait {
                wait.listed.retain(|secret| away.contains_key(secret.as_str()));
            }
            let still = away.keys().filter(|secret| loss.known.contains(**secret));
            loss.lost = still.count() + loss.went.len();
        }
    }

    /// Ends the losses of which everything is judged: what goes next is a loss of its own.
    pub(super) fn close(&mut self, missing: &[MissingObject]) {
        let unjudged: BTreeSet<&str> = missing
            .iter()
            .filter(|missing| missing.counts() && !self.decided.contains(&missing.secret))
            .map(|missing| missing.namespace.as_str())
            .collect();
        self.open
            .retain(|namespace, loss| loss.wait.is_some() || unjudged.contains(namespace.as_str()));
    }

    /// An object was there in between, and is away again: what was judged or listed of its secret does not
    /// count.
    pub fn came_back(&mut self, secret: &str) {
        self.decided.remove(secret);
        for loss in self.open.values_mut() {
            loss.went.remove(secret);
            if let Some(wait) = &mut loss.wait {
                wait.listed.remove(secret);
            }
        }
    }

    /// What waits for a person, by id.
    pub fn batches(&self) -> Vec<Batch> {
        let mut batches: BTreeMap<&str, Batch> = BTreeMap::new();
        for (namespace, loss) in &self.open {
            let Some(wait) = loss.wait.as_ref().filter(|wait| !wait.listed.is_empty()) else {
                continue;
            };
            let batch = batches.entry(&wait.batch).or_insert_with(|| Batch {
                id: wait.batch.clone(),
                namespaces: BTreeMap::new(),
            });
            let waiting = WaitingDeletions {
                first: loss.first,
                there: loss.there,
                secrets: wait.listed.clone(),
            };
            batch.namespaces.insert(namespace.clone(), waiting);
        }
        batches.into_values().collect()
    }

    /// What has to outlive the process: what waits, and what is about to.
    pub fn to_remember(&self) -> BTreeMap<String, PersistedLoss> {
        let counts = |loss: &&Loss| loss.wait.is_some() || loss.much(loss.lost, true);
        self.open
            .iter()
            .filter(|(_, loss)| counts(loss))
            .map(|(namespace, loss)| {
                let remembered = PersistedLoss {
                    first: loss.first,
                    there: loss.there,
                    wait: loss.wait.clone(),
                };
                (namespace.clone(), remembered)
            })
            .collect()
    }

    /// Gives back what the process before had to remember, before the first look.
    pub fn remember(&mut self, remembered: BTreeMap<String, PersistedLoss>) {
        for (namespace, PersistedLoss { first, there, wait }) in remembered {
            let loss = Loss {
                there,
                wait,
                ..Loss::new(first, BTreeSet::new())
            };
            self.open.insert(namespace, loss);
        }
    }

    pub(super) fn of_namespace(&self, namespace: &str) -> Option<&Loss> {
        self.open.get(namespace)
    }

    pub(super) fn is_decided(&self, secret: &str) -> bool {
        self.decided.contains(secret)
    }

    pub(super) fn waits(&self, namespace: &str) -> bool {
        self.of_namespace(namespace)
            .is_some_and(|loss| loss.wait.is_some())
    }

    /// How many namespaces wait by themselves whose first one went as good as now.
    pub(super) fn waiting_since_just_now(&self, now: Timestamp) -> usize {
        let waits = |loss: &&Loss| loss.wait.as_ref().is_some_and(|wait| !wait.cluster);
        self.open
            .values()
            .filter(waits)
            .filter(|loss| is_just_now(loss, now))
            .count()
    }

    /// The batch of a loss of the cluster that goes on and that nobody confirmed yet.
    pub(super) fn clusters_batch(&self, confirmed: &BTreeSet<String>, now: Timestamp) -> Option<String> {
        let lately = self.open.values().filter(|loss| is_just_now(loss, now));
        lately
            .filter_map(|loss| loss.wait.as_ref())
            .find(|wait| wait.cluster && !confirmed.contains(&wait.batch))
            .map(|wait| wait.batch.clone())
    }

    pub(super) fn wait(&mut self, namespace: &str, batch: String, cluster: bool) {
        if let Some(loss) = self.open.get_mut(namespace) {
            loss.wait = Some(Wait {
                batch,
                cluster,
                listed: BTreeSet::new(),
            });
        }
    }

    /// Ends a wait that has an end: all that was confirmed is gone, or the namespace is.
    pub(super) fn settle(&mut self, namespace: &str, missing: &[&MissingObject], facts: &DeletionFacts) {
        let Some(loss) = self.open.get_mut(namespace) else {
            return;
        };
        let Some(wait) = &loss.wait else { return };
        if facts.confirmed.contains(&wait.batch) && wait.listed.is_empty() {
            // What is still away went later, or was not listed: it is a loss of its own.
            let away = missing.iter().map(|missing| missing.secret.clone());
            let there = facts.present.get(namespace).into_iter().flatten().cloned();
            let first = missing.iter().map(|missing| missing.since).min();
            *loss = Loss::new(first.unwrap_or(loss.first), there.chain(away).collect());
        } else if !wait.cluster
            && missing.iter().all(|missing| missing.home == NamespaceState::Gone)
            && !loss.is_mass_deletion(missing)
        {
            loss.wait = None;
        }
    }

    /// What of those whose time has come goes now. The others are listed for the person.
    pub(super) fn judge<'a>(
        &mut self,
        namespace: &str,
        due: impl Iterator<Item = &'a MissingObject>,
        confirmed: &BTreeSet<String>,
    ) -> Vec<String> {
        let Some(loss) = self.open.get_mut(namespace) else {
            return Vec::new();
        };
        let due = due.map(|missing| missing.secret.clone());
        match &mut loss.wait {
            Some(wait) if confirmed.contains(&wait.batch) => {
                due.filter(|secret| wait.listed.contains(secret)).collect()
            }
            Some(wait) => {
                wait.listed.extend(due);
                Vec::new()
            }
            None => {
                let due: Vec<String> = due.collect();
                let known = due.iter().filter(|secret| loss.known.contains(*secret));
                loss.went.extend(known.cloned());
                self.decided.extend(due.iter().cloned());
                due
            }
        }
    }
}

/// Whether the first one went within twice the half minute: when its own was over, another's that went with
/// it was as well.
fn is_just_now(loss: &Loss, now: Timestamp) -> bool {
    let until = loss.first.checked_add(GRACE_PERIOD * 2).unwrap_or(Timestamp::MAX);
    now <= until
}
