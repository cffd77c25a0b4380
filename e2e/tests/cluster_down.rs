//! The local cluster leaves nothing behind, also after its starter is gone.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::path::Path;
use std::process::Command;

use parking_lot::Mutex;
use strongroom_e2e::{Cluster, Size};
use support::Fixture;

/// Processes whose arguments name this folder.
fn processes_of(folder: &str) -> Vec<String> {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.unwrap().path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(folder))
        .collect()
}

/// Those of Kubernetes' programs.
fn kubernetes_processes(folder: &str) -> Vec<String> {
    let mut lines = processes_of(folder);
    lines.retain(|line| line.contains("strongroom-cluster"));
    lines
}

#[test]
fn up_twice_is_one_cluster_and_down_leaves_nothing() {
    let f = Fixture::new();
    let dir = f.cluster.dir().to_owned();
    let folder = dir.display().to_string();
    assert_eq!(
        kubernetes_processes(&folder).len(),
        3,
        "{:?}",
        kubernetes_processes(&folder)
    );
    f.cluster.up().unwrap();
    assert_eq!(kubernetes_processes(&folder).len(), 3);
    // Another handle, which knows nothing but the folder.
    Cluster::at(&dir).unwrap().down().unwrap();
    assert_eq!(kubernetes_processes(&folder), Vec::<String>::new());
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

/// Traces are looked for on the whole machine: one cluster with nodes at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Everything that a cluster with nodes could leave on the machine, but for its folder.
fn traces(folder: &Path) -> Vec<String> {
    let text = folder.display().to_string();
    let mut found = kubernetes_processes(&text);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    found.extend(
        mounts
            .lines()
            .filter(|line| line.contains(&text))
            .map(str::to_owned),
    );
    // What the machine had before is not ours: a name of ours starts like this.
    let named = |dir: &Path, prefix: &str| -> Vec<String> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
            })
            .map(|path| path.display().to_string())
            .collect()
    };
    for interface in named(Path::new("/sys/class/net"), "sr") {
        let name = interface.rsplit('/').next().unwrap().to_owned();
        if name.len() == 10 && name[2..].chars().all(|c| c.is_ascii_hexdigit()) {
            found.push(interface);
        }
    }
    let groups = Path::new("/sys/fs/cgroup");
    found.extend(named(groups, "strongroom-"));
    for hierarchy in std::fs::read_dir(groups).unwrap().flatten() {
        found.extend(named(&hierarchy.path(), "strongroom-"));
    }
    for tunable in ["vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops"] {
        let value = std::fs::read_to_string(Path::new("/proc/sys").join(tunable)).unwrap();
        found.push(format!("{tunable}={}", value.trim()));
    }
    let rules = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    found.push(String::from_utf8(rules.stdout).unwrap());
    found
}

#[test]
fn two_nodes_serve_pods_and_leave_nothing() {
    let _alone = ALONE.lock();
    let before = traces(Path::new("/nothing/is/here"));
    let f = Fixture::bare(Size::TwoNodes);
    let dir = f.cluster.dir().to_owned();
    f.cluster.up().unwrap();
    for (name, node) in [("server", "node-a"), ("client", "node-b")] {
        f.apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec:\n  nodeName: {node}\n  \
             terminationGracePeriodSeconds: 0\n  containers:\n  - name: app\n    image: strongroom.test/busybox:1\n    imagePullPolicy: Never\n    \
             command: [sh, -c, 'echo served > /index.html; httpd -f -p 8080 -h /']\n"
        ));
    }
    f.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: server}\nspec:\n  clusterIP: 10.96.0.99\n  \
         selector: {app: server}\n  ports: [{port: 80, targetPort: 8080}]\n",
    );
    f.kubectl(&["wait", "--for=condition=Ready", "pod", "--all", "--timeout=120s"]);
    // From a pod of one node, through a Service, to a pod of the other; and to the API server. The static
    // wget wants a resolver.
    let talk = |script: &str| {
        let output = f
            .cluster
            .kubectl(&["exec", "client", "--", "sh", "-c", script])
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        output.status.success().then_some(said)
    };
    let get = r"printf 'GET /index.html HTTP/1.0\r\n\r\n' | nc -w 2 10.96.0.99 80";
    support::eventually("the Service to lead to the pod", || {
        talk(get).filter(|said| said.ends_with("served\n"))
    });
    assert!(
        talk("nc -w 5 10.96.0.1 443 < /dev/null").is_some(),
        "the API server"
    );
    assert!(f.kubectl(&["logs", "server"]).is_empty());
    assert_ne!(traces(&dir), before, "a cluster with nodes has traces");

    // Another handle, which knows nothing but the folder.
    Cluster::down_at(&dir).unwrap();
    assert_eq!(traces(&dir), before);
    assert!(!dir.exists());
}

#[test]
fn a_starter_that_is_killed_leaves_nothing_that_down_does_not_end() {
    let _alone = ALONE.lock();
    let api = ["etcd", "kube-apiserver", "kube-controller-manager"].map(|program| ("api", program));
    let node = ["sandbox", "containerd", "kubelet", "kube-proxy"].map(|program| ("one", program));
    for (size, program) in api.into_iter().chain(node) {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path().join("c");
        let before = traces(&dir);
        let mut starter = Command::new(env!("CARGO_BIN_EXE_cluster"))
            .args(["up", "--size", size])
            .env("STRONGROOM_CLUSTER_DIR", &dir)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let folder = dir.display().to_string();
        support::eventually("the starter to come this far", || {
            let lines = processes_of(&folder);
            lines.iter().any(|line| line.contains(program)).then_some(())
        });
        starter.kill().unwrap();
        starter.wait().unwrap();
        Cluster::down_at(&dir).unwrap();
        assert_eq!(traces(&dir), before, "killed after {program}");
        assert_eq!(processes_of(&folder), Vec::<String>::new());
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
