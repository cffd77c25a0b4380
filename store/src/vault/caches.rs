//! Everything in memory that follows the rows of the store. A commit goes to all of it by
//! [`Caches::announce`] and [`Caches::absorb`], and nowhere else: one more cache is one more field, and does
//! not compile before it has its line there.

use super::audit_bound::AuditBound;
use super::commit_changes::CommitChanges;
use super::name_index::NameIndex;
use super::namespace_quotas::{self, NamespaceQuotas};
use super::open_error::OpenError;
use super::read_cache::ReadCache;
use super::state::read_allowances;
use crate::audit::{RetentionLimits, mutation_bytes};
use crate::crypto::Keyring;
use crate::engine::{Revision, Snapshot};
use crate::format::Quota;

/// What follows the rows.
pub(super) struct Caches {
    pub(super) names: NameIndex,
    pub(super) known: ReadCache,
    pub(super) bound: AuditBound,
    pub(super) quotas: NamespaceQuotas,
}

impl Caches {
    /// Of a store that is opened.
    pub(super) fn load(
        keyring: &Keyring,
        snapshot: &dyn Snapshot,
        limits: RetentionLimits,
        quota: Option<Quota>,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            names: NameIndex::load(keyring, snapshot)?,
            known: ReadCache::default(),
            bound: AuditBound::new(limits, mutation_bytes(snapshot)?),
            quotas: NamespaceQuotas::new(
                quota,
                read_allowances(keyring, snapshot)?,
                namespace_quotas::count(keyring, snapshot)?,
            ),
        })
    }

    /// A commit is about to be made, as this revision. INVARIANT: this comes before anybody can see it.
    pub(super) fn announce(&self, commit: &CommitChanges<'_>, revision: Revision) {
        self.known.invalidate(commit.changes(), revision);
    }

    /// The commit happened.
    pub(super) fn absorb(&self, keyring: &Keyring, commit: &CommitChanges<'_>) {
        let Self {
            names,
            // It was told before.
            known: _,
            bound,
            quotas,
        } = self;
        names.absorb(keyring, commit);
        bound.absorb(commit);
        quotas.absorb(commit);
    }

    /// The commit did not end as one that happened: what was read meanwhile may be of either side.
    pub(super) fn distrust(&self) {
        self.known.clear();
    }

    /// All is taken from the rows anew.
    pub(super) fn reload(&self, keyring: &Keyring, snapshot: &dyn Snapshot) -> Result<(), OpenError> {
        let Self {
            names,
            known,
            bound,
            quotas,
        } = self;
        names.reload(keyring, snapshot)?;
        known.clear();
        bound.reset(mutation_bytes(snapshot)?);
        quotas.reset(namespace_quotas::count(keyring, snapshot)?);
        Ok(())
    }
}
