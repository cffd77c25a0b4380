//! Puts this program into a folder that it shares with the app's container, whose image need have nothing of
//! it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The program's name there.
const NAME: &str = "strongroom-exec";

/// It cannot be put there.
#[derive(Debug, thiserror::Error)]
#[error("copying this program to `{}`: {source}", to.display())]
pub(super) struct InstallError {
    to: PathBuf,
    source: io::Error,
}

/// Copies it: whole or not at all, to be run by any user.
///
/// # Errors
/// [`InstallError`].
pub(super) fn install(into: &Path) -> Result<(), InstallError> {
    let to = into.join(NAME);
    let partial = into.join(format!(".{NAME}"));
    let copy = || {
        fs::copy(std::env::current_exe()?, &partial)?;
        fs::set_permissions(&partial, fs::Permissions::from_mode(0o555))?;
        fs::rename(&partial, &to)
    };
    copy().map_err(|source| InstallError {
        to: to.clone(),
        source,
    })
}
