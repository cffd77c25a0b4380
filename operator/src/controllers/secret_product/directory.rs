//! The directory of products, made of what the watches and the store say. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::{PartialObjectMeta, Selector, SelectorExt};
use strongroom_crds::annotation::ADOPT_PRODUCT;
use strongroom_crds::v1alpha1::{
    ProductHosting, ProductQuota as QuotaSpec, SecretProduct, SecretProductSpec,
};
use strongroom_model::name::{ExternalId, NamespaceName};
use strongroom_model::{Hosting, ProductCode};
use strongroom_rules::product::{
    ManagerFacts, NamespaceSelection, ProductDirectory, ProductFacts, ProductState, QuotaLimits,
};
use strongroom_rules::uid::Uid;
use strongroom_store::vault::{ProductQuota, ProductRecord};

use crate::controllers::cached_object::CachedObject;
use crate::products::{ObservedProduct, ProductRecognition, recognize};
use crate::store_handle::{store_time, timestamp};

/// A product as the watch has it.
#[derive(Clone, Debug)]
pub(super) enum ProductObject {
    /// It can be read.
    Readable(Arc<ReadableProduct>),
    /// It does not fit its type, or has a code that no product can have.
    Unreadable,
}

/// A product that can be read.
#[derive(Debug)]
pub(super) struct ReadableProduct {
    pub(super) spec: SecretProductSpec,
    /// What of it decides whether it is the one that the store knows.
    pub(super) observed: ObservedProduct,
    /// Where it may own secrets; none: nowhere.
    selector: Option<Selector>,
}

/// A namespace that secrets may be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenHome {
    /// `metadata.uid`.
    pub(super) uid: String,
    labels: Arc<BTreeMap<String, String>>,
}

/// All that the directory is made of.
#[derive(Clone, Debug, Default)]
pub(super) struct ProductSources {
    /// The products that are there, by code.
    pub(super) products: BTreeMap<String, ProductObject>,
    /// Those that went, and may have gone with their kind.
    pub(super) leaving: BTreeMap<String, ProductObject>,
    /// What the store recorded, of products that are there and that were.
    pub(super) records: BTreeMap<ProductCode, ProductRecord>,
    pub(super) namespaces: HashMap<String, SeenHome>,
}

impl SeenHome {
    /// What of a Namespace counts here.
    pub(super) fn from_metadata(namespace: &PartialObjectMeta<Namespace>) -> Self {
        Self {
            uid: namespace.uid().unwrap_or_default(),
            labels: Arc::new(namespace.labels().clone()),
        }
    }
}

impl ProductObject {
    /// What of a cached object counts here.
    pub(super) fn from_cached(kept: &CachedObject<SecretProduct>) -> Self {
        let read = kept
            .parse()
            .ok()
            .and_then(|object| ReadableProduct::read(&object));
        read.map_or(Self::Unreadable, |product| Self::Readable(Arc::new(product)))
    }
}

impl ReadableProduct {
    /// None where it says what its definition would not let in.
    pub(super) fn read(object: &SecretProduct) -> Option<Self> {
        let spec = object.spec.clone();
        let managers = spec.managers.iter().map(|manager| {
            let namespace = NamespaceName::new(&manager.namespace).ok()?;
            Some((namespace, manager.name.clone()))
        });
        let observed = ObservedProduct {
            code: ProductCode::new(&object.name_any()).ok()?,
            uid: ExternalId::new(&object.uid()?).ok()?,
            created: store_time(object.creation_timestamp()?.0),
            managers: managers.collect::<Option<BTreeSet<_>>>()?,
            hosting: quotas(&spec),
            adopts: object.annotations().get(ADOPT_PRODUCT).cloned(),
        };
        let selector = spec.namespaces.clone().map(Selector::try_from);
        Some(Self {
            spec,
            observed,
            // An operator that does not exist selects nothing.
            selector: selector.and_then(Result::ok),
        })
    }
}

/// The hostings that a spec offers, each with its quota. One that is not said is none.
fn quotas(spec: &SecretProductSpec) -> BTreeMap<Hosting, ProductQuota> {
    let count = |count: i64| u64::try_from(count).unwrap_or_default();
    let said = |hosting: ProductHosting| -> Option<&QuotaSpec> {
        let quota = spec.quota.as_ref()?;
        match hosting {
            ProductHosting::Free => quota.free.as_ref(),
            ProductHosting::Paid => quota.paid.as_ref(),
        }
    };
    let quota = |hosting: &ProductHosting| {
        let quota = said(*hosting).map_or_else(ProductQuota::default, |said| ProductQuota {
            per_namespace: count(said.per_namespace),
            total: count(said.total),
        });
        (Hosting::from(*hosting), quota)
    };
    spec.hosting.iter().map(quota).collect()
}

impl ProductSources {
    /// The products that have a manager in one of these namespaces.
    pub(super) fn managed_from(&self, namespaces: &[String]) -> Vec<String> {
        let has_manager = |object: &ProductObject| match object {
            ProductObject::Readable(product) => {
                let mut managers = product.observed.managers.iter();
                managers.any(|(home, _)| namespaces.iter().any(|name| name == home.as_str()))
            }
            ProductObject::Unreadable => false,
        };
        let managed = self.products.iter().filter(|(_, object)| has_manager(object));
        managed.map(|(code, _)| code.clone()).collect()
    }

    /// What the cluster says of a namespace.
    pub(super) fn namespace_uid(&self, namespace: &NamespaceName) -> Option<ExternalId> {
        ExternalId::new(&self.namespaces.get(namespace.as_str())?.uid).ok()
    }

    /// Codes of products whose objects are gone and that count as they were.
    pub(super) fn leaving_codes(&self) -> BTreeSet<String> {
        self.leaving.keys().cloned().collect()
    }

    /// The directory. What is leaving counts as if it were there.
    pub(super) fn directory(&self) -> ProductDirectory {
        let there = self.products.iter().chain(&self.leaving);
        let mut facts: BTreeMap<ProductCode, ProductFacts> = self
            .records
            .iter()
            .map(|(code, record)| (code.clone(), absent(record)))
            .collect();
        for (_, object) in there {
            let ProductObject::Readable(product) = object else {
                continue;
            };
            let code = &product.observed.code;
            let known = self.records.get(code);
            let recognition = recognize(known, &product.observed, |name| self.namespace_uid(name));
            let state = match &recognition {
                ProductRecognition::Changed { .. } => ProductState::Changed,
                // Before the store has recorded that it is here, or here again, nobody acts for it.
                ProductRecognition::Recognized { record, .. }
                    if known.is_some_and(|known| known.incarnation == record.incarnation) =>
                {
                    ProductState::Present
                }
                ProductRecognition::Recognized { .. } => continue,
            };
            let since = known.map_or(product.observed.created, |known| known.since);
            let mut found = ProductFacts::from_spec(
                code.clone(),
                &product.spec,
                (state, timestamp(since)),
                self.selected(product),
                |namespace| {
                    let there = self.namespaces.get(namespace);
                    let there = there.map(|home| Uid::new(&home.uid));
                    there.or_else(|| recorded_uid(known?, namespace))
                },
            );
            if state == ProductState::Changed {
                found.managers_before = known.map(recorded_managers).unwrap_or_default();
            }
            facts.insert(code.clone(), found);
        }
        ProductDirectory::new(facts.into_values())
    }

    fn selected(&self, product: &ReadableProduct) -> NamespaceSelection {
        let Some(selector) = &product.selector else {
            return NamespaceSelection::none();
        };
        if selector.selects_all() {
            return NamespaceSelection::All;
        }
        let selected = self
            .namespaces
            .iter()
            .filter(|(_, home)| selector.matches(&home.labels));
        NamespaceSelection::Named(selected.map(|(name, _)| name.clone()).collect())
    }
}

/// What the store recorded of a manager's namespace.
fn recorded_uid(record: &ProductRecord, namespace: &str) -> Option<Uid> {
    let mut managers = record.managers.iter();
    let manager = managers.find(|manager| manager.namespace.as_str() == namespace)?;
    manager.namespace_uid.as_ref().map(|uid| Uid::new(uid.as_str()))
}

fn recorded_managers(record: &ProductRecord) -> Vec<ManagerFacts> {
    let managers = record.managers.iter().map(|manager| ManagerFacts {
        namespace: manager.namespace.to_string(),
        name: manager.name.clone(),
        namespace_uid: manager.namespace_uid.as_ref().map(|uid| Uid::new(uid.as_str())),
    });
    managers.collect()
}

/// A product whose object is gone.
fn absent(record: &ProductRecord) -> ProductFacts {
    let quotas = record.hosting.iter().map(|(hosting, quota)| {
        let limits = QuotaLimits {
            per_namespace: quota.per_namespace,
            total: quota.total,
        };
        (*hosting, limits)
    });
    ProductFacts {
        code: record.code.clone(),
        state: ProductState::Absent,
        since: timestamp(record.since),
        display_name: None,
        docs: None,
        managers: recorded_managers(record),
        managers_before: Vec::new(),
        namespaces: NamespaceSelection::none(),
        hosting: quotas.collect(),
        secret_policies: true,
        gateway: None,
        users_rotate: false,
        suspend: false,
    }
}
