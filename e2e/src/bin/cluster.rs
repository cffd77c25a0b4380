//! `cluster up|down|status|load`: the local cluster for people.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use strongroom_e2e::{Cluster, ClusterError, Programs, Size};

/// Kubernetes on this machine
#[derive(Debug, Parser)]
enum Arguments {
    /// Starts it, and prints what a shell has to be told to reach it
    Up {
        /// `api` (no pods), `one` node or `two`
        #[arg(long, default_value = "api")]
        size: Size,
    },
    /// Ends it, and leaves nothing behind
    Down,
    /// Says whether it is up
    Status,
    /// Puts an image archive onto its nodes
    Load {
        /// What `make image` or `docker save` wrote
        archive: PathBuf,
    },
    /// Prints the path of a program of the cluster: `kubernetes` (`… kubectl` is in it), `helm`, `dns` or
    /// `network-policies`
    Program {
        /// Which
        name: Tool,
    },
    /// Makes a folder for a volume of pods, and prints its path
    Volume {
        /// Its name
        name: String,
        /// The user that the pods run as
        #[arg(long, default_value_t = 65532)]
        user: u32,
    },
}

/// A program that people run themselves.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Tool {
    /// Kubernetes' own, in one
    Kubernetes,
    /// helm
    Helm,
    /// `CoreDNS`
    Dns,
    /// What enforces NetworkPolicies
    NetworkPolicies,
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
        Arguments::Up { size } => {
            let cluster = Cluster::sized(dir, size)?;
            cluster.up()?;
            writeln!(out, "export KUBECONFIG={}", cluster.kubeconfig().display()).map_err(say)?;
            writeln!(out, "export PATH={}:$PATH", cluster.bin()?.display()).map_err(say)
        }
        Arguments::Down => Cluster::down_at(&dir),
        Arguments::Status => {
            let cluster = Cluster::that_is_up(dir)?;
            writeln!(out, "up: {}, size {}", cluster.dir().display(), cluster.size()).map_err(say)
        }
        Arguments::Load { archive } => Cluster::that_is_up(dir)?.load(&archive),
        Arguments::Program { name } => {
            let path = match name {
                Tool::Kubernetes => Programs::ready()?.path().to_owned(),
                Tool::Helm => Programs::helm()?,
                Tool::Dns => Programs::dns()?,
                Tool::NetworkPolicies => Programs::network_policies()?,
            };
            writeln!(out, "{}", path.display()).map_err(say)
        }
        Arguments::Volume { name, user } => {
            let volume = Cluster::that_is_up(dir)?.volume(&name, user)?;
            writeln!(out, "{}", volume.display()).map_err(say)
        }
    }
}
