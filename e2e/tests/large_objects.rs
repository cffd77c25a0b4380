//! The promise: three hundred ManagedSecrets of 1.35 MB, which an earlier version let in, neither kill the
//! process nor keep it from starting, and another namespace's objects have their turn meanwhile.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use strongroom_e2e::Strongroom;
use support::chart::CRDS;
use support::{Fixture, condition, eventually};

const OBJECTS: usize = 300;
/// Objects that one kubectl sends, and how many of those run at the same time.
const BATCH: usize = 20;
const SENDERS: usize = 2;
/// What the process may have resident at any time, in bytes; the chart's limit is 512 MiB.
const MOST: usize = 200 << 20;

/// 15 texts of 90,000 characters that are sealed for nobody.
fn meaningless(name: &str) -> Value {
    let text: String = (0_usize..89_900)
        .map(|number| {
            char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"[number.wrapping_mul(number + 7) / 3 % 32])
        })
        .collect();
    let keys: serde_json::Map<_, _> = (0..15)
        .map(|number| {
            let sealed = format!("strongroom1.0123456789abcdef.AAAA.{text}");
            (format!("key-{number}"), json!(sealed))
        })
        .collect();
    json!({
        "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"source": {"sealed": {"keys": keys}}, "secret": {"name": name}},
    })
}

fn payment(name: &str) -> String {
    json!({
        "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret", "metadata": {"name": name, "namespace": "pay"},
        "spec": {"source": {"generate": {"keys": {"password": {"password": {"length": 32}}}}}, "secret": {"name": name}},
    })
    .to_string()
}

/// The most that the process ever had resident, in bytes.
fn most_resident(process: &Strongroom) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kilobytes: usize = peak.split_whitespace().next().unwrap().parse().unwrap();
    kilobytes << 10
}

impl Fixture {
    /// Creates objects of these names.
    fn create(&self, names: &[String]) {
        let items: Vec<Value> = names.iter().map(|name| meaningless(name)).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        let (created, _, said) = self.piped(&["create", "-f", "-"], &list.to_string());
        assert!(created, "{said}");
    }

    /// What the columns say of the objects; the objects themselves stay where they are.
    fn reasons(&self) -> String {
        self.kubectl(&["-n", "shop", "get", "managedsecrets"])
    }

    fn paid(&self, name: &str) {
        eventually(&format!("{name} of another namespace"), || {
            let object = self.json(&["-n", "pay", "get", "managedsecret", name]);
            (condition(&object, "Ready")?["status"] == "True").then_some(())
        });
    }
}

#[test]
fn the_largest_objects_kill_nobody_and_hold_nobody_up() {
    let f = Fixture::new();
    f.kubectl(&["create", "namespace", "pay"]);
    let server_side = ["--server-side", "--force-conflicts"];
    // As the kind was before there was a bound on sealed texts.
    let kind = std::fs::read_to_string(Path::new(CRDS).join("managedsecrets.yaml")).unwrap();
    let before = kind.replace("sum() <= 140000", "sum() <= 14000000");
    assert_ne!(before, kind);
    let file = f.keep.path().join("before.yaml");
    std::fs::write(&file, before).unwrap();
    f.apply_crds(file.to_str().unwrap(), &server_side);
    // A schema counts a moment later.
    eventually("a large object to be let in", || {
        let (created, ..) = f.piped(&["create", "-f", "-"], &meaningless("first").to_string());
        created.then_some(())
    });
    f.kubectl(&["-n", "shop", "delete", "managedsecret", "first"]);
    let names: Vec<String> = (0..OBJECTS).map(|number| format!("large-{number:03}")).collect();
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let batches = names.chunks(BATCH).skip(sender).step_by(SENDERS);
            let f = &f;
            scope.spawn(move || batches.for_each(|names| f.create(names)));
        }
    });
    f.apply_crds(CRDS, &server_side);
    // Such an object is not let in any more; what is there stays, and may be changed in other ways.
    eventually("another one to be refused", || {
        let (created, _, said) = f.piped(&["create", "-f", "-"], &meaningless("late").to_string());
        if created {
            f.kubectl(&["-n", "shop", "delete", "managedsecret", "late"]);
        }
        said.contains("the sealed texts are longer than those of a value")
            .then_some(())
    });
    f.kubectl(&["-n", "shop", "label", "managedsecret", "large-000", "team=shop"]);

    let mut peaks = Vec::new();
    for round in 0..2 {
        let mut process = f.start();
        let name = format!("db-{round}");
        f.apply(&payment(&name));
        f.paid(&name);
        for part in 1..=5 {
            let so_many = OBJECTS * part / 5;
            eventually(&format!("{so_many} of them to say what is wrong"), || {
                (f.reasons().matches("SealInvalid").count() >= so_many).then_some(())
            });
        }
        peaks.push(most_resident(&process));
        assert_eq!(process.ended(), None);
        process.stop().unwrap();
    }
    eprintln!("{} MiB and {} MiB at most", peaks[0] >> 20, peaks[1] >> 20);
    assert!(peaks.iter().all(|peak| *peak < MOST), "{peaks:?}");
}
