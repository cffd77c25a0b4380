//! What the controllers' tests stand on: an API server, a store, and short ways to make objects.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use serde_json::{Value as Json, json};
use strongroom_crds::v1alpha1::{EncryptionKey, ManagedSecret, SecretProduct};
use strongroom_model::id::SecretId;
use strongroom_process::WorkPool;
use strongroom_rules::declaration::{DeclarationScope, Digest};
use strongroom_store::audit::{Actor, Author};
use strongroom_store::vault::{Attest, ObjectChange, ObjectDigest, Quota, SecretView};
use strongroom_testing::api_server::ApiServer;
pub(crate) use strongroom_testing::api_server::{NS, SECRETS};
pub(crate) use strongroom_testing::clock::now;
use strongroom_testing::store::{NOW, meta_by, reads, store_within};

use super::cached_object::CachedObject;
use super::cluster::ClusterCache;
use super::metrics::Metrics;
use super::runtime::Reconciler;
use super::triggers::Triggers;
use super::{ControllerOptions, Ctx, secret_product};
use crate::consumers::ConsumerIndex;
use crate::kube::watch::WatchChange;
use crate::store_handle::StoreHandle;

/// Everything a reconcile stands on.
pub(crate) struct ControllerFixture {
    pub(crate) api: ApiServer,
    pub(crate) ctx: Ctx,
    writer: Writer<CachedObject<ManagedSecret>>,
    keep: tempfile::TempDir,
}

impl ControllerFixture {
    pub(crate) fn new() -> Self {
        Self::within(None)
    }

    /// With a ManagedSecret of this name and spec, which was reconciled.
    pub(crate) async fn with_secret(name: &str, spec: Json) -> Self {
        let mut world = Self::new();
        world.apply_now(name, spec).await;
        world
    }

    /// In which a namespace may have so much.
    pub(crate) fn within(quota: Option<Quota>) -> Self {
        let (store, keep) = store_within(quota);
        let api = ApiServer::default();
        api.put(
            &format!("/api/v1/namespaces/{NS}"),
            json!({"metadata": {"name": NS, "uid": "ns-1"}}),
        );
        api.put(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/managedsecrets.strongroom.dev",
            json!({"metadata": {"name": "managedsecrets.strongroom.dev", "creationTimestamp": "2026-01-01T00:00:00Z"}}),
        );
        api.put(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/encryptionkeys.strongroom.dev",
            json!({"metadata": {"name": "encryptionkeys.strongroom.dev", "creationTimestamp": "2026-01-01T00:00:00Z"}}),
        );
        let (reader, mut writer) = kube::runtime::reflector::store();
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        let options = ControllerOptions {
            own_namespace: "strongroom".to_owned(),
            reserved_secrets: vec!["backup-credentials".to_owned()],
            node_namespaces: Vec::new(),
            native_namespaces: Vec::new(),
            concurrency: 8,
            objects: super::cache_quota::CacheBounds::default(),
            endpoints: <_>::default(),
            work: WorkPool::with_threads(2),
            watches: None,
        };
        let mut ctx = Ctx::new(
            api.client(),
            StoreHandle::new(store),
            options,
            Arc::new(Metrics::default()),
            reader,
            <_>::default(),
            (
                <_>::default(),
                <_>::default(),
                ConsumerIndex::complete_from(now()),
            ),
        );
        ctx.certificates = super::certificates::Certificates::new(now());
        ctx.keys.listed(std::collections::HashMap::new());
        Self {
            api,
            ctx,
            writer,
            keep,
        }
    }

    /// The path of a ManagedSecret.
    pub(crate) fn path(name: &str) -> String {
        format!("/apis/strongroom.dev/v1alpha1/namespaces/{NS}/managedsecrets/{name}")
    }

    /// Applies a ManagedSecret: what `change` makes of the one that is there, or of a new one with this spec.
    pub(crate) fn apply(&mut self, name: &str, spec: Json) {
        let path = Self::path(name);
        let mut object = self.api.get(&path).unwrap_or_else(|| {
            json!({
                "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
                "metadata": {"name": name, "namespace": NS, "generation": 0},
                "status": {"observedGeneration": -1},
            })
        });
        if object["spec"] != spec {
            object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap() + 1);
        }
        object["spec"] = spec;
        self.api.put(&path, object);
        self.watch(name);
    }

    /// Applies a ManagedSecret as [`Self::apply`], and reconciles it.
    pub(crate) async fn apply_now(&mut self, name: &str, spec: Json) {
        self.apply(name, spec);
        self.reconcile(name).await;
    }

    /// Annotates a ManagedSecret.
    pub(crate) fn annotate(&mut self, name: &str, key: &str, value: &str) {
        let mut object = self.api.get(&Self::path(name)).unwrap();
        object["metadata"]["annotations"][key] = json!(value);
        self.api.put(&Self::path(name), object);
        self.watch(name);
    }

    /// The webhook says that this user is about to write the object at this path as it is.
    pub(crate) fn attest(&self, path: &str, user: &str) {
        let object = self.api.get(path).unwrap();
        let digest = Digest::from_object(DeclarationScope::All, &object);
        let attest = Attest {
            uid: object["metadata"]["uid"].as_str().unwrap().parse().unwrap(),
            namespace: NS.parse().unwrap(),
            change: ObjectChange::Written,
            digest: ObjectDigest(*digest.bytes()),
            author: Author {
                user: user.to_owned(),
                groups: Vec::new(),
                uid: String::new(),
            },
            forget: Vec::new(),
        };
        let store = self.ctx.store.blocking();
        store.run(attest, meta_by(Actor::System, NOW)).unwrap();
    }

    /// How many versions the secret of this name has.
    pub(crate) async fn versions(&self, store_name: &str) -> usize {
        self.view(store_name).await.unwrap().versions.len()
    }

    /// Deletes a ManagedSecret, and the watch says so.
    pub(crate) fn delete(&mut self, name: &str) {
        let kept = self.kept(name);
        self.api.remove(&Self::path(name));
        self.writer.apply_watcher_event(&Event::Delete(kept));
        self.ctx.coverage.forget_secret(NS, name);
    }

    /// The watch says how the object is now.
    pub(crate) fn watch(&mut self, name: &str) {
        let kept = self.kept(name);
        self.writer.apply_watcher_event(&Event::Apply(kept));
        self.ctx.coverage.forget_secret(NS, name);
    }

    pub(crate) fn kept(&self, name: &str) -> CachedObject<ManagedSecret> {
        serde_json::from_value(self.api.get(&Self::path(name)).unwrap()).unwrap()
    }

    /// Reconciles as the watch would have it, with the clock at `at`; the status is watched afterwards.
    pub(crate) async fn reconcile_at(
        &mut self,
        name: &str,
        at: Timestamp,
    ) -> Result<(), super::failure::Failure> {
        let kept = self.kept(name);
        let outcome = ManagedSecret::reconcile(&kept, &self.ctx, at).await;
        self.watch(name);
        outcome.map(drop)
    }

    pub(crate) async fn reconcile(&mut self, name: &str) {
        self.reconcile_at(name, now()).await.unwrap();
    }

    /// Reconciles what cannot be brought to what it asks for; why.
    pub(crate) async fn reconcile_in_vain(&mut self, name: &str) -> super::failure::Failure {
        self.reconcile_at(name, now()).await.unwrap_err()
    }

    pub(crate) fn status(&self, name: &str) -> Json {
        self.api.get(&Self::path(name)).unwrap()["status"].clone()
    }

    /// Status and reason of a condition.
    pub(crate) fn condition(&self, name: &str, type_: &str) -> Option<(String, String)> {
        let status = self.status(name);
        let found = status["conditions"]
            .as_array()?
            .iter()
            .find(|condition| condition["type"] == type_)?
            .clone();
        Some((
            found["status"].as_str()?.to_owned(),
            found["reason"].as_str()?.to_owned(),
        ))
    }

    /// Message of a condition that is there.
    pub(crate) fn message(&self, name: &str, type_: &str) -> String {
        let status = self.status(name);
        let conditions = status["conditions"].as_array().unwrap();
        let found = conditions.iter().find(|condition| condition["type"] == type_);
        found.unwrap()["message"].as_str().unwrap().to_owned()
    }

    /// What the records of reads say of their purpose.
    pub(crate) fn purposes(&self) -> Vec<String> {
        let entries = reads(self.ctx.store.blocking(), &self.keep.path().join("store"));
        let details = entries.into_iter().map(|entry| entry.detail);
        details.filter(|detail| !detail.is_empty()).collect()
    }

    pub(crate) fn ready(&self, name: &str) -> (String, String) {
        self.condition(name, "Ready").unwrap()
    }
}

/// A spec with one generated password and a native Secret.
pub(crate) fn generated(native: &str) -> Json {
    json!({"source": {"generate": {"keys": {"password": {"password": {}}}}}, "secret": {"name": native}})
}

/// A pair as [`ControllerFixture::ready`] gives it.
pub(crate) fn says(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

impl ControllerFixture {
    /// The secret of this name in the store.
    pub(crate) async fn view(&self, store_name: &str) -> Option<SecretView> {
        let store = &self.ctx.store;
        let namespace = store.namespace(NS).await.unwrap()?;
        let name = store_name.parse().unwrap();
        store.find(namespace.id, &name).await.unwrap()
    }

    /// The store forgets the native Secret, and so does the memory: as after a crash before the record of a
    /// create.
    pub(crate) async fn forget_native(&mut self, secret: SecretId) {
        self.ctx.store.bind_materialized(secret, None).await.unwrap();
        self.ctx.cluster = ClusterCache::default();
    }

    /// Somebody writes a native Secret, and the watch says so.
    pub(crate) fn edited_natively(&self, path: &str, object: Json) {
        let written = self.api.put(path, object);
        let change = WatchChange::applied(serde_json::from_value(written).unwrap());
        assert_eq!(
            self.ctx.cluster.native_change(None, &change).len(),
            1,
            "it is known as one of ours"
        );
    }

    /// Somebody deletes a native Secret, and the watch says so.
    pub(crate) fn deleted_natively(&self, path: &str) {
        let gone = self.api.get(path).unwrap();
        self.api.remove(path);
        let change = WatchChange::Deleted(serde_json::from_value(gone).unwrap());
        assert_eq!(
            self.ctx.cluster.native_change(None, &change).len(),
            1,
            "it is known as one of ours"
        );
    }

    /// The Namespace is like this now, and the watch says so.
    pub(crate) fn namespace(&self, object: Json) {
        let written = self.api.put(&format!("/api/v1/namespaces/{NS}"), object);
        let change = WatchChange::applied(serde_json::from_value(written).unwrap());
        self.ctx.cluster.namespace_change(&change);
    }
}

impl ControllerFixture {
    /// The path of an EncryptionKey.
    pub(crate) fn key_path(name: &str) -> String {
        format!("/apis/strongroom.dev/v1alpha1/namespaces/{NS}/encryptionkeys/{name}")
    }

    /// Applies an EncryptionKey with these annotations, and reconciles it with the clock at `at`.
    pub(crate) async fn key_at(&mut self, name: &str, spec: Json, annotations: Json, at: Timestamp) {
        let path = Self::key_path(name);
        let mut object = self.api.get(&path).unwrap_or_else(|| {
            json!({
                "apiVersion": "strongroom.dev/v1alpha1", "kind": "EncryptionKey",
                "metadata": {"name": name, "namespace": NS, "generation": 1},
                "status": {"observedGeneration": -1},
            })
        });
        object["spec"] = spec;
        object["metadata"]["annotations"] = annotations;
        let object = self.api.put(&path, object);
        let uid = object["metadata"]["uid"].as_str().unwrap();
        self.ctx.keys.saw_object(NS, name, uid);
        let required = serde_json::from_value(object["spec"]["requiredFor"].clone()).unwrap();
        self.ctx.declared.set_required_for(NS, name, required);
        self.ctx.key_deletion_signals.saw(NS, name, uid);
        let kept = serde_json::from_value(object).unwrap();
        EncryptionKey::reconcile(&kept, &self.ctx, at).await.unwrap();
    }

    /// Applies an EncryptionKey now.
    pub(crate) async fn key(&mut self, name: &str, spec: Json) {
        self.key_at(name, spec, json!({}), now()).await;
    }

    /// Deletes an EncryptionKey, and the watch says so.
    pub(crate) fn delete_key(&mut self, name: &str) {
        self.api.remove(&Self::key_path(name));
        self.ctx.keys.lost_object(NS, name);
    }

    pub(crate) fn key_status(&self, name: &str) -> Json {
        self.api.get(&Self::key_path(name)).unwrap()["status"].clone()
    }
}

impl ControllerFixture {
    /// The path of a SecretProduct.
    pub(crate) fn product_path(code: &str) -> String {
        format!("/apis/strongroom.dev/v1alpha1/secretproducts/{code}")
    }

    /// There are these namespaces with these UIDs, all labelled `pg: enabled`; the first lists of namespaces
    /// and products have come.
    pub(crate) fn homes(&self, namespaces: &[(&str, &str)]) {
        let index = &self.ctx.product_index;
        let made: Vec<PartialObjectMeta<Namespace>> = namespaces
            .iter()
            .map(|(name, uid)| {
                let metadata = json!({"name": name, "uid": uid, "labels": {"pg": "enabled"}});
                serde_json::from_value(json!({"metadata": metadata})).unwrap()
            })
            .collect();
        for (name, uid) in namespaces {
            let path = format!("/api/v1/namespaces/{name}");
            let found = self.api.get(&path);
            if found.is_none_or(|found| found["metadata"]["uid"] != *uid) {
                self.api
                    .put(&path, json!({"metadata": {"name": name, "uid": uid}}));
            }
        }
        index.namespace_change(&WatchChange::Listed(made.iter().collect()));
        for namespace in made {
            index.namespace_change(&WatchChange::applied(namespace));
        }
    }

    /// The first list of products comes, and has these.
    pub(crate) async fn list_products(&self, objects: Vec<Json>) {
        let index = &self.ctx.product_index;
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/secretproducts.strongroom.dev";
        let crd = json!({"metadata": {"name": "secretproducts.strongroom.dev"}});
        self.api.put(path, crd);
        secret_product::follow(index, &Event::Init);
        for object in objects {
            let kept = serde_json::from_value(object).unwrap();
            secret_product::follow(index, &Event::InitApply(kept));
        }
        secret_product::follow(index, &Event::InitDone);
        self.publish_products().await;
    }

    /// Applies a SecretProduct, and does what follows.
    pub(crate) async fn product(&self, code: &str, spec: Json) {
        self.product_with(code, spec, json!({})).await;
    }

    /// The same with annotations.
    pub(crate) async fn product_with(&self, code: &str, spec: Json, annotations: Json) {
        let path = Self::product_path(code);
        let mut object = self.api.get(&path).unwrap_or_else(|| {
            json!({
                "apiVersion": "strongroom.dev/v1alpha1", "kind": "SecretProduct",
                "metadata": {"name": code, "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
            })
        });
        object["spec"] = spec;
        object["metadata"]["annotations"] = annotations;
        self.api.put(&path, object);
        self.look_at_product(code).await;
    }

    /// Takes in a SecretProduct as it is now, reconciles it and puts it in force.
    pub(crate) async fn look_at_product(&self, code: &str) {
        let kept: CachedObject<SecretProduct> =
            serde_json::from_value(self.api.get(&Self::product_path(code)).unwrap()).unwrap();
        secret_product::follow(&self.ctx.product_index, &Event::Apply(kept.clone()));
        self.publish_products().await;
        SecretProduct::reconcile(&kept, &self.ctx, now()).await.unwrap();
        self.publish_products().await;
    }

    /// Deletes a SecretProduct, and the watch says so.
    pub(crate) async fn delete_product(&self, code: &str) {
        let path = Self::product_path(code);
        let kept = serde_json::from_value(self.api.get(&path).unwrap()).unwrap();
        self.api.remove(&path);
        secret_product::follow(&self.ctx.product_index, &Event::Delete(kept));
        self.publish_products().await;
    }

    /// Puts the directory of products in force.
    pub(crate) async fn publish_products(&self) {
        let triggers = Triggers {
            managed_secrets: futures::channel::mpsc::unbounded().0,
            schedules: futures::channel::mpsc::unbounded().0,
        };
        secret_product::publish_once(&self.ctx, &triggers).await;
    }

    /// Status and reason of a condition of a SecretProduct.
    pub(crate) fn product_condition(&self, code: &str, type_: &str) -> (String, String) {
        let status = self.product_status(code);
        let conditions = status["conditions"].as_array().unwrap();
        let found = conditions.iter().find(|condition| condition["type"] == type_);
        let found = found.unwrap();
        says(
            found["status"].as_str().unwrap(),
            found["reason"].as_str().unwrap(),
        )
    }

    pub(crate) fn product_status(&self, code: &str) -> Json {
        self.api.get(&Self::product_path(code)).unwrap()["status"].clone()
    }
}
