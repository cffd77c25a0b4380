//! A wrong root key leaves every file as it was, after a clean stop and after kill -9 (invariant 40).

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};
use strongroom_model::SecretBytes;
use strongroom_model::id::{SecretId, StoreId};
use strongroom_store::crypto::RootKey;
use strongroom_store::engine::STORE_FILE;
use strongroom_store::seal::{FILE_NAME, SealError, SealFile, SlotSecret};
use strongroom_store::vault::*;

use support::files::files;
use support::worker::Worker;
use support::*;

const DIR: &str = "STRONGROOM_KILL_DIR";
const SECRET: &str = "STRONGROOM_KILL_SECRET";

/// A process that is being started holds the locks of its parent for an instant: nothing is opened meanwhile.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock()
}

/// Not a test of its own: what the killed process runs. Without its variables it does nothing.
#[test]
fn child() {
    let (Ok(dir), Ok(secret)) = (env::var(DIR), env::var(SECRET)) else {
        return;
    };
    let secret: SecretId = secret.parse().unwrap();
    let store = open(Path::new(&dir));
    for round in 0_u64.. {
        put(&store, secret, &format!("w{round}"), "written", &[]).unwrap();
        println!("put {round}");
    }
}

/// Every file but the lock, which is no part of the store.
fn store_files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = files(dir);
    found.retain(|path, _| path.file_name().unwrap() != "store.lock");
    found
}

/// Each way to come with a wrong key, or with an anchor that demands a newer store, and the files after it.
fn try_wrong_keys(dir: &Path, anchor: Anchor) {
    let before = store_files(dir);
    assert!(before.contains_key(&dir.join(STORE_FILE)), "{:?}", before.keys());
    let same = |what: &str| {
        let after = store_files(dir);
        let changed: Vec<_> = before
            .keys()
            .filter(|path| before.get(*path) != after.get(*path))
            .collect();
        assert!(
            changed.is_empty() && before.len() == after.len(),
            "{what}: {changed:?}"
        );
    };

    let wrong = SlotSecret::KeyFile(SecretBytes::new(vec![9; 32]));
    let unlocked = SealFile::load(dir).unwrap().unlock(&wrong);
    assert!(matches!(unlocked, Err(SealError::WrongKey(_))));
    same("another key file");

    assert!(
        Setup::default()
            .open_with(dir, &RootKey::generate().unwrap())
            .is_err()
    );
    same("another root key");

    let newer = Anchor {
        counter: anchor.counter + 1_000,
        ..anchor
    };
    let opened = try_open(dir, AnchorRule::Expect(newer));
    assert!(matches!(opened, Err(OpenError::RolledBack { .. })));
    same("an older copy");

    // Another store's seal file, whole and with its right key; then one that claims to be this store's.
    let good = fs::read(dir.join(FILE_NAME)).unwrap();
    let store = SealFile::decode(&good).unwrap().store();
    for (what, store) in [
        ("another store's seal", StoreId::generate().unwrap()),
        ("a forged seal", store),
    ] {
        let root = RootKey::generate().unwrap();
        let foreign = SealFile::new(store, &root, &slot(), "foreign").unwrap();
        fs::write(dir.join(FILE_NAME), foreign.encode()).unwrap();
        assert!(Setup::default().open_with(dir, &root).is_err(), "{what}");
        fs::write(dir.join(FILE_NAME), &good).unwrap();
        same(what);
    }
}

#[test]
fn after_a_clean_stop() {
    let _alone = alone();
    let f = Fixture::new();
    let secret = f.create("checkout-db", "first");
    let f = f.reopen();
    let anchor = f.store.anchor();
    let (_keep, dir) = f.close();
    try_wrong_keys(&dir, anchor);
    let store = open(&dir);
    assert_eq!(get(&store, secret, None, None).unwrap(), "first");
    store.close();
}

#[test]
fn after_kill_9() {
    let _alone = alone();
    let f = Fixture::new();
    let secret = f.create("checkout-db", "first");
    let anchor = f.store.anchor();
    let (_keep, dir) = f.close();
    let mut writer = Worker::start(&[(DIR, dir.as_os_str()), (SECRET, secret.to_string().as_ref())]);
    while !writer.line().contains("put 5") {}
    drop(writer);
    try_wrong_keys(&dir, anchor);
    let store = open(&dir);
    assert_eq!(get(&store, secret, None, None).unwrap(), "written");
    store.close();
}
