//! Everything in memory that follows the rows of the store. A commit goes to all of it by
//! [`Caches::announce`] and [`Caches::absorb`], and nowhere else: one more cache is one more field, and does
//! not compile before it has its line there.

use super::audit_bound::AuditBound;
use super::commit_changes::CommitChanges;
use super::name_index::NameIndex;
use super::namespace_quotas::NamespaceQuotas;
use super::open_error::OpenError;
use super::product_quotas::ProductQuotas;
use super::read_cache::ReadCache;
use super::state::read_allowances;
use super::usage_count::{StoreUsage, count};
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
    pub(super) products: ProductQuotas,
}

impl Caches {
    /// Of a store that is opened.
    pub(super) fn load(
        keyring: &Keyring,
        snapshot: &dyn Snapshot,
        limits: RetentionLimits,
        quota: Option<Quota>,
    ) -> Result<Self, OpenError> {
        let StoreUsage { namespaces, products } = count(keyring, snapshot)?;
        Ok(Self {
            names: NameIndex::load(keyring, snapshot)?,
            known: ReadCache::default(),
            bound: AuditBound::new(limits, mutation_bytes(snapshot)?),
            quotas: NamespaceQuotas::new(quota, read_allowances(keyring, snapshot)?, namespaces),
            products: ProductQuotas::new(quota, products),
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
            products,
        } = self;
        names.absorb(keyring, commit);
        bound.absorb(commit);
        let default_secrets = products.secrets_of(commit);
        quotas.absorb(commit, &default_secrets);
        products.absorb(commit, &default_secrets);
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
            products,
        } = self;
        let counted = count(keyring, snapshot)?;
        names.reload(keyring, snapshot)?;
        known.clear();
        bound.reset(mutation_bytes(snapshot)?);
        quotas.reset(counted.namespaces);
        products.reset(counted.products);
        Ok(())
    }
}
