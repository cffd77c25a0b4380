//! What a caller is told when it does not get what it asked for: problem documents (RFC 9457) with stable
//! codes.
//!
//! INVARIANT: a caller without the right to know of a secret gets the same document whether it exists or not,
//! but for the request's id.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;
pub(crate) use strongroom_api::problem::Code;
use strongroom_store::engine::EngineError;
use strongroom_store::id::RequestId;
use strongroom_store::name::{NamespaceName, SecretName};
use strongroom_store::vault::{Refusal, StoreError};

/// Why a request is not answered with what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    code: Code,
    detail: String,
    /// SecretPolicies that would allow it, as YAML.
    missing: Vec<String>,
    /// Seconds.
    retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            missing: Vec::new(),
            retry_after: None,
        }
    }

    pub(crate) fn with_missing(mut self, missing: Vec<String>) -> Self {
        self.missing = missing;
        self
    }

    pub(crate) const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// What it is about, for people.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// What a caller gets that may not know of the secret, and for a secret that is not there. What is no
    /// name is not repeated.
    pub(crate) fn no_secret(namespace: &str, name: &str) -> Self {
        let detail = match (
            namespace.parse::<NamespaceName>().is_ok(),
            name.parse::<SecretName>().is_ok(),
        ) {
            (true, true) => format!(
                "there is no secret `{name}` in namespace `{namespace}` that you may know of; check both names, or ask an admin of `{namespace}` for `spec.readers` or a SecretPolicy"
            ),
            (true, false) => {
                format!("no secret of namespace `{namespace}` can have a name like this; check the name")
            }
            (false, _) => "no namespace can have a name like this; check the name".to_owned(),
        };
        Self::new(Code::SecretNotFound, detail)
    }

    /// What an address gets that has failed too often to say who it is.
    pub(crate) fn too_many_failures() -> Self {
        Self::new(
            Code::TooManyRequests,
            "too many requests without a valid token from your address; wait and try again",
        )
        .retry_after(1)
    }

    /// The answer's body, for a batch.
    pub(crate) fn to_json(&self, request: &RequestId) -> serde_json::Value {
        let mut body = json!({
            "type": format!("urn:strongroom:problem:{}", self.code.as_str()),
            "title": self.code.title(),
            "status": self.code.status(),
            "code": self.code.as_str(),
            "detail": self.detail,
            "requestId": request.to_string(),
        });
        if !self.missing.is_empty()
            && let Some(body) = body.as_object_mut()
        {
            body.insert("missingPolicies".to_owned(), json!(self.missing));
        }
        body
    }

    /// The answer as it leaves.
    pub(crate) fn document(self, request: &RequestId) -> Response<Body> {
        let mut response = Response::new(Body::from(self.to_json(request).to_string()));
        *response.status_mut() = status(self.code);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Carries the problem to where the request's id is known; there [`Problem::document`] writes it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(self.code);
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        let code = match error {
            StoreError::Refused(refusal) => return refused(&refusal, detail),
            StoreError::Damaged { .. } => Code::StoreDamaged,
            StoreError::Audit(_) => Code::AuditUnavailable,
            StoreError::Engine(EngineError::OutOfSpace) => Code::StoreFull,
            StoreError::Fenced
            | StoreError::Unknown { .. }
            | StoreError::NotCommitted
            | StoreError::AnchorUnavailable(_)
            | StoreError::Closed
            | StoreError::Engine(_)
            | StoreError::Crypto(_) => Code::StoreUnavailable,
        };
        Self::new(code, detail).retry_after(1)
    }
}

/// The HTTP status of a code.
pub(super) fn status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn refused(refusal: &Refusal, detail: String) -> Problem {
    let code = match refusal {
        Refusal::SecretNotFound | Refusal::NamespaceNotFound => Code::SecretNotFound,
        Refusal::VersionNotFound => Code::VersionNotFound,
        Refusal::StageNotFound(_) => Code::StageNotFound,
        Refusal::StageMismatch(_) => Code::StageMismatch,
        Refusal::InRecoveryWindow { .. } => Code::InRecoveryWindow,
        Refusal::KeyDisabled => Code::KeyDisabled,
        Refusal::KeyPendingDeletion { .. } | Refusal::KeyDestroyed => Code::KeyPendingDeletion,
        Refusal::NamespaceRecreated { .. } => Code::NamespaceRecreated,
        Refusal::VersionConflict => Code::VersionConflict,
        Refusal::StageReserved(_) => Code::StageReserved,
        Refusal::TooManyStages => Code::TooManyStages,
        Refusal::NamespaceFull { .. } => Code::NamespaceFull,
        Refusal::KeyNotFound => Code::KeyNotFound,
        Refusal::SecretExists => Code::SecretExists,
        Refusal::NotInRecoveryWindow => Code::NotInRecoveryWindow,
        Refusal::StageUnchanged | Refusal::StagesContradict | Refusal::Value(_) => Code::InvalidRequest,
        // Refusals of changes that nothing here makes.
        Refusal::BaseMoved
        | Refusal::WindowAndForce
        | Refusal::WindowOutOfBounds(_)
        | Refusal::MetadataTooLarge(_)
        | Refusal::RecoveryWindowKept
        | Refusal::KeyExists
        | Refusal::KeyNotPendingDeletion
        | Refusal::KeyVersionInUse
        | Refusal::KeyInUse
        | Refusal::AuditStillNeeded
        | Refusal::ClockUnsteady => Code::InvalidRequest,
    };
    Problem::new(code, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_problem_is_a_document_of_its_own_type() {
        let request = RequestId::generate().unwrap();
        let problem = Problem::new(Code::TooManyRequests, "slower").retry_after(2);
        let response = problem.document(&request);
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "2");
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], "TooManyRequests");
        assert_eq!(body["requestId"], request.to_string());
        assert_eq!(body.get("missingPolicies"), None);
    }
}
