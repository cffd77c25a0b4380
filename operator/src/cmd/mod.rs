//! The subcommands: arguments and wiring of one each, one file each. Must not decide anything.
//!
//! Exit codes: 0 done, 1 not done (why is on standard error), 2 wrong arguments.

mod backup;
mod data_dir;
mod error;
mod seal;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use error::CommandError;

/// A secrets manager that lives inside a Kubernetes cluster
#[derive(Debug, Parser)]
#[command(name = "strongroom", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Backup(backup::Arguments),
    #[command(subcommand)]
    Seal(seal::Arguments),
}

/// Carries out what the command line says.
pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::parse();
    // Every command may hold a key.
    if let Err(error) = strongroom_store::crypto::forbid_core_dumps() {
        let _ = writeln!(
            std::io::stderr(),
            "warning: core dumps, which could hold keys, cannot be forbidden: {error}"
        );
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let done = runtime.block_on(async {
        let out = &mut std::io::stdout();
        match arguments.command {
            Command::Backup(arguments) => backup::run(arguments).await,
            Command::Seal(arguments) => seal::run(arguments, out).await,
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    // Nobody is left to tell where this fails.
    let _ = writeln!(std::io::stderr(), "error: {error}");
    ExitCode::FAILURE
}
