//! The audit of a whole store within its limits: what goes, what holds it back, what stops at the bound, and
//! that the rest verifies with the public key alone, over restarts, backups, damage and kills.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use strongroom_model::id::SecretId;
use strongroom_store::audit::{
    self, Action, Chain, Durability, ExportProgress, Fault, RetentionLimits, VerifyReport, WhenFull,
};
use strongroom_store::crypto::PublicKey;
use strongroom_store::vault::*;

use support::files::golden_copy;
use support::worker::{Worker, rounds};
use support::*;

const MIB: u64 = 1 << 20;
const HOUR: Duration = Duration::from_secs(3_600);

fn limits(
    keep_for: Option<Duration>,
    keep: Option<u64>,
    bound: Option<u64>,
    full: WhenFull,
) -> RetentionLimits {
    RetentionLimits::new(keep_for, keep, bound, full).unwrap()
}

fn keep_bytes() -> RetentionLimits {
    limits(None, Some(MIB), None, WhenFull::Stop)
}

fn open_with(dir: &Path, audit: RetentionLimits) -> Store {
    setup(audit).open(dir)
}

fn setup(audit: RetentionLimits) -> Setup {
    Setup {
        audit,
        ..Setup::default()
    }
}

/// A store with a secret.
struct Scene {
    keep: tempfile::TempDir,
    dir: PathBuf,
    store: Store,
    secret: SecretId,
}

impl Scene {
    fn new(audit: RetentionLimits) -> Self {
        let f = Fixture::with(setup(audit));
        Self {
            secret: f.create("checkout-db", "first"),
            keep: f.keep,
            dir: f.dir,
            store: f.store,
        }
    }

    fn read(&self) -> Result<String, StoreError> {
        read(&self.store, self.secret)
    }

    /// Reads, and now and then a record of the place of the read chain.
    fn reads(&self, count: usize) {
        for number in 1..=count {
            self.read().unwrap();
            if number % 100 == 0 {
                self.store.run(RecordCheckpoint, meta()).unwrap();
            }
        }
    }

    fn retain(&self, readers: &[ExportProgress]) -> RetentionReport {
        self.store.retain(readers, at(0), Duration::ZERO).unwrap()
    }

    /// The numbers of the first records that are there.
    fn first(&self) -> (u64, u64) {
        let storage = audit::SegmentDirectory::read_only(&self.dir.join(audit::READS_DIRECTORY));
        let reads = self.store.reads_after(&storage, 0, 1).unwrap();
        let changes = self.store.mutations_after(0, 1).unwrap();
        (changes[0].0, reads[0].0)
    }

    fn close(self) -> (PathBuf, PublicKey, tempfile::TempDir) {
        let key = self.store.audit_public_key();
        self.store.close();
        (self.dir, key, self.keep)
    }
}

/// With a record of some 450 bytes.
fn read(store: &Store, secret: SecretId) -> Result<String, StoreError> {
    let get = GetValue {
        detail: "d".repeat(256),
        ..GetValue::current(secret)
    };
    store.value(&get, &meta()).map(|read| text(&read))
}

fn sound(dir: &Path, key: &PublicKey) -> VerifyReport {
    let report = audit::verify(dir, key).unwrap();
    assert!(report.is_sound(), "{report}");
    report
}

fn reader(changes: u64, reads: u64) -> ExportProgress {
    ExportProgress {
        reader: "the sink `dead`".to_owned(),
        changes,
        reads,
    }
}

/// Bytes of the files of the read chain that are in use or closed; what is laid out ahead is all zeros.
fn on_disk(dir: &Path) -> u64 {
    let segments = fs::read_dir(dir.join(audit::READS_DIRECTORY)).unwrap();
    let used = segments.filter_map(|entry| {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        bytes.iter().any(|byte| *byte != 0).then_some(bytes.len() as u64)
    });
    used.sum()
}

#[test]
fn without_limits_nothing_goes() {
    let scene = Scene::new(RetentionLimits::default());
    scene.reads(300);
    let kept = scene.store.retain(&[], at(i64::MAX / 2), 100 * HOUR).unwrap();
    assert_eq!(
        (kept.changes_removed, kept.read_bytes_removed, &kept.full),
        (0, 0, &None)
    );
    assert!(kept.change_bytes > 0 && kept.read_bytes > 50_000, "{kept:?}");
    assert_eq!(scene.first(), (1, 1));
}

#[test]
fn the_oldest_go_where_the_log_is_larger_and_the_rest_verifies() {
    let scene = Scene::new(keep_bytes());
    for _ in 0..10 {
        scene.reads(400);
        scene.retain(&[]);
    }
    let kept = scene.retain(&[]);
    let bytes = kept.change_bytes + kept.read_bytes;
    assert!((MIB / 2..=MIB).contains(&bytes), "{kept:?}");
    assert!(on_disk(&scene.dir) < MIB + MIB / 4, "{}", on_disk(&scene.dir));
    let (change, read) = scene.first();
    assert!(change > 5 && read > 1_000, "{change} {read}");
    // Each cut is audited itself.
    let told = scene.store.mutations_after(0, usize::MAX).unwrap();
    let mut cuts = told
        .iter()
        .filter(|(_, entry)| entry.action == Action::TruncateAudit);
    let last = cuts.next_back().unwrap();
    let expected = format!("changes up to {}, reads up to {}", change - 1, read - 1);
    assert_eq!(last.1.detail, expected);
    let (dir, key, _keep) = scene.close();
    let report = sound(&dir, &key);
    let cut = report.truncation.unwrap().cut;
    assert_eq!((cut.changes.sequence, cut.reads.sequence), (change - 1, read - 1));
    assert!(report.clean_end && report.gaps.is_empty(), "{report}");

    // A restart goes on with what is left; the size is counted anew, and is the same.
    let store = open_with(&dir, keep_bytes());
    let again = store.retain(&[], at(0), Duration::ZERO).unwrap();
    assert!(
        again.read_bytes.abs_diff(kept.read_bytes) < 1_000
            && again.change_bytes.abs_diff(kept.change_bytes) < 1_000
    );
    store.close();
    sound(&dir, &key);
}

#[test]
fn what_a_reader_has_not_got_stays_and_goes_once_it_has() {
    let scene = Scene::new(keep_bytes());
    scene.reads(4_000);
    let held = scene.retain(&[reader(0, 0), reader(u64::MAX, u64::MAX)]);
    assert_eq!((held.changes_removed, held.read_bytes_removed), (0, 0));
    assert_eq!(scene.first(), (1, 1));
    scene.retain(&[reader(u64::MAX, 1_000)]);
    let (_, read) = scene.first();
    assert!(read > 1 && read <= 1_001, "{read}");
    scene.retain(&[reader(u64::MAX, u64::MAX)]);
    let (change, later) = scene.first();
    assert!(later > 1_001 && change > 10, "{change} {later}");
    let (dir, key, _keep) = scene.close();
    sound(&dir, &key);
}

#[test]
fn at_the_bound_reads_stop_and_go_on_once_the_reader_has_caught_up() {
    let scene = Scene::new(limits(None, Some(MIB), Some(2 * MIB), WhenFull::Stop));
    let mut written = 0;
    let refused = loop {
        match scene.read() {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        if written % 500 == 0 {
            scene.store.run(RecordCheckpoint, meta()).unwrap();
            let kept = scene.retain(&[reader(7, 40)]);
            assert_eq!(kept.full, None);
        }
        assert!(written < 100_000, "the bound was never reached");
    };
    assert_eq!(refused.code(), "AuditUnavailable");
    let kept = scene.retain(&[reader(7, 40)]);
    let bytes = kept.change_bytes + kept.read_bytes;
    assert!((2 * MIB..2 * MIB + 4_096).contains(&bytes), "{kept:?}");
    let why = kept.full.unwrap();
    assert!(
        why.contains("its bound of 2Mi") && why.contains("the sink `dead` has yet to take"),
        "{why}"
    );
    assert!(scene.read().unwrap_err().to_string().contains(&why));
    // Refusals need a record as well; changes have theirs in their own commit.
    let unknown = SecretId::generate().unwrap();
    assert_eq!(
        put(&scene.store, unknown, "v2", "x", &[]).unwrap_err().code(),
        "AuditUnavailable"
    );
    put(&scene.store, scene.secret, "v2", "second", &[]).unwrap();
    // A restart does not get around it.
    let (dir, key, keep) = scene.close();
    let store = open_with(&dir, limits(None, Some(MIB), Some(2 * MIB), WhenFull::Stop));
    let scene = Scene {
        secret: store.list(None, None, 1).unwrap()[0].id,
        keep,
        dir,
        store,
    };
    assert_eq!(scene.read().unwrap_err().code(), "AuditUnavailable");
    let kept = scene.retain(&[reader(u64::MAX, u64::MAX)]);
    assert_eq!(kept.full, None);
    assert!(kept.read_bytes_removed > MIB / 2, "{kept:?}");
    assert_eq!(scene.read().unwrap(), "second");
    let (dir, _, _keep) = scene.close();
    sound(&dir, &key);
}

#[test]
fn what_is_to_be_kept_stops_reads_unless_the_exported_may_go() {
    for full in [WhenFull::Stop, WhenFull::DropExported] {
        let scene = Scene::new(limits(Some(1_000 * HOUR), None, Some(2 * MIB), full));
        let mut refused = None;
        for number in 1..=7_000 {
            if let Err(error) = scene.read() {
                refused = Some(error);
                break;
            }
            if number % 100 == 0 {
                scene.store.run(RecordCheckpoint, meta()).unwrap();
                scene.retain(&[reader(u64::MAX, u64::MAX)]);
            }
        }
        match full {
            WhenFull::Stop => {
                let said = refused.unwrap().to_string();
                assert!(said.contains("--audit-keep-bytes"), "{said}");
                assert_eq!(scene.first(), (1, 1));
            }
            WhenFull::DropExported => {
                assert!(refused.is_none(), "{refused:?}");
                assert!(scene.first().1 > 2_000, "{:?}", scene.first());
                // A reader that has not got them holds them back, and then reads stop as well.
                let dead = [reader(0, scene.first().1)];
                let mut written = 0;
                while scene.read().is_ok() {
                    written += 1;
                    if written % 100 == 0 {
                        scene.store.run(RecordCheckpoint, meta()).unwrap();
                        scene.retain(&dead);
                    }
                    assert!(written < 20_000, "what was not exported went");
                }
            }
            WhenFull::Roll => {}
        }
        let (dir, key, _keep) = scene.close();
        sound(&dir, &key);
    }
}

/// The limits of a volume of 21 MiB and a third; two gigabytes behave alike.
#[test]
fn a_log_that_rolls_refuses_no_read_in_ten_times_its_bound_although_a_reader_is_dead() {
    let bound = 16 * MIB;
    let (keep, bound) = RetentionLimits::on_volume(bound / 3 * 4, None, Some(bound));
    let scene = Scene::new(limits(None, Some(keep), Some(bound), WhenFull::Roll));
    let mut asked = meta();
    asked.asked = Some(Box::new(ExternalRequest {
        arrived: std::time::Instant::now(),
        circumstances: audit::Circumstances {
            statements: vec!["s".repeat(256); audit::MAX_STATEMENTS],
            ..audit::Circumstances::default()
        },
    }));
    let (mut written, mut most, mut cut) = (0, 0, 0);
    let dead = [reader(0, 0)];
    while written < 10 * bound {
        let before = scene.store.audit_bytes();
        for _ in 0..200 {
            let read = AuditNote::new(Action::GetSecretValue);
            scene
                .store
                .record_request(read, &asked, Durability::Batched)
                .unwrap();
        }
        written += scene.store.audit_bytes() - before;
        scene.store.run(RecordCheckpoint, meta()).unwrap();
        let retained = scene.retain(&dead);
        assert_eq!(retained.full, None);
        cut += retained.read_bytes_removed;
        most = most.max(scene.store.audit_bytes());
    }
    assert!(most <= bound, "{most}");
    assert!(cut > 8 * bound, "{cut}");
    assert!(
        scene.store.audit_bytes() > keep,
        "a reader that is late has its time up to the bound"
    );
    assert!(scene.store.audit_cut().unwrap().reads > 50_000);
    // One that has taken all leaves what is kept.
    scene.retain(&[reader(u64::MAX, u64::MAX)]);
    assert!(scene.store.audit_bytes() <= keep);
    let (dir, key, _keep) = scene.close();
    sound(&dir, &key);
}

#[test]
fn refusals_of_an_hour_are_few_records_and_the_chain_verifies_with_them() {
    let scene = Scene::new(RetentionLimits::default());
    let before = scene.store.audit_bytes();
    let asked = |second: i64, request: u8| Meta {
        actor: audit::Actor::Principal("serviceaccount shop/app".to_owned()),
        request: strongroom_model::id::RequestId::from_bytes([request; 16]),
        now: at(second * 1_000),
        asked: None,
    };
    let refused = |name: &str| AuditNote {
        outcome: audit::AuditOutcome::Refused("PolicyDenied".to_owned()),
        namespace: Some("shop".parse().unwrap()),
        secret: Some(name.parse().unwrap()),
        ..AuditNote::new(Action::GetSecretValue)
    };
    for second in 0..3_600 {
        for name in ["db", "cache"] {
            scene
                .store
                .record_request(refused(name), &asked(second, 1), Durability::Batched)
                .unwrap();
        }
        scene.store.write_refusal_sums(at(second * 1_000)).unwrap();
    }
    let grown = scene.store.audit_bytes() - before;
    assert!(grown < 100_000, "{grown}");
    // The end of the process tells what is not told yet.
    scene
        .store
        .record_request(refused("db"), &asked(3_600, 2), Durability::Batched)
        .unwrap();
    let (dir, key, _keep) = scene.close();
    let storage = audit::SegmentDirectory::read_only(&dir.join(audit::READS_DIRECTORY));
    let store = open_with(&dir, RetentionLimits::default());
    let read = store.reads_after(&storage, 0, usize::MAX).unwrap();
    let counts = read.iter().filter_map(|(_, record)| match record {
        audit::ReadChainRecord::Entry(entry) if entry.action == Action::GetSecretValue => {
            Some(entry.count.get())
        }
        _ => None,
    });
    assert_eq!(counts.sum::<u64>(), 7_201);
    store.close();
    sound(&dir, &key);
}

#[test]
fn what_is_too_old_goes_but_not_on_the_word_of_a_clock_that_jumped() {
    let scene = Scene::new(limits(Some(48 * HOUR), None, None, WhenFull::Stop));
    scene.reads(500);
    let later = |hours: i64| at(hours * 3_600_000);
    assert_eq!(
        scene
            .store
            .retain(&[], later(48), 2 * HOUR)
            .unwrap()
            .read_bytes_removed,
        0
    );
    assert_eq!(
        scene
            .store
            .retain(&[], later(100), HOUR / 2)
            .unwrap()
            .read_bytes_removed,
        0
    );
    assert_eq!(scene.first(), (1, 1));
    // The segment in use is closed, and its end is recorded with the next change.
    let put_at = |hours, id: &str| {
        let put = PutValue {
            secret: scene.secret,
            version: version(id),
            value: value("next"),
            stages: Vec::new(),
        };
        scene.store.run(put, meta_at(later(hours))).unwrap();
    };
    put_at(60, "v2");
    let kept = scene.store.retain(&[], later(100), HOUR).unwrap();
    assert!(
        kept.changes_removed > 3 && kept.read_bytes_removed > 50_000,
        "{kept:?}"
    );
    assert_eq!(scene.read().unwrap(), "next");
    let (change, read) = scene.first();
    assert!(change > 3 && read > 500, "{change} {read}");
    let actions = actions(&scene.store);
    assert!(actions.contains(&Action::PutSecretValue), "{actions:?}");
    let (dir, key, _keep) = scene.close();
    sound(&dir, &key);
}

#[test]
fn a_removed_beginning_that_nobody_signed_is_named_and_nothing_more_is_cut() {
    let scene = Scene::new(keep_bytes());
    scene.reads(3_000);
    let (dir, key, _keep) = scene.close();
    fs::remove_file(dir.join(audit::READS_DIRECTORY).join("0000000000000001.reads")).unwrap();
    let bad = audit::verify(&dir, &key).unwrap().bad.unwrap();
    assert_eq!((bad.chain, bad.sequence), (Chain::Reads, 1));
    assert!(
        matches!(bad.fault, Fault::Beginning { first } if first > 100),
        "{bad}"
    );
    let store = open_with(&dir, keep_bytes());
    let refused = store.retain(&[], at(0), Duration::ZERO).unwrap_err().to_string();
    assert!(
        refused.contains("no signed truncation") && refused.contains("audit verify"),
        "{refused}"
    );
    let secret = store.list(None, None, 1).unwrap()[0].id;
    assert_eq!(get(&store, secret, None, None).unwrap(), "first");
}

#[test]
fn a_backup_of_a_truncated_store_verifies_where_it_is_restored_and_is_cut_again() {
    let scene = Scene::new(keep_bytes());
    scene.reads(3_000);
    scene.retain(&[]);
    let stream = backup_of(&scene.store);
    let before = scene.first();
    let (_, key, keep) = scene.close();
    let dir = keep.path().join("restored");
    restore_into(&dir, &stream, false).unwrap();
    let report = sound(&dir, &key);
    assert_eq!(report.gaps.len(), 1);
    let store = open_with(&dir, keep_bytes());
    let secret = store.list(None, None, 1).unwrap()[0].id;
    let scene = Scene {
        keep,
        dir,
        store,
        secret,
    };
    assert_eq!(scene.first().0, before.0);
    scene.reads(3_000);
    assert!(scene.retain(&[]).read_bytes_removed > 0);
    let (dir, key, _keep) = scene.close();
    sound(&dir, &key);
}

#[test]
fn a_store_of_format_version_1_is_cut_and_verifies() {
    let keep = tempfile::tempdir().unwrap();
    let dir = keep.path().join("store");
    golden_copy(&dir);
    let store = open_with(&dir, limits(Some(24 * HOUR), None, None, WhenFull::Stop));
    let (key, head) = (store.audit_public_key(), store.mutation_head());
    let year = at(365 * DAY);
    let kept = store.retain(&[], year, HOUR).unwrap();
    assert!(
        kept.changes_removed >= head && kept.read_bytes_removed > 0,
        "{kept:?}"
    );
    store.close();
    drop(store);
    sound(&dir, &key);
    open(&dir).close();
    sound(&dir, &key);
}

const DIR: &str = "STRONGROOM_RETENTION_DIR";

/// Not a test of its own: what the killed process runs. Without its variable it does nothing.
#[test]
fn child() {
    let Ok(dir) = env::var(DIR) else { return };
    let store = open_with(Path::new(&dir), keep_bytes());
    let secret = store.list(None, None, 1).unwrap()[0].id;
    let mut out = std::io::stdout().lock();
    loop {
        for _ in 0..200 {
            read(&store, secret).unwrap();
        }
        store.run(RecordCheckpoint, meta()).unwrap();
        writeln!(out, "cuts").unwrap();
        let kept = store.retain(&[], at(0), Duration::ZERO).unwrap();
        writeln!(out, "cut {}", kept.changes_removed + kept.read_bytes_removed).unwrap();
    }
}

#[test]
fn a_process_that_is_killed_while_it_cuts_leaves_a_log_that_verifies() {
    let rounds: usize = rounds("STRONGROOM_KILL_ROUNDS", 8);
    let scene = Scene::new(keep_bytes());
    scene.reads(3_000);
    let (dir, key, _keep) = scene.close();
    let mut cut = 0;
    for round in 0..rounds {
        let mut writer = Worker::start(&[(DIR, dir.as_os_str())]);
        let mut begun = 0;
        // It is killed as it begins to cut, for the first, second or third time.
        while begun <= round % 3 {
            let line = writer.line();
            begun += usize::from(line.ends_with("cuts"));
            cut += u64::from(line.contains("cut ") && !line.ends_with("cut 0"));
        }
        drop(writer);
        sound(&dir, &key);
    }
    assert!(cut > 0, "nothing was ever cut");
    open(&dir).close();
    sound(&dir, &key);
}
