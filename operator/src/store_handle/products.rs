//! Products, as the store keeps them and counts their secrets.

use strongroom_model::ProductCode;
use strongroom_model::id::NamespaceId;
use strongroom_model::name::SecretName;
use strongroom_store::vault::{KeyRef, ProductRecord, ProductRecords, ProductUsage, PutProduct};

use super::{StoreFailure, StoreHandle};

/// Who the records name.
const SECRET_PRODUCT: &str = "SecretProduct";

impl StoreHandle {
    /// Every product that was ever seen, as it was last.
    pub(crate) async fn products(&self) -> Result<ProductRecords, StoreFailure> {
        self.read(|store| Ok(store.products()?)).await
    }

    /// Records a product in the place of what is known of its code.
    pub(crate) async fn put_product(&self, product: ProductRecord) -> Result<(), StoreFailure> {
        self.change(SECRET_PRODUCT, PutProduct(product)).await
    }

    /// How many default secrets a product has, those in a recovery window included.
    pub(crate) async fn product_usage(&self, code: &ProductCode) -> Result<ProductUsage, StoreFailure> {
        let code = code.clone();
        self.read(move |store| Ok(store.product_usage(&code)?)).await
    }

    /// Whether a product may have another default secret, of which nothing but name and key is known yet.
    pub(crate) async fn product_has_room(
        &self,
        namespace: NamespaceId,
        name: &SecretName,
        key: KeyRef,
    ) -> Result<(), StoreFailure> {
        let name = name.clone();
        self.read(move |store| Ok(store.check_product_quota(namespace, &name, key, None)?))
            .await
    }
}
