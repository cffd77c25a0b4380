//! The rules of objects: UIDs, `resourceVersion`s, preconditions, conflicts, types and immutability of
//! Secrets, lists and watches.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use futures::channel::mpsc::UnboundedSender;
use futures::future::BoxFuture;
use http::Method;
use serde_json::{Value as Json, json};

use super::answer::{StatusAnswer, failure, is_named, overlay, partial};
use super::managed_fields::{self, Write};
use super::request::ApiRequest;

/// Each path whose objects are listed and watched, and how the path of such an object can be told.
pub(super) const COLLECTIONS: [(&str, &str); 11] = [
    ("/apis/strongroom.dev/v1alpha1/managedsecrets", "/managedsecrets/"),
    ("/apis/strongroom.dev/v1alpha1/encryptionkeys", "/encryptionkeys/"),
    (
        "/apis/strongroom.dev/v1alpha1/rotationschedules",
        "/rotationschedules/",
    ),
    ("/apis/strongroom.dev/v1alpha1/secretpolicies", "/secretpolicies/"),
    ("/apis/strongroom.dev/v1alpha1/secretproducts", "/secretproducts/"),
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

/// Whether the object has not the UID or the `resourceVersion` that a request names, if it does.
fn is_another(object: &Json, named: &Json) -> bool {
    let differs = |field: &str| !named[field].is_null() && named[field] != object["metadata"][field];
    differs("uid") || differs("resourceVersion")
}

/// What the server has, and what was ordered of it.
#[derive(Default)]
pub(super) struct Server {
    pub(super) objects: BTreeMap<String, Json>,
    pub(super) log: Vec<String>,
    pub(super) faults: VecDeque<Fault>,
    /// What every request is answered while an outage lasts; none: the objects answer.
    pub(super) outage: Option<StatusAnswer>,
    counter: u64,
    /// What watchers were told, for those that begin later at an earlier `resourceVersion`.
    history: Vec<ObjectChange>,
    pub(super) watchers: Vec<Watcher>,
    pub(super) admission: Option<Admission>,
    pub(super) scripts: Vec<Script>,
}

/// A change that watchers are told of.
struct ObjectChange {
    /// The `resourceVersion` of the list that has it.
    version: u64,
    path: String,
    kind: &'static str,
    object: Json,
}

/// Who watches a collection, or one object of it.
pub(super) struct Watcher {
    pub(super) collection: &'static str,
    pub(super) name: Option<String>,
    /// It wants to know of metadata alone.
    pub(super) metadata: bool,
    pub(super) events: UnboundedSender<Json>,
}

impl Watcher {
    /// Tells it of a change, if that is of what it watches; whether it still listens.
    fn tell(&self, change: &ObjectChange) -> bool {
        let watched = COLLECTIONS
            .into_iter()
            .any(|known| known.0 == self.collection && belongs(&change.path, known));
        let named = self
            .name
            .as_deref()
            .is_none_or(|name| is_named(&change.object, name));
        if !(watched && named) {
            return true;
        }
        let object = if self.metadata {
            partial(&change.object)
        } else {
            change.object.clone()
        };
        let event = json!({"type": change.kind, "object": object});
        self.events.unbounded_send(event).is_ok()
    }
}

/// What admission makes of a Secret.
pub(super) type Admission = Box<dyn Fn(&mut Json) + Send>;

/// A request that is answered with an error.
pub(super) struct Fault {
    /// What its line contains.
    pub(super) part: String,
    /// So many of them pass before.
    pub(super) pass: usize,
    pub(super) answer: StatusAnswer,
}

/// What answers requests in place of the objects.
#[derive(Clone)]
pub(super) struct Script {
    /// What their line contains.
    pub(super) part: String,
    pub(super) answer: Arc<dyn Fn(ApiRequest) -> ScriptedAnswer + Send + Sync>,
}

/// The answer of a script; an error: the connection failed.
pub(super) type ScriptedAnswer = BoxFuture<'static, io::Result<StatusAnswer>>;

/// How a request changes an object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Apply,
    Merge,
    Other,
}

impl Server {
    /// Puts an object at its path: it is new now, and those who watch are told.
    pub(super) fn store(&mut self, path: &str, mut object: Json) -> Json {
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

    pub(super) fn erase(&mut self, path: &str) {
        if let Some(object) = self.objects.remove(path) {
            self.counter += 1;
            self.tell(path, "DELETED", &object);
        }
    }

    /// Tells those who watch.
    fn tell(&mut self, path: &str, kind: &'static str, object: &Json) {
        let change = ObjectChange {
            version: self.counter,
            path: path.to_owned(),
            kind,
            object: object.clone(),
        };
        self.watchers.retain(|watcher| watcher.tell(&change));
        self.history.push(change);
    }

    /// The `resourceVersion` of a list now.
    pub(super) const fn version(&self) -> u64 {
        self.counter
    }

    /// A watcher that is told of what came after this `resourceVersion`, and of all that comes.
    pub(super) fn watch(&mut self, watcher: Watcher, since: u64) {
        for change in self.history.iter().filter(|change| change.version > since) {
            watcher.tell(change);
        }
        self.watchers.push(watcher);
    }

    /// A write that happens now.
    pub(super) fn write<'a>(&self, manager: &'a str, subresource: &'a str) -> Write<'a> {
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

    /// Answers a request, which may change objects.
    pub(super) fn answer(&mut self, request: &ApiRequest, (change, manager): (Change, &str)) -> StatusAnswer {
        let (path, body) = (request.path.as_str(), &request.body);
        let line = request.line();
        self.log.push(line.clone());
        if let Some(outage) = &self.outage {
            return outage.clone();
        }
        let fault = self.faults.iter_mut().position(|fault| {
            let meant = line.contains(&fault.part);
            let now = meant && fault.pass == 0;
            fault.pass -= usize::from(meant && !now);
            now
        });
        if let Some(at) = fault {
            return self.faults.remove(at).unwrap().answer;
        }
        match request.method {
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
            Method::PUT => {
                let Some(found) = self.objects.get(path).cloned() else {
                    return failure(404, "NotFound", "no such object");
                };
                if is_another(&found, &body["metadata"]) {
                    return failure(409, "Conflict", "the object changed");
                }
                let mut after = self.admitted(path, body.clone());
                after["metadata"]["uid"] = found["metadata"]["uid"].clone();
                let after = managed_fields::updated(&found, after, self.write(manager, ""));
                (200, self.store(path, after))
            }
            Method::PATCH => self.patch(path, (change, manager), body),
            Method::DELETE => {
                let Some(found) = self.objects.get(path) else {
                    return failure(404, "NotFound", "no such object");
                };
                if is_another(found, &body["preconditions"]) {
                    return failure(409, "Conflict", "the object is not that of the preconditions");
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

    fn read(&self, path: &str) -> StatusAnswer {
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
    fn patch(&mut self, path: &str, (change, manager): (Change, &str), body: &Json) -> StatusAnswer {
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
        if is_another(&found, &body["metadata"]) {
            return failure(409, "Conflict", "the object changed");
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
