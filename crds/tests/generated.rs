//! The files of `charts/strongroom/files/crds` are what the code says. `UPDATE_GENERATED=1` rewrites them.

use std::path::{Path, PathBuf};

/// Largest bundle that `kubectl apply` can carry in its last-applied annotation with room to spare, in bytes.
const BUNDLE_BYTES: usize = 100_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/strongroom/files/crds")
}

#[test]
fn generated_files_are_current() {
    let mut bundle = 0;
    let mut names = Vec::new();
    for definition in strongroom_crds::all() {
        let yaml = strongroom_crds::definition_yaml(&definition).expect("printable");
        bundle += yaml.len();
        let name = format!("{}.yaml", definition.spec.names.plural);
        let path = folder().join(&name);
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(&path, &yaml).expect("writable");
        }
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            file == yaml,
            "{name} is old: run UPDATE_GENERATED=1 cargo test -p strongroom-crds"
        );
        names.push(name);
    }
    assert!(bundle < BUNDLE_BYTES, "the bundle has {bundle} bytes");

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
