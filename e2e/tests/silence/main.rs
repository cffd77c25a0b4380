//! The promise: a value is in the store and in its native Secret, and nowhere else. A process that traces
//! everything it does is made to do everything; then its log, its Events, the objects, its metrics, its files
//! and its backup are searched for what people wrote.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot set up must stop"
)]

mod api;
#[path = "../support/mod.rs"]
mod support;
mod traces;

use std::fs;
use std::path::Path;
use std::process::Output;

use data_encoding::BASE64;
use serde_json::{Value, json};
use strongroom_e2e::Strongroom;
use support::metrics::metrics;
use support::{Fixture, condition, eventually};
use traces::Traces;

// Values that people write.
const LITERAL: &str = "1iteralV4lueN0bodyMaySee";
const TEMPLATED: &str = "temp1ateTextN0bodyMaySee";
const IMPORTED: &str = "imp0rtedV4lueN0bodyMaySee";
const REFUSED: &str = "refusedV4lueN0bodyMaySee";
const FOREIGN: &str = "f0reignV4lueN0bodyMaySee";
const DRIFTED: &str = "drif7edV4lueN0bodyMaySee";
const MISFIT: &str = "misfi7V4lueN0bodyMaySee";
const MISFIT_NUMBER: u64 = 8_271_645_509_182_736_455;
// Names that people give; files show none of them.
const OBJECT: &str = "0bject-of-the-checkout";
const STORE_NAME: &str = "st0re-name-of-the-checkout";
const KEY: &str = "k3y-of-the-checkout";
const NATIVE: &str = "na7ive-of-the-checkout";

/// An object in the namespace of the test.
fn object(kind: &str, name: &str, spec: &Value) -> String {
    json!({
        "apiVersion": "strongroom.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "shop"}, "spec": spec,
    })
    .to_string()
}

fn managed(name: &str, spec: &Value) -> String {
    object("ManagedSecret", name, spec)
}

fn native(name: &str, type_: &str, value: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": type_,
        "metadata": {"name": name, "namespace": "shop"}, "stringData": {"value": value},
    })
    .to_string()
}

fn checkout() -> String {
    let text = format!("{TEMPLATED} {{{{ keys[\"{KEY}\"] | urlencode }}}}:{{{{ password | b64encode }}}}");
    managed(
        OBJECT,
        &json!({
            "storeName": STORE_NAME,
            "source": {"generate": {"keys": {KEY: {"literal": LITERAL}, "password": {"password": {"length": 32}}, "ca": {"ed25519": {}}}}},
            "secret": {"name": NATIVE, "keys": [KEY, "password"], "template": {"url": text}},
        }),
    )
}

/// Creates, without the copy of the object that `apply` leaves in an annotation.
fn create(f: &Fixture, text: &str) {
    let (success, _, stderr) = f.piped(&["create", "-f", "-"], text);
    assert!(success, "{stderr}");
}

fn annotate(f: &Fixture, name: &str, annotation: &str) {
    f.kubectl(&[
        "-n",
        "shop",
        "annotate",
        "managedsecret",
        name,
        annotation,
        "--overwrite",
    ]);
}

/// The value of the password now, out of the native Secret.
fn password(f: &Fixture) -> Option<String> {
    let data = f.native(NATIVE)?;
    let bytes = BASE64.decode(data["password"].as_str()?.as_bytes()).ok()?;
    String::from_utf8(bytes).ok()
}

/// Waits for another password than the last of these, and adds it.
fn rotated(f: &Fixture, passwords: &mut Vec<String>) {
    let last = passwords.last().cloned();
    passwords.push(eventually("another password", || {
        password(f).filter(|now| Some(now) != last.as_ref())
    }));
}

fn strongroom(f: &Fixture, arguments: &[&str]) -> Output {
    std::process::Command::new(Strongroom::binary())
        .args(arguments)
        .env("KUBECONFIG", f.cluster.kubeconfig())
        .output()
        .unwrap()
}

/// Everything in the cluster that the process writes or could write, without what people wrote themselves:
/// specs, and data of Secrets.
fn objects(f: &Fixture) -> Vec<(String, String)> {
    let kinds = [
        "managedsecrets",
        "rotationschedules",
        "secrets",
        "events",
        "configmaps",
        "leases",
        "namespaces",
    ];
    let list = |kind: &str| {
        let list = f.json(&["get", kind, "--all-namespaces"]);
        list["items"].as_array().unwrap().clone()
    };
    let mut objects = Vec::new();
    for kind in kinds {
        for mut object in list(kind) {
            let fields = object.as_object_mut().unwrap();
            if ["managedsecrets", "secrets"].contains(&kind) {
                fields.remove("spec");
                fields.remove("data");
            }
            objects.push((
                format!("{kind} {}", object["metadata"]["name"]),
                object.to_string(),
            ));
        }
    }
    objects
}

/// Every file below `dir`, and its name.
fn files(dir: &Path, search: &mut dyn FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), search);
        } else if kind.is_file() {
            search(&entry.path(), &fs::read(entry.path()).unwrap());
        }
    }
}

/// Lets objects in that do not fit their type, as an older definition may have.
fn misfits(f: &Fixture) {
    let loose = json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema",
        "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}])
    .to_string();
    f.kubectl(&[
        "patch",
        "crd",
        "managedsecrets.strongroom.dev",
        "--type=json",
        "-p",
        &loose,
    ]);
    for (name, keys) in [
        ("misfit-text", json!({"a": {"password": MISFIT}})),
        ("misfit-number", json!({"a": {"literal": MISFIT_NUMBER}})),
        ("misfit-variant", json!({"a": {MISFIT: {}}})),
        ("misfit-list", json!([MISFIT])),
    ] {
        let text = managed(name, &json!({"source": {"generate": {"keys": keys}}}));
        eventually("the loose definition to be in force", || {
            f.piped(&["create", "-f", "-"], &text).0.then_some(())
        });
        eventually("the misfit to be told", || {
            condition(&f.managed(name), "Ready").filter(|ready| ready["reason"] == "SourceInvalid")
        });
    }
}

/// Makes the process do everything that it does with values. Answers with the passwords that it made.
fn everything(f: &Fixture) -> (Strongroom, Vec<String>) {
    let start = |format: &str| {
        let format = format!("--log-format={format}");
        let arguments = ["--log-filter=trace", &format];
        Strongroom::start_with(&f.cluster, &f.data(), &arguments).unwrap_or_else(|error| {
            let log = fs::read_to_string(f.data().join("serve.log")).unwrap_or_default();
            let told: Vec<&str> = log.lines().filter(|line| !line.contains("TRACE")).collect();
            panic!("{error}\n{}", told[told.len().saturating_sub(40)..].join("\n"))
        })
    };
    let mut process = start("json");
    let mut passwords = Vec::new();

    // Made, imported, refused, failed.
    create(f, &checkout());
    f.wait_ready(OBJECT, "True", "Ready");
    rotated(f, &mut passwords);
    let every_minute = json!({
        "secrets": {"names": [OBJECT]}, "schedule": {"every": "1m"}, "rotator": {"generate": {"keys": ["password"]}},
    });
    create(f, &object("RotationSchedule", "every-minute", &every_minute));
    create(f, &native("old-login", "Opaque", IMPORTED));
    create(
        f,
        &managed(
            "imported",
            &json!({"source": {"import": {"secretRef": {"name": "old-login"}}}, "secret": {"name": "old-login"}}),
        ),
    );
    f.wait_ready("imported", "True", "Ready");
    create(f, &native("token", "bootstrap.kubernetes.io/token", REFUSED));
    create(
        f,
        &managed(
            "refused",
            &json!({"source": {"import": {"secretRef": {"name": "token"}}}}),
        ),
    );
    f.wait_ready("refused", "False", "ImportRefused");
    create(f, &native("taken", "Opaque", FOREIGN));
    let literal = json!({"generate": {"keys": {"a": {"literal": LITERAL}}}});
    create(
        f,
        &managed(
            "not-owned",
            &json!({"source": literal, "secret": {"name": "taken"}}),
        ),
    );
    f.wait_ready("not-owned", "False", "TargetNotOwned");
    for (name, template) in [
        ("not-pem", "{{ [a] | pem_bundle }}"),
        ("unknown-name", "{{ a }}{{ b }}"),
        ("whole-map", "{{ keys }}"),
        (
            "too-large",
            "{% for x in [a, a] %}{{ a | replace(\"e\", a) | replace(\"e\", a) | replace(\"e\", a) | replace(\"e\", a) | replace(\"e\", a) | replace(\"e\", a) | replace(\"e\", a) }}{% endfor %}",
        ),
    ] {
        let template = format!("{TEMPLATED} {template}");
        create(
            f,
            &managed(
                name,
                &json!({"source": literal, "secret": {"name": name, "template": {"url": template}}}),
            ),
        );
        let ready =
            |object: &Value| condition(object, "Ready").is_some_and(|ready| ready["status"] == "False");
        eventually(&format!("{name} to fail"), || Some(f.managed(name)).filter(ready));
    }
    misfits(f);

    // Changed by hand, and back.
    let drift = json!({"stringData": {KEY: DRIFTED, "more": DRIFTED}}).to_string();
    f.kubectl(&["-n", "shop", "patch", "secret", NATIVE, "-p", &drift]);
    eventually("drift to be repaired", || {
        f.native(NATIVE).filter(|data| data["more"].is_null())
    });
    annotate(f, OBJECT, "strongroom.dev/rotate-now=once");
    rotated(f, &mut passwords);
    annotate(f, OBJECT, "strongroom.dev/restore=nothing-like-an-id");

    // Killed, and started again with lines for people; then the schedule's turn.
    process.kill();
    let mut process = start("text");
    annotate(f, OBJECT, "strongroom.dev/restore-");
    rotated(f, &mut passwords);
    f.kubectl(&["-n", "shop", "delete", "rotationschedule", "every-minute"]);
    f.wait_ready(OBJECT, "True", "Ready");
    let id = f.managed(OBJECT)["status"]["secretId"]
        .as_str()
        .unwrap()
        .to_owned();

    // Deleted, refused, restored; another one destroyed.
    f.kubectl(&["-n", "shop", "delete", "managedsecret", OBJECT, "imported"]);
    eventually("the native Secrets to go", || {
        (f.native(NATIVE).is_none() && f.native("old-login").is_none()).then_some(())
    });
    create(f, &checkout());
    f.wait_ready(OBJECT, "False", "InRecoveryWindow");
    annotate(f, OBJECT, &format!("strongroom.dev/restore={id}"));
    f.wait_ready(OBJECT, "True", "Ready");
    assert!(passwords.contains(&eventually("the password to come back", || password(f))));
    create(f, &managed("imported", &json!({"source": literal})));
    let object = f.wait_ready("imported", "False", "InRecoveryWindow");
    let id = object["status"]["pendingDeletion"]["secretId"].as_str().unwrap();
    annotate(f, "imported", &format!("strongroom.dev/purge={id}"));
    f.wait_ready("imported", "True", "Ready");
    assert!(process.ended().is_none(), "{}", process.log());
    (process, passwords)
}

#[test]
fn no_value_shows_anywhere() {
    let f = Fixture::new();
    let (mut process, passwords) = everything(&f);
    let mut things = vec![
        ("the literal", LITERAL.to_owned()),
        ("the template's text", TEMPLATED.to_owned()),
        ("the imported value", IMPORTED.to_owned()),
        ("the value that is not imported", REFUSED.to_owned()),
        ("the value of a foreign Secret", FOREIGN.to_owned()),
        ("the value of an edit", DRIFTED.to_owned()),
        ("the value in the wrong place", MISFIT.to_owned()),
        ("the number in the wrong place", MISFIT_NUMBER.to_string()),
    ];
    assert!(passwords.len() >= 3);
    things.extend(passwords.into_iter().map(|password| ("a password", password)));
    let values = Traces::new(&things);
    let names = [OBJECT, STORE_NAME, KEY, NATIVE].map(|name| ("a name", name.to_owned()));
    let names = Traces::new(&names);

    // The search finds what is there: values in native Secrets, names in the log.
    let native = f.kubectl(&["-n", "shop", "get", "secret", NATIVE, "-o", "json"]);
    assert!(values.within(native.as_bytes()).len() >= 2, "{native}");
    assert!(!names.within(process.log().as_bytes()).is_empty());
    let traced = |line: &&str| line.contains("TRACE");
    assert!(
        process.log().lines().filter(traced).count() > 100,
        "the log is not traced"
    );

    let mut shown = Vec::new();
    let mut search = |place: &str, bytes: &[u8], for_what: &Traces| {
        for what in for_what.within(bytes) {
            let line = String::from_utf8_lossy(bytes);
            let line = line
                .lines()
                .find(|line| for_what.within(line.as_bytes()).contains(what));
            shown.push(format!("{place}: {what}: {}", line.unwrap_or_default()));
        }
    };
    for (name, text) in objects(&f) {
        search(&name, text.as_bytes(), &values);
    }
    search("metrics", metrics(&process).as_bytes(), &values);

    // What commands print and write, of the running process and of the stopped one.
    let data = f.data().join("data");
    let (path, backup) = (data.to_str().unwrap(), f.keep.path().join("backup"));
    let restored = f.keep.path().join("restored");
    let seal = "--seal-kubernetes-secret=strongroom-root-key";
    let to = backup.to_str().unwrap();
    let store = data.join("store");
    let store = store.to_str().unwrap();
    // The commands look for the root key in the namespace of the kubeconfig.
    f.kubectl(&["config", "set-context", "--current", "--namespace=strongroom"]);
    let key = strongroom(&f, &["audit", "public-key", "--data-dir", path, seal]);
    let key = String::from_utf8(key.stdout).unwrap();
    let taken = strongroom(&f, &["backup", "--data-dir", path, "--to", to]);
    files(&data, &mut |path, bytes| {
        let place = format!("{} while it runs", path.display());
        search(&place, bytes, &values);
        search(&place, bytes, &names);
    });
    assert!(process.stop().unwrap().success());
    let outputs = [
        taken,
        strongroom(
            &f,
            &["audit", "verify", "--dir", store, "--public-key", key.trim()],
        ),
        strongroom(&f, &["store", "check", "--dir", store, seal]),
        strongroom(
            &f,
            &[
                "restore",
                "--data-dir",
                restored.to_str().unwrap(),
                seal,
                "--from",
                to,
            ],
        ),
    ];
    for output in outputs {
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
        search("a command", &said, &values);
        search("a command", &said, &names);
    }
    search("the log", process.log().as_bytes(), &values);
    let mut count = 0;
    for dir in [&data, &restored] {
        files(dir, &mut |path, bytes| {
            let place = path.display().to_string();
            search(&place, bytes, &values);
            search(&place, bytes, &names);
            count += 1;
        });
    }
    assert!(count >= 6, "{count} files");
    let backup = fs::read(backup).unwrap();
    search("the backup", &backup, &values);
    search("the backup", &backup, &names);
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}
