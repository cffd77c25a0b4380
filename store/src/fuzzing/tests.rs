//! Each record that the fuzz targets begin with is one that this code writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use strongroom_model::id::RequestId;
use strongroom_model::name::Stage;
use strongroom_model::time::Timestamp;
use strongroom_model::{Hosting, SecretBytes};

use super::*;
use crate::audit::{
    Action, Actor, AuditOutcome, ChainHead, Checkpoint, Cut, Entry, MutationRecord, ReadHead, Truncation,
};
use crate::crypto::{SealedValue, StateDigest};
use crate::engine::Table;
use crate::format::{HeadVersion, KeyState, KeyVersionState, Recovery, SecretState};
use crate::value::DataType;
use crate::vault::{KeyDeclaration, ObjectRef, ProductManager, ProductQuota, Quota, RotationState};

const TIME: Timestamp = Timestamp::from_millis(1_795_465_320_000);
const READS: ReadHead = ReadHead {
    sequence: 9,
    hash: [9; 32],
};
const CHAIN: ChainHead = ChainHead {
    sequence: 7,
    hash: [7; 32],
};

fn head() -> Head {
    let version = |sequence, id: &str, data_type| HeadVersion {
        id: id.parse().unwrap(),
        sequence,
        created: TIME,
        data_type,
    };
    let text = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    Head {
        id: SecretId::from_bytes([0; 16]),
        namespace: NamespaceId::from_bytes([1; 16]),
        name: "checkout/db".parse().unwrap(),
        description: "what it is for".to_owned(),
        labels: text(&[("app", "checkout"), ("ops", "shop")]),
        state: SecretState::PendingDeletion {
            since: TIME,
            until: TIME,
        },
        key: KeyId::from_bytes([2; 16]),
        customer_key: true,
        next_sequence: 3,
        versions: vec![
            version(1, "v-1", DataType::Binary),
            version(2, "v-2", DataType::Text),
        ],
        stages: BTreeMap::from([
            (Stage::Current, 2),
            (Stage::Previous, 1),
            ("blue".parse().unwrap(), 1),
            ("cyan".parse().unwrap(), 2),
        ]),
        created: TIME,
        updated: TIME,
        revision: 0,
        object: Some(ObjectRef {
            uid: "uid-1".parse().unwrap(),
            name: "checkout".to_owned(),
        }),
        materialized: Some(ObjectRef {
            uid: "uid-2".parse().unwrap(),
            name: "checkout".to_owned(),
        }),
        rotation: RotationState {
            last: Some(TIME),
            last_trigger: Some("once".to_owned()),
        },
        recovery: Recovery::Window,
    }
}

fn entry() -> Entry {
    let mut entry = Entry::new(
        TIME,
        Actor::Controller("shop/checkout".to_owned()),
        Action::RotateSecret,
    );
    entry.outcome = AuditOutcome::Refused("KeyDisabled".to_owned());
    entry.namespace = Some("shop".parse().unwrap());
    entry.secret = Some("checkout/db".parse().unwrap());
    entry.secret_id = Some(SecretId::from_bytes([3; 16]));
    entry.version = Some("v-1".parse().unwrap());
    entry.stage = Some(Stage::Current);
    entry.key = Some(KeyId::from_bytes([2; 16]));
    entry.request = Some(RequestId::from_bytes([4; 16]));
    entry.detail = "2 keys".to_owned();
    entry
}

fn product() -> ProductRecord {
    let manager = |name: &str, uid: Option<&str>| ProductManager {
        namespace: "aigw-system".parse().unwrap(),
        name: name.to_owned(),
        namespace_uid: uid.map(|uid| uid.parse().unwrap()),
    };
    let quota = |per_namespace, total| ProductQuota { per_namespace, total };
    ProductRecord {
        code: "aigw".parse().unwrap(),
        incarnation: "uid-4".parse().unwrap(),
        since: TIME,
        managers: BTreeSet::from([
            manager("aigw-controller", Some("uid-5")),
            manager("aigw-data", None),
        ]),
        hosting: BTreeMap::from([
            (Hosting::Free, quota(20, 500)),
            (Hosting::Paid, quota(100, 5_000)),
        ]),
        adopted: true,
    }
}

/// One record of each kind, as it is written.
fn samples() -> BTreeMap<&'static str, Vec<u8>> {
    let value = Value::from_keys(BTreeMap::from([
        (
            "password".parse().unwrap(),
            SecretBytes::new(b"correct horse".to_vec()),
        ),
        (
            "username".parse().unwrap(),
            SecretBytes::new(b"checkout".to_vec()),
        ),
    ]));
    let key = KeyRecord {
        id: KeyId::from_bytes([0; 16]),
        namespace: NamespaceId::from_bytes([0; 16]),
        name: Some("payments".parse().unwrap()),
        state: KeyState::PendingDeletion { until: TIME },
        primary: 2,
        versions: vec![
            KeyVersionState {
                version: 1,
                created: TIME,
            },
            KeyVersionState {
                version: 2,
                created: TIME,
            },
        ],
        created: TIME,
        declaration: Some(KeyDeclaration {
            object: ObjectRef {
                uid: "uid-2".parse().unwrap(),
                name: "payments".to_owned(),
            },
            window_days: 30,
            loss_accepted: false,
        }),
    };
    let namespace = Namespace {
        id: NamespaceId::from_bytes([0; 16]),
        name: "shop".parse().unwrap(),
        uid: Some("uid-1".parse().unwrap()),
        default_key: Some(KeyId::from_bytes([2; 16])),
        created: TIME,
    };
    let state = StoreState {
        counter: 5,
        digest: StateDigest::from_bytes(&[6; 32]),
        head: CHAIN,
    };
    let sealed = SealedValue {
        commitment: [8; 32],
        sealed: vec![5; 48],
    };
    let data_key = StoredDataKey {
        key: KeyId::from_bytes([2; 16]),
        key_version: 2,
        wrapped: vec![5; 48],
    };
    let mutation = MutationRecord {
        epoch: 0,
        sequence: 0,
        previous: [7; 32],
        reads: READS,
        sealed: vec![5; 64],
    };
    let checkpoint = Checkpoint {
        head: CHAIN,
        reads: READS,
        time: TIME,
        signature: [4; 64],
    };
    let truncation = Truncation {
        cut: Cut {
            changes: CHAIN,
            reads: READS,
        },
        time: TIME,
        signature: [4; 64],
    };
    let items = [
        (Table::Meta, b"identity".to_vec(), vec![1; 17]),
        (Table::Head, vec![3; 16], vec![5; 90]),
    ];
    let policy = EnforcedPolicy {
        uid: "uid-3".parse().unwrap(),
        namespace: "shop".parse().unwrap(),
        name: "checkout".to_owned(),
        generation: 4,
        statements: br#"{"secrets":["db"]}"#.to_vec(),
    };
    let quota = |secrets| Quota {
        secrets,
        bytes: 1 << 20,
    };
    let allowances = Allowances(BTreeMap::from([
        (NamespaceId::from_bytes([1; 16]), quota(11_000)),
        (NamespaceId::from_bytes([2; 16]), quota(1)),
    ]));
    let (read_record, segment_header) = audit::read_samples();
    BTreeMap::from([
        ("state", state.encode().to_vec()),
        (
            "seal-digest",
            SealDigest {
                current: [1; 32],
                next: Some([2; 32]),
            }
            .encode(),
        ),
        ("head", head().encode().to_vec()),
        ("namespace", namespace.encode().to_vec()),
        ("key", key.encode().to_vec()),
        ("version", StoredVersion::encode(&sealed)),
        ("data-key", data_key.encode()),
        ("value", value.unwrap().encode().to_vec()),
        ("entry", entry().encode().to_vec()),
        ("mutation", mutation.encode()),
        ("checkpoint", checkpoint.encode()),
        ("read-record", read_record),
        ("segment-header", segment_header),
        ("backup-part", encode_part(&items).to_vec()),
        ("policy", policy.encode().to_vec()),
        ("truncation", truncation.encode()),
        ("allowances", allowances.encode().to_vec()),
        ("product", product().encode().to_vec()),
    ])
}

#[test]
fn a_head_without_a_window_is_of_format_2_and_every_other_one_stays_as_it_was() {
    let with = head().encode();
    let without = Head {
        recovery: Recovery::Nothing,
        ..head()
    };
    let bytes = without.encode();
    assert_eq!((with[0], bytes[0], bytes.len()), (1, 2, with.len() + 1));
    assert_eq!(bytes[1..with.len()], with[1..]);
    let read = |bytes: &[u8]| Head::decode(SecretId::from_bytes([0; 16]), 0, bytes);
    assert_eq!(read(&bytes), Ok(without));
    let mut other = bytes.to_vec();
    *other.last_mut().unwrap() = 0;
    assert_eq!(read(&other), Err(DecodeError::Invalid("recovery")));
}

#[test]
fn a_product_is_written_in_one_way_only() {
    let bytes = product().encode();
    assert_eq!(ProductRecord::decode(&bytes), Ok(product()));
    let place = |part: &[u8]| {
        let mut windows = bytes.windows(part.len());
        windows.position(|window| window == part).unwrap()
    };
    let changed = |at: usize, byte: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = byte;
        ProductRecord::decode(&bytes).unwrap_err()
    };
    // The managers in another order, or the same twice.
    assert_eq!(
        changed(place(b"aigw-data"), b'Z'),
        DecodeError::Invalid("managers"),
        "lower than the one before"
    );
    let hosting = bytes.len() - 1 - 2 * 17;
    for (at, byte) in [(hosting, 1), (hosting + 17, 0)] {
        assert_eq!(changed(at, byte), DecodeError::Invalid("hosting"), "twice");
    }
    assert_eq!(changed(hosting, 2), DecodeError::Invalid("hosting"));
    assert_eq!(changed(bytes.len() - 1, 2), DecodeError::Invalid("adopted"));
    assert_eq!(changed(0, 2), DecodeError::UnknownFormat(2));
    // A code that no product has.
    assert_eq!(
        changed(place(b"aigw"), b'A'),
        DecodeError::Invalid("product code")
    );
    for length in 0..bytes.len() {
        assert!(ProductRecord::decode(&bytes[..length]).is_err(), "{length}");
    }
    assert_eq!(
        ProductRecord::decode(&[&bytes[..], &[0]].concat()),
        Err(DecodeError::Trailing)
    );
}

#[test]
fn a_head_with_its_maps_out_of_order_is_refused() {
    let bytes = head().encode();
    let swapped = |one: &[u8], other: &[u8]| {
        let place = |part: &[u8]| {
            bytes
                .windows(part.len())
                .position(|window| window == part)
                .unwrap()
        };
        let (from, to) = (place(one), place(other));
        let mut bytes = bytes.to_vec();
        bytes[from..from + one.len()].copy_from_slice(other);
        bytes[to..to + other.len()].copy_from_slice(one);
        Head::decode(SecretId::from_bytes([0; 16]), 0, &bytes).unwrap_err()
    };
    assert_eq!(swapped(b"\x03app", b"\x03ops"), DecodeError::Invalid("labels"));
    assert_eq!(swapped(b"\x04blue", b"\x04cyan"), DecodeError::Invalid("stages"));
}

#[test]
fn the_seeds_of_the_fuzz_target_are_what_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/record");
    let samples = samples();
    assert_eq!(samples.len(), RECORDS.len());
    for (index, (kind, again)) in RECORDS.iter().enumerate() {
        let sample = &samples[kind];
        assert_eq!(again(sample).as_ref(), Ok(sample), "{kind}");
        // The target takes the kind from the first byte.
        let seed = [&[u8::try_from(index).unwrap()], sample.as_slice()].concat();
        let path = folder.join(kind);
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, seed).unwrap();
        } else {
            let stands = fs::read(&path).unwrap_or_default();
            assert_eq!(
                stands, seed,
                "fuzz/seeds/record/{kind}: run with UPDATE_GENERATED=1 and review"
            );
        }
    }
}
