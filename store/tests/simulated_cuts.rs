//! The power is cut at random I/O calls, while opening and repairing too: every acknowledged commit is there
//! afterwards, and none is there in part.
//!
//! `STRONGROOM_CUTS` sets the number of cuts, 1,600 if unset; `STRONGROOM_SEED` repeats a run.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop, and helpers of tests fail as tests do"
)]

mod support;

use std::sync::Arc;

use strongroom_model::id::RequestId;
use strongroom_store::engine::*;

use support::crash::{Expected, contents};
use support::simulated_disk::{Call, Random, SimulatedDisk, seed};
use support::worker::rounds;

/// A batch of several records in several tables, some of them removed.
fn batch(random: &mut Random, number: u64) -> Batch {
    let mut changes = Vec::new();
    for _ in 0..=random.below(6) {
        let table = Table::ALL[random.below(Table::ALL.len() as u64) as usize];
        let key = random.below(24).to_be_bytes().to_vec();
        changes.push(if random.below(5) == 0 {
            Change::Delete { table, key }
        } else {
            let longest = if random.below(8) == 0 { 20_000 } else { 600 };
            let len = random.below(longest);
            let mut value = number.to_be_bytes().to_vec();
            value.resize(8 + len as usize, number as u8);
            Change::Put { table, key, value }
        });
    }
    Batch {
        requests: vec![RequestId::generate().unwrap()],
        changes,
        ..Batch::default()
    }
}

fn open(disk: &SimulatedDisk, at_once: bool) -> Result<Box<dyn Engine>, EngineError> {
    // With `create`, opening writes its repairs at once; without, they reach the disk with the first commit.
    open_disk(Arc::new(disk.clone()), at_once)
}

/// A disk with an empty store on it.
fn made(seed: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(seed);
    drop(open(&disk, true).unwrap());
    disk.restart()
}

#[test]
fn no_cut_loses_or_tears_a_commit() {
    let cuts: u32 = rounds("STRONGROOM_CUTS", 1_600);
    let seed = seed();
    let mut random = Random::new(seed);
    let mut disk = made(seed);
    let mut expected = Expected::default();
    let (mut done, mut opening, mut repairing, mut undecided, mut kept) = (0, 0, 0, 0, 0);
    while done < cuts {
        let context = format!("seed {seed}, cut {done}");
        let bound = if random.below(2) == 0 { 8 } else { 120 };
        disk.cut_after(random.below(bound), random.below(4) == 0);
        let at_once = random.below(2) == 0;
        match open(&disk, at_once) {
            Err(_) => {
                opening += 1;
                if matches!(disk.cut_in(), Some(Call::Write | Call::Sync | Call::SetLen)) {
                    repairing += 1;
                }
            }
            Ok(engine) => {
                let number = u64::from(done);
                while matches!(
                    expected.commit(engine.as_ref(), batch(&mut random, number)),
                    Ok(true)
                ) {
                    kept += 1;
                }
                undecided += u32::from(expected.undecided.is_some());
            }
        }
        assert!(disk.cut_in().is_some(), "{context}: it failed with the power on");
        done += 1;
        disk = disk.restart();
        // Looking must not change the disk, so that the next cut meets the same repair.
        let view = OverlayDisk::new(Arc::new(disk.clone())).unwrap();
        let engine = open_disk(Arc::new(view), false).unwrap_or_else(|error| panic!("{context}: {error}"));
        expected.holds(engine.as_ref(), &context);
    }
    println!(
        "{done} cuts: {opening} while opening, {repairing} of them in a write or sync of the repair; {undecided} commits undecided, {kept} acknowledged"
    );
    assert!(
        repairing >= cuts / 50,
        "seed {seed}: {repairing} cuts hit a repair"
    );
    assert!(undecided >= cuts / 50, "seed {seed}: {undecided} undecided");
    assert!(
        kept >= u64::from(cuts) / 2,
        "seed {seed}: {kept} commits acknowledged"
    );
}

#[test]
fn after_a_failed_sync_nothing_more_is_written_and_reads_go_on() {
    let seed = seed();
    let mut random = Random::new(seed);
    let mut unsaid = 0;
    for round in 0..120 {
        let context = format!("seed {seed}, round {round}");
        let disk = made(random.below(u64::MAX));
        let mut expected = Expected::default();
        let engine = open(&disk, true).unwrap();
        for number in 0..=random.below(5) {
            assert!(
                expected
                    .commit(engine.as_ref(), batch(&mut random, number))
                    .unwrap()
            );
        }
        disk.fail_sync_after(random.below(2) as u32);
        let failed = expected.commit(engine.as_ref(), batch(&mut random, 90));
        assert!(!matches!(failed, Ok(true)), "{context}");
        assert!(
            matches!(engine.commit(&batch(&mut random, 91)), Err(EngineError::Poisoned)),
            "{context}"
        );
        contents(engine.as_ref()).unwrap();
        // A failed sync may hit the last step of a commit: what is then in the page cache alone must not be
        // called committed.
        let said = expected
            .undecided
            .as_ref()
            .map(|batch| engine.resolve(&batch.requests));
        let before = expected.revision;
        drop(engine);
        let disk = disk.restart();
        expected.holds(open(&disk, false).unwrap().as_ref(), &context);
        let kept = expected.revision > before;
        match said {
            Some(Ok(committed)) if committed.is_empty() => {
                assert!(!kept, "{context}: called lost, and there");
            }
            Some(Ok(_)) => assert!(kept, "{context}: called committed, and lost"),
            Some(Err(_)) => unsaid += 1,
            None => assert!(!kept, "{context}: refused, and there"),
        }
    }
    assert!(
        unsaid > 0,
        "seed {seed}: no sync failed in the last step of a commit"
    );
}

#[test]
fn a_full_disk_refuses_keeps_all_and_goes_on() {
    let seed = seed();
    let mut random = Random::new(seed);
    let disk = made(seed);
    let mut expected = Expected::default();
    let engine = open(&disk, true).unwrap();
    assert!(expected.commit(engine.as_ref(), batch(&mut random, 0)).unwrap());
    for round in 1..=4_u64 {
        let context = format!("seed {seed}, round {round}");
        disk.limit(Some(disk.len().unwrap()));
        let big = (round * 1_000..).map(|number| Batch {
            requests: vec![RequestId::generate().unwrap()],
            changes: vec![Change::Put {
                table: Table::Version,
                key: number.to_be_bytes().to_vec(),
                value: vec![number as u8; 300_000],
            }],
            ..Batch::default()
        });
        let (full, _) = expected.fill(engine.as_ref(), big);
        assert!(matches!(full, EngineError::OutOfSpace), "{context}: {full:?}");
        expected.holds(engine.as_ref(), &context);
        disk.limit(None);
        assert!(
            expected
                .commit(engine.as_ref(), batch(&mut random, round))
                .unwrap(),
            "{context}: it must go on"
        );
        expected.holds(engine.as_ref(), &context);
    }
    drop(engine);
    expected.holds(open(&disk.restart(), false).unwrap().as_ref(), "at the end");
}
