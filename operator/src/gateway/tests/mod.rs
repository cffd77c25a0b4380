//! Requests against the router, with the real store and the real policies; the API server is a table of
//! tokens.

mod callers;
mod delivery;
mod document;
mod extension_api;
mod full;
mod history;
mod keys;
mod metadata;
mod objects;
mod replay;
mod table;
mod values;
mod watches;
mod writes;

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use jiff::Timestamp;
use kube::Client;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use strongroom_model::SecretBytes;
use strongroom_model::id::SecretId;
use strongroom_process::{Shutdown, WorkPool};
use strongroom_rules::policy::Identity;
use strongroom_store::audit::{Actor, AuditOutcome, Durability, Entry};
use strongroom_store::value::Value;
use strongroom_store::vault::{
    BindNamespace, CreateSecret, DeleteSecret, Deletion, KeyRef, Meta, PutValue, Quota, SecretView,
};
use strongroom_testing::api_server::managed_fields::{self, Write};
use strongroom_testing::api_server::{ApiRequest, ApiServer, failure, merge_patch as merged};
use strongroom_testing::store::{meta_by, new_secret, reads, store_within, value_under as one};
use tower::ServiceExt;

use super::authenticate::Authenticator;
use super::changes::ChangeFeed;
use super::delivery::{Nodes, PodClient};
use super::labels::LabelCache;
use super::limits::{self, Limits, Rates};
use super::listen::{Admission, Peer};
use super::metrics::GatewayMetrics;
use super::namespaces::Namespaces;
use super::protocols::{OWN, bearer};
use super::recent_puts::RecentPuts;
use super::request::token::{made_for, subject_of};
use super::request::{AddressShares, AdmissionOutcome, Capacity, Slot};
use super::sealing_keys::SealingKeys;
use super::state::MAX_SCANS;
use super::{ExtensionApiAccounts, Gateway};
use crate::cluster_keys::ClusterKeys;
use crate::consumers::ConsumerIndex;
use crate::delivery_policy::DeliveryPolicyIndex;
use crate::external_sources::ExternalSourceIndex;
use crate::policies::{ObservedPolicy, Policies};

/// The API server as far as the gateway asks it.
#[derive(Clone, Default)]
struct Api {
    away: Arc<AtomicBool>,
    /// It answers reviews with this status.
    refuses: Arc<Mutex<Option<u16>>>,
    /// Subjects whose tokens it refuses by now.
    ended: Arc<Mutex<std::collections::BTreeSet<String>>>,
    /// Reviews that were asked for.
    reviews: Arc<AtomicUsize>,
    uids: Arc<Mutex<BTreeMap<String, String>>>,
    keep_nothing: Arc<Mutex<std::collections::BTreeSet<String>>>,
    /// Custom resources by kind, as in `managedsecrets`, and name.
    objects: Arc<Mutex<BTreeMap<(String, String), Json>>>,
}

impl Api {
    fn client(&self) -> Client {
        let (server, api) = (ApiServer::default(), self.clone());
        server.script("", move |request| ready(api.answer(&request)));
        server.client()
    }

    fn answer(&self, request: &ApiRequest) -> std::io::Result<(u16, Json)> {
        if self.away.load(Ordering::SeqCst) {
            return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        }
        if request.path.ends_with("/tokenreviews") {
            return Ok(self.review(&request.body));
        }
        let resource = request.path.split_once("/namespaces/");
        if let Some((_, resource)) = resource.and_then(|(_, rest)| rest.split_once('/')) {
            return Ok(self.resource(&request.method, resource, &request.query, &request.body));
        }
        let name = request.path.rsplit('/').next().unwrap();
        let Some(uid) = self.uids.lock().get(name).cloned() else {
            return Ok(failure(404, "NotFound", "no"));
        };
        let labels = if self.keep_nothing.lock().contains(name) {
            json!({"strongroom.dev/recovery": "none"})
        } else {
            json!({})
        };
        Ok((
            200,
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": name, "uid": uid, "labels": labels}}),
        ))
    }

    /// A token's subject is the name of its ServiceAccount, as `namespace/name`, or of its pod, as
    /// `namespace/name/pod@node`.
    fn review(&self, review: &Json) -> (u16, Json) {
        let token = review["spec"]["token"].as_str().unwrap();
        self.reviews.fetch_add(1, Ordering::SeqCst);
        let subject = subject_of(token).unwrap();
        if let Some(status) = *self.refuses.lock() {
            return failure(status, "No", "no");
        }
        let parts: Vec<&str> = subject.split(['/', '@']).collect();
        let user = |namespace, name| format!("system:serviceaccount:{namespace}:{name}");
        let status = match *parts {
            _ if self.ended.lock().contains(&subject) => json!({"authenticated": false}),
            [namespace, name] => json!({
                "authenticated": true, "audiences": ["strongroom.dev"],
                "user": {"username": user(namespace, name)}}),
            [namespace, name, pod, node] => json!({
                "authenticated": true, "audiences": ["strongroom.dev"],
                "user": {"username": user(namespace, name), "extra": {
                    "authentication.kubernetes.io/pod-name": [pod],
                    "authentication.kubernetes.io/pod-uid": [format!("uid-{pod}")],
                    "authentication.kubernetes.io/node-name": [node]}}}),
            _ => json!({"authenticated": false}),
        };
        (
            201,
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {}, "status": status}),
        )
    }

    /// A custom resource, or a native Secret, made, read, changed or deleted.
    fn resource(&self, method: &Method, resource: &str, query: &str, body: &Json) -> (u16, Json) {
        let mut objects = self.objects.lock();
        let (kind, name) = resource.split_once('/').unwrap_or((resource, ""));
        let place = |name: &str| (kind.to_owned(), name.to_owned());
        let write = Write {
            manager: query
                .split('&')
                .find_map(|pair| pair.strip_prefix("fieldManager="))
                .unwrap_or("unknown"),
            subresource: "",
            at: 1_795_465_320,
        };
        let made = |mut object: Json| {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            object["metadata"]["uid"] = json!(format!("uid-{name}"));
            object["metadata"]["resourceVersion"] = json!("1");
            object
        };
        match *method {
            Method::POST => {
                let name = body["metadata"]["name"].as_str().unwrap().to_owned();
                if objects.contains_key(&place(&name)) {
                    return failure(409, "AlreadyExists", "no");
                }
                let object = made(body.clone());
                let object = match object["metadata"].get("managedFields") {
                    Some(_) => object,
                    None => managed_fields::updated(&json!({}), object, write),
                };
                objects.insert(place(&name), object);
                (201, objects[&place(&name)].clone())
            }
            Method::GET if name.is_empty() => {
                let items = objects.iter().filter(|((of, _), _)| of == kind);
                let items: Vec<Json> = items.map(|(_, object)| object.clone()).collect();
                (
                    200,
                    json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}),
                )
            }
            // Server-side apply makes what is not there.
            Method::PATCH if !query.contains("force=true") && body.get("kind").is_some() => {
                let found = objects.get(&place(name)).cloned().unwrap_or(json!({}));
                if managed_fields::conflict(&found, body, write).is_some() {
                    return failure(409, "Conflict", "no");
                }
                let mut object = match found.get("spec") {
                    Some(_) => found.clone(),
                    None => made(body.clone()),
                };
                merged(&mut object, body);
                let object = managed_fields::applied(&found, object, body, write);
                objects.insert(place(name), object.clone());
                (200, object)
            }
            Method::PATCH => match objects.get_mut(&place(name)) {
                Some(object) => {
                    assert_eq!(body["metadata"]["uid"], object["metadata"]["uid"]);
                    let mut after = object.clone();
                    merged(&mut after, body);
                    *object = managed_fields::updated(object, after, write);
                    (200, object.clone())
                }
                None => failure(404, "NotFound", "no"),
            },
            Method::DELETE => match objects.remove(&place(name)) {
                Some(object) => {
                    assert_eq!(body["preconditions"]["uid"], object["metadata"]["uid"]);
                    (
                        200,
                        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}),
                    )
                }
                None => failure(404, "NotFound", "no"),
            },
            _ => objects
                .get(&place(name))
                .map_or_else(|| failure(404, "NotFound", "no"), |object| (200, object.clone())),
        }
    }
}

pub(super) struct World {
    api: Api,
    pub(super) gateway: Arc<Gateway>,
    pub(super) router: Router,
    /// As a port in front of it must have it.
    pub(super) admission: Admission,
    keep: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn code(&self) -> (u16, String) {
        (
            self.status.as_u16(),
            self.json()["code"].as_str().unwrap_or_default().to_owned(),
        )
    }
}

fn meta() -> Meta {
    let now = Timestamp::now().as_millisecond();
    meta_by(Actor::System, strongroom_model::time::Timestamp::from_millis(now))
}

impl World {
    /// With its policies loaded, and none of them.
    pub(super) fn new(reads: u32) -> Self {
        Self::with(reads).loaded()
    }

    fn loaded(self) -> Self {
        let policies = &self.gateway.policies;
        policies.policies_listed(&std::collections::HashSet::new());
        policies.readers_listed(|_, _| false);
        self
    }

    /// As at a start, before the lists of policies have come.
    fn unloaded() -> Self {
        Self::with(0)
    }

    /// Without a node plugin.
    pub(super) fn without_nodes() -> Self {
        Self::build(0, None, ExtensionApiAccounts::Allow, None)
    }

    /// ServiceAccounts may not come over the extension API; no policy is there.
    pub(super) fn refusing_accounts() -> Self {
        Self::build(0, None, ExtensionApiAccounts::Refuse, None).loaded()
    }

    fn with(reads: u32) -> Self {
        let account = "system:serviceaccount:strongroom:node";
        Self::build(reads, Some(account), ExtensionApiAccounts::Allow, None)
    }

    /// In which a namespace may have so much of the store.
    fn within(quota: Quota) -> Self {
        Self::build(0, None, ExtensionApiAccounts::Allow, Some(quota)).loaded()
    }

    fn build(
        rate: u32,
        account: Option<&str>,
        front_accounts: ExtensionApiAccounts,
        quota: Option<Quota>,
    ) -> Self {
        let (store, keep) = store_within(quota);
        let api = Api::default();
        let metrics = GatewayMetrics::default();
        let refusals = &metrics.refusals;
        let rates = Rates {
            reads: rate,
            writes: rate,
        };
        let limits = Limits::new(rates, refusals.clone());
        let authenticator = Authenticator::new(
            api.client(),
            "strongroom.dev".to_owned(),
            limits.failures(),
            refusals.clone(),
        );
        let admission = Admission::new(AddressShares::default(), refusals.clone());
        let gateway = Arc::new(Gateway {
            client: api.client(),
            policies: Policies::default(),
            declared: ExternalSourceIndex::default(),
            authenticator: Arc::new(authenticator),
            namespaces: Namespaces::new(api.client(), store.clone()),
            store,
            labels: LabelCache::new(api.client()),
            pods: PodClient::new(api.client()),
            under_way: crate::large_objects::LargeObjectLimiter::default(),
            limits,
            sealing_keys: SealingKeys::default(),
            puts: RecentPuts::default(),
            scans: WorkPool::with_threads(MAX_SCANS),
            cluster_keys: ClusterKeys::for_store("s-1"),
            durability: Durability::Batched,
            capacity: Capacity::new(admission.clone(), refusals.clone()),
            metrics,
            changes: ChangeFeed::default(),
            nodes: Nodes::new(account.map(Identity::from_username).into_iter().collect()),
            front_accounts,
            terms: DeliveryPolicyIndex::default(),
            held: crate::audit::HeldHours::default(),
            consumers: ConsumerIndex::new(Timestamp::now()),
            ending: Shutdown::default(),
        });
        let world = Self {
            api,
            router: OWN.router(Arc::clone(&gateway)),
            gateway,
            admission,
            keep,
        };
        world.namespace("shop");
        world.secret("shop", "db-main", "s3cr3t");
        world
    }

    /// Refusals are summed a minute: what is refused from now on is a record again.
    fn a_minute_later(&self) {
        let now = Timestamp::now().as_millisecond() + 120_000;
        let now = strongroom_model::time::Timestamp::from_millis(now);
        self.gateway.store.write_refusal_sums(now).unwrap();
    }

    fn namespace(&self, name: &str) {
        let uid = format!("uid-{name}");
        let bind = BindNamespace {
            name: name.parse().unwrap(),
            uid: uid.parse().unwrap(),
        };
        self.gateway.store.run(bind, meta()).unwrap();
        self.api.uids.lock().insert(name.to_owned(), uid);
    }

    fn secret(&self, namespace: &str, name: &str, password: &str) -> SecretId {
        let window = strongroom_store::vault::Recovery::Window;
        self.made(namespace, name, password, window)
    }

    /// A secret whose deletion is followed by this.
    fn secret_with(
        &self,
        namespace: &str,
        name: &str,
        recovery: strongroom_store::vault::Recovery,
    ) -> SecretId {
        self.made(namespace, name, "s3cr3t", recovery)
    }

    /// The namespace keeps nothing of what is deleted in it.
    fn keeps_nothing(&self, namespace: &str) {
        let mut nothing = self.api.keep_nothing.lock();
        nothing.insert(namespace.to_owned());
    }

    fn made(
        &self,
        namespace: &str,
        name: &str,
        password: &str,
        recovery: strongroom_store::vault::Recovery,
    ) -> SecretId {
        let namespace = self
            .gateway
            .store
            .namespace_named(&namespace.parse().unwrap())
            .unwrap()
            .unwrap();
        let create = CreateSecret {
            description: format!("about {name}"),
            labels: [("tier".to_owned(), "gold".to_owned())].into(),
            recovery,
            ..new_secret(namespace.id, name, one("password", password.as_bytes()))
        };
        let id = create.id;
        self.gateway.store.run(create, meta()).unwrap();
        id
    }

    /// The secret of this name belongs to an object of the same name.
    pub(super) fn bound(&self, name: &str) {
        let bind = strongroom_store::vault::BindObject {
            secret: self.stored(name).id,
            object: Some(strongroom_store::vault::ObjectRef {
                uid: format!("uid-{name}").parse().unwrap(),
                name: name.to_owned(),
            }),
        };
        self.gateway.store.run(bind, meta()).unwrap();
    }

    /// The secret of this name belongs to an object that has these readers.
    pub(super) fn read_by(&self, name: &str, readers: &[&str]) {
        self.bound(name);
        let readers: Vec<String> = readers.iter().map(|name| (*name).to_owned()).collect();
        let uid = format!("uid-{name}");
        self.gateway
            .policies
            .readers("shop", (name, &uid), name, &readers);
    }

    /// A secret of the namespace `shop`, as the store has it.
    fn stored(&self, name: &str) -> SecretView {
        let store = &self.gateway.store;
        let shop = store.namespace_named(&"shop".parse().unwrap()).unwrap().unwrap();
        store.find(shop.id, &name.parse().unwrap()).unwrap().unwrap()
    }

    /// A policy by which an account may do this with secrets of the namespace `shop`.
    pub(super) fn allow(&self, policy: &str, account: &str, action: &str, secrets: &str) {
        let spec = serde_json::from_value(json!({"secrets": [secrets], "statements": [
            {"effect": "Allow", "principals": [{"serviceAccount": account}], "actions": [action]}]}));
        self.gateway
            .policies
            .policy("shop", policy, ObservedPolicy::first(policy, spec.unwrap()));
    }

    async fn send(&self, request: axum::http::request::Builder, body: Body) -> Answer {
        self.arriving(request, body, false).await
    }

    /// A request without a body from this address.
    async fn from(&self, address: &str, request: axum::http::request::Builder) -> Answer {
        let peer = Peer {
            address: address.parse().unwrap(),
            proven: false,
        };
        self.of_peer(request, Body::empty(), peer).await
    }

    /// A request over a connection whose client proved to be the extension API, or did not.
    async fn arriving(&self, request: axum::http::request::Builder, body: Body, proven: bool) -> Answer {
        let peer = Peer {
            address: "10.1.2.3:4567".parse().unwrap(),
            proven,
        };
        self.of_peer(request, body, peer).await
    }

    async fn of_peer(&self, request: axum::http::request::Builder, body: Body, peer: Peer) -> Answer {
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(peer);
        sign(request.headers_mut());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec(),
        }
    }

    async fn get(&self, account: &str, path: &str) -> Answer {
        let request = Request::builder()
            .uri(format!("/v1/namespaces/shop/secrets{path}"))
            .header("authorization", format!("Bearer {account}"));
        self.send(request, Body::empty()).await
    }

    /// The read chain.
    fn records(&self) -> Vec<Entry> {
        reads(&self.gateway.store, &self.keep.path().join("store"))
    }

    fn last(&self) -> (String, String, String) {
        let records = self.records();
        let entry = records.last().unwrap();
        let outcome = match &entry.outcome {
            AuditOutcome::Done => "Done".to_owned(),
            AuditOutcome::Refused(code) => code.clone(),
        };
        (entry.actor.to_string(), entry.action.name().to_owned(), outcome)
    }
}

/// The token whose subject this is; what is no subject is no token either.
pub(super) fn token(subject: &str) -> String {
    if subject.contains('/') && !subject.contains('.') {
        made_for(subject)
    } else {
        subject.to_owned()
    }
}

/// Puts the token of a subject in the place of its name.
fn sign(headers: &mut HeaderMap) {
    if let Some(subject) = bearer(headers) {
        let token = format!("Bearer {}", token(subject)).parse().unwrap();
        headers.insert(header::AUTHORIZATION, token);
    }
}

fn record(actor: &str, action: &str, outcome: &str) -> (String, String, String) {
    (actor.to_owned(), action.to_owned(), outcome.to_owned())
}
