//! What a caller is told when it does not get what it asked for: problem documents (RFC 9457) with stable
//! codes.
//!
//! INVARIANT: a caller without the right to know of a secret gets the same document whether it exists or not,
//! but for the request's id.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;
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

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $status:ident, $title:literal;)+) => {
        /// The stable codes; `docs/errors.md` has their causes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code as it is written.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// The HTTP status.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

codes! {
    /// The request means nothing.
    InvalidRequest = BAD_REQUEST, "the request means nothing";
    /// No token, or one that proves nothing.
    Unauthenticated = UNAUTHORIZED, "the caller is not authenticated";
    /// No policy allows it, or one denies it.
    PolicyDenied = FORBIDDEN, "no policy allows it";
    /// ServiceAccounts may not come over the extension API.
    ServiceAccountRefused = FORBIDDEN, "ServiceAccounts may not use this API";
    /// There is no such secret, or the caller may not know of it.
    SecretNotFound = NOT_FOUND, "no such secret";
    /// There is no such version.
    VersionNotFound = NOT_FOUND, "no such version";
    /// No version has this stage.
    StageNotFound = NOT_FOUND, "no version has this stage";
    /// The value has no such key.
    DataKeyNotFound = NOT_FOUND, "no such key in the value";
    /// The secret has no policy of its own.
    PolicyNotFound = NOT_FOUND, "the secret has no policy of its own";
    /// There is no such path.
    NoSuchPath = NOT_FOUND, "no such path";
    /// The path has another method.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "the path does not allow this method";
    /// A secret of this name exists.
    SecretExists = CONFLICT, "the secret exists";
    /// Somebody else keeps what would have to change.
    ManagedElsewhere = CONFLICT, "the object is managed elsewhere";
    /// The version's id is taken by another value.
    VersionConflict = CONFLICT, "the version id exists with another value";
    /// The secret takes no values over the API.
    SourceNotExternal = CONFLICT, "the secret takes no values over the API";
    /// There is no encryption key of the name that the object says.
    KeyNotFound = CONFLICT, "there is no such encryption key";
    /// Another encryption key must be the secret's than the object says.
    KeyRequired = CONFLICT, "the secret must use an encryption key";
    /// Nobody makes a new value for the secret.
    NotRotatable = CONFLICT, "no new value can be generated for the secret";
    /// The stage can be moved and not removed.
    StageReserved = CONFLICT, "the stage can only be moved";
    /// The secret has as many stages as it can have.
    TooManyStages = CONFLICT, "the secret has too many stages";
    /// The namespace has as much of the store as it may have.
    NamespaceFull = CONFLICT, "the namespace is full";
    /// The key that a value is sealed for is not there.
    SealingKeyNotFound = CONFLICT, "the value is sealed for a key that is gone";
    /// Version and stage contradict each other.
    StageMismatch = CONFLICT, "version and stage do not agree";
    /// The secret is in its recovery window.
    InRecoveryWindow = CONFLICT, "the secret was deleted and can be restored";
    /// The secret is not in a recovery window.
    NotInRecoveryWindow = CONFLICT, "the secret was not deleted";
    /// The encryption key is disabled.
    KeyDisabled = CONFLICT, "the encryption key is disabled";
    /// The encryption key waits for its deletion.
    KeyPendingDeletion = CONFLICT, "the encryption key is scheduled for deletion";
    /// The namespace was made again under its name.
    NamespaceRecreated = CONFLICT, "the namespace was deleted and created again";
    /// Too large.
    TooLarge = PAYLOAD_TOO_LARGE, "the request is too large";
    /// Too many requests of this caller or namespace.
    TooManyRequests = TOO_MANY_REQUESTS, "too many requests";
    /// Too many requests in all.
    Overloaded = SERVICE_UNAVAILABLE, "the gateway is busy";
    /// It took too long.
    Timeout = SERVICE_UNAVAILABLE, "it took too long";
    /// Who the caller is cannot be found out now.
    AuthenticationUnavailable = SERVICE_UNAVAILABLE, "tokens cannot be checked now";
    /// The policies are not loaded.
    PoliciesUnavailable = SERVICE_UNAVAILABLE, "policies are not loaded";
    /// The API server does not take what the request comes to.
    ClusterUnavailable = SERVICE_UNAVAILABLE, "the cluster's API server does not answer";
    /// No record can be written, so nothing is answered.
    AuditUnavailable = SERVICE_UNAVAILABLE, "no audit record can be written";
    /// The disk of the store is full.
    StoreFull = SERVICE_UNAVAILABLE, "the disk of the store is full";
    /// The store does not answer.
    StoreUnavailable = SERVICE_UNAVAILABLE, "the store is not available";
    /// A record of the store is damaged.
    StoreDamaged = INTERNAL_SERVER_ERROR, "a record of the store is damaged";
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
            "status": self.code.status().as_u16(),
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
        *response.status_mut() = self.code.status();
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
        *response.status_mut() = self.code.status();
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

    #[test]
    fn every_code_is_in_the_documents_table() {
        let table = include_str!("../../../docs/errors.md");
        for code in Code::ALL {
            let row = format!("| `{}` | {} |", code.as_str(), code.status().as_u16());
            assert!(table.contains(&row), "docs/errors.md lacks {row}");
        }
        let rows = table.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(
            rows,
            Code::ALL.len(),
            "docs/errors.md has a code that there is not"
        );
    }

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
