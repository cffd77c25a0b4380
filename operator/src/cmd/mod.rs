//! The subcommands: arguments and wiring of one each, one file each. Must not decide anything.
//!
//! Exit codes: 0 done, 1 not done (why is on standard error), 2 wrong arguments.

mod audit;
mod audit_limits;
mod backup;
mod backup_arguments;
mod crds;
mod data_dir;
mod drill;
mod error;
mod namespace_share;
mod reach;
mod rekey;
mod restore;
mod seal;
mod serve;
mod store;
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
    Serve(Box<serve::Arguments>),
    Crds(crds::Arguments),
    #[command(subcommand)]
    Audit(audit::Arguments),
    Backup(backup::Arguments),
    Drill(Box<drill::Arguments>),
    Reach(reach::Arguments),
    Restore(restore::Arguments),
    #[command(subcommand)]
    Seal(seal::Arguments),
    #[command(subcommand)]
    Store(store::Arguments),
}

/// Carries out what the command line says.
pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::parse();
    // Every command may hold a key.
    if let Err(error) = strongroom_store::crypto::forbid_core_dumps() {
        let _ = writeln!(
            std::io::stderr(),
            "warning: core dumps, which could contain keys, cannot be disabled: {error}"
        );
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let done = runtime.block_on(carry_out(arguments.command, &mut std::io::stdout()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn carry_out(command: Command, out: &mut (impl Write + Send)) -> Result<(), CommandError> {
    match command {
        Command::Serve(arguments) => serve::run(*arguments).await,
        Command::Crds(_) => crds::run(out),
        Command::Audit(arguments) => audit::run(arguments, out).await,
        Command::Backup(arguments) => backup::run(arguments).await,
        Command::Drill(arguments) => drill::run(*arguments, out).await,
        Command::Reach(arguments) => reach::run(arguments, out).await,
        Command::Restore(arguments) => restore::run(arguments, out).await,
        Command::Seal(arguments) => seal::run(arguments, out).await,
        Command::Store(arguments) => store::run(arguments, out).await,
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    // Nobody is left to tell where this fails.
    let _ = writeln!(std::io::stderr(), "error: {error}");
    ExitCode::FAILURE
}
