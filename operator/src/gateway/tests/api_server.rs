//! The API server as a table of tokens, namespaces and objects.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::http::Method;
use kube::Client;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use strongroom_testing::api_server::managed_fields::{self, Write};
use strongroom_testing::api_server::{ApiRequest, ApiServer, failure, merge_patch as merged};

use crate::gateway::request::token::subject_of;

/// The API server as far as the gateway asks it.
#[derive(Clone, Default)]
pub(super) struct FakeApiServer {
    pub(super) away: Arc<AtomicBool>,
    /// It answers reviews with this status.
    pub(super) refuses: Arc<Mutex<Option<u16>>>,
    /// Subjects whose tokens it refuses by now.
    pub(super) ended: Arc<Mutex<std::collections::BTreeSet<String>>>,
    /// Reviews that were asked for.
    pub(super) reviews: Arc<AtomicUsize>,
    pub(super) uids: Arc<Mutex<BTreeMap<String, String>>>,
    pub(super) keep_nothing: Arc<Mutex<std::collections::BTreeSet<String>>>,
    /// Custom resources by kind, as in `managedsecrets`, and name.
    pub(super) objects: Arc<Mutex<BTreeMap<(String, String), Json>>>,
}

impl FakeApiServer {
    pub(super) fn client(&self) -> Client {
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
        // A namespace that is made again has other ServiceAccounts.
        let account = |namespace: &str, name: &str| {
            let uids = self.uids.lock();
            format!(
                "{name} of {}",
                uids.get(namespace).map_or("nowhere", String::as_str)
            )
        };
        let status = match *parts {
            _ if self.ended.lock().contains(&subject) => json!({"authenticated": false}),
            [namespace, name] => json!({
                "authenticated": true, "audiences": ["strongroom.dev"],
                "user": {"username": user(namespace, name), "uid": account(namespace, name)}}),
            [namespace, name, pod, node] => json!({
                "authenticated": true, "audiences": ["strongroom.dev"],
                "user": {"username": user(namespace, name), "uid": account(namespace, name), "extra": {
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
    pub(super) fn resource(&self, method: &Method, resource: &str, query: &str, body: &Json) -> (u16, Json) {
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
                    if after["spec"] != object["spec"] {
                        let before = object["metadata"]["generation"].as_i64();
                        after["metadata"]["generation"] = json!(before.unwrap_or_default() + 1);
                    }
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
