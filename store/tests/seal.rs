//! The seal file of an open store: what is added opens it, what is removed does not, and an old file put back
//! counts for nothing.

mod support;

use std::fs;

use strongroom_model::SecretBytes;
use strongroom_store::seal::{FILE_NAME, SealFile, SlotSecret};
use strongroom_store::vault::*;
use support::*;

fn second() -> SlotSecret {
    SlotSecret::KubernetesSecret(SecretBytes::new(vec![8; 32]))
}

fn add_second(f: &Fixture) -> Result<(), OpenError> {
    let root = root(&f.dir);
    f.store
        .change_seal(meta(), |file| file.add_slot(&root, &second(), "second"))
        .map(|_| ())
}

fn remove_first(f: &Fixture) -> Result<(), OpenError> {
    f.store.change_seal(meta(), |file| {
        let first = file.slots().remove(0).id;
        file.remove_slot(first)
    })
}

fn try_restore(f: &Fixture, stream: &[u8], name: &str) -> Result<u64, OpenError> {
    restore_into(&f.keep.path().join(name), stream, true)
}

#[test]
fn an_old_seal_file_put_back_opens_nothing() {
    let f = Fixture::new();
    let seal = f.dir.join(FILE_NAME);
    add_second(&f).unwrap();
    let both = fs::read(&seal).unwrap();
    let f = f.reopen();
    remove_first(&f).unwrap();
    let one = fs::read(&seal).unwrap();
    let (_keep, dir) = f.close();
    // The removed slot's key still unlocks the old file, but the store knows better.
    fs::write(&seal, &both).unwrap();
    assert!(matches!(
        try_open(&dir, AnchorRule::Absent),
        Err(OpenError::SealReplaced)
    ));
    fs::write(&seal, &one).unwrap();
    assert!(matches!(
        try_open(&dir, AnchorRule::Absent),
        Err(OpenError::Seal(_))
    ));
}

#[test]
fn an_old_seal_file_put_back_under_an_open_store_is_not_built_upon() {
    let f = Fixture::new();
    let seal = f.dir.join(FILE_NAME);
    let old = fs::read(&seal).unwrap();
    add_second(&f).unwrap();
    let good = fs::read(&seal).unwrap();
    fs::write(&seal, &old).unwrap();
    assert!(matches!(add_second(&f), Err(OpenError::SealReplaced)));
    assert!(matches!(
        f.store.backup(&mut Vec::new()),
        Err(OpenError::SealReplaced)
    ));
    assert_eq!(fs::read(&seal).unwrap(), old, "nothing was written");
    fs::write(&seal, &good).unwrap();
    remove_first(&f).unwrap();
}

#[test]
fn a_change_that_could_not_be_written_leaves_a_store_that_opens_and_changes_again() {
    let f = Fixture::new();
    let seal = f.dir.join(FILE_NAME);
    let before = fs::read(&seal).unwrap();
    // Where the new file shall be made there is a folder: neither removed nor written to.
    let obstacle = f.dir.join("store.seal.new");
    fs::create_dir(&obstacle).unwrap();
    assert!(matches!(add_second(&f), Err(OpenError::Seal(_))));
    assert_eq!(fs::read(&seal).unwrap(), before);
    let f = f.reopen();
    fs::remove_dir(&obstacle).unwrap();
    add_second(&f).unwrap();
    assert_eq!(SealFile::load(&f.dir).unwrap().slots().len(), 2);
    f.reopen();
}

#[test]
fn a_backup_during_changes_of_the_seal_restores() {
    let f = Fixture::new();
    f.create("checkout-db", "first");
    std::thread::scope(|scope| {
        let changes = scope.spawn(|| {
            for _ in 0..12 {
                add_second(&f).unwrap();
            }
        });
        for round in 0..6 {
            try_restore(&f, &backup_of(&f.store), &format!("restored-{round}")).unwrap();
        }
        changes.join().unwrap();
    });
    assert_eq!(SealFile::load(&f.dir).unwrap().slots().len(), 13);
    f.reopen();
}
