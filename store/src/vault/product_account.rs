//! Which account of which product a default secret counts on. Must not count.

use std::collections::BTreeMap;

use strongroom_model::id::{NamespaceId, SecretId};
use strongroom_model::name::SecretName;
use strongroom_model::{DefaultSecretName, Hosting, ProductCode};

use crate::format::Head;

/// What a default secret counts on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ProductAccount {
    pub(crate) code: ProductCode,
    pub(crate) hosting: Hosting,
    pub(crate) namespace: NamespaceId,
}

impl ProductAccount {
    /// The account of a secret; none where it is no product's.
    pub(crate) fn for_head(head: &Head) -> Option<Self> {
        Some(Self {
            code: product_of(&head.name)?,
            hosting: hosting_of(head),
            namespace: head.namespace,
        })
    }
}

/// The product that a default secret of this name belongs to; none where it is no default secret.
pub(crate) fn product_of(name: &SecretName) -> Option<ProductCode> {
    DefaultSecretName::split(name).ok()??.product_code().ok()
}

/// How a secret is hosted, if it is a default secret.
pub(crate) const fn hosting_of(head: &Head) -> Hosting {
    if head.customer_key {
        Hosting::Paid
    } else {
        Hosting::Free
    }
}

/// To which accounts default secrets go that a group of commands changes; none: they are destroyed.
pub(crate) type ProductMoves = BTreeMap<SecretId, Option<ProductAccount>>;
