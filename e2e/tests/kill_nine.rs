//! The promise: kill -9 at any instant loses and doubles nothing, and the next start needs no person.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::{Fixture, condition, eventually, generated};

/// Secrets; each is made once and rotated three times, which makes 200 changes.
const SECRETS: usize = 50;
const ROTATIONS: usize = 3;

#[test]
fn two_hundred_changes_survive_kills_at_random_instants() {
    let f = Fixture::new();
    let mut seed = std::process::id().wrapping_mul(2_654_435_761) | 1;
    let mut random = move |below: u32| {
        // xorshift: any spread of instants does.
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed % below
    };
    let names: Vec<String> = (0..SECRETS).map(|number| format!("s{number}")).collect();
    f.apply(&names.iter().map(|name| generated(name)).collect::<String>());
    let mut kills = 0;
    for round in 0..=ROTATIONS {
        if round > 0 {
            let trigger = format!("strongroom.dev/rotate-now=round-{round}");
            f.kubectl(&[
                "-n",
                "shop",
                "annotate",
                "managedsecret",
                "--all",
                "--overwrite",
                &trigger,
            ]);
        }
        eventually(&format!("round {round} to be done between kills"), || {
            let mut process = f.start();
            std::thread::sleep(Duration::from_millis(u64::from(random(700))));
            process.kill();
            kills += 1;
            (done(&f, round + 1) == SECRETS || kills >= (round + 1) * 6).then_some(())
        });
        let mut process = f.start();
        eventually(&format!("all secrets to have {} versions", round + 1), || {
            (done(&f, round + 1) == SECRETS).then_some(())
        });
        process.kill();
    }
    assert!(kills > ROTATIONS, "{kills} kills");
    let mut process = f.start();
    for name in &names {
        let object = f.wait_ready(name, "True", "Ready");
        let sequences: Vec<u64> = object["status"]["versions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|version| version["seq"].as_u64().unwrap())
            .collect();
        let mut sorted = sequences.clone();
        sorted.sort_unstable();
        assert_eq!(
            sorted,
            (1..=ROTATIONS as u64 + 1).collect::<Vec<_>>(),
            "{name}: no version lost or doubled"
        );
    }
    assert!(process.stop().unwrap().success());
}

/// Secrets that are Ready with exactly so many versions; one with more would be a doubled change.
fn done(f: &Fixture, versions: usize) -> usize {
    let list = f.json(&["-n", "shop", "get", "managedsecrets"]);
    let mut counts = BTreeMap::new();
    for object in list["items"].as_array().unwrap() {
        let count = object["status"]["versions"].as_array().map_or(0, Vec::len);
        assert!(
            count <= versions,
            "{} has {count} versions after {versions} changes",
            object["metadata"]["name"]
        );
        let ready = condition(object, "Ready").is_some_and(|ready| ready["status"] == "True");
        *counts.entry((ready, count)).or_insert(0) += 1;
    }
    counts.get(&(true, versions)).copied().unwrap_or(0)
}
