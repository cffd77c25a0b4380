//! `strongroom serve`: the process that owns the store.

use std::net::SocketAddr;

use strongroom_process::{LogFormat, init_logging};
use strongroom_rules::environment::Image;
use strongroom_store::audit::Durability;

use super::CommandError;
use super::audit_limits::{AuditLimits, ByteSize, ByteSizeError};
use super::data_dir::DataDir;
use super::namespace_share::NamespaceShare;
use crate::audit::{Destination, sink_help};
use crate::bootstrap::AcceptFlags;
use crate::gateway::{self, ExtensionApiAccounts, extension_api};
use crate::seal::{SealArgs, SealSourceError};
use crate::serve::{self, ServeSettings, storeless};
use crate::webhook;

/// When the anchor is written
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum AnchorMode {
    /// Within a second after a commit
    Batched,
    /// Before a commit is acknowledged
    Strict,
}

/// When the record of a read is durable
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum AuditReads {
    /// Within 50 ms
    Batched,
    /// Before the value is returned
    Durable,
}

/// What the process is
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// Everything that needs the store: controllers, the API, the audit log
    Store,
    /// The extension API server, through which kubectl strongroom reaches the API; has no store
    Front,
    /// The webhook that attests who writes objects and adds variables to pods; has no store
    Webhook,
}

/// Format of log lines
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// Runs the controllers on the store
///
/// The first start creates a store, if nothing indicates that there was one before. Later starts open it
/// without manual steps, or say what is missing.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What the process is
    #[arg(long, value_enum, value_name = "ROLE", default_value = "store")]
    roles: Role,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    seal: SealArgs,
    /// Namespace of the process, with its lease, its key and its anchor
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE")]
    namespace: Option<String>,
    /// Name of the process in the lease
    #[arg(long, value_name = "NAME", env = "POD_NAME", default_value = "strongroom")]
    name: String,
    /// When the anchor outside the store is written
    #[arg(long, value_enum, default_value = "batched")]
    anchor: AnchorMode,
    /// Objects of one kind reconciled at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// Memory that the ManagedSecrets of one namespace may use in this process; objects beyond that are not
    /// reconciled and get a condition. 20,000 typical ones take 16Mi
    #[arg(long, value_name = "SIZE", default_value = "16Mi", value_parser = object_bytes)]
    namespace_objects_size: usize,
    /// Namespaces whose native Secrets may be read and written, separated by commas; default: all
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    native_secret_namespaces: Vec<String>,
    /// Address of health and metrics
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    http_listen: SocketAddr,
    /// Address of the API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    gateway_listen: SocketAddr,
    /// Service for the API in the process's own namespace; its names and addresses go into the certificate
    #[arg(long, value_name = "NAME")]
    gateway_service: Option<String>,
    /// More DNS names and addresses for the certificate, separated by commas
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "localhost,127.0.0.1"
    )]
    gateway_names: Vec<String>,
    /// A certificate chain to use instead of one from Strongroom's own CA; the file is read again when it
    /// changes
    #[arg(long, value_name = "PATH", requires = "tls_key_file")]
    tls_cert_file: Option<std::path::PathBuf>,
    /// The private key of that certificate
    #[arg(long, value_name = "PATH", requires = "tls_cert_file")]
    tls_key_file: Option<std::path::PathBuf>,
    /// Service of the extension API server in the process's own namespace: this process issues its client
    /// certificate for the gateway; it creates its serving certificate itself
    #[arg(long, value_name = "NAME")]
    people_front: Option<String>,
    /// Service of the webhook in the process's own namespace, and name of its webhook configurations: this
    /// process issues its certificate and puts the CA into the configurations
    #[arg(long, value_name = "NAME")]
    webhook: Option<String>,
    /// Address on which attestations of the webhook are received
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8446")]
    attestations_listen: SocketAddr,
    /// Host and port at which the webhook reaches that address
    #[arg(long, value_name = "HOST:PORT", default_value = "strongroom-gateway:8444")]
    attestations_address: axum::http::uri::Authority,
    /// Address of the webhook
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8445")]
    webhook_listen: SocketAddr,
    /// Image of `strongroom-exec` for pods with variables
    #[arg(long, value_name = "IMAGE", default_value = concat!("strongroom.dev/strongroom-exec:", env!("CARGO_PKG_VERSION")))]
    exec_image: String,
    /// When pods pull that image: Always, IfNotPresent or Never
    #[arg(long, value_name = "POLICY", default_value = "IfNotPresent")]
    exec_pull_policy: String,
    /// Resources of the init container in such pods, as JSON in the form of a container's `resources`
    #[arg(long, value_name = "JSON", value_parser = resources)]
    exec_resources: Option<serde_json::Value>,
    /// Whether ServiceAccounts may use the extension API, as people do; audit records say if a request came
    /// over it
    #[arg(long, value_enum, value_name = "WHETHER", default_value = "allow")]
    people_service_accounts: ExtensionApiAccounts,
    /// ServiceAccount of the node plugin, by default in the process's own namespace: its pods get values for
    /// the volumes of their nodes. May be repeated, while the plugin moves to another namespace
    #[arg(long, value_name = "NAMESPACE/NAME")]
    node_account: Vec<gateway::NodeAccount>,
    /// Address of the extension API server
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8444")]
    front_listen: SocketAddr,
    /// Host and port at which the extension API server reaches the API
    #[arg(long, value_name = "HOST:PORT", default_value = "strongroom-gateway:443")]
    gateway_address: axum::http::uri::Authority,
    /// Audience that API tokens must have
    #[arg(long, value_name = "NAME", default_value = "strongroom.dev")]
    token_audience: String,
    /// Reads per second of one principal, and of all principals of one namespace together; 0: no limit
    #[arg(long, value_name = "COUNT", default_value_t = 450)]
    read_rate: u32,
    /// Writes per second of one principal, and of all principals of one namespace together; 0: no limit
    #[arg(long, value_name = "COUNT", default_value_t = 40)]
    write_rate: u32,
    /// Percentage of the shared limits for unauthenticated callers that each address of a network may use,
    /// instead of 5: for a proxy with many callers behind it. May be repeated, as in `192.0.2.7=50` or
    /// `192.0.2.0/24=20`
    #[arg(long, value_name = "NETWORK=PERCENT")]
    address_share: Vec<gateway::AddressShare>,
    /// When the record of a read is durable
    #[arg(long, value_enum, default_value = "batched")]
    audit_reads: AuditReads,
    // Each kind of sink says itself how it is written.
    #[arg(long, value_name = "SINK", help = sink_help())]
    audit_sink: Vec<Destination>,
    #[command(flatten)]
    pub(super) audit_limits: AuditLimits,
    #[command(flatten)]
    pub(super) namespace_share: NamespaceShare,
    /// MiB of the store's page cache
    #[arg(long, value_name = "MIB", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=4096))]
    store_cache: u16,
    /// Format of log lines
    #[arg(long, value_enum, default_value = "text")]
    log_format: Format,
    /// A level, or targets with levels separated by commas
    #[arg(long, value_name = "FILTER", env = "STRONGROOM_LOG", default_value = "info")]
    log_filter: String,
    /// Opens the store even if it is older than its anchor, or the anchor is lost
    #[arg(long)]
    accept_rollback: bool,
    /// Creates a new store even if there are signs of an earlier one, whose contents are then lost
    #[arg(long)]
    accept_new_store: bool,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), CommandError> {
    let format = match arguments.log_format {
        Format::Text => LogFormat::Text,
        Format::Json => LogFormat::Json,
    };
    init_logging(format, &arguments.log_filter)?;
    match arguments.roles {
        Role::Store => store(arguments).await,
        Role::Front => front(arguments).await,
        Role::Webhook => webhook(arguments).await,
    }
}

async fn front(arguments: Arguments) -> Result<(), CommandError> {
    let settings = extension_api::ExtensionApiSettings {
        listen: arguments.front_listen,
        service: arguments
            .people_front
            .unwrap_or_else(|| "strongroom-front".to_owned()),
        gateway: arguments.gateway_address,
    };
    let (namespace, http) = (arguments.namespace, arguments.http_listen);
    let serve = async |around, metrics| extension_api::run(settings, around, metrics).await;
    Ok(storeless::run(
        "front",
        namespace,
        http,
        extension_api::ReachabilityMetrics::register,
        serve,
    )
    .await?)
}

/// Resources of a container, in the shape that the API server takes.
fn resources(text: &str) -> Result<serde_json::Value, String> {
    type Resources = k8s_openapi::api::core::v1::ResourceRequirements;
    let resources: Resources = serde_json::from_str(text).map_err(|_| {
        "not `resources` of a container as JSON, as in `{\"requests\": {\"memory\": \"32Mi\"}}`".to_owned()
    })?;
    serde_json::to_value(resources).map_err(|error| error.to_string())
}

async fn webhook(arguments: Arguments) -> Result<(), CommandError> {
    let settings = webhook::WebhookSettings {
        listen: arguments.webhook_listen,
        service: arguments
            .webhook
            .unwrap_or_else(|| "strongroom-webhook".to_owned()),
        attestations: arguments.attestations_address,
        image: Image {
            name: arguments.exec_image,
            pull_policy: arguments.exec_pull_policy,
            resources: arguments.exec_resources.unwrap_or_else(Image::default_resources),
        },
    };
    let (namespace, http) = (arguments.namespace, arguments.http_listen);
    let serve = async |around, metrics| webhook::run(settings, around, metrics).await;
    Ok(storeless::run(
        "webhook",
        namespace,
        http,
        webhook::WebhookMetrics::register,
        serve,
    )
    .await?)
}

/// A share of memory that is worth something and does not take the process's own.
fn object_bytes(text: &str) -> Result<usize, String> {
    let size: ByteSize = text.parse().map_err(|error: ByteSizeError| error.to_string())?;
    usize::try_from(size.bytes())
        .ok()
        .filter(|bytes| (1 << 20..=1 << 30).contains(bytes))
        .ok_or_else(|| "a namespace has 1Mi to 1Gi".to_owned())
}

async fn store(arguments: Arguments) -> Result<(), CommandError> {
    let source = arguments.seal.source().ok_or(SealSourceError::Unnamed)?;
    std::fs::create_dir_all(&arguments.data_dir.data_dir)?;
    let file_system = super::audit_limits::file_system(&arguments.data_dir.data_dir);
    let settings = ServeSettings {
        dir: arguments.data_dir.store(),
        namespace: arguments.namespace,
        name: arguments.name,
        source,
        strict_anchor: arguments.anchor == AnchorMode::Strict,
        accept: AcceptFlags {
            rollback: arguments.accept_rollback,
            new_store: arguments.accept_new_store,
        },
        cache_bytes: usize::from(arguments.store_cache) << 20,
        concurrency: arguments.concurrency,
        namespace_objects_bytes: arguments.namespace_objects_size,
        native_namespaces: arguments.native_secret_namespaces,
        http_listen: arguments.http_listen,
        gateway: gateway::GatewaySettings {
            listen: arguments.gateway_listen,
            names: arguments.gateway_names,
            certificate: arguments
                .tls_cert_file
                .zip(arguments.tls_key_file)
                .map(|(chain, key)| gateway::FileCertificate { chain, key }),
            front: arguments.people_front,
            webhook: arguments.webhook,
            attestations: arguments.attestations_listen,
            node_accounts: arguments.node_account,
            front_accounts: arguments.people_service_accounts,
            audience: arguments.token_audience,
            rates: gateway::Rates {
                reads: arguments.read_rate,
                writes: arguments.write_rate,
            },
            addresses: gateway::AddressShares::new(arguments.address_share),
            durability: match arguments.audit_reads {
                AuditReads::Batched => Durability::Batched,
                AuditReads::Durable => Durability::Durable,
            },
        },
        service: arguments.gateway_service,
        sinks: arguments.audit_sink,
        audit: arguments.audit_limits.limits(file_system)?,
        quota: Some(
            arguments
                .namespace_share
                .quota(arguments.audit_limits.volume(file_system)),
        ),
    };
    Ok(serve::run(settings).await?)
}
