//! `kubectl strongroom`: what a person does with secrets, by the rights of their kubeconfig.
//!
//! Everything goes through the aggregated API `people.strongroom.dev`, so that whoever somebody is, the API
//! server says. Values travel sealed for a key that is made for the call, in both directions. Must not print
//! a value unless asked to, and must not take one from the command line.
//!
//! | module | idea |
//! |---|---|
//! | [`arguments`] | the command line |
//! | [`cluster`] | the kubeconfig, and requests by it |
//! | [`api_client`] | the operations of the API |
//! | [`fact`] | something of the cluster that a person may see, or may not |
//! | [`installation`] | where Strongroom is |
//! | [`data`] | values: read, sealed, opened |
//! | [`output`] | tables, JSON and YAML |
//! | [`mod@csv`] | comma-separated values |
//! | [`commands`] | the commands, one file each |

mod api_client;
mod arguments;
mod cluster;
mod commands;
mod csv;
mod data;
mod fact;
mod failure;
mod installation;
mod output;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A dump would hold values.
    let none = rustix::process::Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Core, none) {
        let _ = writeln!(
            std::io::stderr(),
            "warning: core dumps, which could contain values, cannot be disabled: {error}"
        );
    }
    // It is the only one that is built in; a second call would find it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(&error);
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(commands::run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read it has seen enough.
        Err(failure::Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            tell(&error);
            error.exit_code()
        }
    }
}

fn tell(error: &dyn std::error::Error) {
    // Nobody is left to tell where this fails.
    let _ = writeln!(
        std::io::stderr(),
        "error: {}",
        strongroom_api::visible_lines(&error.to_string())
    );
}
