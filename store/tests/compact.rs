//! A store whose file is written anew: it holds what it held, its anchor fits, and nothing is left in the
//! file of what was destroyed.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use strongroom_model::id::SecretId;
use strongroom_store::crypto::RootKey;
use strongroom_store::engine::{Batch, Change, DEFAULT_CACHE_BYTES, STORE_FILE, Table, open_file, view_file};
use strongroom_store::vault::*;
use support::files::records;
use support::*;

/// So many of the last bytes of a sealed record are its own alone.
const TAIL_BYTES: usize = 24;

/// How many of these records stand anywhere in the file, free pages included.
fn found(dir: &Path, records: &BTreeMap<Vec<u8>, Vec<u8>>) -> usize {
    let tails: BTreeSet<&[u8]> = records
        .values()
        .map(|sealed| sealed.rchunks(TAIL_BYTES).next().unwrap())
        .collect();
    let file = fs::read(dir.join(STORE_FILE)).unwrap();
    let there: BTreeSet<&[u8]> = file
        .windows(TAIL_BYTES)
        .filter(|window| tails.contains(window))
        .collect();
    there.len()
}

/// The records of `before` that are not in the table any more.
fn destroyed(dir: &Path, table: Table, before: &BTreeMap<Vec<u8>, Vec<u8>>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let left = records(dir, table);
    before
        .iter()
        .filter(|(key, _)| !left.contains_key(*key))
        .map(|(key, sealed)| (key.clone(), sealed.clone()))
        .collect()
}

#[test]
fn what_was_destroyed_is_in_no_page_of_the_new_file() {
    let Fixture {
        keep: _keep,
        dir,
        store,
        namespace,
    } = Fixture::new();
    let kept = create(&store, namespace, "kept", "stays");
    let text = "x".repeat(3_000);
    let gone: Vec<SecretId> = (0..200)
        .map(|number| create(&store, namespace, &format!("gone-{number}"), &text))
        .collect();
    store.close();
    drop(store);
    let (values, data_keys) = (records(&dir, Table::Version), records(&dir, Table::DataKey));

    let store = open(&dir);
    for secret in gone {
        let deletion = Deletion {
            window_days: None,
            force: true,
        };
        store.run(DeleteSecret { secret, deletion }, meta()).unwrap();
    }
    let (anchor, epoch) = (store.anchor(), store.epoch());
    store.close();
    drop(store);
    let values = destroyed(&dir, Table::Version, &values);
    let data_keys = destroyed(&dir, Table::DataKey, &data_keys);
    assert_eq!((values.len(), data_keys.len()), (200, 200));
    assert!(found(&dir, &values) > 0, "nothing would be shown below");

    let root = root(&dir);
    let before = check(&dir, Some(&root)).unwrap();
    let report = compact(&dir, &root).unwrap();
    assert_eq!(report.records, before.records);
    assert_eq!(
        report.bytes_after,
        fs::metadata(dir.join(STORE_FILE)).unwrap().len()
    );
    assert_eq!((found(&dir, &values), found(&dir, &data_keys)), (0, 0));
    let after = check(&dir, Some(&root)).unwrap();
    assert!(after.is_sound(), "{after}");
    assert_eq!(after, before);

    let store = try_open(&dir, AnchorRule::Expect(anchor)).unwrap();
    assert_eq!(store.epoch(), epoch + 1);
    assert_eq!(get(&store, kept, None, None).unwrap(), "stays");
    put(&store, kept, "v2", "goes on", &[]).unwrap();
    assert_eq!(get(&store, kept, None, None).unwrap(), "goes on");
    store.close();
}

#[test]
fn the_fence_goes_with_it() {
    let (_keep, dir) = Fixture::new().close();
    let fence = || {
        let engine = view_file(&dir.join(STORE_FILE)).unwrap();
        engine.fence().unwrap()
    };
    let before = fence();
    assert!(before > 0);
    compact(&dir, &root(&dir)).unwrap();
    assert_eq!(fence(), before);
}

#[test]
fn an_open_store_a_wrong_key_and_a_changed_record_change_nothing() {
    let f = Fixture::new();
    f.create("db", "first");
    let (file, new) = (f.dir.join(STORE_FILE), f.dir.join("store.redb.new"));
    let root = root(&f.dir);
    assert!(matches!(compact(&f.dir, &root), Err(OpenError::Lock(_))));
    let (_keep, dir) = f.close();
    let good = fs::read(&file).unwrap();
    let same = || fs::read(&file).unwrap() == good && !new.exists();
    let other = RootKey::generate().unwrap();
    assert!(matches!(compact(&dir, &other), Err(OpenError::Seal(_))));
    assert!(same(), "a wrong key");

    let engine = open_file(&file, DEFAULT_CACHE_BYTES).unwrap();
    let (key, _) = records(&dir, Table::Head).pop_first().unwrap();
    let batch = Batch {
        changes: vec![Change::Delete {
            table: Table::Head,
            key,
        }],
        ..Batch::default()
    };
    engine.commit(&batch).unwrap();
    drop(engine);
    let robbed = fs::read(&file).unwrap();
    assert!(matches!(compact(&dir, &root), Err(OpenError::Tampered)));
    assert!(
        fs::read(&file).unwrap() == robbed && !new.exists(),
        "a robbed store"
    );

    // What a killed one left is in nobody's way.
    fs::write(&file, &good).unwrap();
    fs::write(&new, "half a store").unwrap();
    compact(&dir, &root).unwrap();
    assert!(!new.exists());
    let store = open(&dir);
    assert_eq!(store.stats().secrets, 1);
    store.close();
}
