//! The audit of a whole store: what is recorded, what is refused when nothing can be, and that it verifies
//! with the public key alone over closing, copying, restoring and tampering.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use strongroom_model::id::SecretId;
use strongroom_store::audit::{self, Action, AuditOutcome, BadRecord, Chain, MemoryReads, VerifyReport};
use strongroom_store::crypto::PublicKey;
use strongroom_store::engine::{Batch, Change, DEFAULT_CACHE_BYTES, STORE_FILE, Table, open_file};
use strongroom_store::vault::*;

use support::files::copy;
use support::*;

fn public_key(dir: &Path) -> PublicKey {
    keyring(dir).public_key()
}

fn report(dir: &Path) -> VerifyReport {
    audit::verify(dir, &public_key(dir)).unwrap()
}

/// A closed store with reads, refusals and changes in both chains, over two runs.
fn used() -> (tempfile::TempDir, std::path::PathBuf) {
    let mut f = Fixture::new();
    let secret = f.create("checkout-db", "first");
    for run in 0..2 {
        for number in 0..3 {
            f.current(secret).unwrap();
            f.put(secret, &format!("v{run}-{number}"), "next", &[]).unwrap();
        }
        f.store.run(RecordCheckpoint, meta()).unwrap();
        f = f.reopen();
    }
    f.store.close();
    (f.keep, f.dir)
}

#[test]
fn a_store_and_a_copy_of_it_verify_with_the_public_key_alone() {
    let (keep, dir) = used();
    let found = report(&dir);
    assert!(found.is_sound() && found.clean_end, "{found}");
    assert_eq!(found.mutations.last, found.mutations.signed);
    assert_eq!(found.reads.last, found.reads.signed);
    assert_eq!(found.gaps, []);
    let elsewhere = keep.path().join("copy");
    copy(&dir, &elsewhere);
    assert_eq!(report(&elsewhere), found);
    let text = public_key(&dir).to_string();
    assert_eq!(audit::verify(&elsewhere, &text.parse().unwrap()).unwrap(), found);
}

#[test]
fn reads_and_refusals_are_on_record_with_who_and_what() {
    let f = Fixture::new();
    let secret = f.create("checkout-db", "first");
    f.current(secret).unwrap();
    assert_eq!(
        get(&f.store, secret, Some("no-such"), None).unwrap_err().code(),
        "VersionNotFound"
    );
    let unknown = SecretId::generate().unwrap();
    f.current(unknown).unwrap_err();
    f.put(unknown, "v2", "x", &[]).unwrap_err();
    f.store.close();
    let entries = read_entries(&f.dir);
    let told: Vec<(Action, bool, Option<SecretId>)> = entries
        .iter()
        .map(|entry| (entry.action, entry.outcome == AuditOutcome::Done, entry.secret_id))
        .collect();
    assert_eq!(
        told,
        [
            (Action::GetSecretValue, true, Some(secret)),
            (Action::GetSecretValue, false, Some(secret)),
            (Action::GetSecretValue, false, Some(unknown)),
            (Action::PutSecretValue, false, Some(unknown)),
        ]
    );
    assert_eq!(
        entries[0].secret.as_ref().map(|name| name.as_str()),
        Some("checkout-db")
    );
    assert_eq!(
        entries[0].namespace.as_ref().map(|name| name.as_str()),
        Some("shop")
    );
    assert_eq!(
        entries[1].outcome,
        AuditOutcome::Refused("VersionNotFound".to_owned())
    );
}

#[test]
fn nothing_that_was_recorded_can_be_read_in_the_segments() {
    let f = Fixture::new();
    let secret = f.create("marker-of-a-name", "marker-of-a-value");
    let asked = f.current(secret).unwrap();
    assert_eq!(asked, "marker-of-a-value");
    get(&f.store, secret, Some("marker-of-a-version"), None).unwrap_err();
    f.store.close();
    let mut looked = 0;
    for file in fs::read_dir(f.dir.join(audit::READS_DIRECTORY)).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        // A segment is megabytes of zeros after its records.
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let used = &bytes[..used];
        for marker in ["marker-of-a", "shop", "VersionNotFound", "test"] {
            let found = used
                .windows(marker.len())
                .any(|window| window == marker.as_bytes());
            assert!(!found, "`{marker}` is readable");
        }
        looked += used.len();
    }
    assert!(looked > 500, "{looked} bytes");
}

#[test]
fn a_restored_store_verifies_and_goes_on() {
    let f = Fixture::new();
    let secret = f.create("checkout-db", "first");
    let mut f = f.reopen();
    for _ in 0..3 {
        f.current(secret).unwrap();
    }
    f.store.run(RecordCheckpoint, meta()).unwrap();
    f = f.reopen();
    f.put(secret, "v2", "second", &[]).unwrap();
    let stream = backup_of(&f.store);
    let place = f.keep.path().join("restored");
    restore_into(&place, &stream, false).unwrap();
    let found = report(&place);
    assert!(found.is_sound(), "{found}");
    assert_eq!(found.gaps.len(), 1, "the reads of the past are not in a backup");
    let store = open(&place);
    assert_eq!(get(&store, secret, None, None).unwrap(), "second");
    put(&store, secret, "v3", "third", &[]).unwrap();
    let told = store.mutations_after(0, 1_000).unwrap();
    let sequences: Vec<u64> = told.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, (1..=told.len() as u64).collect::<Vec<_>>());
    store.close();
    drop(store);
    let found = report(&place);
    assert!(found.is_sound(), "{found}");
    assert_eq!(found.mutations.last, told.len() as u64);
}

/// The named bad record after `change` was done to a record of the mutation chain in the store file.
fn after_change(
    dir: &Path,
    change: impl FnOnce(&mut Vec<(Vec<u8>, Vec<u8>)>) -> Vec<Change>,
) -> Option<BadRecord> {
    let engine = open_file(&dir.join(STORE_FILE), DEFAULT_CACHE_BYTES).unwrap();
    let mut records = engine
        .snapshot()
        .unwrap()
        .scan(Table::Audit, &[], None, usize::MAX)
        .unwrap();
    let changes = change(&mut records);
    engine
        .commit(&Batch {
            changes,
            ..Batch::default()
        })
        .unwrap();
    drop(engine);
    report(dir).bad
}

#[test]
fn a_mutation_record_changed_or_removed_in_the_store_file_is_named_and_the_store_does_not_open() {
    let (keep, dir) = used();
    for (number, remove) in [(2, true), (4, false), (6, true), (7, false)] {
        let place = keep.path().join(format!("{number}-{remove}"));
        copy(&dir, &place);
        let bad = after_change(&place, |records| {
            let (key, mut value) = records[number - 1].clone();
            value[80] ^= 1;
            let table = Table::Audit;
            vec![if remove {
                Change::Delete { table, key }
            } else {
                Change::Put { table, key, value }
            }]
        });
        let named = bad.map(|bad| (bad.chain, bad.sequence));
        assert_eq!(named, Some((Chain::Mutations, number as u64)));
        assert!(try_open(&place, AnchorRule::Absent).is_err());
    }
}

#[test]
fn a_store_whose_read_log_was_taken_away_opens_only_when_a_person_accepts_it() {
    let (_keep, dir) = used();
    fs::remove_dir_all(dir.join(audit::READS_DIRECTORY)).unwrap();
    let bad = report(&dir).bad.unwrap();
    assert_eq!((bad.chain, bad.sequence), (Chain::Reads, 1));
    let error = try_open(&dir, AnchorRule::Absent).unwrap_err().to_string();
    assert!(error.contains("--accept-rollback"), "{error}");
    try_open(&dir, AnchorRule::Accept).unwrap().close();
    let found = report(&dir);
    assert!(found.is_sound() && found.gaps.len() == 1, "{found}");
    open(&dir).close();
}

#[test]
fn what_cannot_be_recorded_is_not_returned() {
    let keep = tempfile::tempdir().unwrap();
    let dir = keep.path().join("store");
    prepare(&dir);
    let engine = open_file(&dir.join(STORE_FILE), DEFAULT_CACHE_BYTES).unwrap();
    let reads = Arc::new(MemoryReads::default());
    let store = Store::on_engine(engine, keyring(&dir), 1, Arc::<MemoryReads>::clone(&reads), None).unwrap();
    let namespace = bind(&store, "shop", "uid-1");
    let secret = create(&store, namespace, "checkout-db", "first");
    reads.refuse(true);
    assert_eq!(
        get(&store, secret, None, None).unwrap_err().code(),
        "AuditUnavailable"
    );
    let unknown = SecretId::generate().unwrap();
    assert_eq!(
        get(&store, unknown, None, None).unwrap_err().code(),
        "AuditUnavailable"
    );
    assert_eq!(
        put(&store, unknown, "v2", "x", &[]).unwrap_err().code(),
        "AuditUnavailable"
    );
    // A change has its record in its own commit.
    put(&store, secret, "v2", "second", &[]).unwrap();
    reads.refuse(false);
    assert_eq!(get(&store, secret, None, None).unwrap(), "second");
}
