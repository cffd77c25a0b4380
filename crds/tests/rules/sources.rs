//! Where a value comes from.

use serde_json::{Map, Value, json};

use super::{accepted_change, errors, generating, managed_secret, refused, refused_change, schedule};

/// A sealed source whose keys have texts of this many characters.
fn sealed(texts: &[usize]) -> Value {
    let keys: Map<_, _> = texts
        .iter()
        .enumerate()
        .map(|(number, length)| {
            let head = "strongroom1.0123456789abcdef.A.";
            let text = format!("{head}{}", "A".repeat(length - head.len()));
            (format!("key-{number}"), json!(text))
        })
        .collect();
    managed_secret(json!({"source": {"sealed": {"keys": keys}}}))
}

#[test]
fn sealed_texts_have_a_bound_in_all_that_every_value_fits_in() {
    let path = "spec.source.sealed.keys: the sealed texts are longer than those of a value";
    for texts in [&[90_000, 50_000][..], &[4_375; 32], &[90_000]] {
        assert_eq!(errors(&sealed(texts), None), Vec::<String>::new());
    }
    refused(&sealed(&[90_000, 50_001]), path);
    refused(&sealed(&[90_000; 15]), path);
}

#[test]
fn sources_are_exactly_one() {
    let import = json!({"secretRef": {"name": "old"}});
    let generate = json!({"keys": {"a": {"uuid": {}}}});
    for source in [json!({"generate": generate, "import": import}), json!({})] {
        refused(
            &managed_secret(json!({"source": source})),
            "spec.source: set exactly one of: generate, import",
        );
    }
    // What the API server sees of a source that does not exist yet: it prunes the unknown field.
    refused(
        &schedule(json!({"rotator": {}})),
        "spec.rotator: set exactly one of: generate",
    );
    for source in [json!({}), json!({"uuid": {}, "literal": "x"})] {
        refused(
            &generating(json!({"a": source})),
            "spec.source.generate.keys.a: set exactly one of: password, literal, hex, base64, uuid, ed25519, rsa, ecdsa, x509",
        );
    }
    let both = json!({"x509": {"commonName": "a", "ca": {"selfSigned": {}, "managedSecret": {"name": "b"}}}});
    refused(
        &generating(json!({"a": both})),
        "spec.source.generate.keys.a.x509.ca: set exactly one of: selfSigned",
    );
}

#[test]
fn a_generated_secret_is_not_imported_later() {
    let generated = generating(json!({"a": {"uuid": {}}}));
    let imported = managed_secret(json!({"source": {"import": {"secretRef": {"name": "old"}}}}));
    refused_change(
        &generated,
        &imported,
        "spec.source: a secret of another source cannot become an imported one",
    );
    accepted_change(&imported, &generated);
}
