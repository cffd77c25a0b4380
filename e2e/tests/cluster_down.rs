//! The local cluster leaves nothing behind, also after its starter is gone.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use strongroom_e2e::Cluster;
use support::Fixture;

/// Processes whose arguments name this folder.
fn of(folder: &str) -> Vec<String> {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.unwrap().path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(folder) && line.contains("strongroom-cluster"))
        .collect()
}

#[test]
fn up_twice_is_one_cluster_and_down_leaves_nothing() {
    let f = Fixture::new();
    let dir = f.cluster.dir().to_owned();
    let folder = dir.display().to_string();
    assert_eq!(of(&folder).len(), 3, "{:?}", of(&folder));
    f.cluster.up().unwrap();
    assert_eq!(of(&folder).len(), 3);
    // Another handle, which knows nothing but the folder.
    Cluster::at(&dir).unwrap().down().unwrap();
    assert_eq!(of(&folder), Vec::<String>::new());
    assert!(!dir.exists());
}

#[test]
fn a_folder_of_somebody_else_is_neither_used_nor_removed() {
    let keep = tempfile::tempdir().unwrap();
    let file = keep.path().join("mine");
    std::fs::write(&file, "mine").unwrap();
    let cluster = Cluster::at(keep.path()).unwrap();
    assert!(matches!(
        cluster.up(),
        Err(strongroom_e2e::ClusterError::NotOurs(_))
    ));
    assert!(matches!(
        cluster.down(),
        Err(strongroom_e2e::ClusterError::NotOurs(_))
    ));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    Cluster::down_at(&keep.path().join("nothing")).unwrap();
}

#[test]
fn a_starter_that_is_killed_leaves_nothing_that_down_does_not_end() {
    for pidfile in ["etcd", "kube-apiserver", "kube-controller-manager"] {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path().join("c");
        let mut starter = std::process::Command::new(env!("CARGO_BIN_EXE_cluster"))
            .arg("up")
            .env("STRONGROOM_CLUSTER_DIR", &dir)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        support::eventually("the starter to come this far", || {
            dir.join("pid").join(pidfile).exists().then_some(())
        });
        starter.kill().unwrap();
        starter.wait().unwrap();
        assert!(
            !of(&dir.display().to_string()).is_empty(),
            "{pidfile} was started"
        );
        Cluster::down_at(&dir).unwrap();
        assert_eq!(
            of(&dir.display().to_string()),
            Vec::<String>::new(),
            "killed after {pidfile}"
        );
        assert!(!dir.exists());
    }
}

#[test]
fn keys_lie_in_a_folder_of_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let keep = tempfile::tempdir().unwrap();
    let dir = keep.path().join("c");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let cluster = Cluster::at(&dir).unwrap();
    cluster.up().unwrap();
    let mode = std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777;
    cluster.down().unwrap();
    assert_eq!(mode, 0o700);
}
