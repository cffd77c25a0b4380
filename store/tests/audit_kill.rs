//! A process that reads and writes is killed at random instants: every read that it answered is audited, the
//! chains verify as the kill left them, and the next start says where records may be missing.
//!
//! `STRONGROOM_KILL_ROUNDS` sets the number of kills, 6 if unset.

mod support;

use std::collections::BTreeSet;
use std::env;
use std::io::Write;
use std::path::Path;

use strongroom_model::id::{RequestId, SecretId};
use strongroom_store::audit::{self, Action, Durability};
use strongroom_store::vault::*;

use support::files::files;
use support::worker::{Worker, rounds};
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

#[test]
fn every_answered_read_is_on_record_after_a_kill() {
    let rounds: usize = rounds("STRONGROOM_KILL_ROUNDS", 6);
    let fixture = Fixture::new();
    let secret = fixture.create("checkout-db", "first");
    let (_keep, dir) = fixture.close();
    let public = keyring(&dir).public_key();
    let mut all = BTreeSet::new();
    for round in 0..rounds {
        let mut reader = Worker::start(&[(DIR, dir.as_os_str()), (SECRET, secret.to_string().as_ref())]);
        let before_kill = all.len() + 1 + round * 37 % 101;
        while all.len() < before_kill {
            all.insert(reader.next::<RequestId>("read "));
        }
        all.extend(reader.kill::<RequestId>("read "));
        let before = files(&dir);
        let report = audit::verify(&dir, &public).unwrap();
        assert!(report.is_sound(), "{report}");
        assert!(!report.clean_end);
        assert_eq!(report.gaps.len(), round, "{report}");
        assert!(files(&dir) == before, "verifying changed a file");
        let recorded: BTreeSet<RequestId> = read_entries(&dir)
            .into_iter()
            .filter(|entry| entry.action == Action::GetSecretValue)
            .filter_map(|entry| entry.request)
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
}
