//! A product as it was last seen: who manages it, and how many default secrets it may have. Must not say what
//! may be done with that.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_model::name::{ExternalId, NamespaceName};
use strongroom_model::time::Timestamp;
use strongroom_model::{Hosting, ProductCode};
use zeroize::Zeroizing;

use super::{FORMAT, IndexedRecord};
use crate::codec::{DecodeError, Reader, Writer};
use crate::crypto::Context;
use crate::engine::Table;

/// What is known of a product, so that the next process knows it. It stays when the product is gone: its
/// default secrets count on it, and only the same managers come back without a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProductRecord {
    /// The part of a default secret's name before the `!`.
    pub code: ProductCode,
    /// What the outside calls the object that was seen last; the same product applied again has another one.
    pub incarnation: ExternalId,
    /// When the first object of this code was made: what declares a default secret and is older, is not the
    /// product's.
    pub since: Timestamp,
    /// Who may write its default secrets; 1 to [`ProductRecord::MAX_MANAGERS`].
    pub managers: BTreeSet<ProductManager>,
    /// The hostings that it offers, each with its quota.
    pub hosting: BTreeMap<Hosting, ProductQuota>,
    /// Whether a person accepted the managers in the place of others.
    pub adopted: bool,
}

impl ProductRecord {
    /// Most managers of one product.
    pub const MAX_MANAGERS: usize = 16;

    /// How many default secrets it may have; none of a hosting that it does not offer.
    #[must_use]
    pub fn quota(&self, hosting: Hosting) -> ProductQuota {
        self.hosting.get(&hosting).copied().unwrap_or_default()
    }
}

/// A ServiceAccount that acts for a product.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ProductManager {
    /// The namespace that the ServiceAccount is in.
    pub namespace: NamespaceName,
    /// Its name there, at most 253 bytes.
    pub name: String,
    /// What the outside calls that namespace for good; absent where it was not there, and after a restore
    /// that accepts all namespaces.
    pub namespace_uid: Option<ExternalId>,
}

/// How many default secrets a product may have, those in a recovery window included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ProductQuota {
    /// In any one namespace.
    pub per_namespace: u64,
    /// In all namespaces together.
    pub total: u64,
}

const fn hosting_code(hosting: Hosting) -> u8 {
    match hosting {
        Hosting::Free => 0,
        Hosting::Paid => 1,
    }
}

fn hosting_from(r: &mut Reader<'_>) -> Result<Hosting, DecodeError> {
    match r.u8()? {
        0 => Ok(Hosting::Free),
        1 => Ok(Hosting::Paid),
        _ => Err(DecodeError::Invalid("hosting")),
    }
}

fn manager(r: &mut Reader<'_>) -> Result<ProductManager, DecodeError> {
    Ok(ProductManager {
        namespace: r.parsed("manager namespace")?,
        name: r.text("manager name")?.to_owned(),
        namespace_uid: r.option("manager namespace uid", |r| r.parsed("manager namespace uid"))?,
    })
}

impl IndexedRecord for ProductRecord {
    const TABLE: Table = Table::Product;
    const NAME: &'static str = "what is known of a product";

    fn context(index: &[u8; 32]) -> Context<'_> {
        Context::Product(index)
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::with_capacity(256);
        w.u8(FORMAT)
            .text(self.code.as_str())
            .text(self.incarnation.as_str())
            .i64(self.since.as_millis())
            .list(self.managers.iter(), |w, manager| {
                w.text(manager.namespace.as_str())
                    .text(&manager.name)
                    .option(manager.namespace_uid.as_ref(), |w, uid| w.text(uid.as_str()))
            })
            .list(self.hosting.iter(), |w, (hosting, quota)| {
                w.u8(hosting_code(*hosting))
                    .u64(quota.per_namespace)
                    .u64(quota.total)
            })
            .bool(self.adopted);
        w.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.format(FORMAT)?;
        let product = Self {
            code: r.parsed("product code")?,
            incarnation: r.parsed("product uid")?,
            since: Timestamp::from_millis(r.i64()?),
            managers: r
                .map("managers", |r| Ok((manager(r)?, ())))?
                .into_keys()
                .collect(),
            hosting: r.map("hosting", |r| {
                let hosting = hosting_from(r)?;
                let (per_namespace, total) = (r.u64()?, r.u64()?);
                Ok((hosting, ProductQuota { per_namespace, total }))
            })?,
            adopted: r.bool("adopted")?,
        };
        r.end()?;
        Ok(product)
    }
}
