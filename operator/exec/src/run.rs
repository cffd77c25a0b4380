//! Becomes the app's command: the same process, with the variables set. Nothing of this program is left, so
//! signals, exit codes and standard streams are the app's own.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::variables::Variables;

/// The command could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    /// There is none.
    #[error("`{0}`, or its interpreter, is not in this container")]
    Missing(String),
    /// It is something else than a program, or this user may not run it.
    #[error("`{0}` cannot be run: {1}")]
    NotRun(String, io::Error),
    /// Linux bounds what a program is started with.
    #[error(
        "`{0}` and its variables are too large for Linux: at most 128 KiB each; mount the large ones as files"
    )]
    TooLarge(String),
}

impl RunError {
    /// The exit code, as shells and `env` have it.
    pub(super) const fn code(&self) -> u8 {
        match self {
            Self::Missing(_) => 127,
            Self::NotRun(..) => 126,
            Self::TooLarge(_) => super::EXIT_REFUSED,
        }
    }
}

/// Becomes the command. Returns only where that failed.
pub(super) fn become_command(command: &[OsString], variables: &Variables) -> RunError {
    let (program, arguments) = match command.split_first() {
        Some((program, arguments)) => (program.as_os_str(), arguments),
        None => (OsStr::new(""), command),
    };
    let mut become_it = Command::new(program);
    become_it.args(arguments);
    for (name, value) in variables {
        become_it.env(name, OsStr::from_bytes(value));
    }
    let error = become_it.exec();
    let program = program.to_string_lossy().into_owned();
    match error.kind() {
        io::ErrorKind::NotFound => RunError::Missing(program),
        io::ErrorKind::ArgumentListTooLong => RunError::TooLarge(program),
        _ => RunError::NotRun(program, error),
    }
}
