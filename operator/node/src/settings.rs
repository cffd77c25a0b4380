//! The arguments of the program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use strongroom_process::LogFormat;

use crate::csi::socket_name;

/// Puts secrets into the memory of pods, as files.
#[derive(Clone, Debug, Parser)]
#[command(name = "strongroom-node", version)]
pub struct Settings {
    /// This node's name in Kubernetes.
    #[arg(long, env = "NODE_NAME")]
    pub node_name: String,
    /// kubelet's folder (its `--root-dir`); the same path inside of this container.
    #[arg(long, default_value = "/var/lib/kubelet")]
    pub kubelet_dir: PathBuf,
    /// Where to listen for kubelet. By default in its folder for plugins, so that no registrar is needed.
    #[arg(long)]
    pub socket: Option<PathBuf>,
    /// Where it is kept which volumes there are. No value is ever in there.
    #[arg(long, default_value = "/run/strongroom-node")]
    pub state_dir: PathBuf,
    /// Where it is kept what was served without a gateway, until it is on record there. On a disk, because it
    /// outlives the node's boot.
    #[arg(long, default_value = "/var/lib/strongroom-node")]
    pub journal_dir: PathBuf,
    /// How long the gateway must be away before pods are served from the node's cache, in seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub offline_after: u64,
    /// The gateway.
    #[arg(long)]
    pub gateway_url: String,
    /// The authority of the gateway's certificate, PEM. Needed for https.
    #[arg(long)]
    pub gateway_ca: Option<PathBuf>,
    /// The plugin's own token for the gateway.
    #[arg(long, default_value = "/var/run/secrets/strongroom.dev/token")]
    pub token_file: PathBuf,
    /// The audience of tokens for the gateway.
    #[arg(long, default_value = "strongroom.dev")]
    pub audience: String,
    /// The largest that a volume may become, in KiB; pods may ask for less.
    #[arg(long, default_value_t = 4_096, value_parser = clap::value_parser!(u64).range(64..=1_048_576))]
    pub volume_kib: u64,
    /// Files, folders and links that a volume may have.
    #[arg(long, default_value_t = 4_096, value_parser = clap::value_parser!(u64).range(64..=1_048_576))]
    pub volume_inodes: u64,
    /// The limit of this process's memory, in bytes, which the files of all volumes count into; 0 is without.
    #[arg(long, env = "MEMORY_LIMIT", default_value_t = 0)]
    pub memory_limit: u64,
    /// Values that are held in memory, in KiB; a value beyond that is fetched again when it is needed.
    #[arg(long, default_value_t = 8_192, value_parser = clap::value_parser!(u64).range(64..=1_048_576))]
    pub held_kib: u64,
    /// How long a publish waits for the gateway, in seconds. kubelet gives up after 120 and calls again.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=110))]
    pub publish_timeout: u64,
    /// How often volumes are looked for that went without being unpublished, in seconds.
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
    /// Publish below this folder instead of kubelet's, take calls without what Kubernetes adds, and serve a
    /// Controller: for csi-sanity.
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
