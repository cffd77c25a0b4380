//! `strongroom drill`, on a file and at a destination.

use serde_json::Value as Json;

use super::*;

/// A backup in a folder of its own, and the key that opens it.
async fn backed_up(keys: &Keys) -> (Fixture, String) {
    let fixture = Fixture::new();
    fixture.secret("db");
    let (stop, task) = running(&fixture);
    let data = fixture.dir.parent().unwrap();
    let path = keys.path("a.backup");
    strongroom(data, &["backup", &format!("--to={path}")])
        .await
        .unwrap();
    stop.send_replace(true);
    task.await.unwrap();
    (fixture, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_on_a_file_reports_and_changes_nothing() {
    let keys = Keys::new();
    let (fixture, path) = backed_up(&keys).await;
    let before = fixture.store.mutation_head();
    let nowhere = tempfile::tempdir().unwrap();
    let opens = format!("--seal-key-file={}", keys.path("first"));
    let from = format!("--from={path}");
    let scratch = format!("--drill-dir={}", nowhere.path().join("drills").display());

    let unnamed = strongroom(nowhere.path(), &["drill", &from, &scratch])
        .await
        .unwrap_err();
    assert!(unnamed.to_string().contains("--seal-key-file"), "{unnamed}");
    let nothing = strongroom(nowhere.path(), &["drill", &opens, &scratch])
        .await
        .unwrap_err();
    assert!(nothing.to_string().contains("--from FILE"), "{nothing}");

    let line = ["drill", &from, &opens, &scratch];
    let said = strongroom(nowhere.path(), &line).await.unwrap();
    for part in ["secrets: 1", "values opened: 1", "manifest: none", "restored in"] {
        assert!(said.contains(part), "{said}");
    }
    let said = strongroom(nowhere.path(), &[&line[..], &["-o", "json"]].concat())
        .await
        .unwrap();
    let report: Json = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&report["sound"], &report["secrets"], &report["compared"]),
        (&Json::from(true), &Json::from(1), &Json::from(false))
    );
    assert_eq!(
        std::fs::read_dir(nowhere.path().join("drills")).unwrap().count(),
        0
    );
    assert_eq!(fixture.store.mutation_head(), before);

    let wrong = format!("--seal-key-file={}", keys.path("second"));
    let error = strongroom(nowhere.path(), &["drill", &from, &wrong, &scratch])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no key-file slot"), "{error}");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = strongroom(nowhere.path(), &line).await.unwrap_err();
    assert!(error.to_string().contains("cannot be restored"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_at_a_destination_wants_a_verified_backup_or_a_name() {
    let keys = Keys::new();
    let (fixture, path) = backed_up(&keys).await;
    let data = fixture.dir.parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let name = format!("strongroom-{}-20261124T030000000Z.backup", fixture.store.id());
    std::fs::copy(&path, folder.path().join(&name)).unwrap();
    let opens = format!("--seal-key-file={}", keys.path("first"));
    let at = format!("--backup-destination=folder:{}", folder.path().display());
    let error = strongroom(data, &["drill", &opens, &at]).await.unwrap_err();
    assert!(error.to_string().contains("has no verified backup"), "{error}");
    let named = format!("--backup={name}");
    let said = strongroom(data, &["drill", &opens, &at, &named]).await.unwrap();
    assert!(said.contains(&name) && said.contains("restored in"), "{said}");
}
