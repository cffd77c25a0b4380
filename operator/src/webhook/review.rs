//! What the API server asks of a webhook, and what it is answered: `AdmissionReview` of
//! `admission.k8s.io/v1`. The pod is JSON, because it may have fields that this program's types don't know.

use data_encoding::BASE64;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use strongroom_rules::environment::{self, Image};

/// The only version there is.
pub(super) const ADMISSION_API_VERSION: &str = "admission.k8s.io/v1";

/// A review of `admission.k8s.io/v1` that asks `request`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AdmissionReview<R> {
    api_version: String,
    kind: String,
    request: R,
}

/// What is asked about a pod.
#[derive(Debug, Deserialize)]
pub(super) struct PodRequest {
    uid: String,
    #[serde(default)]
    namespace: String,
    object: Value,
}

/// It is no question.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReviewError {
    /// No JSON, or without what every question has.
    #[error("not an AdmissionReview: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Another kind or version of object.
    #[error("`{0}` is not understood; it must be an AdmissionReview of {ADMISSION_API_VERSION}")]
    Version(String),
}

impl PodRequest {
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The pod's name, or what its name begins with.
    pub(super) fn pod(&self) -> &str {
        let metadata = self.object.get("metadata");
        ["name", "generateName"]
            .iter()
            .filter_map(|field| metadata.and_then(|of| of.get(field)).and_then(Value::as_str))
            .find(|name| !name.is_empty())
            .unwrap_or_default()
    }
}

/// Reads what a review asks.
///
/// # Errors
/// [`ReviewError`].
pub(super) fn read<R: DeserializeOwned>(body: &[u8]) -> Result<R, ReviewError> {
    let review: AdmissionReview<R> = serde_json::from_slice(body)?;
    if review.api_version != ADMISSION_API_VERSION || review.kind != "AdmissionReview" {
        let what = format!("{} {}", review.api_version, review.kind);
        return Err(ReviewError::Version(what));
    }
    Ok(review.request)
}

/// The answer, and what metrics and logs call it.
pub(super) fn answer(request: &PodRequest, image: &Image) -> (Value, &'static str) {
    let pod = &request.object;
    let (mut response, outcome) = match environment::with_variables(pod, image) {
        Ok(None) => (json!({"allowed": true}), "unchanged"),
        Ok(Some(changed)) => {
            // RFC 6902. It cannot fail: it is made of maps with text for keys.
            let patch = json_patch::diff(pod, &changed);
            let patch = serde_json::to_vec(&patch).unwrap_or_default();
            let patch = BASE64.encode(&patch);
            (
                json!({"allowed": true, "patchType": "JSONPatch", "patch": patch}),
                "changed",
            )
        }
        Err(refusal) => {
            let status = json!({"code": 403, "reason": "Forbidden", "message": refusal.to_string()});
            (json!({"allowed": false, "status": status}), "refused")
        }
    };
    if let Some(response) = response.as_object_mut() {
        response.insert("uid".to_owned(), json!(request.uid));
    }
    (
        json!({"apiVersion": ADMISSION_API_VERSION, "kind": "AdmissionReview", "response": response}),
        outcome,
    )
}
