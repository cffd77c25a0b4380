//! The arguments of the program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use strongroom_process::LogFormat;

use crate::csi::socket_name;

/// Mounts secrets into pods as files in memory.
#[derive(Clone, Debug, Parser)]
#[command(name = "strongroom-node", version)]
pub struct Settings {
    /// This node's name in Kubernetes.
    #[arg(long, env = "NODE_NAME")]
    pub node_name: String,
    /// kubelet's directory (its `--root-dir`); the same path inside this container.
    #[arg(long, default_value = "/var/lib/kubelet")]
    pub kubelet_dir: PathBuf,
    /// Socket for kubelet. By default in its directory for plugins, so that no registrar is needed.
    #[arg(long)]
    pub socket: Option<PathBuf>,
    /// Directory for the records of volumes. It never contains a value.
    #[arg(long, default_value = "/run/strongroom-node")]
    pub state_dir: PathBuf,
    /// Directory for the journal of what was served offline, until the gateway has audited it. On a disk, so
    /// that it survives a reboot of the node.
    #[arg(long, default_value = "/var/lib/strongroom-node")]
    pub journal_dir: PathBuf,
    /// How long the gateway must be unreachable before pods are served from the node's cache, in seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub offline_after: u64,
    /// URL of the gateway.
    #[arg(long)]
    pub gateway_url: String,
    /// The CA of the gateway's certificate, PEM. Needed for https.
    #[arg(long)]
    pub gateway_ca: Option<PathBuf>,
    /// The plugin's own token for the gateway.
    #[arg(long, default_value = "/var/run/secrets/strongroom.dev/token")]
    pub token_file: PathBuf,
    /// The audience of tokens for the gateway.
    #[arg(long, default_value = "strongroom.dev")]
    pub audience: String,
    /// Maximum size of a volume, in KiB; pods may ask for less.
    #[arg(long, default_value_t = 4_096, value_parser = clap::value_parser!(u64).range(64..=1_048_576))]
    pub volume_kib: u64,
    /// Maximum number of files, directories and links in a volume.
    #[arg(long, default_value_t = 4_096, value_parser = clap::value_parser!(u64).range(64..=1_048_576))]
    pub volume_inodes: u64,
    /// The memory limit of this process, in bytes, including the files of all volumes; 0: no limit.
    #[arg(long, env = "MEMORY_LIMIT", default_value_t = 0)]
    pub memory_limit: u64,
    /// Maximum size of values kept in memory, in KiB; further values are fetched again when needed.
    #[arg(long, default_value_t = 8_192, value_parser = clap::value_parser!(u64).range(64..=1_048_576))]
    pub held_kib: u64,
    /// How long a publish waits for the gateway, in seconds. kubelet gives up after 120 and calls again.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=110))]
    pub publish_timeout: u64,
    /// How often to check for volumes that disappeared without being unpublished, in seconds.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub look_every: u64,
    /// Address of `/healthz`, `/readyz` and `/metrics`.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub http_listen: SocketAddr,
    /// text or json.
    #[arg(long, default_value_t)]
    pub log_format: LogFormat,
    /// A level, or targets with levels.
    #[arg(long, default_value = "info")]
    pub log_filter: String,
    /// Publish below this directory instead of kubelet's, accept calls without the fields that Kubernetes
    /// adds, and serve a Controller: for csi-sanity.
    #[cfg(feature = "testing")]
    #[arg(long, value_name = "FOLDER")]
    pub sanity: Option<PathBuf>,
}

impl Settings {
    /// Where to listen for kubelet.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        let by_default = || self.kubelet_dir.join("plugins_registry").join(socket_name());
        self.socket.clone().unwrap_or_else(by_default)
    }

    /// The folder that volumes are published below.
    #[must_use]
    pub fn targets(&self) -> PathBuf {
        #[cfg(feature = "testing")]
        if let Some(folder) = &self.sanity {
            return folder.clone();
        }
        self.kubelet_dir.join("pods")
    }

    /// How long a publish waits.
    #[must_use]
    pub const fn patience(&self) -> Duration {
        Duration::from_secs(self.publish_timeout)
    }
}
