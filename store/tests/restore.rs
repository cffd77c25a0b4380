//! What is no whole backup of one store is refused by its own error, and leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use strongroom_store::codec::DecodeError;
use strongroom_store::seal::{RecoveryKey, SealError, SealFile, SlotKind, SlotSecret};
use strongroom_store::vault::*;
use support::*;

fn backup(f: &Fixture) -> Vec<u8> {
    let mut stream = Vec::new();
    f.store.backup(&mut stream).unwrap();
    stream
}

/// Restores into a place that must stay empty.
fn refused(f: &Fixture, stream: &[u8], secret: &SlotSecret) -> OpenError {
    let place = f.keep.path().join("place");
    let options = RestoreOptions {
        dir: &place,
        secret,
        accept_namespaces: true,
        meta: meta(),
    };
    let error = restore(&options, &mut &*stream).unwrap_err();
    assert!(!exists(&place), "{error}");
    let _ = std::fs::remove_dir_all(&place);
    error
}

#[test]
fn another_file_is_no_backup_and_a_newer_format_says_its_number() {
    let f = Fixture::new();
    let whole = backup(&f);
    assert!(matches!(
        refused(&f, b"apiVersion: v1\n", &slot()),
        OpenError::Decode(DecodeError::Invalid(_))
    ));
    let newer = [&b"SRBACK\0\x02"[..], &whole[8..]].concat();
    assert!(matches!(refused(&f, &newer, &slot()), OpenError::BackupFormat(2)));
}

#[test]
fn a_backup_that_ends_anywhere_is_not_whole() {
    let f = Fixture::new();
    f.create("db", "one");
    let whole = backup(&f);
    for length in (0..whole.len())
        .step_by(whole.len() / 40)
        .chain([whole.len() - 1])
    {
        let error = refused(&f, &whole[..length], &slot());
        assert!(matches!(error, OpenError::Tampered), "{length}: {error}");
    }
}

#[test]
fn the_seal_of_another_store_before_the_parts_of_this_one_opens_none() {
    let (f, other) = (Fixture::new(), Fixture::new());
    f.create("db", "one");
    let (ours, theirs) = (backup(&f), backup(&other));
    let parts = |stream: &[u8]| {
        let length = u32::from_be_bytes(stream[24..28].try_into().unwrap());
        28 + usize::try_from(length).unwrap()
    };
    let mixed = [&theirs[..parts(&theirs)], &ours[parts(&ours)..]].concat();
    assert!(matches!(refused(&f, &mixed, &slot()), OpenError::Tampered));
}

#[test]
fn a_recovery_key_that_was_made_later_does_not_open_it() {
    let f = Fixture::new();
    let before = backup(&f);
    let key = RecoveryKey::generate().unwrap();
    let text = key.reveal();
    let root = root(&f.dir);
    let recovery = || SlotSecret::Recovery(RecoveryKey::parse(&text).unwrap());
    assert!(matches!(
        refused(&f, &before, &recovery()),
        OpenError::Seal(SealError::NoSuchSlot(SlotKind::Recovery))
    ));
    f.store
        .change_seal(meta(), |file| {
            file.add_slot(&root, &SlotSecret::Recovery(key), "paper")
        })
        .unwrap();
    let another = SlotSecret::Recovery(RecoveryKey::generate().unwrap());
    assert!(matches!(
        refused(&f, &backup(&f), &another),
        OpenError::Seal(SealError::WrongKey(SlotKind::Recovery))
    ));
    let place = f.keep.path().join("after");
    let options = RestoreOptions {
        dir: &place,
        secret: &recovery(),
        accept_namespaces: true,
        meta: meta(),
    };
    restore(&options, &mut backup(&f).as_slice()).unwrap();
}

#[test]
fn a_store_is_looked_at_put_in_place_and_set_aside_only_where_no_process_has_it() {
    let f = Fixture::new();
    f.create("db", "one");
    f.create("web", "two");
    let (root, aside) = (root(&f.dir), f.keep.path().join("aside"));
    assert!(matches!(
        count_secrets(&f.dir, &root, |_| true),
        Err(OpenError::Lock(_))
    ));
    assert!(matches!(
        Store::set_aside(&f.dir, &aside),
        Err(OpenError::Lock(_))
    ));
    let (_keep, dir) = f.close();
    assert_eq!(count_secrets(&dir, &root, |_| true).unwrap(), 2);
    assert_eq!(
        count_secrets(&dir, &root, |name| name.as_str() != "db").unwrap(),
        1
    );
    Store::set_aside(&dir, &aside).unwrap();
    assert!(exists(&aside) && !dir.exists());
    std::fs::create_dir(&dir).unwrap();
    assert!(matches!(
        Store::set_aside(&dir, &aside),
        Err(OpenError::Exists(_))
    ));
    std::fs::remove_dir_all(&dir).unwrap();
    Store::put_in_place(&aside, &dir).unwrap();
    assert!(matches!(
        Store::put_in_place(&dir, &dir),
        Err(OpenError::Exists(_))
    ));
    assert!(SealFile::load(&dir).is_ok());
    open(&dir).close();
}
