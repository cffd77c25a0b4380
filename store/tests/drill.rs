//! A backup is read to its end and opened where it lies, and restored into a place that is thrown away; the
//! store that it was taken from stays as it is.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use strongroom_store::crypto::RootKey;
use strongroom_store::engine::EngineError;
use strongroom_store::seal::{SealError, SealFile};
use strongroom_store::vault::*;
use support::mount::{Mount, skip};
use support::*;

/// A store with a secret of two versions, and a backup of it.
fn backed_up() -> (Fixture, Vec<u8>) {
    let f = Fixture::new();
    let secret = f.create("db", "first");
    f.put(secret, "v2", "second", &[]).unwrap();
    let stream = backup(&f.store);
    (f, stream)
}

fn backup(store: &Store) -> Vec<u8> {
    let mut stream = Vec::new();
    store.backup(&mut stream).unwrap();
    stream
}

fn verify(f: &Fixture, mut stream: &[u8]) -> Result<BackupReport, OpenError> {
    f.store.verify_backup(&mut stream)
}

fn hold(f: &Fixture, key: BackupKey<'_>, mut stream: &[u8]) -> Result<DrillReport, OpenError> {
    let dir = f.keep.path().join("drill");
    let options = DrillOptions {
        dir: &dir,
        key,
        now: at(0),
    };
    let found = drill(options, &mut stream);
    assert!(!dir.exists(), "nothing of a drill stays");
    found
}

/// Where the seal file of a backup ends.
fn seal_end(stream: &[u8]) -> usize {
    28 + u32::from_be_bytes(stream[24..28].try_into().unwrap()) as usize
}

#[test]
fn what_a_backup_holds_is_counted_where_it_lies_and_in_a_drill() {
    let (f, stream) = backed_up();
    let before = (f.store.anchor().counter, f.store.mutation_head());
    let report = verify(&f, &stream).unwrap();
    assert_eq!((report.secrets, report.versions), (1, 2));
    assert_eq!(report.store, f.store.id());
    assert_eq!(report.commits, f.store.anchor().counter);
    assert_eq!(report.slots, SealFile::load(&f.dir).unwrap().slots());

    let root = root(&f.dir);
    for key in [BackupKey::Slot(&slot()), BackupKey::Root(&root)] {
        let held = hold(&f, key, &stream).unwrap();
        assert_eq!(held.backup, report);
        assert!(held.check.is_sound(), "{}", held.check);
        assert_eq!((held.check.secrets, held.check.values), (1, 2));
    }
    assert_eq!(
        (f.store.anchor().counter, f.store.mutation_head()),
        before,
        "neither changes the store"
    );
}

#[test]
fn a_backup_that_is_cut_changed_or_goes_on_is_refused() {
    let (f, stream) = backed_up();
    let parts = seal_end(&stream);
    let both = |stream: &[u8]| {
        let held = hold(&f, BackupKey::Slot(&slot()), stream);
        [verify(&f, stream).err(), held.err()].map(Option::unwrap)
    };
    for length in [
        0,
        7,
        8,
        20,
        27,
        parts - 1,
        parts,
        parts + 3,
        parts + 100,
        stream.len() - 1,
    ] {
        for error in both(&stream[..length]) {
            assert!(matches!(error, OpenError::Tampered), "{length}: {error}");
        }
    }
    for error in both(&[&stream[..], b"x"].concat()) {
        assert!(matches!(error, OpenError::Tampered), "{error}");
    }
    // The backup's id, a part's nonce, ciphertext and end.
    for at in [9, parts + 5, parts + 60, stream.len() - 1] {
        let mut changed = stream.clone();
        changed[at] ^= 1;
        for error in both(&changed) {
            assert!(matches!(error, OpenError::Tampered), "{at}: {error}");
        }
    }
}

#[test]
fn a_backup_with_another_seal_file_is_refused() {
    let (f, stream) = backed_up();
    let root = root(&f.dir);
    let label = "put there by somebody";
    let mut seal = SealFile::load(&f.dir).unwrap();
    seal.add_slot(&root, &slot(), label).unwrap();
    let seal = seal.encode();
    let length = u32::try_from(seal.len()).unwrap().to_be_bytes();
    let forged = [&stream[..24], &length, &seal, &stream[seal_end(&stream)..]].concat();
    for error in [
        verify(&f, &forged).err().unwrap(),
        hold(&f, BackupKey::Root(&root), &forged).err().unwrap(),
    ] {
        assert!(matches!(error, OpenError::SealReplaced), "{error}");
    }
}

#[test]
fn a_backup_of_another_store_or_of_a_newer_version_is_told() {
    let (f, mut stream) = backed_up();
    let (other, foreign) = backed_up();
    let error = verify(&f, &foreign).unwrap_err();
    assert!(
        matches!(error, OpenError::OtherBackup(id) if id == other.store.id()),
        "{error}"
    );
    let wrong = RootKey::generate().unwrap();
    let error = hold(&f, BackupKey::Root(&wrong), &stream).unwrap_err();
    assert!(
        matches!(error, OpenError::Seal(SealError::WrongKey(_))),
        "{error}"
    );

    stream[7] = 2;
    for error in [
        verify(&f, &stream).err().unwrap(),
        hold(&f, BackupKey::Slot(&slot()), &stream).err().unwrap(),
    ] {
        assert!(matches!(error, OpenError::BackupFormat(2)), "{error}");
        assert!(error.to_string().contains("run a newer strongroom"), "{error}");
    }
    stream[0] = b'X';
    let error = verify(&f, &stream).unwrap_err();
    assert!(matches!(error, OpenError::Decode(_)), "{error}");
}

#[test]
fn a_restored_backup_is_older_than_the_anchor_and_does_not_open_by_itself() {
    let (f, stream) = backed_up();
    let secret = f.create("later", "than the backup");
    for number in 0..8 {
        f.put(
            secret,
            &format!("w{number}"),
            "more commits than a restore makes",
            &[],
        )
        .unwrap();
    }
    let place = f.keep.path().join("restored");
    let options = RestoreOptions {
        dir: &place,
        secret: &slot(),
        accept_namespaces: false,
        meta: meta(),
    };
    restore(&options, &mut stream.as_slice()).unwrap();
    let error = try_open(&place, AnchorRule::Expect(f.store.anchor())).unwrap_err();
    assert!(matches!(error, OpenError::RolledBack { .. }), "{error}");
}

#[test]
fn a_drill_wants_an_empty_place() {
    let (f, stream) = backed_up();
    let dir = f.keep.path().join("taken");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("mine"), "mine").unwrap();
    let options = DrillOptions {
        dir: &dir,
        key: BackupKey::Slot(&slot()),
        now: at(0),
    };
    let error = drill(options, &mut stream.as_slice()).unwrap_err();
    assert!(matches!(error, OpenError::Exists(_)), "{error}");
    assert_eq!(std::fs::read(dir.join("mine")).unwrap(), b"mine");
}

#[test]
fn a_drill_on_a_full_disk_says_so_and_leaves_nothing() {
    let f = Fixture::new();
    let large = "x".repeat(60_000);
    for number in 0..40 {
        f.create(&format!("db-{number}"), &large);
    }
    let stream = backup(&f.store);
    let small = match Mount::memory(6, &f.keep.path().join("small")) {
        Ok(small) => small,
        Err(why) => return skip("no full disk without root to mount a tmpfs", &why),
    };
    let dir = small.0.join("drill");
    let options = DrillOptions {
        dir: &dir,
        key: BackupKey::Slot(&slot()),
        now: at(0),
    };
    let error = drill(options, &mut stream.as_slice()).unwrap_err();
    assert!(
        matches!(error, OpenError::Engine(EngineError::OutOfSpace)),
        "{error}"
    );
    assert!(!dir.exists());
}
