//! A store that format version 1 wrote, whole, opens for ever: every secret, version, stage and key of it,
//! both audit chains, and what a process does with it next.
//!
//! `STRONGROOM_GOLDEN=write` makes the store anew, and is for a new format version alone: whoever needs it
//! for version 1 has broken it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::fs;

use data_encoding::HEXLOWER;
use strongroom_model::id::{KeyId, SecretId};
use strongroom_model::name::Stage;
use strongroom_store::audit;
use strongroom_store::vault::*;

use support::files::{SEGMENT, copy, each_segment, golden, golden_copy};
use support::*;

const KEY: KeyId = KeyId::from_bytes([0x54; 16]);

/// The secrets of the store, by what became of them.
const LIVE: SecretId = SecretId::from_bytes([1; 16]);
const CUSTOMERS: SecretId = SecretId::from_bytes([2; 16]);
const PENDING: SecretId = SecretId::from_bytes([3; 16]);

/// What lies outside the store: the anchor, and the public key of its audit log.
fn outside() -> (Anchor, String) {
    let text = fs::read_to_string(golden().join("outside.txt")).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    let anchor = Anchor {
        store: words[0].parse().unwrap(),
        counter: words[1].parse().unwrap(),
        mac: HEXLOWER.decode(words[2].as_bytes()).unwrap().try_into().unwrap(),
    };
    (anchor, words[3].to_owned())
}

/// Makes the store that is checked in.
fn write() {
    let keep = tempfile::tempdir().unwrap();
    let dir = keep.path().join("store");
    prepare(&dir);
    let store = open(&dir);
    let namespace = bind(&store, "shop", "uid-1");
    let key = CreateKey {
        id: KEY,
        namespace,
        name: "customer".parse().unwrap(),
    };
    store.run(key, meta()).unwrap();
    for (id, name, key) in [
        (LIVE, "live", KeyRef::Default),
        (CUSTOMERS, "customers", KeyRef::Customer(KEY)),
        (PENDING, "pending", KeyRef::Default),
    ] {
        let new = CreateSecret {
            id,
            description: format!("the {name} one"),
            labels: [("app".to_owned(), "checkout".to_owned())].into(),
            key,
            ..new_secret(namespace, name, "first")
        };
        store.run(new, meta()).unwrap();
        put(&store, id, "v2", "second", &[]).unwrap();
        put(&store, id, "v3", "third", &["blue"]).unwrap();
    }
    store.run(NewKeyVersion { namespace, key: KEY }, meta()).unwrap();
    put(&store, CUSTOMERS, "v4", "fourth", &[]).unwrap();
    let delete = deletion_of(PENDING);
    store.run(delete, meta()).unwrap();
    get(&store, LIVE, None, None).unwrap();
    get(&store, PENDING, None, None).unwrap_err();
    let (anchor, key) = (store.anchor(), store.audit_public_key().to_string());
    store.close();
    drop(store);
    let _ = fs::remove_dir_all(golden());
    each_segment(&dir, |bytes| {
        assert_eq!(bytes.len() as u64, SEGMENT);
        bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last as u64 + 1)
    });
    copy(&dir, &golden());
    let text = format!(
        "{} {} {} {key}\n",
        anchor.store,
        anchor.counter,
        HEXLOWER.encode(&anchor.mac)
    );
    fs::write(golden().join("outside.txt"), text).unwrap();
}

#[test]
fn a_store_of_format_version_1_opens_and_goes_on() {
    if std::env::var("STRONGROOM_GOLDEN").is_ok_and(|value| value == "write") {
        write();
    }
    let keep = tempfile::tempdir().unwrap();
    let dir = keep.path().join("store");
    golden_copy(&dir);
    let (anchor, key) = outside();
    let report = audit::verify(&dir, &key.parse().unwrap()).unwrap();
    assert!(report.is_sound(), "{report:?}");

    let store = try_open(&dir, AnchorRule::Expect(anchor)).unwrap();
    let read = |secret, version: Option<&str>, stage: Option<Stage>| get(&store, secret, version, stage);
    for (secret, current, previous) in [(LIVE, "second", "first"), (CUSTOMERS, "fourth", "second")] {
        assert_eq!(read(secret, None, None).unwrap(), current);
        assert_eq!(read(secret, None, Some(Stage::Previous)).unwrap(), previous);
        assert_eq!(
            read(secret, None, Some("blue".parse().unwrap())).unwrap(),
            "third"
        );
        assert_eq!(read(secret, Some("v1"), None).unwrap(), "first");
    }
    let live = store.describe(LIVE).unwrap();
    assert_eq!(
        (live.name.as_str(), live.description.as_str()),
        ("live", "the live one")
    );
    assert_eq!(live.labels["app"], "checkout");
    assert_eq!(live.created, at(0));
    assert_eq!(store.describe_key(live.namespace, KEY).unwrap().primary, 2);
    assert_eq!(read(PENDING, None, None).unwrap_err().code(), "InRecoveryWindow");

    // And it goes on: commands of today on records of then.
    store.run(RestoreSecret { secret: PENDING }, meta()).unwrap();
    assert_eq!(read(PENDING, None, None).unwrap(), "second");
    let rewrap = Rewrap {
        key: Some(KEY),
        after: None,
        limit: 100,
    };
    assert_eq!(store.run(rewrap, meta()).unwrap().moved, 3);
    put(&store, LIVE, "v4", "of today", &[]).unwrap();
    // Its file has no table of access policies.
    assert_eq!(store.policies().unwrap(), EnforcedPolicies::default());
    let policy = EnforcedPolicy {
        uid: "uid-2".parse().unwrap(),
        namespace: "shop".parse().unwrap(),
        name: "all".to_owned(),
        generation: 1,
        statements: b"statements".to_vec(),
    };
    store.run(RemovePolicy(policy.uid.clone()), meta()).unwrap();
    store.run(EnforcePolicy(policy.clone()), meta()).unwrap();
    // Nor one of products.
    assert_eq!(store.products().unwrap(), ProductRecords::default());
    store.run(PutProduct(product("pg", 1, 1)), meta()).unwrap();
    store.close();
    drop(store);
    let store = open(&dir);
    assert_eq!(store.policies().unwrap().policies, [policy]);
    assert_eq!(store.products().unwrap().products, [product("pg", 1, 1)]);
    assert_eq!(get(&store, LIVE, None, None).unwrap(), "of today");
    assert_eq!(get(&store, CUSTOMERS, Some("v1"), None).unwrap(), "first");
    store.close();
    drop(store);

    // A quota comes to it: what it has above that is its own limit.
    let quota = Some(Quota {
        secrets: 2,
        bytes: 1 << 20,
    });
    for _ in 0..2 {
        let store = open_within(&dir, quota);
        let room = store.namespace_usage(live.namespace).unwrap();
        assert_eq!((room.used.secrets, room.limit.unwrap().secrets), (3, 3));
        put(&store, LIVE, &format!("quota-{}", store.epoch()), "of today", &[]).unwrap();
        let new = new_secret(live.namespace, "more", "first");
        assert_eq!(store.run(new, meta()).unwrap_err().code(), "NamespaceFull");
        store.close();
    }
    assert!(audit::verify(&dir, &key.parse().unwrap()).unwrap().is_sound());
}
