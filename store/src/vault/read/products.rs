//! Reads of products: what is known of them, and what they have of the store.

use strongroom_model::id::NamespaceId;
use strongroom_model::name::SecretName;
use strongroom_model::{Hosting, ProductCode};

use crate::format::ProductRecord;
use crate::value::Value;
use crate::vault::commands::check_any_default_secret;
use crate::vault::error::StoreError;
use crate::vault::indexed_record::each_indexed;
use crate::vault::product_account::{ProductAccount, ProductMoves};
use crate::vault::store::Store;
use crate::vault::types::{
    DefaultSecretQuota, HostingUsage, KeyRef, ProductRecords, ProductUsage, ProductsShare, QuotaUsage,
};
use crate::vault::view::View;

impl Store {
    /// What is known of a product, also where it is gone by now.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn product(&self, code: &ProductCode) -> Result<Option<ProductRecord>, StoreError> {
        self.with_view(|view| view.product(code))
    }

    /// What is known of all products, those that are gone included.
    ///
    /// # Errors
    /// [`StoreError::Engine`]. A record that cannot be read is counted, and hides no other.
    pub fn products(&self) -> Result<ProductRecords, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let mut found = ProductRecords::default();
        each_indexed::<ProductRecord>(&self.shared.keyring, snapshot.as_ref(), |product| match product {
            Ok((_, product)) => found.products.push(product),
            Err(_) => found.unreadable += 1,
        })?;
        Ok(found)
    }

    /// How many default secrets a product has, by hosting and namespace.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn product_usage(&self, code: &ProductCode) -> Result<ProductUsage, StoreError> {
        let mut usage = ProductUsage::default();
        self.with_view(|view| {
            for hosting in Hosting::ALL {
                let mut of = HostingUsage::default();
                for (namespace, secrets) in self.shared.caches.products.by_namespace(code, hosting) {
                    of.secrets += secrets;
                    of.namespaces.insert(view.namespace(&namespace)?.name, secrets);
                }
                usage.hosting.insert(hosting, of);
            }
            Ok(())
        })?;
        Ok(usage)
    }

    /// The quotas that another default secret of a product would count on. A product that is not known may
    /// have none.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn product_quota(
        &self,
        code: &ProductCode,
        hosting: Hosting,
        namespace: NamespaceId,
    ) -> Result<DefaultSecretQuota, StoreError> {
        let known = self.product(code)?;
        let quota = known.map(|product| product.quota(hosting)).unwrap_or_default();
        let account = ProductAccount {
            code: code.clone(),
            hosting,
            namespace,
        };
        let products = &self.shared.caches.products;
        let (in_namespace, total) = products.secrets_after(&account, &ProductMoves::new());
        Ok(DefaultSecretQuota {
            in_namespace: QuotaUsage {
                used: in_namespace,
                limit: quota.per_namespace,
            },
            total: QuotaUsage {
                used: total,
                limit: quota.total,
            },
        })
    }

    /// Whether there is room for a default secret of this name under this key, with this value where it is
    /// known. The secret itself may yet be refused.
    ///
    /// # Errors
    /// [`ProductQuotaExceeded`](crate::vault::Refusal::ProductQuotaExceeded),
    /// [`ProductsFull`](crate::vault::Refusal::ProductsFull),
    /// [`ProductUnknown`](crate::vault::Refusal::ProductUnknown),
    /// [`NamespaceNotFound`](crate::vault::Refusal::NamespaceNotFound); [`StoreError::Damaged`].
    pub fn check_product_quota(
        &self,
        namespace: NamespaceId,
        name: &SecretName,
        key: KeyRef,
        value: Option<&Value>,
    ) -> Result<(), StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let caches = &self.shared.caches;
        let view =
            View::new(&self.shared.keyring, snapshot.as_ref()).with_quotas(&caches.quotas, &caches.products);
        let hosting = Hosting::under(key.customer().as_ref());
        check_any_default_secret(&view, &view.namespace(&namespace)?, (name, hosting), value)
    }

    /// What all products together have of the store, and may have.
    #[must_use]
    pub fn products_share(&self) -> ProductsShare {
        let products = &self.shared.caches.products;
        ProductsShare {
            used: products.used(),
            limit: products.share(),
        }
    }
}
