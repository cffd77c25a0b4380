//! A server over loopback that speaks as much of the protocol of S3 as backups need, and does as a test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::PATIENCE;
use crate::backup::destination::BackupDestination;
use crate::backup::error::BackupError;
use crate::backup::place::BackupPlace;

/// What the bucket does wrong.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// It takes nothing more.
    Full,
    /// It does not know the credentials.
    Denied,
    /// It answers nothing.
    Hangs,
    /// It begins to give a backup back, and stops.
    ReadsSlowly,
    /// What it gives back is changed.
    ReadsChanged,
    /// What it gives back is shorter.
    ReadsCut,
    /// It gives back these bytes instead.
    ReadsOther(Vec<u8>),
    /// It takes manifests, and does not have them.
    LosesManifests,
}

#[derive(Default)]
struct BucketState {
    objects: BTreeMap<String, Vec<u8>>,
    /// Key and parts by upload id.
    uploads: BTreeMap<String, (String, BTreeMap<u32, Vec<u8>>)>,
    fault: Option<Fault>,
}

/// The bucket `backups` of a server.
pub(super) struct ScriptedBucket {
    address: SocketAddr,
    state: Arc<Mutex<BucketState>>,
    task: JoinHandle<()>,
    keep: tempfile::TempDir,
}

impl ScriptedBucket {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<BucketState>> = Arc::default();
        let shared = Arc::clone(&state);
        let app = Router::new()
            .fallback(move |method: Method, uri: Uri, body: Bytes| {
                let shared = Arc::clone(&shared);
                async move {
                    let hangs = matches!(shared.lock().fault, Some(Fault::Hangs));
                    if hangs {
                        std::future::pending::<()>().await;
                    }
                    answer(&mut shared.lock(), &method, &uri, &body)
                }
            })
            .layer(DefaultBodyLimit::disable());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let keep = tempfile::tempdir().unwrap();
        for (name, text) in [("access-key-id", "backup\n"), ("secret-access-key", "hunter2\n")] {
            std::fs::write(keep.path().join(name), text).unwrap();
        }
        Self {
            address,
            state,
            task,
            keep,
        }
    }

    pub(super) fn credentials(&self) -> PathBuf {
        self.keep.path().to_owned()
    }

    pub(super) async fn try_place(&self) -> Result<BackupPlace, BackupError> {
        let text = format!(
            "s3+http://{}/backups/prod/a?credentials={}",
            self.address,
            self.keep.path().display()
        );
        let destination: BackupDestination = text.parse().unwrap();
        BackupPlace::open_with(&destination, PATIENCE).await
    }

    pub(super) async fn place(&self) -> BackupPlace {
        self.try_place().await.unwrap()
    }

    pub(super) fn set(&self, fault: Option<Fault>) {
        self.state.lock().fault = fault;
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.state.lock().objects.keys().cloned().collect()
    }

    pub(super) fn object(&self, key: &str) -> Vec<u8> {
        self.state.lock().objects[key].clone()
    }

    /// Uploads that were neither finished nor taken back.
    pub(super) fn unfinished(&self) -> usize {
        self.state.lock().uploads.len()
    }

    /// Nobody listens any more.
    pub(super) async fn stop(&self) {
        self.task.abort();
        while !self.task.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

fn refusal(status: StatusCode, code: &str) -> Response {
    let document = format!("<Error><Code>{code}</Code><Message>hunter2</Message></Error>");
    (status, document).into_response()
}

fn tagged(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let tag = header::HeaderValue::from_static("\"tag\"");
    response.headers_mut().insert(header::ETAG, tag);
    response
}

fn answer(state: &mut BucketState, method: &Method, uri: &Uri, body: &Bytes) -> Response {
    let query: BTreeMap<String, String> =
        serde_urlencoded::from_str(uri.query().unwrap_or_default()).unwrap();
    let path = percent_encoding::percent_decode_str(uri.path())
        .decode_utf8()
        .unwrap()
        .into_owned();
    let Some(key) = path.strip_prefix("/backups") else {
        return refusal(StatusCode::NOT_FOUND, "NoSuchBucket");
    };
    let key = key.trim_start_matches('/').to_owned();
    match state.fault {
        Some(Fault::Full) if *method == Method::PUT => {
            return refusal(StatusCode::INSUFFICIENT_STORAGE, "InsufficientCapacity");
        }
        Some(Fault::Denied) => return refusal(StatusCode::FORBIDDEN, "AccessDenied"),
        _ => {}
    }
    match (method.as_str(), query.get("uploadId")) {
        ("GET", None) if key.is_empty() => list(state, query.get("prefix").map_or("", String::as_str)),
        ("GET" | "HEAD", None) => get(state, &key, *method == Method::HEAD),
        ("POST", None) if query.contains_key("uploads") => {
            let id = format!("upload-{}", state.uploads.len());
            state.uploads.insert(id.clone(), (key, BTreeMap::new()));
            let document = format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            );
            tagged(StatusCode::OK, document)
        }
        ("PUT", Some(id)) => {
            let number = query["partNumber"].parse().unwrap();
            let (_, parts) = state.uploads.get_mut(id).unwrap();
            parts.insert(number, body.to_vec());
            tagged(StatusCode::OK, "")
        }
        ("POST", Some(id)) => {
            let (key, parts) = state.uploads.remove(id).unwrap();
            state.objects.insert(key, parts.into_values().flatten().collect());
            let document = "<CompleteMultipartUploadResult><ETag>tag</ETag></CompleteMultipartUploadResult>";
            tagged(StatusCode::OK, document)
        }
        ("DELETE", Some(id)) => {
            state.uploads.remove(id);
            StatusCode::NO_CONTENT.into_response()
        }
        ("PUT", None) => {
            let lost = matches!(state.fault, Some(Fault::LosesManifests)) && key.ends_with(".json");
            if !lost {
                state.objects.insert(key, body.to_vec());
            }
            tagged(StatusCode::OK, "")
        }
        ("DELETE", None) => {
            state.objects.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => refusal(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    }
}

fn list(state: &BucketState, prefix: &str) -> Response {
    let contents: String = state
        .objects
        .iter()
        .filter(|(key, _)| key.starts_with(prefix))
        .map(|(key, bytes)| {
            format!(
                "<Contents><Key>{key}</Key><Size>{}</Size><LastModified>2026-11-24T03:00:00.000Z</LastModified>\
                 <ETag>tag</ETag></Contents>",
                bytes.len()
            )
        })
        .collect();
    tagged(
        StatusCode::OK,
        format!("<ListBucketResult>{contents}</ListBucketResult>"),
    )
}

fn get(state: &BucketState, key: &str, head: bool) -> Response {
    let Some(bytes) = state.objects.get(key) else {
        return refusal(StatusCode::NOT_FOUND, "NoSuchKey");
    };
    let mut bytes = bytes.clone();
    if head {
        let mut response = tagged(StatusCode::OK, "");
        let length = header::HeaderValue::from(bytes.len());
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
        return response;
    }
    match &state.fault {
        Some(Fault::ReadsSlowly) => {
            let length = header::HeaderValue::from(bytes.len());
            let begun = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(bytes.split_off(1)))]);
            let stream = begun.chain(futures::stream::pending());
            let mut response = tagged(StatusCode::OK, Body::from_stream(stream));
            response.headers_mut().insert(header::CONTENT_LENGTH, length);
            return response;
        }
        Some(Fault::ReadsChanged) => bytes.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1),
        Some(Fault::ReadsCut) => bytes.truncate(bytes.len() / 2),
        Some(Fault::ReadsOther(other)) => bytes.clone_from(other),
        _ => {}
    }
    tagged(StatusCode::OK, bytes)
}
