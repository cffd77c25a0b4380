//! An API server that keeps what it is given: Secrets and ConfigMaps, and no kind of ours.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use strongroom_store::vault::Anchor;

use crate::anchor::AnchorConfigMap;

/// The namespace of the process.
pub(super) const NAMESPACE: &str = "strongroom";

/// The objects of a cluster by their paths.
#[derive(Clone, Default)]
pub(super) struct Objects(Arc<Mutex<BTreeMap<String, Json>>>);

impl Objects {
    pub(super) fn client(&self) -> Client {
        let objects = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let objects = objects.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let (status, answer) = objects.answer(&parts.method, parts.uri.path(), body);
                let answer = Body::from(serde_json::to_vec(&answer).unwrap());
                Ok::<_, Infallible>(Response::builder().status(status).body(answer).unwrap())
            }
        });
        Client::new(service, NAMESPACE)
    }

    fn answer(&self, method: &Method, path: &str, body: Json) -> (u16, Json) {
        let mut objects = self.0.lock();
        let path = if *method == Method::POST {
            format!("{path}/{}", body["metadata"]["name"].as_str().unwrap())
        } else {
            path.to_owned()
        };
        let failure = |code: u16, reason: &str| {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                "reason": reason, "message": "no"});
            (code, status)
        };
        match (method.as_str(), objects.get(&path)) {
            ("GET", Some(object)) => (200, object.clone()),
            ("POST", Some(_)) => failure(409, "AlreadyExists"),
            ("GET" | "PUT", None) => failure(404, "NotFound"),
            _ => {
                objects.insert(path, body.clone());
                (200, body)
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Whether the process's namespace has this, as in `secrets/root`.
    pub(super) fn has(&self, path: &str) -> bool {
        self.0
            .lock()
            .contains_key(&format!("/api/v1/namespaces/{NAMESPACE}/{path}"))
    }

    pub(super) async fn anchor(&self) -> Option<Anchor> {
        AnchorConfigMap::new(self.client(), NAMESPACE)
            .read()
            .await
            .unwrap()
    }
}
