//! Images for the nodes, built here and never pulled. Of those that `.ci/run-tests` built for all tests the
//! builder only says where they are; each has to be in its list `IMAGES`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::sandbox::finish;
use crate::error::ClusterError;

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The images that every cluster has: a pod's first process, and a busybox for tests to run.
///
/// # Errors
/// [`ClusterError::Command`] with what the builder said.
pub(super) fn tools() -> Result<PathBuf, ClusterError> {
    built(&["tools"])
}

/// The image of `strongroom` itself, from this tree, with the debug profile: a minute less to wait than for
/// `make image`.
pub(super) fn strongroom() -> Result<PathBuf, ClusterError> {
    built(&["strongroom", "test"])
}

/// The image of the node plugin, likewise.
pub(super) fn node_plugin() -> Result<PathBuf, ClusterError> {
    built(&["node", "test"])
}

/// The image of `strongroom-exec`, likewise.
pub(super) fn exec() -> Result<PathBuf, ClusterError> {
    built(&["exec", "test"])
}

/// The image of an example product.
pub(super) fn product(name: &str) -> Result<PathBuf, ClusterError> {
    built(&[name, "test"])
}

/// Debian's PostgreSQL, with its `psql`.
pub(super) fn postgres() -> Result<PathBuf, ClusterError> {
    built(&["postgres"])
}

/// What the builder says last is the archive.
fn built(arguments: &[&str]) -> Result<PathBuf, ClusterError> {
    let script = root().join("e2e/images/build");
    let said = finish(Command::new(script).args(arguments))?;
    Ok(PathBuf::from(said.lines().last().unwrap_or_default()))
}
