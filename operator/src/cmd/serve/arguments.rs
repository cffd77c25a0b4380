//! What every role takes, and what each has of its own.

use std::net::SocketAddr;

use strongroom_process::LogFormat;

use super::extension_api::ExtensionApiArguments;
use super::store::StoreArguments;
use super::webhook::WebhookArguments;

/// What the process is
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Role {
    /// Everything that needs the store: controllers, the API, the audit log
    Store,
    /// The extension API server, through which kubectl strongroom reaches the API; has no store
    Front,
    /// The webhook that attests who writes objects and adds variables to pods; has no store
    Webhook,
}

/// Format of log lines
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

impl From<Format> for LogFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Json => Self::Json,
        }
    }
}

/// Runs the controllers on the store
///
/// The first start creates a store, if nothing indicates that there was one before. Later starts open it
/// without manual steps, or say what is missing.
#[derive(Debug, clap::Args)]
pub(in crate::cmd) struct Arguments {
    /// What the process is
    #[arg(long, value_enum, value_name = "ROLE", default_value = "store")]
    pub(super) roles: Role,
    #[command(flatten)]
    pub(super) process: ProcessArguments,
    #[command(flatten)]
    pub(super) services: ServiceArguments,
    #[command(flatten)]
    pub(in crate::cmd) store: StoreArguments,
    #[command(flatten)]
    pub(super) extension_api: ExtensionApiArguments,
    #[command(flatten)]
    pub(super) webhook: WebhookArguments,
}

/// What every role has.
#[derive(Debug, clap::Args)]
pub(super) struct ProcessArguments {
    /// Namespace of the process, with its lease, its key and its anchor
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE")]
    pub(super) namespace: Option<String>,
    /// Address of health and metrics
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(super) http_listen: SocketAddr,
    /// Format of log lines
    #[arg(long, value_enum, default_value = "text")]
    pub(super) log_format: Format,
    /// A level, or targets with levels separated by commas
    #[arg(long, value_name = "FILTER", env = "STRONGROOM_LOG", default_value = "info")]
    pub(super) log_filter: String,
}

/// The Services of the roles without a store: by these names those are called, and the store's process
/// certifies them.
#[derive(Debug, clap::Args)]
pub(super) struct ServiceArguments {
    /// Service of the extension API server in the process's own namespace: this process issues its client
    /// certificate for the gateway; it creates its serving certificate itself
    #[arg(long, value_name = "NAME")]
    pub(super) people_front: Option<String>,
    /// Service of the webhook in the process's own namespace, and name of its webhook configurations: this
    /// process issues its certificate and puts the CA into the configurations
    #[arg(long, value_name = "NAME")]
    pub(super) webhook: Option<String>,
}
