//! Why the process ended other than by being asked.

use crate::admin::AdminError;
use crate::bootstrap::StartError;
use crate::controllers::TaskFailure;
use crate::gateway::GatewayError;
use crate::kube::in_words;
use crate::kube::watch::WatchThreadError;
use crate::lease::LeaseError;

/// The process ended other than by being asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// No way to the API server is configured.
    #[error("the cluster configuration cannot be read: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// No client.
    #[error("the client for the API server cannot be created: {}", in_words(.0))]
    Client(#[from] Box<kube::Error>),
    /// The watches' thread.
    #[error(transparent)]
    Watches(#[from] WatchThreadError),
    /// Signals cannot be watched.
    #[error("signals cannot be handled: {0}")]
    Signals(#[from] std::io::Error),
    /// The health port.
    #[error(transparent)]
    Health(#[from] strongroom_process::ServerError),
    #[error(transparent)]
    Lease(#[from] LeaseError),
    #[error(transparent)]
    Start(#[from] StartError),
    /// The admin socket.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The API.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// A task that must not end did.
    #[error(transparent)]
    Controllers(#[from] TaskFailure),
}
