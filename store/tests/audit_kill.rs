//! A process that reads and writes is killed at random instants: every read that it answered is on record,
//! the chains verify as the kill left them, and the next start says where records may be missing.
//!
//! `STRONGROOM_KILL_ROUNDS` sets the number of kills, 6 if unset.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};

use strongroom_store::audit::{self, Action, Durability, ReadChainRecord, SegmentDirectory, reads_after};
use strongroom_store::crypto::{Keyring, PublicKey};
use strongroom_store::id::{RequestId, SecretId};
use strongroom_store::seal::SealFile;
use strongroom_store::vault::*;
use support::*;

const DIR: &str = "STRONGROOM_KILL_DIR";
const SECRET: &str = "STRONGROOM_KILL_SECRET";

/// Not a test of its own: what the killed process runs. Without its variables it does nothing.
#[test]
fn child() {
    let (Ok(dir), Ok(secret)) = (env::var(DIR), env::var(SECRET)) else {
        return;
    };
    let secret: SecretId = secret.parse().unwrap();
    let store = open(Path::new(&dir));
    let mut out = std::io::stdout().lock();
    for round in 0_u64.. {
        let meta = meta();
        let get = GetValue {
            secret,
            version: None,
            stage: None,
            durability: if round % 4 == 0 {
                Durability::Durable
            } else {
                Durability::Batched
            },
            detail: String::new(),
        };
        store.value(&get, &meta).unwrap();
        writeln!(out, "read {}", meta.request).unwrap();
        if round % 16 == 0 {
            store.run(RecordCheckpoint, meta).unwrap();
        }
    }
}

fn start(dir: &Path, secret: SecretId) -> Child {
    Process::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(DIR, dir)
        .env(SECRET, secret.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets the child answer so many reads, kills it, and returns all reads that it answered.
fn answered(mut child: Child, before_kill: usize) -> Vec<RequestId> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut answered = Vec::new();
    let mut note = |line: String| {
        if let Some(id) = line.split("read ").nth(1).and_then(|id| id.parse().ok()) {
            answered.push(id);
        }
        answered.len()
    };
    while note(lines.next().expect("the child ended by itself").unwrap()) < before_kill {}
    child.kill().unwrap();
    // What was in the pipe was answered too.
    for line in lines.map_while(Result::ok) {
        note(line);
    }
    child.wait().unwrap();
    answered
}

fn keyring(dir: &Path) -> Keyring {
    let seal = SealFile::load(dir).unwrap();
    Keyring::derive(&seal.unlock(&slot()).unwrap(), seal.store())
}

/// Every file below, with its bytes.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn every_answered_read_is_on_record_after_a_kill() {
    let rounds: usize = env::var("STRONGROOM_KILL_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(6);
    let fixture = Fixture::new();
    let secret = fixture.create("checkout-db", "first");
    fixture.store.close();
    let Fixture { keep, dir, store, .. } = fixture;
    drop(store);
    let keyring = keyring(&dir);
    let public: PublicKey = keyring.public_key();
    let mut all = BTreeSet::new();
    for round in 0..rounds {
        all.extend(answered(start(&dir, secret), 1 + round * 37 % 101));
        let before = files(&dir);
        let report = audit::verify(&dir, &public).unwrap();
        assert!(report.is_sound(), "{report}");
        assert!(!report.clean_end);
        assert_eq!(report.gaps.len(), round, "{report}");
        assert!(files(&dir) == before, "verifying changed a file");
        let reads = SegmentDirectory::read_only(&dir.join(audit::READS_DIRECTORY));
        let recorded: BTreeSet<RequestId> = reads_after(&reads, &keyring, 0, usize::MAX)
            .unwrap()
            .into_iter()
            .filter_map(|(_, logged)| match logged {
                ReadChainRecord::Entry(entry) if entry.action == Action::GetSecretValue => entry.request,
                _ => None,
            })
            .collect();
        let lost: Vec<_> = all.difference(&recorded).collect();
        assert!(
            lost.is_empty(),
            "round {round}: answered and not recorded: {lost:?}"
        );
    }
    open(&dir).close();
    let report = audit::verify(&dir, &public).unwrap();
    assert!(report.is_sound() && report.clean_end, "{report}");
    assert_eq!(report.gaps.len(), rounds);
    drop(keep);
}
