//! A whole store on a file system that runs full: changes are refused, reads go on and stay on record by the
//! room laid out before, nothing that was answered is lost, and it goes on once there is room.
//!
//! Needs root for a small tmpfs: without it says so, and fails where `CI` is set.
#![allow(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use strongroom_store::audit;
use support::*;

/// A small file system in memory; unmounted when it goes.
struct Small(PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn small(at: &Path) -> Option<Small> {
    std::fs::create_dir_all(at).unwrap();
    // The read log lays out 64 MiB before it needs them.
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=72m", "tmpfs"])
        .arg(at)
        .output()
        .unwrap();
    if mount.status.success() {
        return Some(Small(at.to_owned()));
    }
    None
}

#[test]
fn a_full_disk_refuses_changes_and_serves_reads() {
    let keep = tempfile::tempdir().unwrap();
    let Some(small) = small(&keep.path().join("small")) else {
        assert!(
            std::env::var("CI").is_err(),
            "no tmpfs on this machine, and this is CI"
        );
        println!("SKIPPED: needs root to mount a tmpfs");
        return;
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
    let all_there = |store: &strongroom_store::vault::Store| {
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
    std::fs::remove_file(&filler).unwrap();
    put(&store, made[0], "v2", "there is room", &[]).unwrap();
    assert_eq!(get(&store, made[0], None, None).unwrap(), "there is room");
    let key = store.audit_public_key();
    store.close();
    drop(store);
    let report = audit::verify(&dir, &key).unwrap();
    assert!(report.is_sound(), "{report:?}");
}
