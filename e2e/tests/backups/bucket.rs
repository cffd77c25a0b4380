//! A process that serves, and a real server of S3 (versitygw) over TLS.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use strongroom_e2e::{Programs, Strongroom};

use crate::support::chart::CHART;
use crate::support::{ALL_NAMESPACES, Fixture, eventually, free_port, generated};

/// Not a secret of anybody's: the server is the test's own.
const CREDENTIALS: [(&str, &str); 2] = [
    ("access-key-id", "backup"),
    ("secret-access-key", "hunter2-hunter2"),
];

/// A server with the bucket `backups`, killed when dropped.
struct Server {
    child: Child,
    dir: PathBuf,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(dir: &Path) -> Self {
        let port = free_port();
        for part in ["root/backups", "meta", "credentials"] {
            fs::create_dir_all(dir.join(part)).unwrap();
        }
        for (name, text) in CREDENTIALS {
            fs::write(dir.join("credentials").join(name), text).unwrap();
        }
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        fs::write(dir.join("tls.crt"), certificate.pem()).unwrap();
        fs::write(dir.join("tls.key"), key.serialize_pem()).unwrap();
        let log = File::create(dir.join("server.log")).unwrap();
        let [(_, id), (_, secret)] = CREDENTIALS;
        let child = Command::new(Programs::s3_server().unwrap())
            .arg("--port")
            .arg(format!("127.0.0.1:{port}"))
            .arg("--cert")
            .arg(dir.join("tls.crt"))
            .arg("--key")
            .arg(dir.join("tls.key"))
            .args(["posix", "--sidecar"])
            .arg(dir.join("meta"))
            .arg(dir.join("root"))
            .env("ROOT_ACCESS_KEY", id)
            .env("ROOT_SECRET_KEY", secret)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self {
            child,
            dir: dir.to_owned(),
            port,
        };
        eventually("the server of S3", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
        });
        server
    }

    fn destination(&self) -> String {
        format!(
            "s3+https://127.0.0.1:{}/backups/prod?ca={}&credentials={}",
            self.port,
            self.dir.join("tls.crt").display(),
            self.dir.join("credentials").display()
        )
    }

    /// The files of the bucket that end so, in the order of their names.
    fn objects(&self, suffix: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.join("root/backups/prod"))
            .into_iter()
            .flatten();
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with(suffix))
            .collect();
        paths.sort();
        paths
    }
}

fn drill(server: &Server, data: &Path, recovery: &Path, more: &[&str]) -> Output {
    Command::new(Strongroom::binary())
        .args(["drill", "--backup-destination", &server.destination()])
        .arg("--data-dir")
        .arg(data)
        .arg("--seal-recovery-key-file")
        .arg(recovery)
        .args(more)
        .output()
        .unwrap()
}

/// What the chart answers who schedules backups in the cluster, without installing anything.
fn scheduled_by_chart(f: &Fixture) -> String {
    let output = Command::new(Programs::helm().unwrap())
        .args(["install", "strongroom", CHART, "--namespace", "strongroom"])
        .arg("--dry-run=server")
        .arg("--kubeconfig")
        .arg(f.cluster.kubeconfig())
        .args(["--set", ALL_NAMESPACES])
        .args(["--set", "backup.schedule=0 3 * * *"])
        .args(["--set", "backup.destination=folder:/var/lib/strongroom-backups"])
        .args(["--set", "backup.claimName=backups"])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_backup_in_a_bucket_is_verified_and_comes_back_by_its_recovery_key() {
    let f = Fixture::new();
    let server = Server::start(&f.keep.path().join("s3"));
    let destination = format!("--backup-destination={}", server.destination());
    let arguments = [
        "--backup-schedule=0 3 * * *",
        &destination,
        "--backup-keep-count=2",
    ];
    let strongroom = Strongroom::start_with(&f.cluster, &f.data(), &arguments).unwrap();
    // There was none, so one is taken.
    eventually("the first backup", || {
        (!server.objects(".json").is_empty()).then_some(())
    });
    // Nobody could open it on the day that it is for.
    eventually("the chart's refusal", || {
        scheduled_by_chart(&f)
            .contains("no recovery key opens the store")
            .then_some(())
    });
    for name in ["a", "b"] {
        f.apply(&generated(name));
        f.wait_ready(name, "True", "Ready");
    }
    // A recovery key: no backup opens with it yet, so that one is taken at once.
    let data = f.data().join("data");
    let made = Command::new(Strongroom::binary())
        .args(["seal", "recovery-key", "--data-dir"])
        .arg(&data)
        .output()
        .unwrap();
    assert!(made.status.success());
    let recovery = f.keep.path().join("recovery.key");
    fs::write(&recovery, made.stdout).unwrap();
    let status = eventually("a backup that the recovery key opens", || {
        let maps = f.json(&["-n", "strongroom", "get", "configmaps"]);
        let map = maps["items"]
            .as_array()?
            .iter()
            .find(|map| map["metadata"]["name"] == "strongroom-backups")?;
        let status: Value = serde_json::from_str(map["data"]["status.json"].as_str()?).unwrap();
        let opens = status["recoverySlots"] == 1 && status["newest"]["secrets"].as_u64()? >= 2;
        opens.then_some(status)
    });
    assert_eq!(status["failure"], Value::Null);
    let said = scheduled_by_chart(&f);
    assert!(!said.contains("no recovery key opens the store"), "{said}");
    assert_eq!(server.objects(".json").len(), server.objects(".backup").len());

    let held = drill(&server, &data, &recovery, &["-o", "json"]);
    let report: Value = serde_json::from_slice(&held.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&held.stderr));
    });
    assert!(held.status.success(), "{report}");
    assert_eq!(
        (&report["sound"], &report["compared"], &report["recoverySlots"]),
        (&Value::Bool(true), &Value::Bool(true), &Value::from(1))
    );
    assert_eq!(report["backup"], status["newest"]["name"]);

    // Somebody changes it where it lies.
    let newest = server.objects(".backup").pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let held = drill(&server, &data, &recovery, &[]);
    let said = String::from_utf8_lossy(&held.stderr).into_owned();
    assert!(
        !held.status.success() && said.contains("cannot be restored"),
        "{said}"
    );
    assert!(!said.contains("hunter2") && !strongroom.log().contains("hunter2"));

    // Other credentials, and a server that is away.
    fs::write(server.dir.join("credentials/secret-access-key"), "other").unwrap();
    let held = drill(&server, &data, &recovery, &[]);
    let said = String::from_utf8_lossy(&held.stderr).into_owned();
    assert!(!held.status.success() && said.contains("answered 403"), "{said}");
    let gone = server.destination();
    drop(server);
    let held = Command::new(Strongroom::binary())
        .args(["drill", "--backup-destination", &gone, "--data-dir"])
        .arg(&data)
        .arg("--seal-recovery-key-file")
        .arg(&recovery)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&held.stderr).into_owned();
    assert!(said.contains("cannot be reached (connection refused)"), "{said}");
}
