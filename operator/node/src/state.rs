//! The state of a volume that must outlive this process, in one small file for each volume, in a folder of
//! the node. It holds no value and no token.
//!
//! A file is written before its volume is mounted, so that a mounted volume always has one; at a start each
//! is held against the kernel's mount table and the boot that it was written in, so that one without a mount,
//! or of another boot, means nothing. Must not mount.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

use crate::pod::Pod;

/// What the files end with.
const SUFFIX: &str = ".json";
/// What a file ends with until it is whole.
const PARTIAL: &str = "partial";

/// What is kept of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeRecord {
    /// CSI's id of it.
    pub volume_id: String,
    /// Where it is mounted.
    pub target: PathBuf,
    /// The boot in which it was.
    pub boot_id: String,
    /// Its volumeAttributes, without kubelet's.
    pub attributes: BTreeMap<String, String>,
    /// The pod, as kubelet said.
    pub pod: PodRecord,
    /// The pod's fsGroup.
    pub group: Option<u32>,
    /// Ids of the versions that it shows, in the order of its secrets.
    pub versions: Vec<String>,
    /// Those that it showed first, where its files are read once; otherwise empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<String>,
}

/// A pod as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the same fields as `Pod`, in a form for files")]
pub struct PodRecord {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub service_account: String,
}

impl From<&Pod> for PodRecord {
    fn from(pod: &Pod) -> Self {
        Self {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            service_account: pod.service_account.clone(),
        }
    }
}

impl From<PodRecord> for Pod {
    fn from(pod: PodRecord) -> Self {
        Self {
            namespace: pod.namespace,
            name: pod.name,
            uid: pod.uid,
            service_account: pod.service_account,
        }
    }
}

/// A state file cannot be written or removed.
#[derive(Debug, thiserror::Error)]
#[error("{step} {}: {source}", path.display())]
pub struct StateError {
    step: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn trying(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    move |source| StateError {
        step,
        path: path.to_owned(),
        source,
    }
}

/// The folder of the files.
#[derive(Clone, Debug)]
pub struct VolumeRecords {
    folder: PathBuf,
}

impl VolumeRecords {
    /// Opens the folder, and makes it where it is not there.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn open(folder: PathBuf) -> Result<Self, StateError> {
        fs::create_dir_all(&folder).map_err(trying("making", &folder))?;
        Ok(Self { folder })
    }

    fn path(&self, volume_id: &str) -> PathBuf {
        // Any text is a name then, and no two are the same.
        let name = BASE32_NOPAD.encode(volume_id.as_bytes());
        self.folder.join(format!("{name}{SUFFIX}"))
    }

    /// Keeps a volume: the file is on disk when this returns.
    ///
    /// # Errors
    /// [`StateError`]; what was kept before still is then.
    pub fn keep(&self, kept: &VolumeRecord) -> Result<(), StateError> {
        let path = self.path(&kept.volume_id);
        let partial = path.with_extension(PARTIAL);
        let text = serde_json::to_vec(kept).map_err(|error| trying("writing", &path)(error.into()))?;
        let write = || {
            let mut file = File::create(&partial)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&partial, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(trying("writing", &path))
    }

    /// Forgets a volume; one that is not known is fine.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn forget(&self, volume_id: &str) -> Result<(), StateError> {
        let path = self.path(volume_id);
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(trying("removing", &path)(error)),
        }
    }

    /// Everything that is kept. A file that cannot be read is removed and left out: kubelet publishes its
    /// volume again.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn all(&self) -> Result<Vec<VolumeRecord>, StateError> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(trying("reading", &self.folder))? {
            let path = entry.map_err(trying("reading", &self.folder))?.path();
            let whole = path.to_str().is_some_and(|path| path.ends_with(SUFFIX));
            let kept = fs::read(&path).ok().filter(|_| whole);
            match kept.and_then(|text| serde_json::from_slice::<VolumeRecord>(&text).ok()) {
                Some(kept) => all.push(kept),
                None => fs::remove_file(&path).map_err(trying("removing", &path))?,
            }
        }
        Ok(all)
    }
}

/// What a start makes of what was kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ResumePlan {
    /// Volumes that are mounted still.
    pub volumes: Vec<VolumeRecord>,
    /// Ids of volumes that are not, or were in another boot.
    pub orphans: Vec<String>,
}

/// Holds what was kept against the mount table and the boot.
#[must_use]
pub fn resume(kept: Vec<VolumeRecord>, mounted: &[PathBuf], boot_id: &str) -> ResumePlan {
    let mounted: BTreeSet<&Path> = mounted.iter().map(PathBuf::as_path).collect();
    let mut resumed = ResumePlan::default();
    for kept in kept {
        if kept.boot_id == boot_id && mounted.contains(kept.target.as_path()) {
            resumed.volumes.push(kept);
        } else {
            resumed.orphans.push(kept.volume_id);
        }
    }
    resumed
}

/// The id of this boot (`man 5 proc_sys_kernel`).
///
/// # Errors
/// Where the kernel does not tell.
pub fn boot_id() -> Result<String, StateError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let text = fs::read_to_string(path).map_err(trying("reading", path))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(volume_id: &str, target: &str, boot_id: &str) -> VolumeRecord {
        VolumeRecord {
            volume_id: volume_id.into(),
            target: target.into(),
            boot_id: boot_id.into(),
            attributes: BTreeMap::from([("secrets".into(), "a".into())]),
            pod: PodRecord::default(),
            group: Some(7),
            versions: vec!["v".into()],
            first: Vec::new(),
        }
    }

    #[test]
    fn volumes_are_kept_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let states = VolumeRecords::open(dir.path().join("s")).unwrap();
        let odd = "../\u{e4}/".repeat(20);
        let (a, b) = (record("csi-a", "/a", "1"), record(&odd, "/b", "1"));
        states.keep(&a).unwrap();
        states.keep(&b).unwrap();
        states.keep(&b).unwrap();
        let mut all = states.all().unwrap();
        all.sort_by(|x, y| x.target.cmp(&y.target));
        assert_eq!(all, [a, b.clone()]);
        states.forget("csi-a").unwrap();
        states.forget("csi-a").unwrap();
        assert_eq!(states.all().unwrap(), [b]);
    }

    #[test]
    fn half_a_file_means_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let states = VolumeRecords::open(dir.path().to_owned()).unwrap();
        states.keep(&record("a", "/a", "1")).unwrap();
        let path = states.path("a");
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        fs::write(dir.path().join("X.partial"), &text).unwrap();
        assert_eq!(states.all().unwrap(), []);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_not_mounted_or_of_another_boot_is_an_orphan() {
        let all = vec![
            record("a", "/a", "1"),
            record("b", "/b", "1"),
            record("c", "/c", "0"),
        ];
        let resumed = resume(all, &["/a".into(), "/c".into(), "/other".into()], "1");
        assert_eq!(resumed.volumes, [record("a", "/a", "1")]);
        assert_eq!(resumed.orphans, ["b", "c"]);
        assert!(!boot_id().unwrap().is_empty());
    }
}
