//! Why a call of kubelet fails, and with which gRPC code.
//!
//! kubelet takes Canceled, DeadlineExceeded, Unavailable, ResourceExhausted and Aborted as uncertain: it
//! calls again, and unpublishes later. Every other code is final: it forgets the volume's bookkeeping. So a
//! call must undo what it did before it answers with a final code.

use strongroom_api::stream::proto::Refusal;
use strongroom_api::visible;
use strongroom_process::WorkError;
use strongroom_render::attributes::AttributesError;
use strongroom_render::plan::PlanError;
use tonic::{Code, Status};

use crate::agent::VolumeSocketError;
use crate::atomic_write::WriteError;
use crate::memory_quota::QuotaExceeded;
use crate::mount::MountError;
use crate::offline::{CacheError, JournalError};
use crate::state::StateError;
use crate::stream::{StreamClosed, SubscriptionDenial};
use crate::volumes::VolumeBusy;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// A field of the call that means nothing.
    #[error("{0}")]
    Request(&'static str),
    /// A path that is not for us to mount on.
    #[error("the target path `{0}` is not below kubelet's directory for pods")]
    Target(String),
    /// The pod's own text.
    #[error("{0}")]
    Attributes(#[from] AttributesError),
    /// kubelet sent none for this audience.
    #[error(
        "kubelet passed no token for audience `{0}` in the request's secrets: volumes need Kubernetes 1.35 or newer, and a CSIDriver object with \
         tokenRequests and serviceAccountTokenInSecrets, as in the chart"
    )]
    NoToken(String),
    /// The volume is published somewhere else.
    #[error("the volume is published at another path of this node")]
    Elsewhere,
    /// Another call works on it.
    #[error("{0}")]
    Busy(#[from] VolumeBusy),
    /// The gateway refuses.
    #[error("{}", .0.message)]
    Refused(SubscriptionDenial),
    /// The gateway does not answer.
    #[error("the gateway does not answer within {0} s; the pod starts as soon as it does")]
    Timeout(u64),
    /// The value and what the pod asks for do not fit.
    #[error("{0}")]
    Plan(#[from] PlanError),
    /// The plan was not made.
    #[error("{0}")]
    Work(#[from] WorkError),
    /// The volumes of the node are too large together.
    #[error("{0}")]
    MemoryQuota(#[from] QuotaExceeded),
    /// The tmpfs, or a mount in its way.
    #[error("{0}")]
    Mount(#[from] MountError),
    /// The files cannot be written.
    #[error("{0}")]
    Write(#[from] WriteError),
    /// The socket inside of the volume.
    #[error("{0}")]
    VolumeSocket(#[from] VolumeSocketError),
    /// The state file cannot be read or written.
    #[error("{0}")]
    State(#[from] StateError),
    /// The node's cache cannot be read or written.
    #[error("{0}")]
    Cache(#[from] CacheError),
    /// What is served offline could not be written down first.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// The process stops.
    #[error("{0}")]
    Stopping(#[from] StreamClosed),
    /// kubelet named one that is not there.
    #[error("no volume with this id is published at this path")]
    NoVolume,
}

impl PluginError {
    /// The gRPC code of the answer; kubelet tries again whichever it is.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Request(_) | Self::Target(_) | Self::Attributes(_) => Code::InvalidArgument,
            Self::NoToken(_) | Self::Elsewhere | Self::Plan(_) => Code::FailedPrecondition,
            Self::Busy(_) => Code::Aborted,
            Self::Refused(refused) => code_of(refused.code),
            Self::Timeout(_) | Self::Stopping(_) | Self::Work(_) => Code::Unavailable,
            Self::Write(WriteError::NoSpace) | Self::MemoryQuota(_) => Code::ResourceExhausted,
            Self::Mount(_)
            | Self::VolumeSocket(_)
            | Self::Write(WriteError::Step { .. })
            | Self::State(_)
            | Self::Cache(_)
            | Self::Journal(_) => Code::Internal,
            Self::NoVolume => Code::NotFound,
        }
    }

    /// A word for the metric.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Request(_) | Self::Target(_) | Self::Attributes(_) | Self::Elsewhere => "invalid",
            Self::NoToken(_) => "no_token",
            Self::Busy(_) => "busy",
            Self::Refused(_) => "refused",
            Self::Timeout(_) | Self::Stopping(_) | Self::Work(_) => "unavailable",
            Self::Plan(_) => "plan",
            Self::Write(WriteError::NoSpace) => "no_space",
            Self::MemoryQuota(_) => "no_room",
            Self::Mount(_)
            | Self::VolumeSocket(_)
            | Self::Write(WriteError::Step { .. })
            | Self::State(_)
            | Self::Cache(_)
            | Self::Journal(_) => "internal",
            Self::NoVolume => "no_volume",
        }
    }
}

const fn code_of(refusal: Refusal) -> Code {
    match refusal {
        Refusal::Invalid => Code::InvalidArgument,
        Refusal::Unauthenticated => Code::Unauthenticated,
        Refusal::OtherNode | Refusal::Policy => Code::PermissionDenied,
        Refusal::NotFound => Code::NotFound,
        Refusal::NotReadable => Code::FailedPrecondition,
        Refusal::TooMany => Code::ResourceExhausted,
        Refusal::Unspecified | Refusal::Unavailable => Code::Unavailable,
    }
}

impl From<PluginError> for Status {
    fn from(error: PluginError) -> Self {
        // kubelet puts it into an Event of the pod.
        Self::new(error.code(), visible(&error.to_string()))
    }
}
