//! The accounts of namespaces: how much each has of the store, and how much it may have, in secrets and in
//! bytes of their rows, whatever state the secrets are in. Default secrets are on the accounts of products.
//!
//! What a namespace has is counted when the store is opened, and kept up with each commit; nothing of it is
//! believed from the file. Must not decide what is refused; the commands do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use strongroom_model::id::{NamespaceId, SecretId};

use super::commit_changes::CommitChanges;
use super::quota::{Usage, UsageChange};
use crate::format::{Allowances, Quota};

/// What each namespace has and may have.
#[derive(Debug)]
pub(super) struct NamespaceQuotas {
    /// Of every namespace that has none of its own; none: there is no end.
    quota: Option<Quota>,
    allowances: Allowances,
    /// The record of the allowances is not what it should be: the next commit writes it.
    unsaved: AtomicBool,
    used: Mutex<BTreeMap<NamespaceId, Usage>>,
    refused: AtomicU64,
}

impl NamespaceQuotas {
    /// The accounts of a store that is opened: `recorded` are the allowances in it, which the first quota
    /// finds absent.
    pub(super) fn new(
        quota: Option<Quota>,
        recorded: Option<Allowances>,
        used: BTreeMap<NamespaceId, Usage>,
    ) -> Self {
        let allowances = match (quota, &recorded) {
            (None, _) => recorded.clone().unwrap_or_default(),
            (Some(quota), None) => found_above(&quota, &used),
            (Some(quota), Some(recorded)) => still_above(&quota, recorded, &used),
        };
        let unsaved = quota.is_some() && recorded.as_ref() != Some(&allowances);
        Self {
            quota,
            allowances,
            unsaved: AtomicBool::new(unsaved),
            used: Mutex::new(used),
            refused: AtomicU64::new(0),
        }
    }

    /// What a namespace may have; none: there is no end.
    pub(super) fn limit(&self, namespace: &NamespaceId) -> Option<Quota> {
        let quota = self.quota?;
        Some(match self.allowances.0.get(namespace) {
            None => quota,
            Some(own) => Quota {
                secrets: own.secrets.max(quota.secrets),
                bytes: own.bytes.max(quota.bytes),
            },
        })
    }

    /// What a namespace has.
    pub(super) fn usage(&self, namespace: &NamespaceId) -> Usage {
        self.used.lock().get(namespace).copied().unwrap_or_default()
    }

    /// The namespaces that have at least so many percent of what they may have, the fullest first.
    pub(super) fn fullest(&self, percent: u64) -> Vec<(NamespaceId, Usage, Quota)> {
        let used = self.used.lock();
        let mut found: Vec<_> = used
            .iter()
            .filter_map(|(namespace, used)| Some((*namespace, *used, self.limit(namespace)?)))
            .filter(|(_, used, limit)| used.percent_of(limit) >= percent)
            .collect();
        drop(used);
        found.sort_by_key(|(namespace, used, limit)| (std::cmp::Reverse(used.percent_of(limit)), *namespace));
        found
    }

    /// A commit happened. It wrote the allowances where they had to be written. Default secrets, whose rows
    /// are products', count on no namespace.
    pub(super) fn absorb(&self, commit: &CommitChanges<'_>, products: &BTreeSet<SecretId>) {
        let mut moved: BTreeMap<NamespaceId, UsageChange> = BTreeMap::new();
        for row in commit.rows() {
            let secret = row.secret().filter(|secret| !products.contains(secret));
            if let Some(home) = secret.and_then(|secret| commit.home(&secret)) {
                moved.entry(home).or_default().add_row(&row);
            }
        }
        self.apply(&moved);
        self.unsaved.store(false, Ordering::Relaxed);
    }

    fn apply(&self, moved: &BTreeMap<NamespaceId, UsageChange>) {
        let mut all = self.used.lock();
        for (namespace, moved) in moved {
            let used = all.entry(*namespace).or_default();
            *used = used.changed_by(*moved);
            if *used == Usage::default() {
                all.remove(namespace);
            }
        }
    }

    /// All was counted anew.
    pub(super) fn reset(&self, used: BTreeMap<NamespaceId, Usage>) {
        *self.used.lock() = used;
    }

    /// Something was refused for lack of room.
    pub(super) fn count_refusal(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that happened.
    pub(super) fn refusals(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The allowances, where they have to be written.
    pub(super) fn unsaved(&self) -> Option<&Allowances> {
        self.unsaved.load(Ordering::Relaxed).then_some(&self.allowances)
    }
}

/// What the first quota finds above it is that namespace's own, and a tenth more.
fn found_above(quota: &Quota, used: &BTreeMap<NamespaceId, Usage>) -> Allowances {
    let and_a_tenth = |number: u64| number.saturating_add(number / 10);
    let above = used
        .iter()
        .filter(|(_, used)| used.is_above(quota))
        .map(|(namespace, used)| {
            let own = Quota {
                secrets: and_a_tenth(used.secrets),
                bytes: and_a_tenth(used.bytes),
            };
            (*namespace, own)
        });
    Allowances(above.collect())
}

/// A namespace that has come down to the quota of all has no other any more.
fn still_above(quota: &Quota, recorded: &Allowances, used: &BTreeMap<NamespaceId, Usage>) -> Allowances {
    let above = |namespace: &NamespaceId| used.get(namespace).is_some_and(|used| used.is_above(quota));
    let kept = recorded.0.iter().filter(|(namespace, _)| above(namespace));
    Allowances(kept.map(|(namespace, own)| (*namespace, *own)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::commit_changes::SecretOwners;

    const QUOTA: Quota = Quota {
        secrets: 100,
        bytes: 1_000,
    };

    fn namespace(number: u8) -> NamespaceId {
        NamespaceId::from_bytes([number; 16])
    }

    fn used(of: &[(u8, u64, u64)]) -> BTreeMap<NamespaceId, Usage> {
        of.iter()
            .map(|(number, secrets, bytes)| {
                let (secrets, bytes) = (*secrets, *bytes);
                (namespace(*number), Usage { secrets, bytes })
            })
            .collect()
    }

    #[test]
    fn what_the_first_quota_finds_above_is_allowed_and_a_tenth_more() {
        let quotas = NamespaceQuotas::new(
            Some(QUOTA),
            None,
            used(&[(1, 100, 1_000), (2, 200, 10), (3, 1, 5_000)]),
        );
        assert_eq!(quotas.limit(&namespace(1)), Some(QUOTA));
        let limit = |number| quotas.limit(&namespace(number)).unwrap();
        assert_eq!((limit(2).secrets, limit(2).bytes), (220, 1_000));
        assert_eq!((limit(3).secrets, limit(3).bytes), (100, 5_500));
        let recorded = quotas.unsaved().cloned().unwrap();
        assert_eq!(recorded.0.len(), 2);

        // Later it is what was recorded: nothing that came since, and not again a tenth.
        let later = NamespaceQuotas::new(
            Some(QUOTA),
            Some(recorded),
            used(&[(1, 150, 1_000), (2, 220, 10), (3, 1, 900)]),
        );
        assert_eq!(later.limit(&namespace(1)), Some(QUOTA));
        assert_eq!(later.limit(&namespace(2)).unwrap().secrets, 220);
        assert_eq!(later.limit(&namespace(3)), Some(QUOTA), "it came down");
        let recorded = later.unsaved().cloned().unwrap();
        let again = NamespaceQuotas::new(Some(QUOTA), Some(recorded), used(&[(2, 220, 10)]));
        assert_eq!(again.unsaved(), None);
    }

    #[test]
    fn a_quota_of_which_nothing_is_above_is_recorded_too() {
        let quotas = NamespaceQuotas::new(Some(QUOTA), None, BTreeMap::new());
        assert_eq!(quotas.unsaved(), Some(&Allowances::default()));
        quotas.absorb(
            &CommitChanges::new(&[], &[], &SecretOwners::default()),
            &BTreeSet::new(),
        );
        assert_eq!(quotas.unsaved(), None);
        let without = NamespaceQuotas::new(None, None, used(&[(1, 1_000_000, 0)]));
        assert_eq!((without.unsaved(), without.limit(&namespace(1))), (None, None));
    }

    #[test]
    fn the_fullest_come_first_and_the_empty_not_at_all() {
        let quotas = NamespaceQuotas::new(
            Some(QUOTA),
            Some(Allowances::default()),
            used(&[(1, 60, 0), (2, 1, 990), (3, 49, 499), (4, 200, 0)]),
        );
        let found = |percent| {
            let found = quotas.fullest(percent);
            found.iter().map(|(namespace, ..)| *namespace).collect::<Vec<_>>()
        };
        assert_eq!(found(50), [4, 2, 1].map(namespace));
        let gone = UsageChange {
            secrets: -200,
            bytes: 0,
        };
        quotas.apply(&BTreeMap::from([(namespace(4), gone)]));
        assert_eq!(found(50), [2, 1].map(namespace));
        assert_eq!(quotas.usage(&namespace(4)), Usage::default());
        let nothing = Quota { secrets: 0, bytes: 0 };
        assert_eq!(Usage::default().percent_of(&nothing), 0);
        assert_eq!(quotas.usage(&namespace(1)).percent_of(&nothing), u64::MAX);
    }
}
