//! The mounts of a node beside the first: folders that every node has at the same path, as its own. The nodes
//! share the rest of the sandbox.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use super::sandbox::{Sandbox, wait_for};
use crate::error::ClusterError;
use crate::process;

/// What keeps them: a process of the sandbox, in a mount namespace of its own. What is mounted there reaches
/// the containers of that node, and no other node.
const INIT: &str = r#"
set -eu
mount --make-rprivate /
for folder in /var/lib/kubelet /run/strongroom-node /var/lib/strongroom-node; do
  mkdir -p "$folder"
  mount -t tmpfs -o mode=755 tmpfs "$folder"
done
mount --make-rshared /
: > "$1"
while :; do sleep 3600 & wait $!; done
"#;

fn process_of(node: &str) -> String {
    format!("mounts-{node}")
}

/// Makes them.
///
/// # Errors
/// [`ClusterError`] where they are not there in time.
pub(super) fn make(sandbox: &Sandbox, state: &Path, node: &str) -> Result<(), ClusterError> {
    let name = process_of(node);
    let ready = state.join(format!("{name}.ready"));
    // One of an earlier sandbox says nothing.
    let _ = fs::remove_file(&ready);
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "unchanged", "sh", "-c", INIT, &name]);
    unshare.arg(&ready);
    sandbox.start(&unshare, &name)?;
    wait_for((&name, &name), state, || ready.exists())
}

/// A process that has them; none: the node has the sandbox's.
pub(super) fn holder(state: &Path, init: i32, node: &str) -> Option<i32> {
    let namespace = |pid: i32| {
        fs::metadata(format!("/proc/{pid}/ns/mnt"))
            .ok()
            .map(|it| it.ino())
    };
    let sandbox = namespace(init)?;
    let machine = namespace(i32::try_from(std::process::id()).ok()?)?;
    // The program that entered the sandbox for it is still the machine's.
    process::all(&process_of(node), state)
        .into_iter()
        .find(|pid| namespace(*pid).is_some_and(|it| it != sandbox && it != machine))
}
