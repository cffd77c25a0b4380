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

use support::crash::Expected;
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

/// Every commit writes two records, so that one alone is a torn commit. Which ones its number says: so it is
/// known of a commit whose answer was lost, too.
fn batch(number: u64) -> Batch {
    let request = RequestId::from_bytes(u128::from(number).to_be_bytes());
    let mut value = number.to_be_bytes().to_vec();
    value.resize(200 + (number as usize * 37) % 900, number as u8);
    let put = |table, value: Vec<u8>| Change::Put {
        table,
        key: number.to_be_bytes().to_vec(),
        value,
    };
    Batch {
        requests: vec![request],
        changes: vec![
            put(Table::Head, request.as_bytes().to_vec()),
            put(Table::Version, value),
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
        let outcome = engine.commit(&batch(number)).unwrap();
        assert_eq!(outcome, CommitOutcome::Committed(Revision(number)));
        writeln!(out, "durable {number}").unwrap();
    }
}

/// The writer says that it committed this one.
fn acknowledge(expected: &mut Expected, number: u64) {
    assert_eq!(number, expected.revision + 1, "the writer leaves out a commit");
    expected.acknowledge(&batch(number));
}

/// Kills the writer. The commit after the last one that it acknowledged may have been under way.
fn kill(writer: Worker, expected: &mut Expected) {
    for number in writer.kill("durable ") {
        acknowledge(expected, number);
    }
    expected.undecided = Some(batch(expected.revision + 1));
}

/// Whether all that was acknowledged is in the file at `path`, and nothing in part.
fn check(path: &Path, expected: &mut Expected) -> Result<(), String> {
    let engine = view_file(path).map_err(|error| error.to_string())?;
    expected.check(engine.as_ref())?;
    expected.check_requests(engine.as_ref())
}

#[test]
fn no_kill_loses_or_tears_a_commit() {
    let kills: usize = rounds("STRONGROOM_KILLS", 25);
    let keep = tempfile::tempdir().unwrap();
    let mut expected = Expected::default();
    for round in 0..kills {
        let mut writer = Worker::start(&[(DIR, keep.path().as_os_str())]);
        for _ in 0..=round * 31 % 67 {
            acknowledge(&mut expected, writer.next("durable "));
        }
        kill(writer, &mut expected);
        let path = keep.path().join(STORE_FILE);
        check(&path, &mut expected).unwrap_or_else(|why| panic!("round {round}: {why}"));
    }
    println!("{kills} kills, {} commits", expected.revision);
}

/// Makes an image with a file system.
fn make_image(image: &Path) -> Result<(), String> {
    fs::File::create(image).unwrap().set_len(24 << 20).unwrap();
    run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()])
}

/// Whether all that was acknowledged before the cut is there after it.
///
/// The images are new files each time. A container that starts meanwhile, in a test beside this one, has a
/// copy of the mount in its own mount namespace, so `umount` here does not end the file system; and `mount
/// -o loop` of the same file would find its loop device, and with it the file system of the round before.
fn cut_power(work: &Path, number: usize, lie: bool) -> Result<(), String> {
    let round = tempfile::tempdir_in(work).unwrap();
    let work = round.path();
    let (image, cut) = (work.join("live.img"), work.join("cut.img"));
    make_image(&image).expect("a file system");
    let live = Mount::image(&image, &work.join("live")).expect("a loop mount");
    let mut variables = vec![(DIR, live.0.as_os_str())];
    if lie {
        variables.push((NO_SYNC, OsStr::new("1")));
    }
    let mut writer = Worker::start(&variables);
    let mut expected = Expected::default();
    for _ in 0..5 + (number * 53) % 160 {
        acknowledge(&mut expected, writer.next("durable "));
    }
    // A cut takes an instant and a copy does not: the writer stands still meanwhile. Nothing is synced or
    // unmounted.
    writer.stop();
    fs::copy(&image, &cut).unwrap();
    kill(writer, &mut expected);
    drop(live);

    let after = Mount::image(&cut, &work.join("cut"))?;
    let path = after.0.join(STORE_FILE);
    check(&path, &mut expected)?;
    // And it goes on from there.
    let engine = open_file(&path, DEFAULT_CACHE_BYTES).map_err(|error| error.to_string())?;
    match expected.commit(engine.as_ref(), Batch::default()) {
        Ok(true) => Ok(()),
        other => Err(format!("it does not go on: {other:?}")),
    }
}

#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    let rounds: usize = rounds("STRONGROOM_POWER_ROUNDS", 20);
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
