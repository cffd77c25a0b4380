//! A process writes to a store on a loop-mounted ext4 image and says what is durable. The image is copied in
//! the midst, as a power cut would leave it: what only the page cache holds is not in it. After ext4 replayed
//! its journal on the copy, every commit that was acknowledged before must be there. A writer that never
//! syncs has to fail the same test.
//!
//! Needs root and loop devices: without them it says so, and fails where `CI` is set.
//! `STRONGROOM_POWER_ROUNDS` sets the rounds, 20 if unset.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot set up must stop"
)]

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use strongroom_store::engine::*;

const DIR: &str = "STRONGROOM_POWER_DIR";
const NO_SYNC: &str = "STRONGROOM_POWER_NO_SYNC";
const CACHE: usize = 1 << 20;

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

fn engine(dir: &Path) -> RedbEngine {
    let path = dir.join("store.redb");
    let options = RedbOptions {
        cache_bytes: CACHE,
        create: true,
    };
    if env::var(NO_SYNC).is_ok() {
        RedbEngine::open(Arc::new(Lying(FileDisk::open(&path, true).unwrap())), options).unwrap()
    } else {
        RedbEngine::open_file(&path, options).unwrap()
    }
}

fn value_of(number: u64) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    value.resize(200 + (number as usize * 37) % 900, number as u8);
    value
}

/// Not a test of its own: the writer. Without its variable it does nothing.
#[test]
fn child() {
    let Ok(dir) = env::var(DIR) else { return };
    let engine = engine(Path::new(&dir));
    let mut out = io::stdout().lock();
    for number in engine.stats().revision.0 + 1.. {
        let batch = Batch {
            changes: vec![Change::Put {
                table: Table::Version,
                key: number.to_be_bytes().to_vec(),
                value: value_of(number),
            }],
            ..Batch::default()
        };
        let outcome = engine.commit(&batch).unwrap();
        assert_eq!(outcome, CommitOutcome::Committed(Revision(number)));
        writeln!(out, "durable {number}").unwrap();
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// A mounted image; unmounted when it goes.
struct Mounted(PathBuf);

impl Mounted {
    fn new(image: &Path, at: PathBuf) -> Result<Self, String> {
        fs::create_dir_all(&at).map_err(|error| error.to_string())?;
        run(
            "mount",
            &["-o", "loop", image.to_str().unwrap(), at.to_str().unwrap()],
        )?;
        Ok(Self(at))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = run("umount", &[self.0.to_str().unwrap()]);
    }
}

/// Killed when it goes, so that nothing holds the mount.
struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether all that was acknowledged before the cut is there after it.
fn round(work: &Path, number: usize, lie: bool) -> Result<(), String> {
    let (image, cut) = (work.join("live.img"), work.join("cut.img"));
    fs::File::create(&image).unwrap().set_len(24 << 20).unwrap();
    run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]).expect("a file system");
    let live = Mounted::new(&image, work.join("live")).expect("a loop mount");
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture"])
        .env(DIR, &live.0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if lie {
        command.env(NO_SYNC, "1");
    }
    let mut writer = Writer(command.spawn().unwrap());
    let lines = BufReader::new(writer.0.stdout.take().unwrap()).lines();
    let (tell, told) = mpsc::channel::<u64>();
    let reader = thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if let Some(number) = line.split("durable ").nth(1).and_then(|n| n.parse().ok())
                && tell.send(number).is_err()
            {
                break;
            }
        }
    });
    let wanted = 5 + (number as u64 * 53) % 160;
    let mut acknowledged = 0;
    while acknowledged < wanted {
        acknowledged = told.recv().expect("the writer ended by itself");
    }
    // A cut takes an instant and a copy does not: the writer stands still meanwhile. Nothing is synced or
    // unmounted.
    let stop = Command::new("kill")
        .args(["-STOP", &writer.0.id().to_string()])
        .status();
    assert!(stop.unwrap().success());
    acknowledged = told.try_iter().last().unwrap_or(acknowledged);
    fs::copy(&image, &cut).unwrap();
    drop(writer);
    drop(live);
    reader.join().unwrap();

    let after = Mounted::new(&cut, work.join("cut"))?;
    let path = after.0.join("store.redb");
    let engine = RedbEngine::open_copy_on_write(&path, CACHE).map_err(|error| error.to_string())?;
    let snapshot = engine.snapshot().map_err(|error| error.to_string())?;
    for number in 1..=acknowledged {
        let found = snapshot
            .value(Table::Version, &number.to_be_bytes())
            .map_err(|error| error.to_string())?;
        if found != Some(value_of(number)) {
            return Err(format!("commit {number} of {acknowledged} is not there"));
        }
    }
    let last = snapshot.revision().0;
    drop(snapshot);
    drop(engine);
    // And it goes on from there.
    let engine = RedbEngine::open_file(&path, RedbOptions::default()).map_err(|error| error.to_string())?;
    let more = engine.commit(&Batch::default());
    match more {
        Ok(CommitOutcome::Committed(revision)) if revision.0 == last + 1 => Ok(()),
        other => Err(format!("it does not go on: {other:?}")),
    }
}

/// Why this machine cannot cut the power.
fn missing(work: &Path) -> Option<String> {
    let image = work.join("probe.img");
    fs::File::create(&image).unwrap().set_len(24 << 20).unwrap();
    if let Err(why) = run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]) {
        return Some(why);
    }
    Mounted::new(&image, work.join("probe")).err()
}

#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    let rounds: usize = env::var("STRONGROOM_POWER_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let keep = tempfile::tempdir().unwrap();
    if let Some(why) = missing(keep.path()) {
        assert!(
            env::var("CI").is_err(),
            "no power cut on this machine, and this is CI: {why}"
        );
        println!("SKIPPED: the power cut test needs root, mkfs.ext4 and loop devices: {why}");
        return;
    }
    for number in 0..rounds {
        round(keep.path(), number, false).unwrap_or_else(|why| panic!("round {number}: {why}"));
    }
    let caught = (0..3)
        .filter(|number| round(keep.path(), 2 + number, true).is_err())
        .count();
    assert!(
        caught == 3,
        "a writer without fsync passed: {caught} of 3 found out"
    );
    println!("{rounds} power cuts; the writer without fsync was found out {caught} times of 3");
}
