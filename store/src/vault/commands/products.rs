//! Products: what was last seen of each is kept, also when the product is gone.

use std::collections::BTreeSet;

use strongroom_model::name::{ExternalId, NamespaceName};
use strongroom_model::time::Timestamp;

use super::{Command, Decision, Effect, EntryDraft, Refusal, StoreError, View};
use crate::audit::Action;
use crate::format::{ProductManager, ProductRecord};
use crate::vault::indexed_record::each_indexed;

/// Longest name of a manager in bytes.
const MAX_NAME_BYTES: usize = 253;

/// Keeps what is known of a product, in the place of what was known before; its quotas hold from then on. The
/// same again changes nothing. Whether other managers may come, the caller has decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PutProduct(pub ProductRecord);

impl Command for PutProduct {
    type Reply = ();
    const ACTION: Action = Action::PutProduct;

    fn decide(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        let Self(product) = self;
        checked(&product)?;
        let before = match view.product(&product.code) {
            // One that cannot be read gives way.
            Err(StoreError::Damaged { .. }) => None,
            read => read?,
        };
        if before.as_ref() == Some(&product) {
            return Ok(Decision::unchanged(()));
        }
        let others = before.is_some_and(|before| {
            without_uids(&product.managers).ne(without_uids(&before.managers))
                || !known_uids(&product.managers).is_superset(&known_uids(&before.managers))
        });
        let action = if product.adopted && others {
            Action::AdoptProduct
        } else {
            Action::PutProduct
        };
        let about = EntryDraft::new(action).with(|entry| {
            entry.detail = format!(
                "product {}, {} managers, object {}",
                product.code,
                product.managers.len(),
                product.incarnation
            );
        });
        Ok(Decision::new(
            vec![Effect::PutProduct(Box::new(product))],
            about,
            (),
        ))
    }

    /// Its time has passed: what was kept since stays.
    fn repeated(self, _view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        Ok(Decision::unchanged(()))
    }
}

fn checked(product: &ProductRecord) -> Result<(), Refusal> {
    if !(1..=ProductRecord::MAX_MANAGERS).contains(&product.managers.len()) {
        return Err(Refusal::MetadataTooLarge("a product has 1 to 16 managers"));
    }
    if product
        .managers
        .iter()
        .any(|manager| manager.name.len() > MAX_NAME_BYTES)
    {
        return Err(Refusal::MetadataTooLarge(
            "the name of a manager has at most 253 bytes",
        ));
    }
    Ok(())
}

/// The ServiceAccounts, whatever their namespaces are called for good.
fn without_uids(managers: &BTreeSet<ProductManager>) -> impl Iterator<Item = (&NamespaceName, &str)> {
    managers
        .iter()
        .map(|manager| (&manager.namespace, manager.name.as_str()))
}

fn known_uids(managers: &BTreeSet<ProductManager>) -> BTreeSet<&ExternalId> {
    managers
        .iter()
        .filter_map(|manager| manager.namespace_uid.as_ref())
        .collect()
}

/// The products that name namespaces of managers by their outside uids, without those: another cluster has
/// others. What cannot be read stays as it is.
pub(super) fn without_namespace_uids(view: &View<'_>) -> Result<Vec<ProductRecord>, StoreError> {
    let mut changed = Vec::new();
    each_indexed::<ProductRecord>(view.keyring, view.snapshot, |product| {
        let Ok((_, product)) = product else { return };
        if known_uids(&product.managers).is_empty() {
            return;
        }
        let managers = product.managers.into_iter().map(|manager| ProductManager {
            namespace_uid: None,
            ..manager
        });
        changed.push(ProductRecord {
            managers: managers.collect(),
            ..product
        });
    })?;
    Ok(changed)
}
