//! `strongroom serve`, by default: the process that owns the store.

use std::net::SocketAddr;
use std::path::PathBuf;

use strongroom_store::audit::Durability;

use super::arguments::ServiceArguments;
use crate::audit::{Destination, PRODUCT_SINK_FORM, ProductSink, sink_help, with_product_sinks};
use crate::bootstrap::AcceptFlags;
use crate::cmd::CommandError;
use crate::cmd::audit_limits::{AuditLimits, ByteSize, ByteSizeError, file_system};
use crate::cmd::backup_arguments::BackupArguments;
use crate::cmd::data_dir::DataDir;
use crate::cmd::namespace_share::NamespaceShare;
use crate::gateway::{
    AddressShare, AddressShares, DedicatedGateway, DedicatedGateways, ExtensionApiAccounts, FileCertificate,
    GatewaySettings, NodeAccount, Rates,
};
use crate::seal::{SealArgs, SealSourceError};
use crate::serve::OpenSettings;
use crate::serve::roles::store::{self, StoreSettings};
use crate::serve::roles::{ControllerSettings, ProcessSettings};

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

/// What the process with the store has of its own.
#[derive(Debug, clap::Args)]
pub(in crate::cmd) struct StoreArguments {
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    seal: SealArgs,
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
    /// A dedicated gateway: a name, an address and settings, such as
    /// `aigw=0.0.0.0:8453,products=aigw,totalRate=8000`. May be repeated. Settings: products (their codes,
    /// required: nothing but their paid secrets is served), readRate and writeRate (as --read-rate and
    /// --write-rate, by default 450 and 40), totalRate (requests per second of all callers; by default no
    /// limit), requests and connections (at the same time; by default 256 and 2048), service and names (for
    /// the certificate). Join several names or products with `+`
    #[arg(long, value_name = "NAME=ADDRESS[,KEY=VALUE]")]
    gateway: Vec<DedicatedGateway>,
    /// A certificate chain to use instead of one from Strongroom's own CA; the file is read again when it
    /// changes
    #[arg(long, value_name = "PATH", requires = "tls_key_file")]
    tls_cert_file: Option<PathBuf>,
    /// The private key of that certificate
    #[arg(long, value_name = "PATH", requires = "tls_cert_file")]
    tls_key_file: Option<PathBuf>,
    /// Address on which attestations of the webhook are received
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8446")]
    attestations_listen: SocketAddr,
    /// Whether ServiceAccounts may use the extension API, as people do; audit records say if a request came
    /// over it
    #[arg(long, value_enum, value_name = "WHETHER", default_value = "allow")]
    people_service_accounts: ExtensionApiAccounts,
    /// ServiceAccount of the node plugin, by default in the process's own namespace: its pods get values for
    /// the volumes of their nodes. May be repeated, while the plugin moves to another namespace
    #[arg(long, value_name = "NAMESPACE/NAME")]
    node_account: Vec<NodeAccount>,
    /// Audience that API tokens must have
    #[arg(long, value_name = "NAME", default_value = "strongroom.dev")]
    token_audience: String,
    /// Reads per second of one principal, and of all principals of one namespace together; 0: no limit
    #[arg(long, value_name = "COUNT", default_value_t = Rates::DEFAULT.reads)]
    read_rate: u32,
    /// Writes per second of one principal, and of all principals of one namespace together; 0: no limit
    #[arg(long, value_name = "COUNT", default_value_t = Rates::DEFAULT.writes)]
    write_rate: u32,
    /// Percentage of the shared limits for unauthenticated callers that each address of a network may use,
    /// instead of 5: for a proxy with many callers behind it. May be repeated, as in `192.0.2.7=50` or
    /// `192.0.2.0/24=20`
    #[arg(long, value_name = "NETWORK=PERCENT")]
    address_share: Vec<AddressShare>,
    /// When the record of a read is durable
    #[arg(long, value_enum, default_value = "batched")]
    audit_reads: AuditReads,
    // Each kind of sink says itself how it is written.
    #[arg(long, value_name = "SINK", help = sink_help())]
    audit_sink: Vec<Destination>,
    /// A product's own sink: it gets the records about secrets of the product with this code alone, and
    /// nobody waits for it. Records that it has not received within `maxLag` (default 5m) are skipped, and a
    /// record in the log says which. May be repeated
    #[arg(long, value_name = PRODUCT_SINK_FORM)]
    audit_product_sink: Vec<ProductSink>,
    #[command(flatten)]
    pub(in crate::cmd) audit_limits: AuditLimits,
    #[command(flatten)]
    pub(in crate::cmd) namespace_share: NamespaceShare,
    #[command(flatten)]
    pub(in crate::cmd) backups: BackupArguments,
    /// MiB of the store's page cache
    #[arg(long, value_name = "MIB", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=4096))]
    store_cache: u16,
    /// Opens the store even if it is older than its anchor, or the anchor is lost
    #[arg(long)]
    accept_rollback: bool,
    /// Creates a new store even if there are signs of an earlier one, whose contents are then lost
    #[arg(long)]
    accept_new_store: bool,
}

pub(super) async fn run(
    process: ProcessSettings,
    services: ServiceArguments,
    arguments: StoreArguments,
) -> Result<(), CommandError> {
    let StoreArguments {
        data_dir,
        seal,
        name,
        anchor,
        concurrency,
        namespace_objects_size,
        native_secret_namespaces,
        gateway_listen,
        gateway_service,
        gateway_names,
        gateway,
        tls_cert_file,
        tls_key_file,
        attestations_listen,
        people_service_accounts,
        node_account,
        token_audience,
        read_rate,
        write_rate,
        address_share,
        audit_reads,
        audit_sink,
        audit_product_sink,
        audit_limits,
        namespace_share,
        backups,
        store_cache,
        accept_rollback,
        accept_new_store,
    } = arguments;
    let ServiceArguments {
        people_front,
        webhook,
    } = services;
    let source = seal.source().ok_or(SealSourceError::Unnamed)?;
    std::fs::create_dir_all(&data_dir.data_dir)?;
    let file_system = file_system(&data_dir.data_dir);
    let settings = StoreSettings {
        process,
        name,
        open: OpenSettings {
            dir: data_dir.store(),
            source,
            strict_anchor: anchor == AnchorMode::Strict,
            accept: AcceptFlags {
                rollback: accept_rollback,
                new_store: accept_new_store,
            },
            cache_bytes: usize::from(store_cache) << 20,
            audit: audit_limits.limits(file_system)?,
            quota: Some(namespace_share.quota(audit_limits.volume(file_system))),
        },
        controllers: ControllerSettings {
            concurrency,
            namespace_objects_bytes: namespace_objects_size,
            native_namespaces: native_secret_namespaces,
        },
        gateway: GatewaySettings {
            listen: gateway_listen,
            names: gateway_names,
            certificate: tls_cert_file
                .zip(tls_key_file)
                .map(|(chain, key)| FileCertificate { chain, key }),
            dedicated: DedicatedGateways::new(gateway)?,
            front: people_front,
            webhook,
            attestations: attestations_listen,
            node_accounts: node_account,
            front_accounts: people_service_accounts,
            audience: token_audience,
            rates: Rates {
                reads: read_rate,
                writes: write_rate,
                all: Rates::DEFAULT.all,
            },
            addresses: AddressShares::new(address_share),
            durability: match audit_reads {
                AuditReads::Batched => Durability::Batched,
                AuditReads::Durable => Durability::Durable,
            },
        },
        service: gateway_service,
        sinks: with_product_sinks(audit_sink, audit_product_sink)?,
        backups: backups.settings(&data_dir)?,
    };
    Ok(store::run(settings).await?)
}

/// A share of memory that is worth something and does not take the process's own.
fn object_bytes(text: &str) -> Result<usize, String> {
    let size: ByteSize = text.parse().map_err(|error: ByteSizeError| error.to_string())?;
    usize::try_from(size.bytes())
        .ok()
        .filter(|bytes| (1 << 20..=1 << 30).contains(bytes))
        .ok_or_else(|| "a namespace has 1Mi to 1Gi".to_owned())
}
