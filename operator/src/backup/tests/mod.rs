//! Backups to a folder and to a bucket that does as a test says.

mod reads;
mod scripted_bucket;

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use strongroom_rules::backup::BackupLimits;
use strongroom_store::vault::OpenError;
use strongroom_testing::clock;
use strongroom_testing::store::{Fixture, key};

use self::scripted_bucket::{Fault, ScriptedBucket};
use super::catalog::{newest, prune, read_manifest, stored};
use super::destination::BackupDestination;
use super::drill::{DrillJob, DrillKey, DrillOutcome};
use super::error::BackupError;
use super::name::{BackupName, is_leftover};
use super::place::{BackupPlace, remove_leftovers};
use super::take::take;

/// How long these tests wait for a bucket.
const PATIENCE: Duration = Duration::from_millis(400);

/// A clock that goes on by a second with each look.
fn now() -> Timestamp {
    static SECONDS: AtomicI64 = AtomicI64::new(clock::SECONDS);
    Timestamp::from_second(SECONDS.fetch_add(1, Ordering::Relaxed)).unwrap()
}

/// A store with two secrets.
fn store() -> Fixture {
    let fixture = Fixture::new();
    fixture.secret("db");
    fixture.secret("smtp");
    fixture
}

async fn folder(path: &Path) -> BackupPlace {
    BackupPlace::open(&BackupDestination::Folder(path.to_owned()))
        .await
        .unwrap()
}

async fn drilled(place: &BackupPlace, name: &BackupName, dir: &Path) -> Result<DrillOutcome, BackupError> {
    let job = DrillJob {
        place,
        object: name.to_string(),
        manifest: Some(read_manifest(place, name).await.unwrap()),
        dir: dir.join("drill"),
        key: DrillKey::Slot(key()),
        now: now(),
    };
    let held = job.hold().await;
    assert!(!dir.join("drill").exists(), "nothing of a drill stays");
    held
}

/// Takes a backup, and finds it, its manifest and what it holds.
async fn comes_back(place: &BackupPlace) {
    let fixture = store();
    let keep = tempfile::tempdir().unwrap();
    assert_eq!(newest(place, Some(fixture.store.id())).await.unwrap(), None);
    let (first, _) = take(&fixture.store, place, now).await.unwrap();
    let (second, manifest) = take(&fixture.store, place, now).await.unwrap();
    assert_eq!((manifest.secrets, manifest.versions), (2, 2));
    assert!(manifest.taken > first.taken && manifest.verified > manifest.taken);
    let found = newest(place, Some(fixture.store.id())).await.unwrap();
    assert_eq!(found.as_ref(), Some(&second));
    assert_eq!(read_manifest(place, &second).await.unwrap(), manifest);
    let outcome = drilled(place, &second, keep.path()).await.unwrap();
    assert!(outcome.sound && outcome.compared, "{outcome:?}");
    assert_eq!(
        (outcome.secrets, outcome.values, outcome.recovery_slots),
        (2, 2, 0)
    );
    assert_eq!(outcome.sha256, manifest.sha256);

    // Another store's backups are nobody's business here.
    let other = Fixture::new();
    let (foreign, _) = take(&other.store, place, now).await.unwrap();
    assert!(matches!(
        newest(place, None).await,
        Err(BackupError::SeveralStores { .. })
    ));
    let limits = BackupLimits {
        count: Some(1),
        age: None,
    };
    let gone = prune(place, fixture.store.id(), limits, now()).await.unwrap();
    assert_eq!(gone, 1);
    let left = stored(place, None).await.unwrap();
    let left: Vec<BackupName> = left.into_iter().map(|(name, _)| name).collect();
    assert!(
        left.len() == 2 && left.contains(&second) && left.contains(&foreign),
        "{left:?}"
    );
    // However old it is, the newest one stays.
    let limits = BackupLimits {
        count: None,
        age: Some(SignedDuration::ZERO),
    };
    let gone = prune(place, fixture.store.id(), limits, now()).await.unwrap();
    assert_eq!(gone, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_in_a_folder_comes_back() {
    let keep = tempfile::tempdir().unwrap();
    comes_back(&folder(keep.path()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_in_a_bucket_comes_back() {
    let bucket = ScriptedBucket::start().await;
    comes_back(&bucket.place().await).await;
    let keys = bucket.keys();
    assert!(
        keys.len() == 4 && keys.iter().all(|key| key.starts_with("prod/a/strongroom-")),
        "{keys:?}"
    );
    assert_eq!(bucket.unfinished(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_bucket_is_a_clear_error_and_leaves_no_verified_backup() {
    let fixture = store();
    let bucket = ScriptedBucket::start().await;
    let (first, _) = take(&fixture.store, &bucket.place().await, now).await.unwrap();
    let older = bucket.object(&format!("prod/a/{first}"));
    for (fault, told) in [
        (
            Fault::Full,
            "answered 507 Insufficient Storage (InsufficientCapacity)",
        ),
        (Fault::Denied, "answered 403 Forbidden (AccessDenied)"),
        (Fault::Hangs, "cannot be reached (no answer in time)"),
        (Fault::ReadsSlowly, "is too slow"),
        (Fault::ReadsChanged, "is not that backup"),
        (Fault::ReadsCut, "is not that backup"),
        (Fault::ReadsOther(older), "instead of"),
        (Fault::LosesManifests, "has no `strongroom-"),
    ] {
        let shown = format!("{fault:?}").chars().take(12).collect::<String>();
        bucket.set(Some(fault));
        let error = take(&fixture.store, &bucket.place().await, now)
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(told), "{shown}: {error}");
        assert!(!error.contains("hunter2"), "{shown}: {error}");
        bucket.set(None);
        let found = newest(&bucket.place().await, None).await.unwrap();
        assert_eq!(found.as_ref(), Some(&first), "{shown}");
    }
    // It heals.
    let (healed, _) = take(&fixture.store, &bucket.place().await, now).await.unwrap();
    let found = newest(&bucket.place().await, None).await.unwrap();
    assert_eq!(found, Some(healed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_away_is_told() {
    let fixture = store();
    let bucket = ScriptedBucket::start().await;
    let place = bucket.place().await;
    bucket.stop().await;
    let error = take(&fixture.store, &place, now).await.err().unwrap();
    assert!(
        matches!(
            error,
            BackupError::Unreachable {
                cause: "connection refused",
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_not_there_are_named() {
    let bucket = ScriptedBucket::start().await;
    std::fs::remove_file(bucket.credentials().join("secret-access-key")).unwrap();
    let error = bucket.try_place().await.err().unwrap().to_string();
    assert!(
        error.contains("secret-access-key` cannot be read") && !error.contains("hunter2"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_is_told_and_leftovers_of_ours_go() {
    let keep = tempfile::tempdir().unwrap();
    let missing = BackupDestination::Folder(keep.path().join("missing"));
    let error = BackupPlace::open(&missing).await.err().unwrap();
    assert!(matches!(error, BackupError::Unusable { .. }), "{error}");
    let left = keep.path().join("strongroom-a-b.backup#1");
    let mine = keep.path().join("mine.backup#1");
    for path in [&left, &mine] {
        std::fs::write(path, "half").unwrap();
    }
    let folder = BackupDestination::Folder(keep.path().to_owned());
    remove_leftovers(&folder, Path::new(""), is_leftover);
    assert!(!left.exists() && mine.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_finds_what_is_cut_changed_or_of_another_store() {
    let fixture = store();
    let keep = tempfile::tempdir().unwrap();
    let place = folder(keep.path()).await;
    let (name, manifest) = take(&fixture.store, &place, now).await.unwrap();
    let object = keep.path().join(name.to_string());
    let whole = std::fs::read(&object).unwrap();

    std::fs::write(&object, &whole[..whole.len() - 1]).unwrap();
    let error = drilled(&place, &name, keep.path()).await.unwrap_err();
    let BackupError::Restore { source, .. } = error else {
        panic!("{error}");
    };
    assert!(matches!(*source, OpenError::Tampered), "{source}");
    let mut newer = whole.clone();
    newer[7] = 2;
    std::fs::write(&object, &newer).unwrap();
    let error = drilled(&place, &name, keep.path()).await.unwrap_err().to_string();
    assert!(error.contains("run a newer strongroom"), "{error}");

    // A whole backup of another store, put in its place.
    let other = Fixture::new();
    let (foreign, _) = take(&other.store, &place, now).await.unwrap();
    std::fs::copy(keep.path().join(foreign.to_string()), &object).unwrap();
    let outcome = drilled(&place, &name, keep.path()).await.unwrap();
    assert!(!outcome.sound);
    let told = outcome.problems.join("; ");
    for part in ["of store", "SHA-256", "0 secrets instead of 2"] {
        assert!(told.contains(part), "{told}");
    }
    // One that is older than its manifest says.
    std::fs::write(&object, &whole).unwrap();
    let mut later = manifest.clone();
    later.commits += 1;
    std::fs::write(keep.path().join(name.manifest()), later.encode()).unwrap();
    let outcome = drilled(&place, &name, keep.path()).await.unwrap();
    assert!(
        outcome.problems.len() == 1 && outcome.problems[0].contains("commits instead of"),
        "{outcome:?}"
    );
    // A manifest of a newer version, and none at all.
    let mut newer = manifest;
    newer.format = 2;
    for (bytes, told) in [
        (newer.encode(), "run a newer strongroom"),
        (b"{}".to_vec(), "is no manifest"),
    ] {
        std::fs::write(keep.path().join(name.manifest()), bytes).unwrap();
        let error = read_manifest(&place, &name).await.unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_without_room_says_how_much_it_needs() {
    let fixture = store();
    let keep = tempfile::tempdir().unwrap();
    let place = folder(keep.path()).await;
    let (name, _) = take(&fixture.store, &place, now).await.unwrap();
    // A file system that has no room at all.
    let error = drilled(&place, &name, Path::new("/proc/self")).await.unwrap_err();
    assert!(
        matches!(error, BackupError::NoRoom { .. } | BackupError::Scratch { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("--drill-dir"), "{error}");
}
