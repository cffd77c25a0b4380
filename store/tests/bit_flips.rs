//! One bit of the store file is flipped, anywhere: the store refuses to open, or answers every question as
//! before. Never a wrong value, never one that is missing.
//!
//! `STRONGROOM_FLIPS` sets the number of flips, 200 if unset; `STRONGROOM_SEED` repeats a run.

mod support;

use std::fs;

use strongroom_model::id::SecretId;
use strongroom_store::engine::{STORE_FILE, view_file};
use strongroom_store::vault::*;

use support::simulated_disk::{Random, seed};
use support::worker::rounds;
use support::*;

/// Everything that the store answers, as text; or which question it does not answer.
fn answers(store: &Store, secrets: &[SecretId]) -> Result<String, StoreError> {
    let mut answers = String::new();
    for secret in secrets {
        let view = store.describe(*secret)?;
        for version in &view.versions {
            let value = get(store, *secret, Some(version.id.as_str()), None)?;
            answers += &format!("{secret} {} {value}\n", version.id);
        }
        answers += &format!("{view:?}\n");
    }
    answers += &format!("{:?}\n", store.list(None, None, 1_000)?);
    answers += &format!("{:?}\n", store.namespaces()?);
    // Opening adds records of its own at the end.
    for (sequence, entry) in store.mutations_after(0, 20)? {
        answers += &format!("{sequence} {entry:?}\n");
    }
    Ok(answers)
}

#[test]
fn a_flipped_bit_never_gives_a_wrong_or_missing_answer() {
    let flips: usize = rounds("STRONGROOM_FLIPS", 200);
    let f = Fixture::new();
    let secrets: Vec<SecretId> = (0..12)
        .map(|index| f.create(&format!("secret-{index}"), &format!("value {index}")))
        .collect();
    for secret in &secrets {
        f.put(*secret, "v2", &"long value ".repeat(90), &[]).unwrap();
    }
    let (keep, dir) = f.close();
    let good = fs::read(dir.join(STORE_FILE)).unwrap();
    let copy = keep.path().join("flipped.redb");
    let open = |bytes: &[u8]| {
        fs::write(&copy, bytes).unwrap();
        store_on(view_file(&copy)?, keyring(&dir), None)
    };
    let right = answers(&open(&good).unwrap(), &secrets).unwrap();
    assert!(right.contains("value 7") && right.contains("secret-11"));

    let seed = seed();
    let (mut random, mut refused, mut unseen) = (Random::new(seed), 0, 0);
    while refused + unseen < flips {
        let bit = usize::try_from(random.below(good.len() as u64 * 8)).unwrap();
        // Most of a small file is free pages; half of the flips shall hit what holds something.
        if good[bit / 8] == 0 && unseen > refused {
            continue;
        }
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match open(&flipped).map(|store| answers(&store, &secrets)) {
            Err(_) => refused += 1,
            Ok(Err(error)) => panic!("seed {seed}, bit {bit}: it opened, and then {error}"),
            Ok(Ok(found)) => {
                assert_eq!(found, right, "seed {seed}, bit {bit}");
                unseen += 1;
            }
        }
    }
    assert!(
        refused >= flips / 8,
        "seed {seed}: only {refused} of {flips} were refused"
    );
}
