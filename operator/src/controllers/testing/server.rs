//! A small API server: objects as JSON by path, UIDs, `resourceVersion`s, preconditions, conflicts, types and
//! immutability of Secrets, lists and watches. Each request is on record, and faults can be ordered.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::{StreamExt, stream};
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use kube::Client;
use kube::client::Body;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value as Json, json};

use super::managed_fields::{self, Write};
use super::{NS, SECRETS};

/// Each path whose objects are listed and watched, and how the path of such an object can be told.
const COLLECTIONS: [(&str, &str); 10] = [
    ("/apis/strongroom.dev/v1alpha1/managedsecrets", "/managedsecrets/"),
    ("/apis/strongroom.dev/v1alpha1/encryptionkeys", "/encryptionkeys/"),
    (
        "/apis/strongroom.dev/v1alpha1/rotationschedules",
        "/rotationschedules/",
    ),
    ("/apis/strongroom.dev/v1alpha1/secretpolicies", "/secretpolicies/"),
    ("/api/v1/secrets", "/secrets/"),
    ("/api/v1/configmaps", "/configmaps/strongroom-ca"),
    ("/api/v1/namespaces", ""),
    (
        "/api/v1/namespaces/strongroom/secrets",
        "/namespaces/strongroom/secrets/",
    ),
    (
        "/api/v1/namespaces/kube-system/configmaps",
        "/namespaces/kube-system/configmaps/",
    ),
    ("/apis/apiregistration.k8s.io/v1/apiservices", "/apiservices/"),
];

/// Whether the object at `path` belongs to the collection.
fn belongs(path: &str, (collection, part): (&str, &str)) -> bool {
    if part.is_empty() {
        path.strip_prefix(collection)
            .is_some_and(|rest| rest.matches('/').count() == 1)
    } else {
        path.contains(part)
    }
}

#[derive(Default)]
struct Server {
    objects: BTreeMap<String, Json>,
    log: Vec<String>,
    faults: VecDeque<Fault>,
    counter: u64,
    watchers: Vec<Watcher>,
    admission: Option<Admission>,
}

/// Who watches a collection, or one object of it.
struct Watcher {
    collection: &'static str,
    name: Option<String>,
    /// It wants to know of metadata alone.
    metadata: bool,
    events: UnboundedSender<Json>,
}

/// What admission makes of a Secret.
type Admission = Box<dyn Fn(&mut Json) + Send>;

/// A request that is answered with an error.
struct Fault {
    /// What its line contains.
    part: String,
    /// So many of them pass before.
    pass: usize,
    /// The Status.
    answer: (u16, Json),
}

/// How a request changes an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Apply,
    Merge,
    Other,
}

/// The API server; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Api(Arc<Mutex<Server>>);

impl Api {
    fn server(&self) -> MutexGuard<'_, Server> {
        self.0.lock()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(Service(self.clone()), NS)
    }

    /// Puts an object at its path, as somebody else would; UID and `resourceVersion` are given where absent.
    pub(crate) fn put(&self, path: &str, object: Json) -> Json {
        self.put_as("somebody", path, object)
    }

    /// Puts an object at its path, as this field manager would by an update.
    pub(crate) fn put_as(&self, manager: &str, path: &str, object: Json) -> Json {
        let mut server = self.server();
        let found = server.objects.get(path).cloned().unwrap_or(json!({}));
        let write = server.write(manager, "");
        server.store(path, managed_fields::updated(&found, object, write))
    }

    /// From now on admission changes every Secret that is written like this.
    pub(crate) fn admission(&self, mutate: impl Fn(&mut Json) + Send + 'static) {
        self.server().admission = Some(Box::new(mutate));
    }

    /// Admission changes nothing any more.
    pub(crate) fn no_admission(&self) {
        self.server().admission = None;
    }

    pub(crate) fn get(&self, path: &str) -> Option<Json> {
        self.server().objects.get(path).cloned()
    }

    pub(crate) fn remove(&self, path: &str) {
        self.server().erase(path);
    }

    /// Every watch of this collection ends because its position has expired; what happens meanwhile, it
    /// misses.
    pub(crate) fn expire(&self, collection: &str, meanwhile: impl FnOnce()) {
        let watchers: Vec<_> = {
            let mut server = self.server();
            let (ended, kept) = std::mem::take(&mut server.watchers)
                .into_iter()
                .partition(|watcher| watcher.collection == collection);
            server.watchers = kept;
            ended
        };
        assert!(!watchers.is_empty(), "nobody watches {collection}");
        meanwhile();
        for watcher in watchers {
            let expired = failure(410, "Expired", "too old resource version").1;
            let _ = watcher
                .events
                .unbounded_send(json!({"type": "ERROR", "object": expired}));
        }
    }

    /// The next request whose line contains `part` is answered with `code`.
    pub(crate) fn fail(&self, part: &str, code: u16) {
        self.fail_after(part, 0, code);
    }

    /// As [`Self::fail`], after so many such requests have passed.
    pub(crate) fn fail_after(&self, part: &str, pass: usize, code: u16) {
        let message = "User \"test\" cannot use resource \"this\": ordered by the test";
        let answer = failure(code, "Ordered", message);
        let part = part.to_owned();
        self.server().faults.push_back(Fault { part, pass, answer });
    }

    /// The next request whose line contains `part` is answered with this Status.
    pub(crate) fn refuse(&self, part: &str, status: Json) {
        let code = status["code"].as_u64().unwrap().try_into().unwrap();
        let (part, answer) = (part.to_owned(), (code, status));
        self.server().faults.push_back(Fault {
            part,
            pass: 0,
            answer,
        });
    }

    /// How many watches there are. What happens between a list and its watch is told to nobody here.
    pub(crate) fn watches(&self) -> usize {
        self.server().watchers.len()
    }

    /// Nothing is ordered any more.
    pub(crate) fn no_faults(&self) {
        self.server().faults.clear();
    }

    /// The requests so far, as `METHOD path`, which are forgotten.
    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.server().log)
    }

    /// Reason and note of each Event so far.
    pub(crate) fn events(&self) -> Vec<(String, String)> {
        let server = self.server();
        let events = server
            .objects
            .iter()
            .filter(|(path, _)| path.starts_with("/apis/events.k8s.io/"));
        let text = |of: &Json| of.as_str().unwrap_or_default().to_owned();
        events
            .map(|(_, event)| (text(&event["reason"]), text(&event["note"])))
            .collect()
    }

    /// The bytes of a native Secret's key; none: there is no such Secret or key.
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
        let before = self.objects.insert(path.to_owned(), object.clone());
        self.tell(path, if before.is_some() { "MODIFIED" } else { "ADDED" }, &object);
        object
    }

    fn erase(&mut self, path: &str) {
        if let Some(object) = self.objects.remove(path) {
            self.counter += 1;
            self.tell(path, "DELETED", &object);
        }
    }

    /// Tells those who watch.
    fn tell(&mut self, path: &str, kind: &str, object: &Json) {
        let watched = |collection: &str| {
            COLLECTIONS
                .into_iter()
                .any(|known| known.0 == collection && belongs(path, known))
        };
        self.watchers.retain(|watcher| {
            let told = if watcher.metadata {
                partial(object)
            } else {
                object.clone()
            };
            let event = json!({"type": kind, "object": told});
            let named = watcher.name.as_deref().is_none_or(|name| is_named(object, name));
            !(named && watched(watcher.collection)) || watcher.events.unbounded_send(event).is_ok()
        });
    }

    fn write<'a>(&self, manager: &'a str, subresource: &'a str) -> Write<'a> {
        Write {
            manager,
            subresource,
            at: 1_795_465_320 + self.counter,
        }
    }

    /// What admission makes of a Secret that is about to be written.
    fn admitted(&self, path: &str, mut object: Json) -> Json {
        if let (Some(mutate), true) = (&self.admission, path.contains("/secrets/")) {
            mutate(&mut object);
        }
        object
    }

    fn answer(
        &mut self,
        method: &Method,
        path: &str,
        (change, manager): (Change, &str),
        body: &Json,
    ) -> (u16, Json) {
        let line = format!("{method} {path}");
        self.log.push(line.clone());
        let fault = self.faults.iter_mut().position(|fault| {
            let meant = line.contains(&fault.part);
            let now = meant && fault.pass == 0;
            fault.pass -= usize::from(meant && !now);
            now
        });
        if let Some(at) = fault {
            return self.faults.remove(at).unwrap().answer;
        }
        match *method {
            Method::GET => self.read(path),
            Method::POST => {
                let name = body["metadata"]["name"].as_str().unwrap_or("generated");
                let path = format!("{path}/{name}");
                if self.objects.contains_key(&path) {
                    return failure(409, "AlreadyExists", "it exists");
                }
                let made = self.admitted(&path, body.clone());
                let made = managed_fields::updated(&json!({}), made, self.write(manager, ""));
                (201, self.store(&path, made))
            }
            Method::PATCH => self.patch(path, (change, manager), body),
            Method::DELETE => {
                let Some(found) = self.objects.get(path) else {
                    return failure(404, "NotFound", "no such object");
                };
                let wanted = &body["preconditions"]["uid"];
                if !wanted.is_null() && *wanted != found["metadata"]["uid"] {
                    return failure(409, "Conflict", "the UID in the precondition is another one");
                }
                let wanted = &body["preconditions"]["resourceVersion"];
                if !wanted.is_null() && *wanted != found["metadata"]["resourceVersion"] {
                    return failure(
                        409,
                        "Conflict",
                        "the resourceVersion in the precondition is another one",
                    );
                }
                let held = found["metadata"]["finalizers"].as_array();
                if held.is_some_and(|finalizers| !finalizers.is_empty()) {
                    let mut leaving = found.clone();
                    leaving["metadata"]["deletionTimestamp"] = json!("2026-11-23T20:22:00Z");
                    return (200, self.store(path, leaving));
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
        if let Some(collection) = COLLECTIONS
            .into_iter()
            .find(|(collection, _)| *collection == path)
        {
            let items: Vec<&Json> = self
                .objects
                .iter()
                .filter(|(path, _)| belongs(path, collection))
                .map(|(_, object)| object)
                .collect();
            let metadata = json!({"resourceVersion": self.counter.to_string()});
            return (
                200,
                json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}),
            );
        }
        failure(404, "NotFound", "no such object")
    }

    /// Server-side apply by force, or merge patch.
    fn patch(&mut self, path: &str, (change, manager): (Change, &str), body: &Json) -> (u16, Json) {
        let (object_path, subresource) = match path.strip_suffix("/status") {
            Some(path) => (path, "status"),
            None => (path, ""),
        };
        let write = self.write(manager, subresource);
        let Some(found) = self.objects.get(object_path).cloned() else {
            if change != Change::Apply || !subresource.is_empty() {
                return failure(404, "NotFound", "no such object");
            }
            if !body["metadata"]["uid"].is_null() {
                return failure(409, "Conflict", "the object with this UID is gone");
            }
            let mut made = self.admitted(path, body.clone());
            made["metadata"]["resourceVersion"] = Json::Null;
            let made = managed_fields::applied(&json!({}), made, body, write);
            return (201, self.store(path, made));
        };
        for field in ["uid", "resourceVersion"] {
            let wanted = &body["metadata"][field];
            if !wanted.is_null() && *wanted != found["metadata"][field] {
                return failure(409, "Conflict", "the object changed");
            }
        }
        let mut part = body.clone();
        if let Some(part) = part.as_object_mut() {
            if subresource.is_empty() {
                part.remove("status");
            } else {
                part.retain(|field, _| field == "status");
            }
        }
        let mut object = found.clone();
        overlay(&mut object, &part, change == Change::Merge);
        let object = self.admitted(path, object);
        let object = match change {
            Change::Apply => managed_fields::applied(&found, object, &part, write),
            Change::Merge | Change::Other => managed_fields::updated(&found, object, write),
        };
        if object["type"] != found["type"] {
            return failure(422, "Invalid", "the type is immutable");
        }
        if found["immutable"] == json!(true) && object["data"] != found["data"] {
            return failure(422, "Invalid", "the Secret is immutable");
        }
        if managed_fields::same(&object, &found) {
            return (200, found);
        }
        (200, self.store(object_path, object))
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

fn is_named(object: &Json, name: &str) -> bool {
    object["metadata"]["name"] == name
}

/// What is told of an object to whoever asks for its metadata alone.
fn partial(object: &Json) -> Json {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

fn wants_metadata(headers: &http::HeaderMap) -> bool {
    let accept = headers.get(http::header::ACCEPT);
    accept.is_some_and(|accept| accept.to_str().unwrap().contains("PartialObjectMetadata"))
}

/// A parameter of a request.
fn parameter(uri: &http::Uri, name: &str) -> Option<String> {
    let pairs = uri.query()?.split('&');
    let mut values = pairs.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    Some(values.next()?.replace("%2F", "/"))
}

/// Leaves of a list the page that is asked for. Its end is told by the place of the last object.
fn page(uri: &http::Uri, answer: &mut Json) -> Result<(), (u16, Json)> {
    let Some(items) = answer["items"].as_array_mut() else {
        return Ok(());
    };
    let place = |object: &Json| {
        let part = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        format!("{}/{}", part("namespace"), part("name"))
    };
    if let Some(after) = parameter(uri, "continue") {
        let Some(at) = items.iter().position(|object| place(object) == after) else {
            return Err(failure(410, "Expired", "the continue token is too old"));
        };
        items.drain(..=at);
    }
    let limit = parameter(uri, "limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
    if items.len() > limit {
        items.truncate(limit);
        let last = place(items.last().unwrap());
        answer["metadata"]["continue"] = json!(last);
    }
    Ok(())
}

/// The name that the field selector of a request asks for.
fn selected(uri: &http::Uri) -> Option<String> {
    let mut pairs = uri.query()?.split('&');
    let name = pairs.find_map(|pair| pair.strip_prefix("fieldSelector=metadata.name%3D"))?;
    Some(name.to_owned())
}

#[derive(Clone)]
struct Service(Api);

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

impl Service {
    /// A stream of events from now on.
    fn watch(&self, path: &str, name: Option<String>, metadata: bool) -> Answer {
        let (sender, receiver) = unbounded();
        let collection = COLLECTIONS
            .into_iter()
            .map(|(collection, _)| collection)
            .find(|known| *known == path);
        self.0.server().watchers.push(Watcher {
            collection: collection.expect("a collection that is watched"),
            name,
            metadata,
            events: sender,
        });
        let lines = receiver.map(|event| Ok(http_body::Frame::data(Bytes::from(format!("{event}\n")))));
        Response::new(StreamBody::new(lines).boxed_unsync())
    }
}

impl tower::Service<Request<Body>> for Service {
    type Response = Answer;
    type Error = Infallible;
    type Future = futures::future::BoxFuture<'static, Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            if parts
                .uri
                .query()
                .is_some_and(|query| query.contains("watch=true"))
            {
                let metadata = wants_metadata(&parts.headers);
                return Ok(service.watch(parts.uri.path(), selected(&parts.uri), metadata));
            }
            let json = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap_or(Json::Null);
            let kind = parts.headers.get(http::header::CONTENT_TYPE);
            let change = match kind.map(|kind| kind.to_str().unwrap()) {
                Some(kind) if kind.contains("merge-patch") => Change::Merge,
                Some(kind) if kind.contains("apply-patch") => Change::Apply,
                _ => Change::Other,
            };
            let query = parts.uri.query().unwrap_or_default();
            let manager = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("fieldManager="))
                .unwrap_or("unknown");
            let (mut code, mut answer) =
                service
                    .0
                    .server()
                    .answer(&parts.method, parts.uri.path(), (change, manager), &json);
            if let (Some(name), Some(items)) = (selected(&parts.uri), answer["items"].as_array_mut()) {
                items.retain(|object| is_named(object, &name));
            }
            if let (Some(items), true) = (answer["items"].as_array_mut(), wants_metadata(&parts.headers)) {
                items.iter_mut().for_each(|object| *object = partial(object));
            }
            if let Err(expired) = page(&parts.uri, &mut answer) {
                (code, answer) = expired;
            }
            let frame = stream::iter([Ok(http_body::Frame::data(Bytes::from(answer.to_string())))]);
            Ok(Response::builder()
                .status(code)
                .body(StreamBody::new(frame).boxed_unsync())
                .unwrap())
        })
    }
}
