//! Facts from the watches about products, about the namespaces that they may own secrets in, and about the
//! objects that declare default secrets; and what the store recorded about products. Nothing is decided here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::mem;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use strongroom_crds::v1alpha1::SecretProduct;
use strongroom_model::ProductCode;
use strongroom_model::name::{ExternalId, NamespaceName};
use strongroom_store::vault::ProductRecord;
use tokio::sync::Notify;

use super::directory::{ProductObject, ProductSources, SeenHome};
use crate::controllers::cached_object::CachedObject;
use crate::kube::watch::WatchChange;

/// References to products that have to be looked at.
type Queue = UnboundedReceiver<ObjectRef<CachedObject<SecretProduct>>>;

/// Namespace and name of an object.
type Place = (String, String);

/// What is known of products.
#[derive(Debug)]
pub(crate) struct ProductIndex {
    state: Mutex<IndexState>,
    /// Woken when the directory may be another one.
    changed: Notify,
    touched: UnboundedSender<ObjectRef<CachedObject<SecretProduct>>>,
    queue: Mutex<Option<Queue>>,
}

#[derive(Debug, Default)]
struct IndexState {
    sources: ProductSources,
    /// The objects of a list that is coming.
    listing: BTreeMap<String, ProductObject>,
    products_listed: bool,
    namespaces_listed: bool,
    records_read: bool,
    /// The ManagedSecrets that declare default secrets, with the code of each.
    secrets: HashMap<Place, String>,
    /// Those that wait until a policy lets their product use a key.
    awaiting_policies: HashSet<Place>,
}

impl Default for ProductIndex {
    fn default() -> Self {
        let (touched, queue) = unbounded();
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            touched,
            queue: Mutex::new(Some(queue)),
        }
    }
}

impl ProductIndex {
    /// The products to look at. It can be taken once.
    pub(crate) fn queue(&self) -> Option<Queue> {
        self.queue.lock().take()
    }

    /// Has a product looked at. A closed channel means that the process ends.
    pub(crate) fn touch(&self, code: &str) {
        let _ = self.touched.unbounded_send(ObjectRef::new(code));
    }

    /// Waits until the directory may be another one.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn state<T>(&self, with: impl FnOnce(&mut IndexState) -> T) -> T {
        with(&mut self.state.lock())
    }

    /// What the store recorded before this process.
    pub(super) fn recorded_before(&self, records: Vec<ProductRecord>) {
        self.state(|state| {
            state.records_read = true;
            for record in records {
                let code = record.code.clone();
                state.sources.records.entry(code).or_insert(record);
            }
        });
        self.changed.notify_one();
    }

    /// Whether what the store recorded before this process is here.
    pub(super) fn is_recorded(&self) -> bool {
        self.state(|state| state.records_read)
    }

    /// The store has recorded a product.
    pub(super) fn recorded(&self, record: ProductRecord) {
        self.state(|state| {
            state.sources.records.insert(record.code.clone(), record);
        });
        self.changed.notify_one();
    }

    /// What the store recorded of a product.
    pub(super) fn record(&self, code: &ProductCode) -> Option<ProductRecord> {
        self.state(|state| state.sources.records.get(code).cloned())
    }

    /// What the cluster says of a namespace. Nothing is known before the first list.
    pub(super) fn namespace_uid(&self, namespace: &NamespaceName) -> Option<ExternalId> {
        self.state(|state| state.sources.namespace_uid(namespace))
    }

    /// Whether the first list of namespaces has come.
    pub(super) fn namespaces_listed(&self) -> bool {
        self.state(|state| state.namespaces_listed)
    }

    /// A product is like this now.
    pub(super) fn saw_product(&self, code: &str, object: ProductObject) {
        self.state(|state| {
            state.sources.leaving.remove(code);
            state.sources.products.insert(code.to_owned(), object);
        });
        self.changed.notify_one();
    }

    /// A product is gone. While its kind may be going with it, it counts as it was.
    pub(super) fn lost_product(&self, code: &str) {
        self.state(|state| {
            if let Some(object) = state.sources.products.remove(code) {
                state.sources.leaving.insert(code.to_owned(), object);
            }
        });
        self.changed.notify_one();
    }

    /// A list of products begins.
    pub(super) fn begin_list(&self) {
        self.state(|state| state.listing.clear());
    }

    /// A list of products has this one.
    pub(super) fn list_product(&self, code: &str, object: ProductObject) {
        self.state(|state| state.listing.insert(code.to_owned(), object));
    }

    /// A list of products is complete.
    pub(super) fn end_list(&self) {
        self.state(|state| {
            let listed = mem::take(&mut state.listing);
            let before = mem::replace(&mut state.sources.products, listed);
            for (code, object) in before {
                if !state.sources.products.contains_key(&code) {
                    state.sources.leaving.insert(code, object);
                }
            }
            let there = &state.sources.products;
            state.sources.leaving.retain(|code, _| !there.contains_key(code));
            state.products_listed = true;
        });
        self.changed.notify_one();
    }

    /// The kind is there and stays: what is gone was deleted.
    pub(super) fn confirm_deletions(&self, codes: &BTreeSet<String>) {
        self.state(|state| state.sources.leaving.retain(|code, _| !codes.contains(code)));
    }

    /// Takes in what the watch of Namespaces says.
    pub(crate) fn namespace_change(&self, change: &WatchChange<PartialObjectMeta<Namespace>>) {
        let managed = self.state(|state| {
            let namespaces = &mut state.sources.namespaces;
            let changed: Vec<String> = match change {
                WatchChange::Applied { object, .. } => {
                    let (name, seen) = (object.name_any(), SeenHome::from_metadata(object));
                    let before = namespaces.insert(name.clone(), seen.clone());
                    if before.as_ref() == Some(&seen) {
                        return None;
                    }
                    vec![name]
                }
                WatchChange::Deleted(namespace) => {
                    let name = namespace.name_any();
                    namespaces.remove(&name);
                    vec![name]
                }
                WatchChange::Listed(listed) => {
                    let gone = |name: &String, _: &mut SeenHome| !listed.contains("", name);
                    let gone = namespaces.extract_if(gone).map(|(name, _)| name).collect();
                    state.namespaces_listed = true;
                    gone
                }
            };
            Some(state.sources.managed_from(&changed))
        });
        let Some(managed) = managed else { return };
        for code in managed {
            self.touch(&code);
        }
        self.changed.notify_one();
    }

    /// What the directory is made of; none until the first lists are complete and the store was read.
    pub(super) fn sources(&self) -> Option<ProductSources> {
        self.state(|state| {
            let is_complete = state.products_listed && state.namespaces_listed && state.records_read;
            is_complete.then(|| state.sources.clone())
        })
    }

    /// What the directory is made of where the kind is not there to be listed.
    pub(super) fn records_alone(&self) -> Option<ProductSources> {
        self.state(|state| {
            (!state.products_listed && state.records_read).then(|| ProductSources {
                records: state.sources.records.clone(),
                ..ProductSources::default()
            })
        })
    }

    /// A ManagedSecret declares this name in the store.
    pub(crate) fn saw_secret(&self, namespace: &str, object: &str, store_name: &str) {
        let code = store_name.split_once('!').map(|(code, _)| code.to_owned());
        let place = (namespace.to_owned(), object.to_owned());
        let before = self.state(|state| match &code {
            Some(code) => state.secrets.insert(place, code.clone()),
            None => state.secrets.remove(&place),
        });
        if before != code
            && let Some(code) = before.or(code)
        {
            self.touch(&code);
        }
    }

    /// Whether a ManagedSecret waits until a policy lets its product use a key.
    pub(crate) fn awaits_policies(&self, namespace: &str, object: &str, waits: bool) {
        let place = (namespace.to_owned(), object.to_owned());
        self.state(|state| {
            if waits {
                state.awaiting_policies.insert(place);
            } else {
                state.awaiting_policies.remove(&place);
            }
        });
    }

    /// The ManagedSecrets that wait for a policy.
    pub(super) fn awaiting_policies(&self) -> HashSet<Place> {
        self.state(|state| state.awaiting_policies.clone())
    }

    /// A ManagedSecret is gone.
    pub(crate) fn lost_secret(&self, namespace: &str, object: &str) {
        let place = (namespace.to_owned(), object.to_owned());
        let gone = self.state(|state| {
            state.awaiting_policies.remove(&place);
            state.secrets.remove(&place)
        });
        if let Some(code) = gone {
            self.touch(&code);
        }
    }

    /// Forgets the ManagedSecrets that are not there any more: what went while no watch ran.
    pub(crate) fn retain_secrets(&self, is_there: impl Fn(&str, &str) -> bool) {
        self.state(|state| {
            let is_there = |(namespace, name): &Place| is_there(namespace, name);
            state.secrets.retain(|place, _| is_there(place));
            state.awaiting_policies.retain(is_there);
        });
    }

    /// The names of the ManagedSecrets of a namespace that declare default secrets.
    pub(crate) fn secrets_in(&self, namespace: &str) -> Vec<String> {
        self.state(|state| {
            let places = state.secrets.keys();
            let here = places.filter(|(home, _)| home == namespace);
            here.map(|(_, name)| name.clone()).collect()
        })
    }

    /// The ManagedSecrets that declare default secrets.
    pub(super) fn secrets(&self) -> HashSet<Place> {
        self.state(|state| state.secrets.keys().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kube::watch::ListedObjects;

    fn namespace(name: &str, labels: &serde_json::Value) -> PartialObjectMeta<Namespace> {
        let metadata = json!({"name": name, "uid": format!("uid-{name}"), "labels": labels});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    #[test]
    fn there_is_nothing_to_go_by_before_all_lists_are_complete() {
        let index = ProductIndex::default();
        index.recorded_before(Vec::new());
        index.begin_list();
        index.end_list();
        assert!(index.sources().is_none());
        let shop = namespace("shop", &json!({"pg": "enabled"}));
        index.namespace_change(&WatchChange::Listed(ListedObjects::from_iter([&shop])));
        assert!(index.sources().is_some());
    }

    #[test]
    fn a_product_that_goes_counts_until_its_kind_is_known_to_stay() {
        let index = ProductIndex::default();
        index.begin_list();
        index.list_product("pg", ProductObject::Unreadable);
        index.end_list();
        let codes = |index: &ProductIndex| {
            index.state(|state| (state.sources.products.len(), state.sources.leaving.len()))
        };
        index.lost_product("pg");
        assert_eq!(codes(&index), (0, 1));
        index.saw_product("pg", ProductObject::Unreadable);
        assert_eq!(codes(&index), (1, 0));
        // A list does not have it any more.
        index.begin_list();
        index.end_list();
        assert_eq!(codes(&index), (0, 1));
        index.confirm_deletions(&BTreeSet::from(["pg".to_owned()]));
        assert_eq!(codes(&index), (0, 0));
    }

    #[test]
    fn a_product_is_looked_at_when_its_secrets_come_and_go() {
        let index = ProductIndex::default();
        let mut queue = index.queue().unwrap();
        let mut touched = || queue.try_recv().ok().map(|product| product.name);
        index.saw_secret("shop", "orders", "pg!orders");
        assert_eq!(touched().as_deref(), Some("pg"));
        index.saw_secret("shop", "orders", "pg!orders");
        index.saw_secret("shop", "db", "db");
        assert_eq!(touched(), None);
        index.lost_secret("shop", "orders");
        index.lost_secret("shop", "db");
        assert_eq!(touched().as_deref(), Some("pg"));
        assert!(index.secrets().is_empty());
    }
}
