//! The control groups of the nodes: one folder of ours in every hierarchy, so that all of it can be removed
//! again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::sandbox::fold;
use crate::error::{ClusterError, trying};

const MOUNT: &str = "/sys/fs/cgroup";

/// How long a group may take to become empty.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The name of the cluster's group: another one for each folder.
fn group_of(state: &Path) -> String {
    format!("strongroom-{:016x}", fold(state))
}

/// Every hierarchy of the machine: one where version 2 alone is mounted, else one for each controller of
/// version 1.
fn hierarchies() -> Vec<PathBuf> {
    let mount = PathBuf::from(MOUNT);
    if mount.join("cgroup.controllers").exists() {
        return vec![mount];
    }
    fs::read_dir(&mount)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("cgroup.procs").exists())
        .collect()
}

/// Makes a node's group; its path from the root of each hierarchy.
pub(super) fn make(state: &Path, node: &str) -> Result<String, ClusterError> {
    let group = group_of(state);
    for hierarchy in hierarchies() {
        let ours = hierarchy.join(&group);
        let dir = ours.join(node);
        fs::create_dir_all(&dir).map_err(trying(format!("making {}", dir.display())))?;
        for dir in [&ours, &dir] {
            inherit_cpuset(dir)?;
        }
        // Version 2: a group has the controllers that its parent gives it. One that the machine lacks is
        // missed by kubelet, by name.
        for parent in [&hierarchy, &ours, &dir] {
            for controller in ["+cpuset", "+cpu", "+memory", "+pids", "+io", "+hugetlb"] {
                let _ = fs::write(parent.join("cgroup.subtree_control"), controller);
            }
        }
    }
    Ok(format!("/{group}/{node}"))
}

/// Version 1: a group without processors or memory nodes takes no process.
fn inherit_cpuset(dir: &Path) -> Result<(), ClusterError> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let file = dir.join(name);
        let Some(parent) = dir.parent().map(|parent| parent.join(name)) else {
            continue;
        };
        if !file.exists() || !dir.join("tasks").exists() {
            continue;
        }
        let inherited =
            fs::read_to_string(&parent).map_err(trying(format!("reading {}", parent.display())))?;
        fs::write(&file, inherited.trim()).map_err(trying(format!("writing {}", file.display())))?;
    }
    Ok(())
}

/// Removes the cluster's groups, once the last process in them is gone.
pub(super) fn remove(state: &Path) -> Result<(), ClusterError> {
    let deadline = Instant::now() + TIMEOUT;
    for hierarchy in hierarchies() {
        let dir = hierarchy.join(group_of(state));
        while dir.exists() {
            match remove_tree(&dir) {
                Ok(()) => {}
                Err(error) if Instant::now() >= deadline => {
                    return Err(trying(format!("removing {}", dir.display()))(error));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
    Ok(())
}

/// A group's files go with its folder; only folders are removed, from below.
fn remove_tree(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(dir)
}
