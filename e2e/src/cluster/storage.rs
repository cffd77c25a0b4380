//! What claims of volumes are bound to: the default class, and folders of the machine that it has from the
//! start. There is no driver that makes more.

use std::path::{Path, PathBuf};

use super::folder::write;
use super::node::volume;
use crate::error::ClusterError;

/// One of each mode that a claim of one pod, or of one node, asks for: no volume may have both.
const VOLUMES: [(&str, &str); 2] = [("local-1", "ReadWriteOncePod"), ("local-2", "ReadWriteOnce")];

/// The user that owns them: who runs in images without a user of their own.
const USER: u32 = 65_532;

/// Makes the folders; the file of the objects that offer them, still to be applied.
pub(super) fn objects(state: &Path) -> Result<PathBuf, ClusterError> {
    let mut yaml = String::from(
        "apiVersion: storage.k8s.io/v1\nkind: StorageClass\n\
         metadata: {name: local, annotations: {storageclass.kubernetes.io/is-default-class: \"true\"}}\n\
         provisioner: kubernetes.io/no-provisioner\n",
    );
    for (name, mode) in VOLUMES {
        let folder = volume(state, name, USER)?;
        yaml.push_str(&format!(
            "---\napiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {name}}}\nspec:\n  storageClassName: local\n  \
             capacity: {{storage: 10Gi}}\n  accessModes: [{mode}]\n  persistentVolumeReclaimPolicy: Retain\n  \
             hostPath: {{path: {}}}\n",
            folder.display()
        ));
    }
    write(state, "storage.yaml", &yaml)
}
