//! The cluster's folder: marked, so that what is not ours is never written to or removed.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use crate::error::{ClusterError, trying};

/// Says that a folder is a cluster's.
const MARKER: &str = ".strongroom-cluster";

/// Makes the folder for its owner alone, and marks it.
pub(super) fn claim(state: &Path) -> Result<(), ClusterError> {
    let making = || format!("making {}", state.display());
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state)
        .map_err(trying(making()))?;
    let marker = state.join(MARKER);
    if marker.exists() {
        return Ok(());
    }
    if fs::read_dir(state).map_err(trying(making()))?.next().is_some() {
        return Err(ClusterError::NotOurs(state.to_owned()));
    }
    // A folder that was there before had a mode of its own; keys come to lie in it.
    fs::set_permissions(state, Permissions::from_mode(0o700)).map_err(trying(making()))?;
    fs::write(
        marker,
        "a local cluster of strongroom; `make down` removes this folder\n",
    )
    .map_err(trying(making()))
}

/// Whether the folder bears our mark.
pub(super) fn is_ours(state: &Path) -> bool {
    state.join(MARKER).exists()
}

/// Makes a folder in it.
pub(super) fn room(state: &Path, name: &str) -> Result<std::path::PathBuf, ClusterError> {
    let dir = state.join(name);
    fs::create_dir_all(&dir).map_err(trying(format!("making {}", dir.display())))?;
    Ok(dir)
}

/// Writes a file in it.
pub(super) fn write(state: &Path, name: &str, text: &str) -> Result<std::path::PathBuf, ClusterError> {
    let path = state.join(name);
    fs::write(&path, text).map_err(trying(format!("writing {}", path.display())))?;
    Ok(path)
}
