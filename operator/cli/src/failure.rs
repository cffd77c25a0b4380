//! Why a command was not carried out. Never holds a value.

use std::process::ExitCode;

use strongroom_api::v1::ProblemDocument;

/// A command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(String),
    /// The API server.
    #[error("the API server at {server} cannot be reached: {why}")]
    Unreachable {
        /// URL of the API server in the kubeconfig.
        server: String,
        /// Why, in our words.
        why: &'static str,
    },
    /// The API server does not reach the extension API server.
    #[error(
        "the API server at {server} cannot reach Strongroom's extension API server: {said}; see `kubectl get apiservice v1.people.strongroom.dev`"
    )]
    Extension {
        /// URL of the API server in the kubeconfig.
        server: String,
        /// Message of the API server's answer.
        said: String,
    },
    /// RBAC.
    #[error(
        "{0}; ask an admin to bind ClusterRole `strongroom-user` (for `audit` `strongroom-auditor`, for `purge` of a namespace `strongroom-purger`) to you in this namespace"
    )]
    Forbidden(String),
    /// The cluster does not serve people's API.
    #[error(
        "the API server at {server} does not serve people.strongroom.dev; install the chart with `people.enabled=true`"
    )]
    NoSuchApi {
        /// URL of the API server in the kubeconfig.
        server: String,
    },
    /// The API server has an answer of its own.
    #[error("the API server at {server} says: {said}")]
    Cluster {
        /// URL of the API server in the kubeconfig.
        server: String,
        /// Message of its answer.
        said: String,
    },
    /// Strongroom has.
    #[error(transparent)]
    Refused(#[from] Box<ProblemDocument>),
    /// What was asked for means nothing.
    #[error("{0}")]
    Input(String),
    /// A file cannot be read.
    #[error("`{path}` cannot be read: {source}")]
    Read {
        /// The file, lossily if it is not UTF-8; or `standard input`.
        path: String,
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("`{path}` cannot be written: {source}")]
    Write {
        /// The file, lossily if it is not UTF-8.
        path: String,
        source: std::io::Error,
    },
    /// The output is closed.
    #[error("the answer cannot be written: {0}")]
    Output(#[from] std::io::Error),
    /// A sealed value.
    #[error("the sealed value: {0}")]
    Seal(#[from] strongroom_api::sealed::SealError),
    /// An answer is not what it should be.
    #[error(
        "the answer cannot be understood: {0}; do kubectl strongroom and the cluster have the same version?"
    )]
    Malformed(String),
    /// It is written, and not where it should be.
    #[error("{0}")]
    NotDelivered(String),
    /// The installation does not serve.
    #[error("{0}")]
    Unwell(String),
    /// `status`: nobody answers.
    #[error("{0}")]
    NotReachable(String),
    /// `explain`: Strongroom did not answer, or not to this person.
    #[error("{0}")]
    CannotBeAsked(Box<Failure>),
    /// `explain`: nothing fails that could be looked at, and something could not be.
    #[error("{0}")]
    Unchecked(String),
}

impl Failure {
    /// The code that the program exits with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::NotReachable(_) | Self::CannotBeAsked(_) | Self::Unchecked(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}
