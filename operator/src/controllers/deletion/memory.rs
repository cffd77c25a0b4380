//! What the search for deleted objects remembers from one pass to the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use strongroom_rules::deletion::Losses;

use super::kind::{DeletionCandidates, OwnedResource, OwnerKind};
use super::signals::DeletionSignals;

/// What the ConfigMap says, by field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listing(pub(super) BTreeMap<String, String>);

/// What is remembered from one pass to the next. Deletions that wait for a person are in the ConfigMap as
/// well; if the rest is lost, deletions only take longer.
#[derive(Debug, Default)]
pub(crate) struct DeletionMemory {
    /// What it is about.
    pub(super) kind: OwnerKind,
    /// When each secret or key, by id, was first seen without its object.
    pub(super) since: HashMap<String, Timestamp>,
    /// UID of the CRD at the last look.
    pub(super) crd: Option<String>,
    /// What each namespace lost.
    pub(super) losses: Losses,
    /// What stands in the ConfigMap; absent until it was read.
    pub(super) published: Option<Listing>,
    /// The ConfigMap's name is taken by somebody else, which was told.
    pub(super) taken: bool,
    /// When each batch was last told, and to whom: to the administrators, or in a namespace.
    pub(super) told: BTreeMap<(String, Option<String>), Timestamp>,
}

impl DeletionMemory {
    /// The memory of a kind, empty.
    pub(crate) fn new(kind: OwnerKind) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }

    /// Whether a person has to confirm something.
    pub(super) fn waits(&self) -> bool {
        !self.losses.batches().is_empty()
    }

    /// Takes down what is away in our cache.
    pub(super) fn observe(
        &mut self,
        signals: &DeletionSignals,
        suspects: &DeletionCandidates,
        now: Timestamp,
    ) {
        let place = |owned: &OwnedResource| (owned.namespace.clone(), owned.object.name.clone());
        let away = suspects.owned.iter().map(|owned| (place(owned), false));
        let back = signals.look_out_for(away.collect());
        let ids: BTreeSet<&str> = suspects.owned.iter().map(|owned| owned.id.as_str()).collect();
        self.since.retain(|id, _| ids.contains(id.as_str()));
        for owned in &suspects.owned {
            if back.contains(&place(owned)) {
                self.since.remove(&owned.id);
                self.losses.came_back(&owned.id);
            }
            self.since.entry(owned.id.clone()).or_insert(now);
        }
        let since = &self.since;
        let away = suspects.owned.iter().filter_map(|owned| {
            let since = since.get(&owned.id)?;
            Some((owned.namespace.as_str(), owned.id.as_str(), *since))
        });
        self.losses.observe(away, &suspects.present);
    }
}
