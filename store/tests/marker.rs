//! Nothing readable on disk (invariant 32): a marker in everything that people write is looked for in every
//! file that the process leaves, in a backup, and in what errors and records print.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use data_encoding::{BASE64_NOPAD, HEXLOWER, HEXUPPER};
use strongroom_model::SecretBytes;
use strongroom_model::id::{KeyId, SecretId};
use strongroom_store::audit::{Actor, Durability};
use strongroom_store::value::Value;
use strongroom_store::vault::*;
use support::*;

/// Starts each marker; long enough that no file holds it by chance.
const MARKER: &str = "mark3rmark3r";

/// The marker as it could have been written: as it is, in hex, in base64 at each of its three offsets, with
/// wide characters.
fn forms() -> Vec<Vec<u8>> {
    let mut forms = vec![
        MARKER.as_bytes().to_vec(),
        HEXLOWER.encode(MARKER.as_bytes()).into_bytes(),
        HEXUPPER.encode(MARKER.as_bytes()).into_bytes(),
        MARKER.encode_utf16().flat_map(u16::to_be_bytes).collect(),
    ];
    for offset in 0..3 {
        let padded = [&vec![0; offset], MARKER.as_bytes()].concat();
        let encoded = BASE64_NOPAD.encode(&padded);
        // Characters that the neighbours also make are left out.
        forms.push(encoded.get(4..16).unwrap().as_bytes().to_vec());
    }
    forms
}

/// Files are long and mostly zeros, which comparing whole blocks passes over fast.
fn holds(bytes: &[u8]) -> bool {
    const BLOCK: usize = 4_096;
    let zeros = [0; BLOCK];
    let forms = forms();
    let longest = forms.iter().map(Vec::len).max().unwrap();
    (0..bytes.len()).step_by(BLOCK).any(|start| {
        let end = bytes.len().min(start + BLOCK + longest);
        let block = bytes.get(start..end).unwrap();
        if block.chunks(BLOCK).all(|part| *part == zeros[..part.len()]) {
            return false;
        }
        forms
            .iter()
            .any(|form| block.windows(form.len()).any(|window| window == form))
    })
}

fn check_files(dir: &Path) -> usize {
    let mut checked = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        assert!(!holds(path.to_str().unwrap().as_bytes()), "{}", path.display());
        if path.is_dir() {
            checked += check_files(&path);
        } else {
            assert!(!holds(&fs::read(&path).unwrap()), "{}", path.display());
            checked += 1;
        }
    }
    checked
}

fn marked(what: &str) -> String {
    format!("{MARKER}-{what}")
}

fn value_of(what: &str) -> Value {
    Value::from_keys(BTreeMap::from([(
        marked("data-key").parse().unwrap(),
        SecretBytes::new(marked(what).into_bytes()),
    )]))
    .unwrap()
}

#[test]
fn the_marker_is_found_where_it_is() {
    for (before, after) in [("", ""), ("x", "y"), ("xy", "zz"), ("xyz", "")] {
        let text = format!("{before}{MARKER}{after}");
        assert!(holds(text.as_bytes()));
        assert!(holds(HEXLOWER.encode(text.as_bytes()).as_bytes()));
        assert!(holds(BASE64_NOPAD.encode(text.as_bytes()).as_bytes()), "{text}");
    }
    assert!(!holds(b"mark3rmark2r"));
}

#[test]
fn nothing_that_people_write_is_readable_in_files_backups_errors_or_records() {
    let f = Fixture::new();
    let meta = || Meta {
        actor: Actor::Admin(marked("actor")),
        ..meta()
    };
    let namespace = f
        .store
        .run(
            BindNamespace {
                name: marked("namespace").parse().unwrap(),
                uid: marked("uid").parse().unwrap(),
            },
            meta(),
        )
        .unwrap();
    let key = f
        .store
        .run(
            CreateKey {
                id: KeyId::generate().unwrap(),
                namespace,
                name: marked("key").parse().unwrap(),
            },
            meta(),
        )
        .unwrap();
    let new = CreateSecret {
        description: marked("description"),
        labels: BTreeMap::from([(marked("label"), marked("label-value"))]),
        key: KeyRef::Customer(key.id),
        version: version(&marked("v1")),
        value: value_of("value-1"),
        ..new_secret(namespace, &marked("name"), "x")
    };
    let secret = new.id;
    f.store.run(new, meta()).unwrap();
    let put = PutValue {
        secret,
        version: version(&marked("v2")),
        value: value_of("value-2"),
        stages: vec![marked("stage").parse().unwrap()],
    };
    let mut printed = format!("{put:?} {:?}", put.value);
    f.store.run(put, meta()).unwrap();
    f.store
        .run(
            SetCursor {
                name: marked("cursor").parse().unwrap(),
                place: marked("place").into_bytes(),
            },
            meta(),
        )
        .unwrap();
    let policy = EnforcedPolicy {
        uid: marked("policy-uid").parse().unwrap(),
        namespace: marked("policy-namespace").parse().unwrap(),
        name: marked("policy"),
        generation: 1,
        statements: marked("statements").into_bytes(),
    };
    f.store.run(EnforcePolicy(policy), meta()).unwrap();
    let manager = ProductManager {
        namespace: marked("manager-namespace").parse().unwrap(),
        name: marked("manager"),
        namespace_uid: Some(marked("manager-uid").parse().unwrap()),
    };
    let product = ProductRecord {
        incarnation: marked("product-uid").parse().unwrap(),
        managers: [manager].into(),
        ..product(&marked("code"), 1, 1)
    };
    f.store.run(PutProduct(product), meta()).unwrap();
    let default_secret = format!("{}!{}", marked("code"), marked("identifier"));
    create(&f.store, namespace, &default_secret, "x");
    let get = GetValue {
        version: Some(version(&marked("v1"))),
        durability: Durability::Durable,
        ..GetValue::current(secret)
    };
    let read = f.store.value(&get, &meta()).unwrap();
    printed += &format!("{:?} {:?}", read.value, read.value.keys().values());
    drop(read);

    // Refusals and what is not there.
    let again = PutValue {
        secret,
        version: version(&marked("v2")),
        value: value_of("value-3"),
        stages: Vec::new(),
    };
    let error = f.store.run(again, meta()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("value-3"), "{error:?}");
    let absent = GetValue {
        secret: SecretId::generate().unwrap(),
        ..get
    };
    printed += &format!("{:?}", f.store.value(&absent, &meta()).unwrap_err());
    printed += &format!("{:?} {:?}", f.store, f.store.anchor());
    for what in ["value-1", "value-2", "value-3"] {
        assert!(!printed.contains(what), "{printed}");
    }

    let stream = backup_of(&f.store);
    assert!(!holds(&stream), "the backup");
    assert!(check_files(f.keep.path()) >= 4, "while it is open");
    f.store.run(deletion_of(secret), meta()).unwrap();
    let f = f.reopen();
    f.store.close();
    check_files(f.keep.path());
    let place = f.keep.path().join("restored");
    restore_into(&place, &stream, true).unwrap();
    assert!(check_files(&place) >= 2, "restored");
}
