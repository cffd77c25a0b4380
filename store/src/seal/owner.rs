//! Keeps the owner of a file that is replaced: a command that root runs must leave files that the process can
//! open.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

/// Gives `path` to the owner and group of `model`.
///
/// # Errors
/// What the operating system says.
pub(crate) fn same_owner(model: &Path, path: &Path) -> io::Result<()> {
    let (of, is) = (fs::metadata(model)?, fs::metadata(path)?);
    if (of.uid(), of.gid()) == (is.uid(), is.gid()) {
        return Ok(());
    }
    chown(path, Some(of.uid()), Some(of.gid()))
}
