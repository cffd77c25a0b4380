//! A process that writes is killed with -9, or loses its power, at random instants: every commit that it
//! acknowledged is there, and none is there in part.
//!
//! The power is cut on a loop-mounted ext4 image: it is copied in the midst, and what only the page cache
//! holds is not in the copy. After ext4 replayed its journal there, nothing acknowledged may be missing; a
//! writer that never syncs has to fail the same test. That needs root and loop devices.
//!
//! `STRONGROOM_KILLS` sets the number of kills, 25 if unset; `STRONGROOM_POWER_ROUNDS` that of power cuts,
//! 20 if unset.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use strongroom_model::id::RequestId;
use strongroom_store::engine::*;
use strongroom_store::lock::StoreLock;

use support::mount::{Mount, run, skip};
use support::worker::{Worker, rounds};

const DIR: &str = "STRONGROOM_CRASH_DIR";
const NO_SYNC: &str = "STRONGROOM_CRASH_NO_SYNC";

/// A file that says it synced, and did not.
#[derive(Debug)]
struct Lying(FileDisk);

impl Disk for Lying {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write(offset, bytes)
    }
    fn free(&self) -> Option<u64> {
        self.0.free()
    }
}

/// A commit that was acknowledged: its number, and the request that it answered.
type Acknowledged = (u64, RequestId);

fn value_of(number: u64) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    value.resize(200 + (number as usize * 37) % 900, number as u8);
    value
}

/// Every commit writes two records, so that one alone is a torn commit.
fn batch(number: u64, request: RequestId) -> Batch {
    let put = |table, value: Vec<u8>| Change::Put {
        table,
        key: number.to_be_bytes().to_vec(),
        value,
    };
    Batch {
        requests: vec![request],
        changes: vec![
            put(Table::Head, request.as_bytes().to_vec()),
            put(Table::Version, value_of(number)),
        ],
        ..Batch::default()
    }
}

/// Not a test of its own: the writer. Without its variable it does nothing.
#[test]
fn child() {
    let Ok(dir) = env::var(DIR) else { return };
    let dir = Path::new(&dir);
    let _lock = StoreLock::take(dir).expect("the lock of a killed process is free");
    let path = dir.join(STORE_FILE);
    let engine = if env::var(NO_SYNC).is_ok() {
        open_disk(Arc::new(Lying(FileDisk::open(&path, true).unwrap())), true).unwrap()
    } else {
        create_file(&path).unwrap()
    };
    let mut out = io::stdout().lock();
    for number in engine.stats().revision.0 + 1.. {
        let request = RequestId::generate().unwrap();
        let outcome = engine.commit(&batch(number, request)).unwrap();
        assert_eq!(outcome, CommitOutcome::Committed(Revision(number)));
        writeln!(out, "durable {number} {request}").unwrap();
    }
}

/// What a line of the writer acknowledges.
fn acknowledged(line: &str) -> Option<Acknowledged> {
    let mut words = line.split("durable ").nth(1)?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// Waits until the writer has acknowledged so many commits more.
fn wait_for(writer: &mut Worker, count: usize, all: &mut Vec<Acknowledged>) {
    let before = all.len();
    while all.len() < before + count {
        all.extend(acknowledged(&writer.line()));
    }
}

/// Whether all that was acknowledged is in the file at `path`, and nothing in part. The last revision.
fn check(path: &Path, all: &[Acknowledged]) -> Result<Revision, String> {
    let said = |error: EngineError| error.to_string();
    let engine = view_file(path).map_err(said)?;
    let snapshot = engine.snapshot().map_err(said)?;
    for (number, request) in all {
        let batch = batch(*number, *request);
        for change in &batch.changes {
            let found = snapshot.value(change.table(), change.key()).map_err(said)?;
            if found.as_deref() != change.value() {
                return Err(format!("commit {number} is not there: {:?}", change.table()));
            }
        }
        let committed = engine.resolve(&batch.requests).map_err(said)?;
        if committed.get(request) != Some(&Revision(*number)) {
            return Err(format!("commit {number} is not known any more: {committed:?}"));
        }
    }
    // The one that was under way is there whole, or not at all.
    let last = snapshot.revision();
    for table in [Table::Head, Table::Version] {
        let count = snapshot.scan(table, &[], None, usize::MAX).map_err(said)?.len();
        if count as u64 != last.0 {
            return Err(format!("{count} records of {table:?} in {} commits", last.0));
        }
    }
    Ok(last)
}

#[test]
fn no_kill_loses_or_tears_a_commit() {
    let kills = rounds("STRONGROOM_KILLS", 25);
    let keep = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for round in 0..kills {
        let mut writer = Worker::start(&[(DIR, keep.path().as_os_str())]);
        wait_for(&mut writer, 1 + round * 31 % 67, &mut all);
        all.extend(writer.kill().iter().filter_map(|line| acknowledged(line)));
        check(&keep.path().join(STORE_FILE), &all).unwrap_or_else(|why| panic!("round {round}: {why}"));
    }
    println!("{kills} kills, {} commits acknowledged", all.len());
}

/// Makes an image with a file system.
fn make_image(image: &Path) -> Result<(), String> {
    fs::File::create(image).unwrap().set_len(24 << 20).unwrap();
    run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()])
}

/// Whether all that was acknowledged before the cut is there after it.
fn cut_power(work: &Path, number: usize, lie: bool) -> Result<(), String> {
    let (image, cut) = (work.join("live.img"), work.join("cut.img"));
    make_image(&image).expect("a file system");
    let live = Mount::image(&image, &work.join("live")).expect("a loop mount");
    let mut variables = vec![(DIR, live.0.as_os_str())];
    if lie {
        variables.push((NO_SYNC, OsStr::new("1")));
    }
    let mut writer = Worker::start(&variables);
    let mut all = Vec::new();
    wait_for(&mut writer, 5 + (number * 53) % 160, &mut all);
    // A cut takes an instant and a copy does not: the writer stands still meanwhile. Nothing is synced or
    // unmounted.
    writer.stop();
    fs::copy(&image, &cut).unwrap();
    all.extend(writer.kill().iter().filter_map(|line| acknowledged(line)));
    drop(live);

    let after = Mount::image(&cut, &work.join("cut"))?;
    let path = after.0.join(STORE_FILE);
    let last = check(&path, &all)?;
    // And it goes on from there.
    let engine = open_file(&path, DEFAULT_CACHE_BYTES).map_err(|error| error.to_string())?;
    match engine.commit(&Batch::default()) {
        Ok(CommitOutcome::Committed(revision)) if revision.0 == last.0 + 1 => Ok(()),
        other => Err(format!("it does not go on: {other:?}")),
    }
}

#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    let rounds = rounds("STRONGROOM_POWER_ROUNDS", 20);
    let keep = tempfile::tempdir().unwrap();
    let work = keep.path();
    let probe = work.join("probe.img");
    let mounted = make_image(&probe).and_then(|()| Mount::image(&probe, &work.join("probe")));
    if let Err(why) = &mounted {
        return skip("no power cut without root, mkfs.ext4 and loop devices", why);
    }
    drop(mounted);
    for number in 0..rounds {
        cut_power(work, number, false).unwrap_or_else(|why| panic!("round {number}: {why}"));
    }
    let caught = (0..3)
        .filter(|number| cut_power(work, 2 + number, true).is_err())
        .count();
    assert!(
        caught == 3,
        "a writer without fsync passed: {caught} of 3 found out"
    );
    println!("{rounds} power cuts; the writer without fsync was found out {caught} times of 3");
}
