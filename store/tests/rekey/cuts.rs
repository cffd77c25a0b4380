//! A full disk, a process that is killed at each step, and what a power cut leaves: there is always exactly
//! one root key that opens.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use strongroom_store::audit::READS_DIRECTORY;
use strongroom_store::crypto::Keyring;
use strongroom_store::engine::STORE_FILE;
use strongroom_store::seal::SealFile;
use strongroom_store::vault::*;

use crate::scene::*;
use crate::support::files::copy;
use crate::support::mount::{Mount, skip};
use crate::support::*;

const DIR: &str = "STRONGROOM_REKEY_DIR";
const STEP: &str = "STRONGROOM_REKEY_STEP";

/// Fills the file system of `dir` until so many bytes are free.
fn fill(dir: &Path, file: &str, left: u64) {
    let space = rustix::fs::statvfs(dir).unwrap();
    let free = space.f_bavail * space.f_frsize;
    let bytes = usize::try_from(free.saturating_sub(left)).unwrap();
    fs::write(dir.join(file), vec![1; bytes]).unwrap();
}

#[test]
fn a_full_disk_is_said_and_nothing_is_lost() {
    let keep = tempfile::tempdir().unwrap();
    let small = match Mount::memory(96, &keep.path().join("small")) {
        Ok(small) => small,
        Err(why) => return skip("no full disk without root to mount a tmpfs", &why),
    };
    let f = Fixture::new();
    let long = "x".repeat(20_000);
    for number in 0..200 {
        f.create(&format!("secret-{number}"), &long);
    }
    let (_keep, made) = f.close();
    let dir = small.0.join("store");
    fs::create_dir_all(dir.join(READS_DIRECTORY)).unwrap();
    let first = Path::new(READS_DIRECTORY).join("0000000000000001.reads");
    for file in [Path::new(STORE_FILE), Path::new("store.seal"), first.as_path()] {
        fs::copy(made.join(file), dir.join(file)).unwrap();
    }
    // No room for the segment; room for it, and then for a part of the new file.
    for left in [6 << 20, 13 << 20] {
        let filler = small.0.join("filler");
        fill(&small.0, "filler", left);
        let full = rekey_with(&dir, &slot(), new_slot(1), &mut |_| {}).unwrap_err();
        match &full {
            OpenError::Reads(_) => assert_eq!(left, 6 << 20, "{full}"),
            OpenError::Engine(_) => assert_eq!(left, 13 << 20, "{full}"),
            other => panic!("a full disk must say so: {other:?}"),
        }
        assert_eq!(left_over(&dir), Vec::<PathBuf>::new());
        fs::remove_file(filler).unwrap();
        assert!(verified(&dir, &keyring_by(&dir, &slot()).public_key()).is_sound());
        assert!(check(&dir, Some(&root(&dir))).unwrap().is_sound());
    }
    small.resize(512);
    rekey_once(&dir);
    open_by(&dir, &new_slot(1)).unwrap().close();
}

/// Files of a switch that is not over.
fn left_over(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.to_string_lossy().contains(".rekey-"))
        .collect()
}

/// Not a test of its own: what the killed process runs. Without its variables it does nothing.
#[test]
fn child() {
    let (Ok(dir), Ok(step)) = (env::var(DIR), env::var(STEP)) else {
        return;
    };
    let mut left: usize = step.parse().unwrap();
    rekey_with(Path::new(&dir), &slot(), new_slot(1), &mut |_| {
        if left == 0 {
            std::process::abort();
        }
        left -= 1;
    })
    .unwrap();
}

/// Runs a rekey of the store in `dir` that dies after so many steps.
fn killed_after(dir: &Path, steps: usize) {
    let status = Process::new(env::current_exe().unwrap())
        .args(["--exact", "cuts::child", "--nocapture"])
        .envs([(DIR, dir.as_os_str()), (STEP, steps.to_string().as_ref())])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success(), "it was not killed at step {steps}");
}

/// Exactly one of both keys opens the seal; what it opens is whole, and goes on.
fn one_root_key_opens(dir: &Path, expected: &StoreObservation, changes: usize, said: &str) -> bool {
    let seal = SealFile::load(dir).unwrap();
    let (old, new) = (seal.unlock(&slot()), seal.unlock(&new_slot(1)));
    assert_ne!(old.is_ok(), new.is_ok(), "{said}");
    let switched = new.is_ok();
    let root = new.or(old).unwrap();
    // Before anything is put in its place, on a copy as an auditor has it.
    let key = Keyring::derive(&root, seal.store()).public_key();
    let found = verified(dir, &key);
    assert!(found.is_sound(), "{said}: {found}");
    let found = check(dir, Some(&root)).unwrap();
    assert!(found.is_sound(), "{said}: {found}");
    let store = Setup::default()
        .open_with(dir, &root)
        .unwrap_or_else(|error| panic!("{said}: {error}"));
    assert_eq!(left_over(dir), Vec::<PathBuf>::new(), "{said}");
    assert_eq!(&observe(&store, changes), expected, "{said}");
    store.close();
    drop(store);
    assert!(verified(dir, &key).is_sound(), "{said}");
    switched
}

#[test]
fn a_process_that_is_killed_at_any_step_leaves_exactly_one_root_key_that_opens() {
    let (keep, dir, expected, changes) = used_and_observed();
    let whole = keep.path().join("whole");
    copy(&dir, &whole);
    let mut steps = Vec::new();
    rekey_with(&whole, &slot(), new_slot(1), &mut |step| steps.push(step)).unwrap();
    assert_eq!(
        steps[steps.len() - 4..],
        [
            RekeyStep::Proven,
            RekeyStep::Switched,
            RekeyStep::ReadsInPlace,
            RekeyStep::FileInPlace
        ]
    );
    assert!(matches!(steps[0], RekeyStep::Segment(1)), "{steps:?}");
    for (number, step) in steps.iter().enumerate() {
        let place = keep.path().join(format!("killed-{number}"));
        copy(&dir, &place);
        killed_after(&place, number);
        let said = format!("killed at step {number}, {step:?}");
        let switched = one_root_key_opens(&place, &expected, changes, &said);
        assert_eq!(switched, number >= steps.len() - 3, "{said}");
        if !switched {
            rekey_once(&place);
            assert!(one_root_key_opens(&place, &expected, changes, &said));
        }
        fs::remove_dir_all(&place).unwrap();
    }
}

#[test]
fn what_a_power_cut_leaves_of_new_files_is_in_nobodys_way() {
    let (keep, dir, expected, changes) = used_and_observed();
    // Before the switch: new files cut at any length, and a seal file that was not renamed.
    let proven = keep.path().join("proven");
    copy(&dir, &proven);
    let order = |step: RekeyStep| -> usize {
        let mut steps = Vec::new();
        let place = keep.path().join("order");
        copy(&dir, &place);
        rekey_with(&place, &slot(), new_slot(1), &mut |step| steps.push(step)).unwrap();
        fs::remove_dir_all(&place).unwrap();
        steps.iter().position(|one| *one == step).unwrap()
    };
    killed_after(&proven, order(RekeyStep::Proven));
    let new_file = left_over(&proven)
        .into_iter()
        .find(|path| path.is_file())
        .unwrap();
    let bytes = fs::read(&new_file).unwrap();
    for part in 0..8 {
        let place = keep.path().join(format!("cut-{part}"));
        copy(&proven, &place);
        let cut = place.join(new_file.file_name().unwrap());
        fs::write(&cut, &bytes[..bytes.len() * part / 8]).unwrap();
        fs::write(place.join("store.seal.new"), vec![0; part * 20]).unwrap();
        assert!(!one_root_key_opens(
            &place,
            &expected,
            changes,
            &format!("cut {part}")
        ));
        fs::remove_dir_all(&place).unwrap();
    }
    // Behind the switch: the old segments are removed, in part or whole, and the new ones not yet renamed.
    let switched = keep.path().join("switched");
    copy(&dir, &switched);
    killed_after(&switched, order(RekeyStep::Switched));
    for whole in [false, true] {
        let place = keep.path().join(format!("removed-{whole}"));
        copy(&switched, &place);
        let reads = place.join(READS_DIRECTORY);
        let first = reads.join("0000000000000001.reads");
        fs::remove_file(first).unwrap();
        if whole {
            fs::remove_dir_all(reads).unwrap();
        }
        assert!(one_root_key_opens(
            &place,
            &expected,
            changes,
            &format!("removed {whole}")
        ));
    }
}
