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

/// When the record of a read is on the medium
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum AuditReads {
    /// Within 50 ms
    Batched,
    /// Before the value leaves
    Durable,
}

/// What the process is
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// Everything that stands on the store: controllers, the API, the audit
    Store,
    /// The people's front, by which kubectl strongroom reaches the API; has no store
    Front,
    /// The webhook that says who writes objects, and gives pods their variables; has no store
    Webhook,
}

/// How log lines look
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Runs the controllers on the store
///
/// A store is made at the first start, where nothing says that there was one before. Later starts open it
/// again without anybody's help, or say what is missing.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What the process is
    #[arg(long, value_enum, value_name = "ROLE", default_value = "store")]
    roles: Role,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    seal: SealArgs,
    /// Namespace of the process: its lease, its key and its anchor are there
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE")]
    namespace: Option<String>,
    /// Name of the process in the lease
    #[arg(long, value_name = "NAME", env = "POD_NAME", default_value = "strongroom")]
    name: String,
    /// When the anchor outside of the store is written
    #[arg(long, value_enum, default_value = "batched")]
    anchor: AnchorMode,
    /// Objects of one kind reconciled at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// Memory that the ManagedSecrets of one namespace may take here; on what is over it a condition stands,
    /// and nothing is done for it. 20,000 of the usual ones take 16Mi
    #[arg(long, value_name = "SIZE", default_value = "16Mi", value_parser = object_bytes)]
    namespace_objects_size: usize,
    /// Namespaces whose native Secrets may be read and written, separated by commas; all where absent
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    native_secret_namespaces: Vec<String>,
    /// Address of health and metrics
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    http_listen: SocketAddr,
    /// Address of the API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    gateway_listen: SocketAddr,
    /// Service in the process's own namespace that the API is called by; its names and addresses go into the
    /// certificate
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
    /// A certificate chain in place of one of our own authority, read again when it changes
    #[arg(long, value_name = "PATH", requires = "tls_key_file")]
    tls_cert_file: Option<std::path::PathBuf>,
    /// The private key of that certificate
    #[arg(long, value_name = "PATH", requires = "tls_cert_file")]
    tls_key_file: Option<std::path::PathBuf>,
    /// Service of the people's front in the process's own namespace: it gets a certificate for the gateway
    /// here, and makes the one that it serves by itself
    #[arg(long, value_name = "NAME")]
    people_front: Option<String>,
    /// Service of the webhook in the process's own namespace, and name of its webhook configurations: it gets
    /// a certificate, and those the authority
    #[arg(long, value_name = "NAME")]
    webhook: Option<String>,
    /// Address where the webhook says who writes objects
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8446")]
    attestations_listen: SocketAddr,
    /// Host and port at which the webhook reaches that
    #[arg(long, value_name = "HOST:PORT", default_value = "strongroom-gateway:8444")]
    attestations_address: axum::http::uri::Authority,
    /// Address of the webhook
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8445")]
    webhook_listen: SocketAddr,
    /// Image of `strongroom-exec` for pods that ask for variables
    #[arg(long, value_name = "IMAGE", default_value = concat!("strongroom.dev/strongroom-exec:", env!("CARGO_PKG_VERSION")))]
    exec_image: String,
    /// When pods pull that image: Always, IfNotPresent or Never
    #[arg(long, value_name = "POLICY", default_value = "IfNotPresent")]
    exec_pull_policy: String,
    /// Resources of the init container that such pods get, as JSON: what a container has in `resources`
    #[arg(long, value_name = "JSON", value_parser = resources)]
    exec_resources: Option<serde_json::Value>,
    /// Whether ServiceAccounts may come over the extension API, as people do; it is on record of each request
    /// that it came that way
    #[arg(long, value_enum, value_name = "WHETHER", default_value = "allow")]
    people_service_accounts: ExtensionApiAccounts,
    /// ServiceAccount of the node plugin, in the process's own namespace where none is named: its pods get
    /// values for the volumes of their nodes. Several times for several, while the plugin moves to another
    /// namespace
    #[arg(long, value_name = "NAMESPACE/NAME")]
    node_account: Vec<gateway::NodeAccount>,
    /// Address of the people's front
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8444")]
    front_listen: SocketAddr,
    /// Host and port at which the front reaches the API
    #[arg(long, value_name = "HOST:PORT", default_value = "strongroom-gateway:443")]
    gateway_address: axum::http::uri::Authority,
    /// Audience that tokens of the API must be made for
    #[arg(long, value_name = "NAME", default_value = "strongroom.dev")]
    token_audience: String,
    /// Reads a second of one principal, and of all principals of one namespace; 0 is without bound
    #[arg(long, value_name = "COUNT", default_value_t = 450)]
    read_rate: u32,
    /// Writes a second of one principal, and of all principals of one namespace; 0 is without bound
    #[arg(long, value_name = "COUNT", default_value_t = 40)]
    write_rate: u32,
    /// Network whose addresses may each have so many percent of what all callers share that have not proven
    /// yet who they are, in place of 5: for a proxy behind which many come. Several times for several, as in
    /// `192.0.2.7=50` or `192.0.2.0/24=20`
    #[arg(long, value_name = "NETWORK=PERCENT")]
    address_share: Vec<gateway::AddressShare>,
    /// When the record of a read is on the medium
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
    /// How log lines look
    #[arg(long, value_enum, default_value = "text")]
    log_format: Format,
    /// A level, or targets with levels separated by commas
    #[arg(long, value_name = "FILTER", env = "STRONGROOM_LOG", default_value = "info")]
    log_filter: String,
    /// Opens the store although it is older than its anchor, or the anchor is lost
    #[arg(long)]
    accept_rollback: bool,
    /// Makes a new store although something says that there was one: everything in that one is lost
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
