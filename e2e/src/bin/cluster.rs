//! `cluster up|down|status`: the local cluster for people.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use strongroom_e2e::{Cluster, ClusterError};

/// The local cluster: Kubernetes' API server and what it needs, on this machine
#[derive(Debug, Parser)]
enum Arguments {
    /// Starts it, and prints how to reach it
    Up,
    /// Ends it, and leaves nothing behind
    Down,
    /// Says whether it is up
    Status,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell where this fails.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), ClusterError> {
    let mut out = std::io::stdout();
    let say = |source| ClusterError::Io {
        what: "printing".to_owned(),
        source,
    };
    let dir = Cluster::default_dir();
    match arguments {
        Arguments::Up => {
            let cluster = Cluster::at(dir)?;
            cluster.up()?;
            writeln!(out, "export KUBECONFIG={}", cluster.kubeconfig().display()).map_err(say)
        }
        Arguments::Down => Cluster::down_at(&dir),
        Arguments::Status => {
            let cluster = Cluster::at(dir)?;
            let ready = cluster.kubectl(&["get", "--raw", "/readyz", "--request-timeout=2s"])?;
            if ready.status.success() {
                writeln!(out, "up: {}", cluster.dir().display()).map_err(say)
            } else {
                Err(ClusterError::Down(cluster.dir().to_owned()))
            }
        }
    }
}
