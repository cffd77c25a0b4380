//! Both audit chains go on under a new root key.

use std::fs;
use std::time::Duration;

use strongroom_store::audit::{Fault, READS_DIRECTORY, RetentionLimits, WhenFull};
use strongroom_store::crypto::{Keyring, RootKey};
use strongroom_store::engine::{Batch, Change, DEFAULT_CACHE_BYTES, STORE_FILE, Table, open_file};
use strongroom_store::seal::SealFile;
use strongroom_store::vault::*;

use crate::scene::*;
use crate::support::files::{copy, files, records};
use crate::support::*;

#[test]
fn both_chains_verify_with_every_audit_key_there_was() {
    let (_keep, dir) = used();
    let first = keyring_by(&dir, &slot()).public_key();
    let before = verified(&dir, &first);
    rekey_once(&dir);
    let second = keyring_by(&dir, &new_slot(1)).public_key();
    let found = verified(&dir, &second);
    assert!(found.is_sound() && found.rekeys.len() == 1, "{found}");
    assert_eq!(found.reads, before.reads);
    assert_eq!(found.mutations.last, before.mutations.last + 2);
    assert_eq!(
        verified(&dir, &first),
        found,
        "the former key leads to the new one"
    );
    let said = found.to_string();
    assert!(
        said.contains("new root key")
            && said.contains(&first.to_string())
            && said.contains(&second.to_string()),
        "{said}"
    );
    let stranger = RootKey::generate().unwrap();
    let stranger = Keyring::derive(&stranger, found.store).public_key();
    assert!(!verified(&dir, &stranger).is_sound());

    // Once more, with a life between.
    let store = open_by(&dir, &new_slot(1)).unwrap();
    let changed = declare(&store).changed;
    assert!(!changed);
    store.close();
    drop(store);
    rekey_with(&dir, &new_slot(1), new_slot(2), &mut |_| {}).unwrap();
    let third = keyring_by(&dir, &new_slot(2)).public_key();
    let found = verified(&dir, &third);
    assert!(found.is_sound() && found.rekeys.len() == 2, "{found}");
    for key in [first, second] {
        assert_eq!(verified(&dir, &key), found);
    }
    let store = open_by(&dir, &new_slot(2)).unwrap();
    assert!(!declare(&store).changed, "marks outlive two root keys");
    store.close();
    drop(store);

    // A record of a new root key that somebody changed.
    let engine = open_file(&dir.join(STORE_FILE), DEFAULT_CACHE_BYTES).unwrap();
    let mut forged = records(&dir, Table::Meta)[b"rekeys".as_slice()].clone();
    *forged.last_mut().unwrap() ^= 1;
    let batch = Batch {
        changes: vec![Change::Put {
            table: Table::Meta,
            key: b"rekeys".to_vec(),
            value: forged,
        }],
        ..Batch::default()
    };
    engine.commit(&batch).unwrap();
    drop(engine);
    let bad = verified(&dir, &third).bad.unwrap();
    assert_eq!(bad.fault, Fault::Rekey, "{bad}");
}

#[test]
fn a_log_that_ended_uncleanly_and_one_without_its_reads_go_on() {
    let (keep, dir) = used();
    // As a killed process leaves it: no clean end, and a torn record behind it.
    let killed = keep.path().join("killed");
    let store = open(&dir);
    let secret = store.list(None, None, 1).unwrap()[0].id;
    let _ = get(&store, secret, None, None);
    copy(&dir, &killed);
    store.close();
    drop(store);
    let old = keyring_by(&killed, &slot()).public_key();
    let before = verified(&killed, &old);
    assert!(before.is_sound() && !before.clean_end, "{before}");
    rekey_once(&killed);
    let new = keyring_by(&killed, &new_slot(1)).public_key();
    let after = verified(&killed, &new);
    assert!(after.is_sound() && !after.clean_end, "{after}");
    let store = open_by(&killed, &new_slot(1)).unwrap();
    store.close();
    drop(store);
    let after = verified(&killed, &new);
    assert_eq!(after.gaps.len(), before.gaps.len() + 1, "{after}");

    // A restored store has lost its reads, and says so.
    let store = open(&dir);
    let mut backup = Vec::new();
    store.backup(&mut backup).unwrap();
    store.close();
    let restored = keep.path().join("restored");
    let options = RestoreOptions {
        dir: &restored,
        secret: &slot(),
        accept_namespaces: true,
        meta: meta(),
    };
    restore(&options, &mut backup.as_slice()).unwrap();
    rekey_once(&restored);
    let new = keyring_by(&restored, &new_slot(1)).public_key();
    let after = verified(&restored, &new);
    assert!(after.is_sound() && after.gaps.len() == 1, "{after}");
    open_by(&restored, &new_slot(1)).unwrap().close();
}

#[test]
fn chains_that_are_not_sound_are_not_signed_anew() {
    let (_keep, dir) = used();
    let segment = dir.join(READS_DIRECTORY).join("0000000000000001.reads");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[200] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let before = files(&dir);
    let refused = rekey_with(&dir, &slot(), new_slot(1), &mut |_| {});
    assert!(matches!(refused, Err(OpenError::AuditUnsound(_))), "{refused:?}");
    assert!(files(&dir) == before);
}

#[test]
fn a_log_that_was_cut_goes_on_behind_the_cut() {
    let limits = || RetentionLimits::new(None, Some(1 << 20), None, WhenFull::Stop).unwrap();
    let setup = || Setup {
        audit: limits(),
        ..Setup::default()
    };
    let f = Fixture::with(setup());
    let secret = f.create("db", "first");
    let read = |store: &Store| {
        let get = GetValue {
            detail: "d".repeat(256),
            ..GetValue::current(secret)
        };
        for number in 0..4_000 {
            store.value(&get, &meta()).unwrap();
            if number % 400 == 399 {
                store.run(RecordCheckpoint, meta()).unwrap();
                store.retain(&[], at(0), Duration::ZERO).unwrap();
            }
        }
    };
    read(&f.store);
    let (_keep, dir) = f.close();
    let old = keyring_by(&dir, &slot()).public_key();
    let before = verified(&dir, &old);
    let cut = before.truncation.unwrap().cut;
    assert!(before.is_sound() && cut.changes.sequence > 0 && cut.reads.sequence > 0);
    rekey_once(&dir);
    let after = verified(&dir, &old);
    assert!(after.is_sound() && after.reads == before.reads, "{after}");
    assert_eq!(after.truncation.unwrap().cut, cut);
    let root = SealFile::load(&dir).unwrap().unlock(&new_slot(1)).unwrap();
    let store = setup().open_with(&dir, &root).unwrap();
    read(&store);
    store.close();
    drop(store);
    let after = verified(&dir, &old);
    assert!(after.is_sound(), "{after}");
    assert!(after.truncation.unwrap().cut.reads.sequence > cut.reads.sequence);
}
