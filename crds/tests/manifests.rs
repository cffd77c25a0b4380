//! Manifests: the samples are good, what is not is refused with its field, and nothing panics.

#![expect(clippy::expect_used, reason = "helpers of tests are tests")]

use kube::core::cel::Validator;
use proptest::prelude::*;
use strongroom_crds::{Manifest, ManifestError, parse_manifest};

fn samples() -> Vec<(String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let mut samples: Vec<(String, String)> = std::fs::read_dir(folder)
        .expect("readable")
        .map(|entry| entry.expect("readable").path())
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read_to_string(&path).expect("readable"),
            )
        })
        .collect();
    samples.sort();
    assert!(samples.len() >= 7);
    samples
}

#[test]
fn samples_are_good_and_survive_a_round_trip() {
    for (name, text) in samples() {
        let manifest = parse_manifest(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (kind, object) = match &manifest {
            Manifest::EncryptionKey(object) => ("EncryptionKey", serde_json::to_value(object)),
            Manifest::ManagedSecret(object) => ("ManagedSecret", serde_json::to_value(object)),
            Manifest::RotationSchedule(object) => ("RotationSchedule", serde_json::to_value(object)),
            Manifest::SecretPolicy(object) => ("SecretPolicy", serde_json::to_value(object)),
            Manifest::SecretProduct(object) => ("SecretProduct", serde_json::to_value(object)),
        };
        let object = object.expect("serializable");
        let yaml = serde_saphyr::to_string(&object).expect("printable");
        assert_eq!(parse_manifest(&yaml).as_ref(), Ok(&manifest), "{name}");

        let definitions = strongroom_crds::all();
        let definition = definitions
            .iter()
            .find(|d| d.spec.names.kind == kind)
            .expect("one of ours");
        let schema = definition.spec.versions[0].schema.as_ref().expect("a schema");
        let schema = serde_json::to_value(&schema.open_api_v3_schema).expect("serializable");
        if let Err(errors) = Validator::new().validate(&schema, &object, None) {
            panic!("{name}: {errors:?}");
        }
    }
}

#[test]
fn bad_manifests_are_refused_with_their_field() {
    let head = "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: a}\n";
    let unknown = |text: &str, path: &str| {
        let expected = ManifestError::UnknownFields {
            paths: vec![path.to_owned()],
        };
        assert_eq!(parse_manifest(&format!("{head}{text}")), Err(expected), "{text}");
    };
    unknown(
        "spec: {source: {generate: {keys: {a: {uuid: {}}}}}, sealed: true}",
        "spec.sealed",
    );
    unknown(
        "spec: {source: {generate: {keys: {a: {uuid: {version: 7}}}}}}",
        "spec.source.generate.keys.a.uuid.version",
    );
    unknown(
        "spec: {source: {generate: {keys: {a: {uuid: {}}}}}}\nextra: 1",
        "extra",
    );
    for (text, part) in [
        ("spec: {source: {conjured: {}}}", "conjured"),
        ("spec: {source: {sealed: {}}}", "keys"),
        ("spec: {source: {generate: {keys: {a: {uuid: {}, hex: {}}}}}}", ""),
        ("spec: {}", "source"),
        ("spec: {source: {import: {secretRef: {}}}}", "name"),
        (
            "spec: {source: {import: {secretRef: {name: a}}}, deletion: {recoveryWindow: 30}}",
            "string",
        ),
        (
            "spec: {source: {import: {secretRef: {name: a}}}, deletion: {recoveryWindow: 1.5d}}",
            "1.5d",
        ),
    ] {
        match parse_manifest(&format!("{head}{text}")) {
            Err(ManifestError::Malformed { what }) => assert!(what.contains(part), "{text}: {what}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    let other = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n";
    assert!(matches!(
        parse_manifest(other),
        Err(ManifestError::UnknownKind { .. })
    ));
    for text in ["", "]", "a: b: c", "- 1", "a: &a [*a]"] {
        assert!(
            matches!(
                parse_manifest(text),
                Err(ManifestError::NotYaml { .. } | ManifestError::UnknownKind { .. })
            ),
            "{text}"
        );
    }
    assert_eq!(
        parse_manifest(&" ".repeat(2_000_000)),
        Err(ManifestError::TooLarge)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_text_gives_an_answer(text in "[ -~\\n]{0,200}") {
        let _ = parse_manifest(&text);
    }

    /// Samples with a piece cut out or doubled: close enough to the real thing to reach deep.
    #[test]
    fn any_damaged_sample_gives_an_answer(sample: usize, from: usize, length in 0_usize..40, twice: bool, put in "[ -~]{0,8}") {
        let samples = samples();
        let text: Vec<char> = samples[sample % samples.len()].1.chars().collect();
        let from = from % text.len();
        let until = (from + length).min(text.len());
        let mut damaged: String = text[..from].iter().collect();
        damaged.push_str(&put);
        if twice {
            damaged.extend(&text[from..until]);
            damaged.extend(&text[from..until]);
        }
        damaged.extend(&text[until..]);
        let _ = parse_manifest(&damaged);
    }
}
