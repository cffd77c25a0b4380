//! What namespaces and products have of the store, counted by every row. Must not believe anything of it from
//! the file.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use strongroom_model::id::{NamespaceId, SecretId};

use super::commit_changes::secret_of_row;
use super::error::StoreError;
use super::heads::each_head;
use super::product_account::ProductAccount;
use super::product_quotas::ProductCounts;
use super::quota::{Usage, row_bytes};
use crate::crypto::Keyring;
use crate::engine::{Snapshot, Table};

/// All that is counted: a secret is on one of the two.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct StoreUsage {
    pub(super) namespaces: BTreeMap<NamespaceId, Usage>,
    /// Default secrets.
    pub(super) products: ProductCounts,
}

/// Visits every head, and every row of a version, once.
pub(super) fn count(keyring: &Keyring, snapshot: &dyn Snapshot) -> Result<StoreUsage, StoreError> {
    let mut homes: BTreeMap<SecretId, NamespaceId> = BTreeMap::new();
    let mut counted = StoreUsage::default();
    each_head(keyring, snapshot, |head, bytes| {
        match ProductAccount::for_head(&head) {
            Some(account) => counted.products.add(head.id, account, bytes),
            None => {
                homes.insert(head.id, head.namespace);
                let of = counted.namespaces.entry(head.namespace).or_default();
                *of = of.plus(Usage { secrets: 1, bytes });
            }
        }
    })?;
    for table in [Table::Version, Table::DataKey] {
        snapshot.visit(table, &mut |key, value| {
            let bytes = row_bytes(key, value);
            if let Some(secret) = secret_of_row(table, key) {
                let home = homes.get(&secret);
                if let Some(of) = home.and_then(|home| counted.namespaces.get_mut(home)) {
                    of.bytes = of.bytes.saturating_add(bytes);
                } else if counted.products.contains(&secret) {
                    counted.products.add_bytes(bytes);
                }
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(counted)
}
