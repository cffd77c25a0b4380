//! Who writes our objects: what the API server asks about a change of one is handed to the process with the
//! store, and always allowed. Whatever goes wrong holds nobody up: the change is `unattested` then.
//!
//! Must not log or keep what an object declares, nor a digest of it: there may be values in it.

use std::time::Duration;

use axum::body::Body;
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderValue, Method, Request, Uri, Version, header};
use serde::Deserialize;
use serde_json::{Value, json};
use strongroom_api::transport_error_cause;
use strongroom_rules::declaration::{DeclarationScope, Digest};

use super::certificate::WebhookCertificate;
use super::review::ADMISSION_API_VERSION;
use crate::attestation::{ATTESTATIONS_PATH, AdmissionOperation, AttestationMessage};

/// How long the hand-over may take: the API server waits for two seconds in all.
const HAND_OVER_TIMEOUT: Duration = Duration::from_millis(1_500);
/// After how long it is tried again where nothing answered.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// What is asked about a change of an object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectRequest {
    uid: String,
    operation: String,
    kind: Kind,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    dry_run: Option<bool>,
    #[serde(default)]
    user_info: User,
    #[serde(default)]
    object: Option<Value>,
    #[serde(default)]
    old_object: Option<Value>,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    group: String,
    kind: String,
}

#[derive(Default, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    groups: Option<Vec<String>>,
}

impl ObjectRequest {
    /// The answer: nobody is ever held up.
    pub(super) fn allowed(&self) -> Value {
        let response = json!({"uid": self.uid, "allowed": true});
        json!({"apiVersion": ADMISSION_API_VERSION, "kind": "AdmissionReview", "response": response})
    }

    /// Of which kind of object it is, for a log.
    pub(super) fn kind(&self) -> &str {
        &self.kind.kind
    }

    /// What there is to hand over; nothing of what is only tried, or is none of ours.
    pub(super) fn attestation(&self) -> Option<AttestationMessage> {
        if self.dry_run == Some(true) {
            return None;
        }
        let (operation, object) = match self.operation.as_str() {
            "CREATE" => (AdmissionOperation::Create, self.object.as_ref()),
            "UPDATE" => (AdmissionOperation::Update, self.object.as_ref()),
            "DELETE" => (AdmissionOperation::Delete, self.old_object.as_ref()),
            _ => return None,
        };
        let (declares, namespace) = match (self.kind.group.as_str(), self.kind.kind.as_str()) {
            // Of the cluster.
            ("strongroom.dev", "SecretProduct") => (DeclarationScope::All, &self.name),
            ("strongroom.dev", _) => (DeclarationScope::All, &self.namespace),
            ("", "Namespace") => (DeclarationScope::Marks, &self.name),
            _ => return None,
        };
        let object = object?;
        let text = |field: &str| object.pointer(field).and_then(Value::as_str);
        let uid = text("/metadata/uid")?.to_owned();
        let digest = Digest::from_object(declares, object);
        let User {
            username,
            uid: of_user,
            groups,
        } = &self.user_info;
        let user = (
            username.as_str(),
            of_user.as_str(),
            groups.as_deref().unwrap_or(&[]),
        );
        Some(AttestationMessage::new(
            (namespace.clone(), uid),
            operation,
            &digest,
            user,
        ))
    }
}

/// What became of a hand-over, as metrics call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandOverOutcome {
    /// The process with the store keeps it.
    Handed,
    /// It takes no more now.
    Refused,
    /// It could not be reached in time.
    Unreachable,
    /// There was nothing to hand over.
    Nothing,
}

impl HandOverOutcome {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Handed => "handed",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Nothing => "nothing",
        }
    }
}

/// Hands it over, within the time that there is.
pub(super) async fn hand_over(
    certificate: &WebhookCertificate,
    to: &Authority,
    handed: &AttestationMessage,
) -> HandOverOutcome {
    let Some(uri) = uri(to) else {
        return HandOverOutcome::Unreachable;
    };
    let Ok(body) = serde_json::to_vec(handed) else {
        return HandOverOutcome::Nothing;
    };
    let trying = async {
        loop {
            match once(certificate, &uri, &body).await {
                Ok(outcome) => return outcome,
                Err(why) => {
                    tracing::debug!(%to, error = why, "attestation delivery failed, trying again");
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
    };
    tokio::time::timeout(HAND_OVER_TIMEOUT, trying)
        .await
        .unwrap_or(HandOverOutcome::Unreachable)
}

async fn once(
    certificate: &WebhookCertificate,
    uri: &Uri,
    body: &[u8],
) -> Result<HandOverOutcome, &'static str> {
    let client = certificate.link().ok_or("no certificate yet")?;
    let mut request = Request::new(Body::from(body.to_vec()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    *request.version_mut() = Version::HTTP_2;
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::CONTENT_TYPE, json);
    let answer = client
        .request(request)
        .await
        .map_err(|error| transport_error_cause(&error))?;
    match answer.status() {
        status if status.is_success() => Ok(HandOverOutcome::Handed),
        status if status.is_client_error() => Ok(HandOverOutcome::Refused),
        _ => Err("it answers with an error"),
    }
}

fn uri(to: &Authority) -> Option<Uri> {
    let mut parts = axum::http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(to.clone());
    parts.path_and_query = Some(PathAndQuery::from_static(ATTESTATIONS_PATH));
    Uri::from_parts(parts).ok()
}
