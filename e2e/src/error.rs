//! Why the cluster does not come up or go down.

use std::path::PathBuf;

/// The cluster cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A program of the machine is missing.
    #[error("`{0}` is missing; install it: {1}")]
    Missing(&'static str, &'static str),
    /// The build of Kubernetes' programs failed.
    #[error("building Kubernetes' programs failed; read `{0}`")]
    Build(PathBuf),
    /// A program ended before it was ready.
    #[error("{program} ended before it was ready; read `{log}`")]
    Ended {
        /// What the program is called.
        program: String,
        /// The file that has its output.
        log: PathBuf,
    },
    /// A program did not become ready.
    #[error("{program} did not become ready within {seconds} s; read `{log}`")]
    NotReady {
        /// What the program is called.
        program: String,
        /// For how long it was waited.
        seconds: u64,
        /// The file that has its output.
        log: PathBuf,
    },
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Certificate(String),
    /// There is no cluster.
    #[error("no cluster is up in `{0}`; `make up` starts one")]
    Down(PathBuf),
    /// A process cannot be ended.
    #[error("process {0} cannot be ended")]
    Stuck(i32),
    /// The folder holds something else.
    #[error(
        "`{0}` is not a folder of the local cluster; nothing in it was touched: name another one by STRONGROOM_CLUSTER_DIR"
    )]
    NotOurs(PathBuf),
    /// Nodes need namespaces, mounts and control groups.
    #[error("nodes need root; run it as root, or use the cluster without nodes: SIZE=api")]
    NeedsRoot,
    /// Every network that we may use is somebody's.
    #[error("no free network in 198.18.0.0/16; `ip -4 address` lists what uses it")]
    NoNetwork,
    /// A cluster of another size is up.
    #[error("a cluster of size `{is}` is up, and `{wanted}` was asked for; run `make down` first")]
    OtherSize {
        /// What is up.
        is: String,
        /// What was asked for.
        wanted: String,
    },
    /// A program of the machine failed.
    #[error("`{command}` failed: {says}")]
    Command {
        /// The whole command.
        command: String,
        /// What it wrote.
        says: String,
    },
    /// The operating system.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's error.
        source: std::io::Error,
    },
}

/// Says what was tried.
pub(crate) fn trying(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> ClusterError {
    move |source| ClusterError::Io {
        what: what.into(),
        source,
    }
}
