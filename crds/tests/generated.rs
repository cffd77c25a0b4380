//! The files of `charts/strongroom/files/crds`, and the page of conditions, are what the code says.
//! `UPDATE_GENERATED=1` rewrites them.

#![expect(clippy::expect_used, reason = "helpers of tests are tests")]

use std::path::{Path, PathBuf};

use strongroom_crds::condition::{ConditionType, Reason, Retryability};

/// Largest definition that `kubectl apply` can carry in its last-applied annotation with room to spare, in
/// bytes of JSON. All annotations of an object together have 256 KiB.
const DEFINITION_BYTES: usize = 120_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/strongroom/files/crds")
}

#[test]
fn generated_files_are_current() {
    let mut names = Vec::new();
    for definition in strongroom_crds::all() {
        let yaml = strongroom_crds::definition_yaml(&definition).expect("printable");
        let json = serde_json::to_string(&definition).expect("serializable");
        let name = format!("{}.yaml", definition.spec.names.plural);
        assert!(json.len() < DEFINITION_BYTES, "{name} has {} bytes", json.len());
        assert_current(&folder().join(&name), &yaml);
        names.push(name);
    }

    let mut files: Vec<String> = std::fs::read_dir(folder())
        .expect("readable")
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    files.sort();
    names.sort();
    assert_eq!(files, names, "a file without a kind, or a kind without a file");
}

/// Writes the file where that is asked for, and holds it to the text.
fn assert_current(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        std::fs::write(path, text).expect("writable");
    }
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == text,
        "{} is old: run UPDATE_GENERATED=1 cargo test -p strongroom-crds",
        path.display()
    );
}

#[test]
fn the_reference_lists_every_condition_and_reason() {
    let sentence = |meaning: &str| meaning.trim().to_owned();
    let types: String = ConditionType::ALL
        .iter()
        .map(|type_| format!("| `{type_}` | {} |\n", sentence(type_.meaning())))
        .collect();
    let mut reasons: Vec<String> = Reason::ALL
        .iter()
        .map(|reason| {
            let heals = match reason.retryability() {
                Retryability::Fine => "",
                Retryability::Retry => "time",
                Retryability::Person => "you",
            };
            format!("| `{reason}` | {heals} | {} |\n", sentence(reason.meaning()))
        })
        .collect();
    reasons.sort();
    let page = format!(
        "# Conditions\n\n\
         Made of `crds/src/condition.rs`. `Ready`, `Reconciling` and `Stalled` mean what \
         [kstatus](https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md) defines, \
         so that `kubectl wait`, Flux and Argo CD understand them.\n\n\
         | type | meaning |\n|---|---|\n{types}\n\
         ## Reasons\n\n\
         The message of a condition says what to do. Who makes it heal: *time*, because the controller tries again \
         or waits for something that it watches; or *you*, because the object, another object or the installation \
         must change.\n\n\
         | reason | heals by | meaning |\n|---|---|---|\n{}",
        reasons.concat()
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/conditions.md");
    assert_current(&path, &page);
}

#[test]
fn yaml_reads_back_as_the_definitions() {
    for definition in strongroom_crds::all() {
        let yaml = strongroom_crds::definition_yaml(&definition).expect("printable");
        let read: serde_json::Value = serde_saphyr::from_str(&yaml).expect("readable");
        assert_eq!(read, serde_json::to_value(&definition).expect("serializable"));
    }
}

/// Of others the API server warns at every apply (`supportedVersionedFormats` of
/// k8s.io/apiextensions-apiserver).
#[test]
fn every_format_is_one_that_kubernetes_knows() {
    let yaml = strongroom_crds::yaml().expect("printable");
    let formats = yaml
        .lines()
        .filter_map(|line| line.trim().strip_prefix("format: "));
    let known = [
        "int32",
        "int64",
        "double",
        "float",
        "byte",
        "date-time",
        "duration",
    ];
    for format in formats.filter(|format| !format.is_empty()) {
        assert!(known.contains(&format), "{format}");
    }
}
