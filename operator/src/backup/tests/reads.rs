//! The read chain, copied to a folder and to a bucket that does as a test says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use strongroom_process::MetricRegistry;
use strongroom_rules::backup::BackupLimits;
use strongroom_store::audit::{Action, CopiesReport, CopyFault, Durability, RetentionLimits, WhenFull};
use strongroom_store::vault::{AuditNote, Store};
use strongroom_testing::clock;
use strongroom_testing::store::{Fixture, meta};
use strongroom_testing::wait::until;
use tokio::sync::Notify;

use super::scripted_bucket::{Fault, ScriptedBucket};
use super::{folder, now, take};
use crate::backup::destination::BackupDestination;
use crate::backup::error::BackupError;
use crate::backup::metrics::BackupMetrics;
use crate::backup::reads::{CopyProgress, ReadCopier, verify_reads};

const KEEP_ALL: BackupLimits = BackupLimits {
    count: None,
    age: None,
};

/// A store whose segments have 128 KiB, so that a few hundred reads fill one.
fn small_segments() -> Fixture {
    let limits = RetentionLimits::new(None, Some(1 << 20), None, WhenFull::Roll).unwrap();
    Fixture::with_audit_limits(limits)
}

/// Reads that are audited, and signed.
async fn read(store: &Store, count: usize) {
    let before = store.read_head();
    for _ in 0..count {
        let mut note = AuditNote::new(Action::GetSecretValue);
        note.detail = "x".repeat(200);
        store.record_request(note, &meta(), Durability::Batched).unwrap();
    }
    // The thread behind the log signs them within a second. What is signed last is no read.
    until("the reads to be signed", || {
        let copied = store.copy_active_reads().unwrap();
        let end = copied.map_or(0, |copy| copy.span.end.sequence);
        end > before + count as u64
    })
    .await;
}

fn copier(
    store: &Store,
    folder: &Path,
    limits: BackupLimits,
    now: fn() -> Timestamp,
) -> (ReadCopier, MetricRegistry) {
    let mut registry = MetricRegistry::default();
    let copier = ReadCopier {
        store: store.clone(),
        destination: BackupDestination::Folder(folder.to_owned()),
        limits,
        interval: Duration::from_secs(300),
        metrics: BackupMetrics::register(&mut registry),
        now,
        progress: CopyProgress::default(),
    };
    (copier, registry)
}

/// Copies to a folder, by a process that knows nothing yet.
async fn copy(store: &Store, folder: &Path) {
    let (mut copier, _) = copier(store, folder, KEEP_ALL, now);
    copier.copy_to(&super::folder(folder).await).await.unwrap();
}

fn files(store: &Store, folder: &Path) -> Vec<PathBuf> {
    let dir = folder.join("reads").join(store.id().to_string());
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn ends_with(files: &[PathBuf], ending: &str) -> usize {
    files
        .iter()
        .filter(|path| path.to_str().unwrap().ends_with(ending))
        .count()
}

async fn verified(store: &Store, folder: &Path) -> CopiesReport {
    let at = BackupDestination::Folder(folder.to_owned());
    verify_reads(&at, None, store.audit_public_key()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_are_copied_once_and_the_open_one_is_replaced() {
    let fixture = small_segments();
    let keep = tempfile::tempdir().unwrap();
    let (store, folder) = (&fixture.store, keep.path());
    read(store, 900).await;
    copy(store, folder).await;
    let first = files(store, folder);
    assert!(ends_with(&first, ".reads") >= 1, "{first:?}");
    assert_eq!(ends_with(&first, ".partial"), 1, "{first:?}");
    let found = verified(store, folder).await;
    assert!(found.is_sound() && found.records >= 900, "{found}");
    assert_eq!((found.first, found.records), (1, found.last));

    // Nothing is new: nothing is written, also by a process that begins anew.
    let written = |path: &PathBuf| std::fs::metadata(path).unwrap().modified().unwrap();
    let before: Vec<_> = first.iter().map(written).collect();
    copy(store, folder).await;
    assert_eq!(files(store, folder), first);
    assert_eq!(first.iter().map(written).collect::<Vec<_>>(), before);

    read(store, 900).await;
    copy(store, folder).await;
    let second = files(store, folder);
    assert!(ends_with(&second, ".reads") > ends_with(&first, ".reads"));
    assert_eq!(
        ends_with(&second, ".partial"),
        1,
        "the earlier one went: {second:?}"
    );
    let found = verified(store, folder).await;
    assert!(found.is_sound() && found.records >= 1_800, "{found}");
    assert_eq!((found.first, found.records), (1, found.last));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_not_read_back_is_looked_at_by_the_next_process() {
    let fixture = small_segments();
    let keep = tempfile::tempdir().unwrap();
    let (store, folder) = (&fixture.store, keep.path());
    read(store, 900).await;
    copy(store, folder).await;
    let all = files(store, folder);
    let closed = all
        .iter()
        .rfind(|path| path.to_str().unwrap().ends_with(".reads"))
        .unwrap();
    let whole = std::fs::read(closed).unwrap();
    std::fs::write(closed, &whole[..whole.len() / 2]).unwrap();
    assert!(!verified(store, folder).await.is_sound());
    copy(store, folder).await;
    assert_eq!(std::fs::read(closed).unwrap(), whole);
    assert!(verified(store, folder).await.is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_changed_or_foreign_copy_is_named() {
    let fixture = small_segments();
    let keep = tempfile::tempdir().unwrap();
    let (store, folder) = (&fixture.store, keep.path());
    read(store, 1_400).await;
    copy(store, folder).await;
    let all = files(store, folder);
    assert!(all.len() >= 3, "{all:?}");
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let whole = std::fs::read(&all[1]).unwrap();

    std::fs::remove_file(&all[1]).unwrap();
    let found = verified(store, folder).await;
    assert_eq!(found.bad.len(), 1, "{found}");
    assert_eq!(found.bad[0].name, name(&all[2]));
    assert!(
        matches!(found.bad[0].fault, CopyFault::Missing { .. }) && found.to_string().ends_with("NOT sound"),
        "{found}"
    );

    let mut changed = whole.clone();
    changed[1_000] ^= 1;
    let other = std::fs::read(&all[0]).unwrap();
    for bytes in [changed, other, whole[..whole.len() - 10].to_vec()] {
        std::fs::write(&all[1], bytes).unwrap();
        let found = verified(store, folder).await;
        assert!(found.bad.iter().any(|bad| bad.name == name(&all[1])), "{found}");
    }
    std::fs::write(&all[1], &whole).unwrap();
    assert!(verified(store, folder).await.is_sound());
    // A file that nobody of us named so.
    let stranger = all[0].with_file_name("mine.reads");
    std::fs::write(&stranger, "mine").unwrap();
    let found = verified(store, folder).await;
    assert_eq!(found.bad.len(), 1, "{found}");
    assert_eq!(found.bad[0].name, "mine.reads");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_several_stores_are_told_apart() {
    let (one, other) = (small_segments(), small_segments());
    let keep = tempfile::tempdir().unwrap();
    let at = BackupDestination::Folder(keep.path().to_owned());
    let key = one.store.audit_public_key();
    let none = verify_reads(&at, None, key).await.unwrap_err();
    assert!(matches!(none, BackupError::NoReads { .. }), "{none}");
    copy(&one.store, keep.path()).await;
    copy(&other.store, keep.path()).await;
    let several = verify_reads(&at, None, key).await.unwrap_err();
    assert!(matches!(several, BackupError::SeveralReads { .. }), "{several}");
    let found = verify_reads(&at, Some(one.store.id()), key).await.unwrap();
    assert!(found.is_sound(), "{found}");
    let strange = verify_reads(&at, Some(other.store.id()), key).await.unwrap();
    assert!(!strange.is_sound(), "{strange}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_bucket_is_a_clear_error_and_heals() {
    let fixture = small_segments();
    let bucket = ScriptedBucket::start().await;
    let (mut copier, _) = copier(&fixture.store, Path::new("/"), KEEP_ALL, now);
    for (fault, told) in [
        (
            Fault::Full,
            "answered 507 Insufficient Storage (InsufficientCapacity)",
        ),
        (Fault::Denied, "answered 403 Forbidden (AccessDenied)"),
        (Fault::Hangs, "cannot be reached (no answer in time)|is too slow"),
        (Fault::ReadsSlowly, "is too slow"),
        (Fault::ReadsChanged, "instead of"),
        (Fault::ReadsCut, "instead of"),
    ] {
        let shown = format!("{fault:?}");
        bucket.set(Some(fault));
        let place = bucket.place().await;
        let error = copier.copy_to(&place).await.unwrap_err().to_string();
        assert!(
            told.split('|').any(|told| error.contains(told)) && !error.contains("hunter2"),
            "{shown}: {error}"
        );
        bucket.set(None);
        // Backups go on meanwhile.
        take(&fixture.store, &place, now).await.unwrap();
    }
    copier.copy_to(&bucket.place().await).await.unwrap();
    let keys = bucket.keys();
    let ours = format!("prod/a/reads/{}/", fixture.store.id());
    let copies = keys.iter().filter(|key| key.starts_with(&ours));
    assert_eq!(copies.count(), 1, "{keys:?}");
    bucket.stop().await;
    read(&fixture.store, 1).await;
    let away = copier.copy_to(&bucket.place().await).await.unwrap_err();
    assert!(matches!(away, BackupError::Unreachable { .. }), "{away}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_fails_is_counted_and_waited_for_and_one_that_does_not_says_up_to_when() {
    fn now() -> Timestamp {
        Timestamp::from_second(clock::SECONDS).unwrap()
    }
    let fixture = small_segments();
    let keep = tempfile::tempdir().unwrap();
    let missing = keep.path().join("backups");
    let (copier, registry) = copier(&fixture.store, &missing, KEEP_ALL, now);
    let counted = |line: &str| registry.text().unwrap().lines().any(|found| found == line);
    let taken = Arc::new(Notify::new());
    let told = Arc::clone(&taken);
    let task = tokio::spawn(async move { copier.run(&told).await });
    let failed = "backup_failures_total{step=\"reads\"} 1";
    until("the failed round to be counted", || counted(failed)).await;
    assert!(!missing.exists());

    // A backup was taken, so the folder is there: the next round does not wait.
    std::fs::create_dir(&missing).unwrap();
    taken.notify_one();
    let copied = || {
        let text = registry.text().unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("backup_reads_copied_timestamp_seconds "));
        line.is_some_and(|line| !line.ends_with(" 0") && !line.ends_with(" 0.0"))
    };
    until("a round that copies", copied).await;
    assert!(verified(&fixture.store, &missing).await.is_sound());
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_go_with_the_backups_and_the_youngest_stay() {
    /// Long after all of it.
    fn late() -> Timestamp {
        Timestamp::from_second(clock::SECONDS + 400 * 86_400).unwrap()
    }
    let fixture = small_segments();
    let keep = tempfile::tempdir().unwrap();
    let (store, path) = (&fixture.store, keep.path());
    read(store, 1_400).await;
    copy(store, path).await;
    let all = files(store, path);
    let limits = BackupLimits {
        count: None,
        age: Some(SignedDuration::from_hours(90 * 24)),
    };
    let (mut copier, _) = copier(store, path, limits, late);
    copier.copy_to(&folder(path).await).await.unwrap();
    assert_eq!(files(store, path), all, "without a backup nothing goes");
    take(store, &folder(path).await, late).await.unwrap();
    copier.copy_to(&folder(path).await).await.unwrap();
    let left = files(store, path);
    assert_eq!(
        (ends_with(&left, ".reads"), ends_with(&left, ".partial")),
        (1, 1),
        "{left:?}"
    );
    assert!(verified(store, path).await.is_sound());
    // They are not copied again.
    copy(store, path).await;
    assert_eq!(files(store, path), left);
}
