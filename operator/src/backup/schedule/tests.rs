use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use strongroom_api::backup_status::BackupStatus;
use strongroom_process::MetricRegistry;
use strongroom_store::seal::{RecoveryKey, SlotSecret};
use strongroom_testing::clock::SECONDS as START;
use strongroom_testing::store::{Fixture, key, meta};

use super::*;

/// A round on a folder, each day at three, with a drill each day at five, and what it counts.
fn round(
    fixture: &Fixture,
    folder: &Path,
    scratch: &Path,
    now: fn() -> Timestamp,
) -> (BackupRound, MetricRegistry) {
    let calendar = |cron: &str| Arc::new(Calendar::parse(cron, None).unwrap());
    let plan = BackupPlan {
        cron: "0 3 * * *".to_owned(),
        calendar: calendar("0 3 * * *"),
        destination: BackupDestination::Folder(folder.to_owned()),
        limits: BackupLimits {
            count: Some(2),
            age: None,
        },
        reads_interval: Duration::from_secs(300),
        drills: Some(DrillPlan {
            cron: "0 5 * * *".to_owned(),
            calendar: calendar("0 5 * * *"),
            dir: scratch.to_owned(),
        }),
    };
    let mut registry = MetricRegistry::default();
    let task = BackupTask {
        plan: Some(plan),
        store: fixture.store.clone(),
        root: Arc::new(SealFile::load(&fixture.dir).unwrap().unlock(&key()).unwrap()),
        metrics: BackupMetrics::register(&mut registry),
        now,
    };
    (BackupRound::new(task, None), registry)
}

fn backups(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".backup")).count()
}

fn counts(registry: &MetricRegistry, line: &str) -> bool {
    registry.text().unwrap().lines().any(|found| found == line)
}

/// All that is wrong, in words.
fn problems(status: &BackupStatus, now: Timestamp) -> Vec<String> {
    let all = [
        status.recovery_problem(),
        status.backup_problem(now),
        status.drill_problem(),
    ];
    all.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_taken_at_first_by_the_schedule_and_for_a_recovery_key() {
    static CLOCK: AtomicI64 = AtomicI64::new(START);
    fn now() -> Timestamp {
        Timestamp::from_second(CLOCK.load(Ordering::Relaxed)).unwrap()
    }
    let fixture = Fixture::new();
    fixture.secret("db");
    let keep = tempfile::tempdir().unwrap();
    let (folder, scratch) = (keep.path().join("backups"), keep.path().join("scratch"));
    std::fs::create_dir(&folder).unwrap();
    let (mut round, registry) = round(&fixture, &folder, &scratch, now);
    let next = |text: &str| Some(text.parse::<Timestamp>().unwrap());

    round.run_due().await;
    assert_eq!(backups(&folder), 1, "there was none");
    assert_eq!(round.status.recovery_slots, 0);
    round.run_due().await;
    assert_eq!(backups(&folder), 1);
    assert_eq!(round.status.next, next("2026-11-24T03:00:00Z"));
    assert!(
        problems(&round.status, now()).len() == 1,
        "no recovery key opens it"
    );

    // A recovery key is made: the older backup does not open with it.
    CLOCK.fetch_add(60, Ordering::Relaxed);
    let root = SealFile::load(&fixture.dir).unwrap().unlock(&key()).unwrap();
    let secret = SlotSecret::Recovery(RecoveryKey::generate().unwrap());
    let made = fixture
        .store
        .change_seal(meta(), |file| file.add_slot(&root, &secret, "paper"));
    made.unwrap();
    round.run_due().await;
    assert_eq!(backups(&folder), 2);
    round.run_due().await;
    assert_eq!((backups(&folder), round.status.recovery_slots), (2, 1));
    assert!(problems(&round.status, now()).is_empty());
    assert!(counts(&registry, "seal_recovery_slots 1"));

    // A day later, and only once; the oldest goes, and a drill brings the newest back.
    CLOCK.fetch_add(86_400, Ordering::Relaxed);
    round.run_due().await;
    round.run_due().await;
    assert_eq!(backups(&folder), 2);
    assert!(counts(&registry, "backups_verified_total 3"));
    assert_eq!(round.status.next, next("2026-11-25T03:00:00Z"));
    let drill = round.status.drill.clone().unwrap();
    assert_eq!((drill.at, drill.problem), (now(), None));
    assert!(!scratch.join(DRILL_FOLDER).exists());

    // A process that starts again knows all of it by what lies there.
    let (mut again, registry) = super::tests::round(&fixture, &folder, &scratch, now);
    again.run_due().await;
    again.run_due().await;
    assert_eq!((backups(&folder), again.status.newest), (2, round.status.newest));
    assert!(counts(&registry, "backups_verified_total 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_counted_waited_for_and_heals() {
    fn now() -> Timestamp {
        Timestamp::from_second(START).unwrap()
    }
    let fixture = Fixture::new();
    let keep = tempfile::tempdir().unwrap();
    let (folder, scratch) = (keep.path().join("backups"), keep.path().join("scratch"));
    let (mut round, registry) = round(&fixture, &folder, &scratch, now);
    round.run_due().await;
    let failure = round.status.failure.clone().unwrap();
    assert!(
        failure.message.contains("cannot be used for backups") && failure.since == now(),
        "{failure:?}"
    );
    std::fs::create_dir(&folder).unwrap();
    round.run_due().await;
    assert_eq!(backups(&folder), 0, "it is not tried again at once");
    assert!(counts(&registry, "backup_failures_total{step=\"list\"} 1"));
    round.retry.not_before = None;
    round.run_due().await;
    assert_eq!((backups(&folder), &round.status.failure), (1, &None));
    assert_eq!(round.retry.failures, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_fails_is_told_and_held_again() {
    static CLOCK: AtomicI64 = AtomicI64::new(START);
    fn now() -> Timestamp {
        Timestamp::from_second(CLOCK.load(Ordering::Relaxed)).unwrap()
    }
    let fixture = Fixture::new();
    let keep = tempfile::tempdir().unwrap();
    let (folder, scratch) = (keep.path().join("backups"), keep.path().join("scratch"));
    std::fs::create_dir(&folder).unwrap();
    let (mut round, registry) = round(&fixture, &folder, &scratch, now);
    CLOCK.fetch_add(86_400, Ordering::Relaxed);
    round.run_due().await;
    assert_eq!(round.status.drill.clone().unwrap().problem, None);

    // Somebody cuts the newest backup where it lies.
    let name = round.status.newest.clone().unwrap().name;
    let whole = std::fs::read(folder.join(&name)).unwrap();
    std::fs::write(folder.join(&name), &whole[..whole.len() - 5]).unwrap();
    let round_at_five = |round: &mut BackupRound| {
        // No backup is due meanwhile.
        round.drilled = Timestamp::from_second(START).unwrap();
        round.drill_retry.not_before = None;
    };
    round_at_five(&mut round);
    round.run_due().await;
    let problem = round.status.drill.clone().unwrap().problem.unwrap();
    assert!(problem.contains("cannot be restored"), "{problem}");
    assert!(counts(&registry, "backup_failures_total{step=\"drill\"} 1"));
    assert_eq!(
        problems(&round.status, now()).len(),
        2,
        "and there is no recovery key"
    );

    std::fs::write(folder.join(&name), &whole).unwrap();
    round_at_five(&mut round);
    round.run_due().await;
    assert_eq!(round.status.drill.clone().unwrap().problem, None);
}

#[tokio::test]
async fn without_a_plan_only_the_recovery_keys_are_counted() {
    let fixture = Fixture::new();
    let mut registry = MetricRegistry::default();
    let task = BackupTask {
        plan: None,
        store: fixture.store.clone(),
        root: Arc::new(SealFile::load(&fixture.dir).unwrap().unlock(&key()).unwrap()),
        metrics: BackupMetrics::register(&mut registry),
        now: Timestamp::now,
    };
    let mut round = BackupRound::new(task, None);
    round.run_due().await;
    assert_eq!(round.status, BackupStatus::default());
}
