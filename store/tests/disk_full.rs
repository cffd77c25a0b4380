//! The file system of the store runs full: a clear refusal, nothing lost, it opens on the full disk, and goes
//! on once there is room.
//!
//! Needs root for a small tmpfs: without it says so, and fails where `CI` is set.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set up must stop"
)]

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use strongroom_store::engine::*;
use strongroom_store::id::RequestId;

/// A small file system in memory; unmounted when it goes.
struct Small(PathBuf);

impl Small {
    fn new(at: PathBuf) -> Result<Self, String> {
        fs::create_dir_all(&at).unwrap();
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"])
            .arg(&at)
            .output();
        match output {
            Ok(output) if output.status.success() => Ok(Self(at)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn open(dir: &Path, create: bool) -> RedbEngine {
    let options = RedbOptions {
        cache_bytes: 1 << 20,
        create,
    };
    RedbEngine::open_file(&dir.join("store.redb"), options).unwrap()
}

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

fn check(engine: &RedbEngine, committed: u64) {
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
fn until_full(engine: &RedbEngine, mut committed: u64) -> u64 {
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
    let small = match Small::new(keep.path().join("small")) {
        Ok(small) => small,
        Err(why) => {
            assert!(
                env::var("CI").is_err(),
                "no tmpfs on this machine, and this is CI: {why}"
            );
            println!("SKIPPED: the disk-full test needs root to mount a tmpfs: {why}");
            return;
        }
    };
    let engine = open(&small.0, true);
    let mut committed = until_full(&engine, 0);
    assert!(committed > 5, "{committed}");
    check(&engine, committed);

    // Full to the last byte: still refused, still read.
    let filler = small.fill();
    assert_eq!(until_full(&engine, committed), committed);
    check(&engine, committed);
    drop(engine);

    // Opened on the full disk.
    let engine = open(&small.0, false);
    check(&engine, committed);
    assert_eq!(until_full(&engine, committed), committed);

    // Room again: the same process goes on.
    fs::remove_file(&filler).unwrap();
    let room = Command::new("mount")
        .args(["-o", "remount,size=24m"])
        .arg(&small.0)
        .status()
        .expect("a larger tmpfs");
    assert!(room.success());
    let before = committed;
    committed = until_full(&engine, committed);
    assert!(committed > before, "nothing was written after there was room");
    check(&engine, committed);
    drop(engine);

    let engine = open(&small.0, false);
    check(&engine, committed);
}
