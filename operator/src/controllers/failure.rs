//! The errors that can end a reconcile, each with its retry class and the reason that conditions give for it.

use std::time::Duration;

use strongroom_crds::condition::Reason;
use strongroom_process::WorkError;
use strongroom_rules::retry::ErrorClass;

use super::backoff::{self, Backoff};
use crate::kube::in_words;
use crate::store_handle::StoreFailure;

/// An attempt ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The API server, or the way to it.
    #[error("{}", in_words(.0))]
    Api(#[from] kube::Error),
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// The name in the store is not one.
    #[error("`spec.storeName`: {0}")]
    Name(String),
    /// A value could not be made.
    #[error("{message}")]
    Make {
        /// Reason of the condition Ready.
        reason: Reason,
        /// The cause in words.
        message: String,
    },
    /// As its spec is, no value can be made.
    #[error("{message}")]
    Refused {
        /// Reason of the condition Ready.
        reason: Reason,
        /// The cause in words.
        message: String,
    },
    /// What is decided by is not complete yet.
    #[error("{0}")]
    NotLoaded(String),
    /// The plan took a step that its own facts do not allow: a defect here.
    #[error("internal inconsistency: a step without what it needs; please report this")]
    Inconsistent,
    /// Step followed step without an end: somebody undoes them.
    #[error(
        "still not done after many steps: something else keeps changing the native Secret back, see its `metadata.managedFields`"
    )]
    NoEnd,
}

impl Failure {
    /// The operating system gave no random bytes.
    pub(crate) fn randomness(error: &dyn std::error::Error) -> Self {
        Self::Make {
            reason: Reason::GenerateFailed,
            message: error.to_string(),
        }
    }

    /// No thread did the work.
    pub(crate) fn not_done(error: WorkError) -> Self {
        Self::Make {
            reason: Reason::GenerateFailed,
            message: error.to_string(),
        }
    }

    /// How it is tried again, by the table in `strongroom_rules::retry`.
    pub(crate) fn class(&self) -> ErrorClass {
        match self {
            Self::Api(_) if self.namespace_goes() => ErrorClass::Gone,
            Self::Api(error) => backoff::class_of(error),
            Self::Store(failure) => failure.class(),
            Self::Name(_) => ErrorClass::Rejected,
            // Lists come.
            Self::NotLoaded(_) => ErrorClass::Conflict,
            Self::Make { .. } | Self::Refused { .. } => ErrorClass::Generation,
            Self::Inconsistent | Self::NoEnd => ErrorClass::NoEnd,
        }
    }

    /// Whether time alone usually heals it, so that the first ones are not worth a condition.
    pub(crate) fn passes(&self) -> bool {
        matches!(
            self.class(),
            ErrorClass::Conflict | ErrorClass::Throttled | ErrorClass::ApiUnavailable
        )
    }

    /// The reason it gives in a condition.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Api(_) if self.namespace_goes() => Reason::NamespaceTerminating,
            Self::Api(error) => backoff::reason_of(error),
            Self::Store(failure) => failure.reason(),
            Self::Name(_) => Reason::SourceInvalid,
            Self::NotLoaded(_) => Reason::Progressing,
            Self::Make { reason, .. } | Self::Refused { reason, .. } => *reason,
            Self::Inconsistent | Self::NoEnd => Reason::Progressing,
        }
    }

    /// The API server refuses new objects because the namespace is on its way out. It says so as 403 with a
    /// cause.
    fn namespace_goes(&self) -> bool {
        let Self::Api(kube::Error::Api(status)) = self else {
            return false;
        };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        status.code == 403
            && causes
                .into_iter()
                .any(|cause| cause.reason == "NamespaceTerminating")
    }

    /// Counts the failure and says how long to wait; `None`: until the object changes.
    pub(crate) fn wait(&self, backoff: &Backoff, uid: &str) -> Option<Duration> {
        let asked = match self {
            Self::Api(error) => backoff::asked(error),
            Self::Refused { .. } => return None,
            _ => None,
        };
        Some(backoff.failed(uid, self.class(), asked))
    }
}
