//! What the controllers' tests stand on: a small API server behind a real client, a real store in a temporary directory, and short ways to
//! make objects.
//!
//! The server keeps objects as JSON and knows just the rules that the controllers lean on: UIDs, `resourceVersion`s, preconditions, conflicts,
//! types and immutability of Secrets. Each request is on record, and faults can be ordered for the next ones.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use serde_json::{Value as Json, json};
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_store::audit::Actor;
use strongroom_store::crypto::RootKey;
use strongroom_store::id::{SecretId, StoreId};
use strongroom_store::seal::{SealFile, SlotSecret};
use strongroom_store::secret::SecretBytes;
use strongroom_store::vault::{AnchorRule, Create, Open, Store};

use super::cluster::Cluster;
use super::kept::Kept;
use super::metrics::Metrics;
use super::store::{SecretStore, View};
use super::{Ctx, Options};

/// The namespace of the tests.
pub(crate) const NS: &str = "shop";
/// Where objects of a namespace's Secrets are.
pub(crate) const SECRETS: &str = "/api/v1/namespaces/shop/secrets";

#[derive(Default)]
struct Server {
    objects: BTreeMap<String, Json>,
    log: Vec<String>,
    faults: VecDeque<(String, u16)>,
    counter: u64,
}

/// The API server; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Api(Arc<Mutex<Server>>);

impl Api {
    fn server(&self) -> MutexGuard<'_, Server> {
        self.0.lock().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(Service(self.clone()), NS)
    }

    /// Puts an object at its path, as somebody else would; UID and `resourceVersion` are given where absent.
    pub(crate) fn put(&self, path: &str, object: Json) -> Json {
        self.server().store(path, object)
    }

    pub(crate) fn get(&self, path: &str) -> Option<Json> {
        self.server().objects.get(path).cloned()
    }

    pub(crate) fn remove(&self, path: &str) {
        self.server().objects.remove(path);
    }

    /// The next request whose line contains `part` is answered with `code`.
    pub(crate) fn fail(&self, part: &str, code: u16) {
        self.server().faults.push_back((part.to_owned(), code));
    }

    /// The requests so far, as `METHOD path`, which are forgotten.
    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.server().log)
    }

    /// A key of a Secret.
    pub(crate) fn secret_key(&self, name: &str, key: &str) -> Option<Vec<u8>> {
        let secret = self.get(&format!("{SECRETS}/{name}"))?;
        let text = secret["data"][key].as_str()?.to_owned();
        data_encoding::BASE64.decode(text.as_bytes()).ok()
    }
}

impl Server {
    fn store(&mut self, path: &str, mut object: Json) -> Json {
        self.counter += 1;
        let version = self.counter.to_string();
        let meta = &mut object["metadata"];
        if meta["uid"].is_null() {
            meta["uid"] = json!(format!("uid-{version}"));
        }
        meta["resourceVersion"] = json!(version);
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    fn answer(&mut self, method: &Method, path: &str, merge: bool, body: &Json) -> (u16, Json) {
        let line = format!("{method} {path}");
        self.log.push(line.clone());
        if let Some(at) = self.faults.iter().position(|(part, _)| line.contains(part)) {
            let (_, code) = self.faults.remove(at).unwrap();
            return failure(code, "Ordered", "ordered by the test");
        }
        match *method {
            Method::GET => self.read(path),
            Method::POST => {
                let name = body["metadata"]["name"].as_str().unwrap_or("generated");
                let path = format!("{path}/{name}");
                if self.objects.contains_key(&path) {
                    return failure(409, "AlreadyExists", "it exists");
                }
                (201, self.store(&path, body.clone()))
            }
            Method::PATCH => self.patch(path, merge, body),
            Method::DELETE => {
                let Some(found) = self.objects.get(path) else {
                    return failure(404, "NotFound", "no such object");
                };
                let wanted = &body["preconditions"]["uid"];
                if !wanted.is_null() && *wanted != found["metadata"]["uid"] {
                    return failure(409, "Conflict", "the UID in the precondition is another one");
                }
                self.objects.remove(path);
                (
                    200,
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}),
                )
            }
            _ => failure(405, "MethodNotAllowed", "no such method"),
        }
    }

    fn read(&self, path: &str) -> (u16, Json) {
        if let Some(found) = self.objects.get(path) {
            return (200, found.clone());
        }
        if path == "/apis/strongroom.dev/v1alpha1/managedsecrets" {
            let items: Vec<&Json> = self
                .objects
                .iter()
                .filter(|(path, _)| path.contains("/managedsecrets/"))
                .map(|(_, o)| o)
                .collect();
            return (
                200,
                json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}),
            );
        }
        failure(404, "NotFound", "no such object")
    }

    /// Server-side apply (as our own manager, so that it never removes) or merge patch.
    fn patch(&mut self, path: &str, merge: bool, body: &Json) -> (u16, Json) {
        let object_path = path.strip_suffix("/status").unwrap_or(path);
        let Some(found) = self.objects.get(object_path).cloned() else {
            if path.ends_with("/status") {
                return failure(404, "NotFound", "no such object");
            }
            if !body["metadata"]["uid"].is_null() {
                return failure(409, "Conflict", "the object with this UID is gone");
            }
            return (201, self.store(path, body.clone()));
        };
        for field in ["uid", "resourceVersion"] {
            let wanted = &body["metadata"][field];
            if !wanted.is_null() && *wanted != found["metadata"][field] {
                return failure(409, "Conflict", "the object changed");
            }
        }
        if path.ends_with("/status") {
            let mut object = found;
            object["status"] = body["status"].clone();
            return (200, self.store(object_path, object));
        }
        let mut object = found.clone();
        overlay(&mut object, body, merge);
        if object["type"] != found["type"] {
            return failure(422, "Invalid", "the type is immutable");
        }
        if found["immutable"] == json!(true) && object["data"] != found["data"] {
            return failure(422, "Invalid", "the Secret is immutable");
        }
        (200, self.store(path, object))
    }
}

fn overlay(into: &mut Json, from: &Json, nulls_remove: bool) {
    match (into, from) {
        (Json::Object(into), Json::Object(from)) => {
            for (key, value) in from {
                if value.is_null() && nulls_remove {
                    into.remove(key);
                } else {
                    overlay(into.entry(key.clone()).or_insert(Json::Null), value, nulls_remove);
                }
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn failure(code: u16, reason: &str, message: &str) -> (u16, Json) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code,
    });
    (code, status)
}

#[derive(Clone)]
struct Service(Api);

impl tower::Service<Request<Body>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = futures::future::BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let api = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await.unwrap();
            let json = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
            let merge = parts
                .headers
                .get(http::header::CONTENT_TYPE)
                .is_some_and(|kind| kind.to_str().unwrap().contains("merge-patch"));
            let (code, answer) = api.server().answer(&parts.method, parts.uri.path(), merge, &json);
            Ok(Response::builder()
                .status(code)
                .body(Body::from(answer.to_string().into_bytes()))
                .unwrap())
        })
    }
}

/// Everything a reconcile stands on.
pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) ctx: Ctx<Store>,
    writer: Writer<Kept<ManagedSecret>>,
    #[expect(dead_code, reason = "the store's directory goes with it")]
    keep: tempfile::TempDir,
}

/// 2026-11-23T20:22:00Z.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_795_465_320).unwrap()
}

fn store() -> (Store, tempfile::TempDir) {
    let keep = tempfile::tempdir().unwrap();
    let dir = keep.path().join("store");
    let at = strongroom_store::time::Timestamp::from_millis(now().as_millisecond());
    let slot = SlotSecret::KeyFile(SecretBytes::new(vec![7; 32]));
    let root = RootKey::generate().unwrap();
    let seal = SealFile::new(StoreId::generate().unwrap(), &root, &slot, "test").unwrap();
    Store::prepare(&Create {
        dir: &dir,
        seal: &seal,
        root: &root,
        now: at,
        actor: Actor::System,
    })
    .unwrap();
    Store::publish(&dir).unwrap();
    let open = Open {
        dir: &dir,
        root: &root,
        epoch: 0,
        anchor: AnchorRule::Absent,
        cache_bytes: 1 << 20,
        strict_anchor: None,
        now: at,
    };
    (Store::open(open).unwrap(), keep)
}

impl World {
    pub(crate) fn new() -> Self {
        let (store, keep) = store();
        let api = Api::default();
        api.put(
            &format!("/api/v1/namespaces/{NS}"),
            json!({"metadata": {"name": NS, "uid": "ns-1"}}),
        );
        api.put(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/managedsecrets.strongroom.dev",
            json!({"metadata": {"name": "managedsecrets.strongroom.dev", "creationTimestamp": "2026-01-01T00:00:00Z"}}),
        );
        let (reader, mut writer) = kube::runtime::reflector::store();
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        let options = Options {
            own_namespace: "strongroom".to_owned(),
            native_namespaces: Vec::new(),
            concurrency: 8,
        };
        let ctx = Ctx::new(api.client(), store, options, Arc::new(Metrics::default()), reader);
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

    /// Annotates a ManagedSecret.
    pub(crate) fn annotate(&mut self, name: &str, key: &str, value: &str) {
        let mut object = self.api.get(&Self::path(name)).unwrap();
        object["metadata"]["annotations"][key] = json!(value);
        self.api.put(&Self::path(name), object);
        self.watch(name);
    }

    /// Deletes a ManagedSecret, and the watch says so.
    pub(crate) fn delete(&mut self, name: &str) {
        let kept = self.kept(name);
        self.api.remove(&Self::path(name));
        self.writer.apply_watcher_event(&Event::Delete(kept));
    }

    /// The watch says how the object is now.
    pub(crate) fn watch(&mut self, name: &str) {
        let kept = self.kept(name);
        self.writer.apply_watcher_event(&Event::Apply(kept));
    }

    pub(crate) fn kept(&self, name: &str) -> Kept<ManagedSecret> {
        serde_json::from_value(self.api.get(&Self::path(name)).unwrap()).unwrap()
    }

    /// Reconciles as the watch would have it, with the clock at `at`; the status is watched afterwards.
    pub(crate) async fn reconcile_at(
        &mut self,
        name: &str,
        at: Timestamp,
    ) -> Result<(), super::managed_secret::Failure> {
        let kept = self.kept(name);
        let outcome = super::managed_secret::reconcile_at(&kept, &self.ctx, at).await;
        self.watch(name);
        outcome.map(drop)
    }

    pub(crate) async fn reconcile(&mut self, name: &str) {
        self.reconcile_at(name, now()).await.unwrap();
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

    pub(crate) fn ready(&self, name: &str) -> (String, String) {
        self.condition(name, "Ready").unwrap()
    }
}

/// A spec with one generated password and a native Secret.
pub(crate) fn generated(native: &str) -> Json {
    json!({"source": {"generate": {"keys": {"password": {"password": {}}}}}, "secret": {"name": native}})
}

/// A pair as [`World::ready`] gives it.
pub(crate) fn says(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

impl World {
    /// The secret of this name in the store.
    pub(crate) async fn view(&self, store_name: &str) -> Option<View> {
        let namespace = SecretStore::namespace(&self.ctx.store, NS).await.unwrap()?;
        SecretStore::find(&self.ctx.store, namespace.id, &store_name.parse().unwrap())
            .await
            .unwrap()
    }

    /// The store forgets the native Secret, and so does the memory: as after a crash before the record of a create.
    pub(crate) async fn forget_native(&mut self, secret: SecretId) {
        self.ctx.store.bind_materialized(secret, None).await.unwrap();
        self.ctx.cluster = Cluster::default();
    }

    /// Somebody writes a native Secret, and the watch says so.
    pub(crate) fn edited_natively(&self, path: &str, object: Json) {
        let written = self.api.put(path, object);
        let event = Event::Apply(serde_json::from_value(written).unwrap());
        assert_eq!(
            self.ctx.cluster.native_event(None, &event).len(),
            1,
            "it is known as one of ours"
        );
    }

    /// Somebody deletes a native Secret, and the watch says so.
    pub(crate) fn deleted_natively(&self, path: &str) {
        let gone = self.api.get(path).unwrap();
        self.api.remove(path);
        let event = Event::Delete(serde_json::from_value(gone).unwrap());
        assert_eq!(
            self.ctx.cluster.native_event(None, &event).len(),
            1,
            "it is known as one of ours"
        );
    }

    /// The Namespace is like this now, and the watch says so.
    pub(crate) fn namespace(&self, object: Json) {
        let written = self.api.put(&format!("/api/v1/namespaces/{NS}"), object);
        self.ctx
            .cluster
            .namespace_event(Event::Apply(serde_json::from_value(written).unwrap()));
    }
}
