//! `strongroom-exec`: inside a pod, reads variables from the files of a volume.
//!
//! | module | idea |
//! |---|---|
//! | [`variables`] | the variables of a volume: one file each, all of one moment |
//! | [`mod@run`] | becomes the app's command, with the variables set |
//! | [`install`] | puts this program where the app's container finds it |
//! | [`mod@write`] | writes the variables into a file that kubelet reads |
//!
//! Must not use the network, start a second process, or say a value.

mod install;
mod run;
mod variables;
mod write;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

/// What somebody gets who asks for what cannot be: as `env` and container runtimes have it.
const EXIT_REFUSED: u8 = 125;

/// Secrets as variables of a pod's process
#[derive(Debug, clap::Parser)]
#[command(name = "strongroom-exec", version)]
enum Command {
    /// Runs a command in place of itself, with a variable for each file of a volume
    Run {
        /// Directory with one file per variable
        #[arg(long, value_name = "FOLDER")]
        env: PathBuf,
        /// The command and its arguments
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Copies this program into a directory
    Install {
        /// The directory
        #[arg(value_name = "FOLDER")]
        into: PathBuf,
    },
    /// Writes a file of variables, as `fileKeyRef` reads them
    Write {
        /// Directory with one file per variable
        #[arg(long, value_name = "FOLDER")]
        env: PathBuf,
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Why it did not come to that.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Variables(#[from] variables::VariablesError),
    #[error(transparent)]
    Run(#[from] run::RunError),
    #[error(transparent)]
    Install(#[from] install::InstallError),
    #[error(transparent)]
    Write(#[from] write::WriteError),
}

impl Failure {
    /// The exit code that says the same.
    const fn code(&self) -> u8 {
        match self {
            Self::Variables(_) | Self::Install(_) | Self::Write(_) => EXIT_REFUSED,
            Self::Run(error) => error.code(),
        }
    }
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Run { env, command } => run(&env, &command),
        Command::Install { into } => install::install(&into).map_err(Failure::from),
        Command::Write { env, file } => write(&env, &file),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody else can be told that standard error is closed.
            let _ = writeln!(std::io::stderr(), "strongroom-exec: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn run(env: &std::path::Path, command: &[OsString]) -> Result<(), Failure> {
    let variables = variables::read(env)?;
    Err(run::become_command(command, &variables).into())
}

fn write(env: &std::path::Path, file: &std::path::Path) -> Result<(), Failure> {
    let variables = variables::read(env)?;
    Ok(write::write(file, &variables)?)
}
