//! The promise: what an earlier version left is opened, applied and served by this one.
//! `e2e/golden/<version>/make` says how it was made.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use data_encoding::BASE64;
use jiff::Timestamp;
use serde_json::Value;
use strongroom_e2e::{Program, Size, Strongroom};
use support::chart::{CHART, CRDS, template};
use support::{Fixture, eventually};

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden/fc3a9ff")
        .join(file)
}

fn text(file: &str) -> String {
    fs::read_to_string(golden(file)).unwrap()
}

/// The objects of the old cluster, as its API server had them.
fn objects() -> Vec<Value> {
    let list: Value = serde_json::from_str(&text("objects.json")).unwrap();
    list["items"].as_array().unwrap().clone()
}

fn of_kind(kind: &str) -> Vec<Value> {
    objects()
        .into_iter()
        .filter(|object| object["kind"] == kind)
        .collect()
}

fn must(output: Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A ManagedSecret's conditions by type, without what they say.
fn ready(object: &Value) -> (Value, Value) {
    let ready = support::condition(object, "Ready").unwrap_or_default();
    (ready["status"].clone(), ready["reason"].clone())
}

impl Fixture {
    /// A cluster that has everything of the old one, with UIDs and field managers: written to etcd, since the
    /// API server would give others.
    fn of_fc3a9ff() -> Self {
        let f = Self::bare(Size::Api);
        f.apply_crds(golden("crds.yaml").to_str().unwrap(), &[]);
        let api = f.cluster.pid(Program::ApiServer).unwrap();
        let command = fs::read_to_string(format!("/proc/{api}/cmdline")).unwrap();
        let etcd = command
            .split('\0')
            .find_map(|word| word.strip_prefix("--etcd-servers="))
            .unwrap();
        for object in objects() {
            let mut object = object;
            object["metadata"]
                .as_object_mut()
                .unwrap()
                .remove("resourceVersion");
            let put = serde_json::json!({
                "key": BASE64.encode(key(&object).as_bytes()),
                "value": BASE64.encode(object.to_string().as_bytes()),
            });
            let (url, file) = (format!("{etcd}/v3/kv/put"), f.keep.path().join("put.json"));
            fs::write(&file, put.to_string()).unwrap();
            let data = format!("@{}", file.display());
            must(
                Command::new("curl")
                    .args(["-sSf", &url, "--data-binary", &data])
                    .output()
                    .unwrap(),
            );
        }
        f
    }

    /// The data of the old process, where a new one looks for its own.
    fn unpack_data(&self) {
        let to = self.data().join("data");
        fs::create_dir_all(&to).unwrap();
        let mut tar = Command::new("tar");
        tar.arg("-xzf")
            .arg(golden("data.tar.gz"))
            .arg("--no-same-owner")
            .arg("-C")
            .arg(&to);
        must(tar.output().unwrap());
    }

    /// The kinds as the chart brings them now.
    fn upgrade_kinds(&self) {
        self.apply_crds(CRDS, &["--server-side", "--force-conflicts"]);
    }

    /// Every ManagedSecret is what it was: the same condition, the same versions, and the native Secret with
    /// the same UID and value. Where a rotation has become due since then, it goes on from the version of
    /// then.
    fn holds_what_was_left(&self) {
        let now = Timestamp::now();
        for was in of_kind("ManagedSecret") {
            let name = was["metadata"]["name"].as_str().unwrap();
            let get = ["-n", "shop", "get", "managedsecret", name];
            eventually(&format!("{name} to be {:?}", ready(&was)), || {
                let is = self.json(&get);
                let stages = if is_due(&was, now) {
                    is["status"]["stages"]["Previous"] == was["status"]["stages"]["Current"]
                } else {
                    is["status"]["stages"] == was["status"]["stages"]
                };
                // Whatever this version adds to the status comes with a look at the object.
                (ready(&is) == ready(&was) && stages).then_some(())
            });
            let is = self.json(&get);
            assert_eq!(is["status"]["secretId"], was["status"]["secretId"], "{name}");
            assert_eq!(is["metadata"]["uid"], was["metadata"]["uid"], "{name}");
        }
        for was in of_kind("Secret")
            .iter()
            .filter(|object| object["metadata"]["namespace"] == "shop")
        {
            let name = was["metadata"]["name"].as_str().unwrap();
            let is = self.json(&["-n", "shop", "get", "secret", name]);
            let due = of_kind("ManagedSecret")
                .iter()
                .any(|owner| owner["status"]["nativeSecret"]["name"] == name && is_due(owner, now));
            assert_eq!(is["data"] != was["data"], due, "data of Secret {name}");
            for field in ["type", "immutable"] {
                assert_eq!(is[field], was[field], "{field} of Secret {name}");
            }
            assert_eq!(is["metadata"]["uid"], was["metadata"]["uid"], "Secret {name}");
            assert_eq!(
                is["metadata"]["labels"], was["metadata"]["labels"],
                "Secret {name}"
            );
        }
    }
}

/// Whether a rotation or a renewal of a secret that was left has become due since then.
fn is_due(was: &Value, now: Timestamp) -> bool {
    let at = |time: &Value| time.as_str().and_then(|time| time.parse::<Timestamp>().ok());
    at(&was["status"]["nextRotation"]).is_some_and(|due| due <= now)
}

/// Where the API server keeps an object.
fn key(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = text(&object["kind"]).to_lowercase();
    let plural = match kind.strip_suffix("cy") {
        Some(stem) => format!("{stem}cies"),
        None => format!("{kind}s"),
    };
    let group = match text(&object["apiVersion"]).split_once('/') {
        Some((group, _)) => format!("{group}/"),
        None => String::new(),
    };
    let namespace = match text(&object["metadata"]["namespace"]) {
        none if none.is_empty() => none,
        namespace => format!("{namespace}/"),
    };
    format!(
        "/registry/{group}{plural}/{namespace}{}",
        text(&object["metadata"]["name"])
    )
}

#[test]
fn what_fc3a9ff_left_opens_and_serves_the_same_values_after_an_upgrade() {
    let f = Fixture::of_fc3a9ff();
    f.unpack_data();
    f.upgrade_kinds();
    let process = f.start();
    f.holds_what_was_left();
    // Objects of that version take a change, and a rotation goes on from their versions.
    let was = f.native("labelled").unwrap();
    let rotate = [
        "-n",
        "shop",
        "annotate",
        "managedsecret",
        "labelled",
        "strongroom.dev/rotate-now=upgraded",
    ];
    f.kubectl(&rotate);
    let is = eventually("a new value", || f.native("labelled").filter(|data| *data != was));
    assert_ne!(is["password"], was["password"]);
    assert_eq!(is["host"], was["host"]);
    let labels = f.json(&["-n", "shop", "get", "secret", "labelled"])["metadata"]["labels"].clone();
    assert_eq!(
        labels["mine"], "theirs",
        "a person's label on the native Secret stays"
    );
    // What was deleted then is restored now.
    let objects = text("objects.yaml");
    f.apply(
        objects
            .split("---\n")
            .find(|yaml| yaml.contains("name: gone"))
            .unwrap(),
    );
    let object = f.wait_ready("gone", "False", "InRecoveryWindow");
    let said = support::condition(&object, "Ready").unwrap()["message"]
        .as_str()
        .unwrap()
        .to_owned();
    let annotation = said
        .split_whitespace()
        .find(|word| word.contains("strongroom.dev/restore="))
        .unwrap();
    let annotation = annotation.trim_matches(|char: char| !char.is_ascii_alphanumeric());
    f.kubectl(&["-n", "shop", "annotate", "managedsecret", "gone", annotation]);
    f.wait_ready("gone", "True", "Ready");
    assert!(!process.log().contains("panicked"), "{}", process.log());
}

#[test]
fn a_backup_of_fc3a9ff_is_restored_by_the_recovery_key_of_that_time() {
    let f = Fixture::of_fc3a9ff();
    f.upgrade_kinds();
    let mut restore = Command::new(Strongroom::binary());
    restore
        .arg("restore")
        .arg("--data-dir")
        .arg(f.data().join("data"))
        .arg("--from")
        .arg(golden("backup"));
    restore
        .arg("--seal-recovery-key-file")
        .arg(golden("recovery-key"));
    assert!(must(restore.output().unwrap()).contains("restored"));
    let _process =
        Strongroom::start_with(&f.cluster, &f.data(), &["--accept-rollback"]).unwrap_or_else(|error| {
            panic!(
                "{error}\n{}",
                fs::read_to_string(f.data().join("serve.log")).unwrap_or_default()
            )
        });
    f.holds_what_was_left();
}

/// They never said where Secrets may be read and written, and an upgrade goes on with what that meant:
/// everywhere.
#[test]
fn values_of_fc3a9ff_and_its_defaults_are_values_of_this_chart() {
    for values in ["values.yaml", "defaults.yaml"] {
        let file = golden(values);
        let arguments = ["--is-upgrade", "-f", file.to_str().unwrap()];
        let rendered = template(CHART, &arguments, &[]).unwrap();
        assert!(rendered.contains("kind: StatefulSet"), "{values}");
        let everywhere = "kind: ClusterRoleBinding\nmetadata:\n  name: strongroom-native-secrets\n";
        assert!(rendered.contains(everywhere), "{values}");
        assert!(!rendered.contains("--native-secret-namespaces"), "{values}");
    }
}
