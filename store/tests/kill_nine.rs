//! A writer is killed with -9 at random instants, again and again on the same file: every commit that it
//! acknowledged is there.
//!
//! `STRONGROOM_KILLS` sets the number of kills, 25 if unset.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use strongroom_store::engine::*;
use strongroom_store::id::RequestId;
use strongroom_store::lock::StoreLock;

const DIR: &str = "STRONGROOM_KILL_NINE_DIR";

fn open(dir: &Path) -> RedbEngine {
    let options = RedbOptions {
        cache_bytes: 1 << 20,
        create: true,
    };
    RedbEngine::open_file(&dir.join("store.redb"), options).unwrap()
}

/// Every commit writes two records, so that one alone is a torn commit.
fn batch(number: u64, request: RequestId) -> Batch {
    let put = |table| Change::Put {
        table,
        key: number.to_be_bytes().to_vec(),
        value: request.as_bytes().to_vec(),
    };
    Batch {
        requests: vec![request],
        changes: vec![put(Table::Head), put(Table::Version)],
        ..Batch::default()
    }
}

/// Not a test of its own: what the killed process runs. Without its variable it does nothing.
#[test]
fn child() {
    let Ok(dir) = env::var(DIR) else { return };
    let dir = Path::new(&dir);
    let _lock = StoreLock::take(dir).expect("the lock of a killed process is free");
    let engine = open(dir);
    let mut out = std::io::stdout().lock();
    for number in engine.stats().revision.0 + 1.. {
        let request = RequestId::generate().unwrap();
        let outcome = engine.commit(&batch(number, request)).unwrap();
        assert_eq!(outcome, CommitOutcome::Committed(Revision(number)));
        writeln!(out, "durable {number} {request}").unwrap();
    }
}

#[test]
fn no_kill_loses_or_tears_a_commit() {
    let kills: usize = env::var("STRONGROOM_KILLS").map_or(25, |kills| kills.parse().unwrap());
    let keep = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<(u64, RequestId)> = Vec::new();
    for round in 0..kills {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(DIR, keep.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut note = |line: &str| {
            let mut words = line.split("durable ").nth(1)?.split(' ');
            acknowledged.push((words.next()?.parse().ok()?, words.next()?.parse().ok()?));
            Some(())
        };
        let mut left = 1 + round * 31 % 67;
        while left > 0 {
            let line = lines.next().expect("the writer ended by itself").unwrap();
            left -= usize::from(note(&line).is_some());
        }
        child.kill().unwrap();
        // What was in the pipe was acknowledged too.
        for line in lines.map_while(Result::ok) {
            note(&line);
        }
        child.wait().unwrap();

        let engine = RedbEngine::open_copy_on_write(&keep.path().join("store.redb"), 1 << 20).unwrap();
        let snapshot = engine.snapshot().unwrap();
        for (number, request) in &acknowledged {
            for table in [Table::Head, Table::Version] {
                let found = snapshot.value(table, &number.to_be_bytes()).unwrap();
                assert_eq!(
                    found.as_deref(),
                    Some(request.as_bytes().as_slice()),
                    "round {round}, commit {number}"
                );
            }
            let resolution = engine.resolve(*request).unwrap();
            assert_eq!(resolution, Resolution::Committed(Revision(*number)));
        }
        // The one that was under way is there whole, or not at all.
        let count = |table| snapshot.scan(table, &[], None, usize::MAX).unwrap().len() as u64;
        assert_eq!(count(Table::Head), snapshot.revision().0, "round {round}");
        assert_eq!(count(Table::Version), snapshot.revision().0, "round {round}");
    }
    println!("{kills} kills, {} commits acknowledged", acknowledged.len());
}
