//! The file system of the store runs full, below the engine and below a whole store: a clear refusal, nothing
//! lost, reads go on and stay on record by the room laid out before, it opens on the full disk, and goes on
//! once there is room.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::fs::{self, File};
use std::io::Write;

use strongroom_model::id::RequestId;
use strongroom_store::audit;
use strongroom_store::engine::*;
use strongroom_store::vault::Store;

use support::mount::{Mount, skip};
use support::{bind, get, meta, new_secret, open, prepare, put};

fn batch(number: u64) -> Batch {
    Batch {
        requests: vec![RequestId::generate().unwrap()],
        changes: vec![Change::Put {
            table: Table::Version,
            key: number.to_be_bytes().to_vec(),
            value: vec![number as u8; 60_000],
        }],
        ..Batch::default()
    }
}

fn check(engine: &dyn Engine, committed: u64) {
    let snapshot = engine.snapshot().unwrap();
    assert_eq!(snapshot.revision(), Revision(committed));
    for number in 1..=committed {
        let found = snapshot.value(Table::Version, &number.to_be_bytes()).unwrap();
        assert!(found == Some(vec![number as u8; 60_000]), "record {number}");
    }
    let records = snapshot.scan(Table::Version, &[], None, usize::MAX).unwrap();
    assert_eq!(records.len() as u64, committed);
}

/// Commits until there is no room, and returns how many there are.
fn until_full(engine: &dyn Engine, mut committed: u64) -> u64 {
    loop {
        match engine.commit(&batch(committed + 1)) {
            Ok(CommitOutcome::Committed(revision)) => committed = revision.0,
            Err(EngineError::OutOfSpace) => return committed,
            other => panic!("a full disk must say so: {other:?}"),
        }
    }
}

#[test]
fn a_full_disk_refuses_and_heals() {
    let keep = tempfile::tempdir().unwrap();
    let small = match Mount::memory(12, &keep.path().join("small")) {
        Ok(small) => small,
        Err(why) => return skip("no full disk without root to mount a tmpfs", &why),
    };
    let path = small.0.join(STORE_FILE);
    let open = || open_file(&path, 1 << 20).unwrap();
    let engine = create_file(&path).unwrap();
    let mut committed = until_full(engine.as_ref(), 0);
    assert!(committed > 5, "{committed}");
    check(engine.as_ref(), committed);

    // Full to the last byte: still refused, still read.
    let filler = small.0.join("filler");
    let mut file = File::create(&filler).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    drop(file);
    assert_eq!(until_full(engine.as_ref(), committed), committed);
    check(engine.as_ref(), committed);
    drop(engine);

    // Opened on the full disk.
    let engine = open();
    check(engine.as_ref(), committed);
    assert_eq!(until_full(engine.as_ref(), committed), committed);

    // Room again: the same process goes on.
    fs::remove_file(&filler).unwrap();
    small.resize(24);
    let before = committed;
    committed = until_full(engine.as_ref(), committed);
    assert!(committed > before, "nothing was written after there was room");
    check(engine.as_ref(), committed);
    drop(engine);

    let engine = open();
    check(engine.as_ref(), committed);
}

#[test]
fn a_full_disk_refuses_changes_and_serves_reads() {
    let keep = tempfile::tempdir().unwrap();
    // The read log lays out 64 MiB before it needs them.
    let small = match Mount::memory(72, &keep.path().join("small")) {
        Ok(small) => small,
        Err(why) => return skip("no full disk without root to mount a tmpfs", &why),
    };
    let dir = small.0.join("store");
    prepare(&dir);
    let store = open(&dir);
    let namespace = bind(&store, "shop", "uid-1");
    let long = "x".repeat(50_000);
    let filler = small.0.join("filler");
    let mut file = File::create(&filler).unwrap();
    while file.write_all(&[1; 1 << 16]).is_ok() && file.metadata().unwrap().len() < 5 << 20 {}

    let mut made = Vec::new();
    let full = loop {
        let name = format!("secret-{}", made.len());
        match store.run(new_secret(namespace, &name, &long), meta()) {
            Ok(written) => made.push(written.secret.id),
            Err(error) => break error,
        }
        assert!(made.len() < 1_000, "the file system never ran full");
    };
    assert_eq!(full.code(), "OutOfSpace", "{full}");
    assert!(!made.is_empty());
    let all_there = |store: &Store| {
        for secret in &made {
            assert_eq!(get(store, *secret, None, None).unwrap(), long);
        }
    };
    all_there(&store);
    assert_eq!(
        put(&store, made[0], "v2", &long, &[]).unwrap_err().code(),
        "OutOfSpace"
    );
    all_there(&store);

    // It opens on the full disk, and serves.
    store.close();
    drop(store);
    let store = open(&dir);
    all_there(&store);
    fs::remove_file(&filler).unwrap();
    put(&store, made[0], "v2", "there is room", &[]).unwrap();
    assert_eq!(get(&store, made[0], None, None).unwrap(), "there is room");
    let key = store.audit_public_key();
    store.close();
    drop(store);
    let report = audit::verify(&dir, &key).unwrap();
    assert!(report.is_sound(), "{report:?}");
}
