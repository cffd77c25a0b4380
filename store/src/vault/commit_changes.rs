//! What one commit changes, row by row, as it was and as it is then: the digest and all that follows the rows
//! in memory take it from here. Must not judge a row.

use std::collections::BTreeMap;

use strongroom_model::id::{NamespaceId, SecretId};

use super::product_account::ProductMoves;
use crate::crypto::{Keyring, StateDigest};
use crate::engine::{Change, EngineError, Snapshot, Table};

/// Whose the secrets are that a group of commands changes.
#[derive(Debug, Default)]
pub(super) struct SecretOwners {
    /// The namespaces of the secrets whose rows change.
    pub(super) namespaces: BTreeMap<SecretId, NamespaceId>,
    /// Of default secrets, what each counts on afterwards.
    pub(super) products: ProductMoves,
}

/// Whether a row is one of those that are counted, and then of which secret.
pub(super) fn secret_of_row(table: Table, key: &[u8]) -> Option<SecretId> {
    match table {
        Table::Head | Table::Version | Table::DataKey => {
            key.first_chunk::<16>().copied().map(SecretId::from_bytes)
        }
        Table::Meta
        | Table::Namespace
        | Table::Name
        | Table::Key
        | Table::KeyVersion
        | Table::Due
        | Table::Audit
        | Table::Cursor
        | Table::Policy
        | Table::Declaration
        | Table::Attestation
        | Table::Product => None,
    }
}

/// The rows of a commit.
#[derive(Clone, Copy)]
pub(super) struct CommitChanges<'a> {
    changes: &'a [Change],
    /// What was at the place of each change.
    before: &'a [Option<Vec<u8>>],
    owners: &'a SecretOwners,
}

/// A row of which something was, or is then, or both.
#[derive(Clone, Copy)]
pub(super) struct ChangedRow<'a> {
    pub(super) table: Table,
    pub(super) key: &'a [u8],
    pub(super) before: Option<&'a [u8]>,
    pub(super) after: Option<&'a [u8]>,
}

impl ChangedRow<'_> {
    /// The secret that it counts for; none where it does not count.
    pub(super) fn secret(&self) -> Option<SecretId> {
        secret_of_row(self.table, self.key)
    }
}

/// What stands at the places of these changes.
pub(super) fn values_before(
    snapshot: &dyn Snapshot,
    changes: &[Change],
) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
    changes
        .iter()
        .map(|change| snapshot.value(change.table(), change.key()))
        .collect()
}

impl<'a> CommitChanges<'a> {
    /// `before` has what stood at the place of each change. A change beyond that is the state row: it is no
    /// row that anything follows.
    pub(super) const fn new(
        changes: &'a [Change],
        before: &'a [Option<Vec<u8>>],
        owners: &'a SecretOwners,
    ) -> Self {
        Self {
            changes,
            before,
            owners,
        }
    }

    /// The rows, in any order.
    pub(super) fn rows(&self) -> impl Iterator<Item = ChangedRow<'a>> + use<'a> {
        self.changes
            .iter()
            .zip(self.before)
            .map(|(change, before)| ChangedRow {
                table: change.table(),
                key: change.key(),
                before: before.as_deref(),
                after: change.value(),
            })
    }

    /// The namespace of a secret whose rows change.
    pub(super) fn home(&self, secret: &SecretId) -> Option<NamespaceId> {
        self.owners.namespaces.get(secret).copied()
    }

    /// The default secrets that change, and what each counts on afterwards.
    pub(super) const fn product_moves(&self) -> &'a ProductMoves {
        &self.owners.products
    }

    /// The changes, as the engine gets them.
    pub(super) const fn changes(&self) -> &'a [Change] {
        self.changes
    }

    /// The digest of all records, which was `digest`.
    pub(super) fn digest(&self, keyring: &Keyring, digest: StateDigest) -> StateDigest {
        self.rows().fold(digest, |mut sum, row| {
            let term = |value: &[u8]| keyring.record_term(row.table.code(), row.key, value);
            if let Some(old) = row.before {
                sum = sum.minus(term(old));
            }
            if let Some(new) = row.after {
                sum = sum.plus(term(new));
            }
            sum
        })
    }
}
