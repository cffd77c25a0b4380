//! What a caller is told when a request fails: stable codes. Each protocol writes them in its own way.
//!
//! INVARIANT: a caller without the right to know of a secret gets the same document whether it exists or not,
//! but for the request's id.

pub(crate) use strongroom_api::problem::Code;
use strongroom_api::v1::ProblemDocument;
use strongroom_model::id::RequestId;
use strongroom_store::vault::{Refusal, StoreError};

use super::request::SecretPath;
use crate::store_handle::StoreErrorKind;

/// Why a request is not answered with what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    code: Code,
    detail: String,
    /// SecretPolicies that would allow it, as YAML.
    missing: Vec<String>,
    /// Seconds until another try makes sense: the header `Retry-After`.
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

    /// The answer to a caller that may not know of the secret, and for a secret that does not exist. Text
    /// that is not a valid name is not repeated.
    pub(super) fn no_secret(path: &SecretPath) -> Self {
        let detail = match (path.namespace().parsed(), path.parsed()) {
            (Some(namespace), Some(name)) => format!(
                "there is no secret `{name}` in namespace `{namespace}` that you may know of; check both names, or ask an admin of `{namespace}` for `spec.readers` or a SecretPolicy"
            ),
            (Some(namespace), None) => {
                format!("no secret of namespace `{namespace}` can have a name like this; check the name")
            }
            (None, _) => "no namespace can have a name like this; check the name".to_owned(),
        };
        Self::new(Code::SecretNotFound, detail)
    }

    /// What a ManagedSecret says that names an EncryptionKey which is not there.
    pub(crate) fn no_encryption_key(name: &str) -> Self {
        let detail =
            format!("the ManagedSecret names EncryptionKey `{name}`, which does not exist yet; apply it");
        Self::new(Code::KeyNotFound, detail)
    }

    /// The keys that values in manifests are sealed for are not there yet.
    pub(crate) fn cluster_keys_not_loaded() -> Self {
        let detail = "the cluster's keys are not loaded yet; try again";
        Self::new(Code::StoreUnavailable, detail).retry_after(2)
    }

    /// What an address gets that has failed too often to say who it is.
    pub(crate) fn too_many_failures() -> Self {
        Self::new(
            Code::TooManyRequests,
            "too many requests without a valid token from your address; wait and try again",
        )
        .retry_after(1)
    }

    /// Its parts as a document, of the request of this id.
    pub(crate) fn to_document(&self, request: &RequestId) -> ProblemDocument {
        ProblemDocument {
            r#type: format!("urn:strongroom:problem:{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.code.status(),
            code: self.code.as_str().to_owned(),
            detail: self.detail.clone(),
            request_id: request.to_string(),
            missing_policies: self.missing.clone(),
        }
    }

    /// Seconds after which to try again.
    pub(crate) const fn wait(&self) -> Option<u64> {
        self.retry_after
    }
}

/// What is asked for means nothing, and why.
pub(crate) fn invalid(error: impl std::fmt::Display) -> Problem {
    Problem::new(Code::InvalidRequest, error.to_string())
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        let code = match StoreErrorKind::from(&error) {
            StoreErrorKind::Refused(refusal) => return refused(refusal, detail),
            StoreErrorKind::Damaged => Code::StoreDamaged,
            StoreErrorKind::AuditUnavailable => Code::AuditUnavailable,
            StoreErrorKind::Full => Code::StoreFull,
            StoreErrorKind::Unavailable => Code::StoreUnavailable,
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
        Refusal::ProductQuotaExceeded { .. } | Refusal::ProductsFull { .. } => Code::QuotaExceeded,
        Refusal::ProductUnknown(_) => Code::ProductUnknown,
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
