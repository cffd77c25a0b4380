//! The file system of the store runs full, below the engine and below a whole store: a clear refusal, nothing
//! lost, reads go on and stay audited by the room laid out before, it opens on the full disk, and goes on
//! once there is room.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use std::fs::{self, File};
use std::io::Write;

use strongroom_model::id::RequestId;
use strongroom_store::audit;
use strongroom_store::engine::*;
use strongroom_store::vault::Store;

use support::crash::Expected;
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

/// Commits until there is no room, and checks what is there. How many commits there are.
fn until_full(engine: &dyn Engine, expected: &mut Expected) -> u64 {
    let (refused, undecided) = expected.fill(engine, (expected.revision + 1..).map(batch));
    assert!(
        matches!(refused, EngineError::OutOfSpace),
        "a full disk must say so: {refused:?}"
    );
    assert_eq!(undecided, 0, "a full disk must say so");
    expected.holds(engine, "on a full disk");
    expected.revision
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
    let mut expected = Expected::default();
    let committed = until_full(engine.as_ref(), &mut expected);
    assert!(committed > 5, "{committed}");

    // Full to the last byte: still refused, still read.
    let filler = small.0.join("filler");
    let mut file = File::create(&filler).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    drop(file);
    assert_eq!(until_full(engine.as_ref(), &mut expected), committed);
    drop(engine);

    // Opened on the full disk.
    let engine = open();
    expected.holds(engine.as_ref(), "opened on the full disk");
    assert_eq!(until_full(engine.as_ref(), &mut expected), committed);

    // Room again: the same process goes on.
    fs::remove_file(&filler).unwrap();
    small.resize(24);
    let more = until_full(engine.as_ref(), &mut expected);
    assert!(more > committed, "nothing was written after there was room");
    drop(engine);

    expected.holds(open().as_ref(), "at the end");
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
