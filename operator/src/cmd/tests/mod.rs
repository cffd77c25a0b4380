//! The commands on a stopped store, and beside a process that answers at the socket.

mod audit;
mod drill;

use std::path::Path;
use std::sync::Arc;

use clap::{CommandFactory, Parser};
use strongroom_store::seal::{RecoveryKey, SealFile, SlotKind, SlotSecret};
use strongroom_store::vault::{RestoreOptions, restore};
use strongroom_testing::store::{Fixture, NOW, key, meta, open};
use tokio::sync::watch;

use super::{Arguments, CommandError, carry_out};
use crate::admin::{Admin, Listener};

/// Runs a command line on a data directory; what it prints.
async fn strongroom(data: &Path, line: &[&str]) -> Result<String, CommandError> {
    let dir = format!("--data-dir={}", data.display());
    let line: Vec<&str> = line.iter().copied().chain([dir.as_str()]).collect();
    run(&line).await
}

/// Runs a command line as it stands; what it prints.
async fn run(line: &[&str]) -> Result<String, CommandError> {
    let arguments = ["strongroom"].iter().chain(line).copied();
    let mut out = Vec::new();
    carry_out(Arguments::try_parse_from(arguments).unwrap().command, &mut out).await?;
    Ok(String::from_utf8(out).unwrap())
}

struct Keys {
    dir: tempfile::TempDir,
}

impl Keys {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("first"), [7; 32]).unwrap();
        std::fs::write(dir.path().join("second"), [8; 32]).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}

/// The id of the slot that `seal add` tells of.
fn slot_id(said: &str) -> &str {
    let mut words = said.split(|c: char| !c.is_ascii_alphanumeric());
    words.find(|word| word.len() == 16).unwrap()
}

fn running(fixture: &Fixture) -> (watch::Sender<bool>, tokio::task::JoinHandle<()>) {
    let (stop, stopped) = watch::channel(false);
    let admin = Admin {
        store: fixture.store.clone(),
        root: Arc::new(SealFile::load(&fixture.dir).unwrap().unlock(&key()).unwrap()),
        opened_by: SlotKind::KeyFile,
        now: || NOW,
    };
    let listener = Listener::bind(&fixture.dir).unwrap();
    (stop, tokio::spawn(admin.serve(listener, stopped)))
}

#[test]
fn the_command_line_is_well_formed() {
    Arguments::command().debug_assert();
}

#[test]
fn two_keys_at_once_are_refused() {
    let line = ["strongroom", "seal", "add", "--key-file=a", "--passphrase-file=b"];
    assert!(Arguments::try_parse_from(line).is_err());
    let line = [
        "strongroom",
        "seal",
        "recovery-key",
        "--seal-key-file=a",
        "--seal-passphrase-file=b",
    ];
    assert!(Arguments::try_parse_from(line).is_err());
}

#[test]
fn a_restore_into_a_cluster_has_an_id() {
    let parses = |more: &[&str]| {
        let line = ["strongroom", "restore", "--from=b"].iter().chain(more).copied();
        Arguments::try_parse_from(line).is_ok()
    };
    assert!(
        parses(&[])
            && parses(&[
                "--request-id=2026-11-30",
                "--kubernetes-secret=root",
                "--replace-store"
            ])
    );
    assert!(!parses(&["--kubernetes-secret=root"]) && !parses(&["--replace-store"]));
    let long = format!("--request-id={}", "x".repeat(64));
    for wrong in [
        "--request-id=",
        "--request-id=../x",
        "--request-id=-a",
        "--request-id=A",
        &long,
    ] {
        assert!(!parses(&[wrong]), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_of_a_stopped_store_are_changed_under_its_lock() {
    let (dir, keep) = Fixture::new().close();
    let (data, keys) = (keep.path(), Keys::new());
    let listed = strongroom(data, &["seal", "slots"]).await.unwrap();
    assert!(listed.contains("key-file") && listed.contains("test"), "{listed}");

    let second = format!("--key-file={}", keys.path("second"));
    let opens = format!("--seal-key-file={}", keys.path("first"));
    let unnamed = strongroom(data, &["seal", "add", &second]).await.unwrap_err();
    assert!(unnamed.to_string().contains("--seal-key-file"), "{unnamed}");
    let wrong = format!("--seal-key-file={}", keys.path("second"));
    let before = std::fs::read(dir.join("store.redb")).unwrap();
    let wrong = strongroom(data, &["seal", "add", &second, &wrong])
        .await
        .unwrap_err();
    assert!(wrong.to_string().contains("nothing was changed"), "{wrong}");
    assert!(std::fs::read(dir.join("store.redb")).unwrap() == before);

    let added = strongroom(data, &["seal", "add", &second, &opens, "--label=two"])
        .await
        .unwrap();
    let id = slot_id(&added);
    assert!(added.starts_with(&format!("added key-file slot {id}")), "{added}");
    let listed = strongroom(data, &["seal", "slots"]).await.unwrap();
    assert!(listed.contains(id) && listed.contains("two"), "{listed}");
    // The same key once more makes no second slot, under whatever label.
    let again = strongroom(data, &["seal", "add", &second, &opens, "--label=three"])
        .await
        .unwrap();
    assert_eq!(
        again,
        format!("this key opens key-file slot {id} already; nothing was added\n")
    );
    assert_eq!(strongroom(data, &["seal", "slots"]).await.unwrap(), listed);
    let shown = strongroom(data, &["seal", "recovery-key", &opens]).await.unwrap();
    let recovery = RecoveryKey::parse(&shown).unwrap();
    let file = SealFile::load(&dir).unwrap();
    file.unlock(&SlotSecret::Recovery(recovery)).unwrap();
    // Another one opens everything as well: nobody makes it by the way.
    let refused = strongroom(data, &["seal", "recovery-key", &opens])
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("--another"), "{refused}");
    let another = ["seal", "recovery-key", "--another", "--label=safe", &opens];
    strongroom(data, &another).await.unwrap();
    strongroom(data, &["seal", "remove", id, &opens]).await.unwrap();
    let listed = strongroom(data, &["seal", "slots"]).await.unwrap();
    assert!(!listed.contains("two"), "{listed}");
    // The store agrees with the file that it has now.
    open(&dir).close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_open_elsewhere_and_does_not_answer_is_left_alone() {
    let fixture = Fixture::new();
    let keys = Keys::new();
    let data = fixture.dir.parent().unwrap();
    let second = format!("--key-file={}", keys.path("second"));
    let opens = format!("--seal-key-file={}", keys.path("first"));
    let held = strongroom(data, &["seal", "add", &second, &opens])
        .await
        .unwrap_err();
    assert!(held.to_string().contains("another process"), "{held}");
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_running_process_it_is_asked_and_needs_no_key() {
    let fixture = Fixture::new();
    let keys = Keys::new();
    let data = fixture.dir.parent().unwrap();
    let (stop, task) = running(&fixture);
    let second = format!("--key-file={}", keys.path("second"));
    let added = strongroom(data, &["seal", "add", &second]).await.unwrap();
    let again = strongroom(data, &["seal", "add", &second]).await.unwrap();
    assert!(
        again.contains(slot_id(&added)) && again.contains("nothing was added"),
        "{again}"
    );
    strongroom(data, &["seal", "remove", slot_id(&added)])
        .await
        .unwrap();
    let shown = strongroom(data, &["seal", "recovery-key"]).await.unwrap();
    assert!(RecoveryKey::parse(&shown).is_ok());
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_store_is_compacted_with_its_key() {
    let fixture = Fixture::new();
    fixture.secret("db");
    let keys = Keys::new();
    let place = format!("--dir={}", fixture.dir.display());
    let opens = format!("--seal-key-file={}", keys.path("first"));
    let held = run(&["store", "compact", &place, &opens]).await.unwrap_err();
    assert!(held.to_string().contains("another process"), "{held}");

    let (dir, _keep) = fixture.close();
    let unnamed = run(&["store", "compact", &place]).await.unwrap_err();
    assert!(unnamed.to_string().contains("--seal-key-file"), "{unnamed}");
    let before = run(&["store", "check", &place, &opens]).await.unwrap();
    let said = run(&["store", "compact", &place, &opens]).await.unwrap();
    let records = before.lines().next().unwrap();
    assert!(
        records.starts_with("records: ") && said.starts_with(records),
        "{said}"
    );
    assert_eq!(run(&["store", "check", &place, &opens]).await.unwrap(), before);
    open(&dir).close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_has_its_name_only_when_it_is_whole() {
    let fixture = Fixture::new();
    fixture.secret("db");
    let keys = Keys::new();
    let data = fixture.dir.parent().unwrap();
    let to = format!("--to={}", keys.path("backup"));
    let nobody = strongroom(data, &["backup", &to]).await.unwrap_err();
    assert!(nobody.to_string().contains("start it first"), "{nobody}");

    // A process that breaks off in the middle.
    let socket = fixture.dir.join("admin.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let broken = tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
    assert!(strongroom(data, &["backup", &to]).await.is_err());
    broken.await.unwrap();
    let left: Vec<_> = std::fs::read_dir(keys.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "only the keys: {left:?}");

    let (stop, task) = running(&fixture);
    strongroom(data, &["backup", &to]).await.unwrap();
    let again = strongroom(data, &["backup", &to]).await.unwrap_err();
    assert!(matches!(again, CommandError::Exists(_)));
    stop.send_replace(true);
    task.await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let options = RestoreOptions {
        dir: &place.path().join("store"),
        secret: &key(),
        accept_namespaces: true,
        meta: meta(),
    };
    restore(&options, &mut std::fs::File::open(keys.path("backup")).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_store_gets_a_new_root_key_and_asks_before_slots_go() {
    let fixture = Fixture::new();
    fixture.secret("db");
    let keys = Keys::new();
    let place = format!("--dir={}", fixture.dir.display());
    let opens = format!("--seal-key-file={}", keys.path("first"));
    let second = format!("--slot-key-file={}", keys.path("second"));
    let line = [
        "store",
        "rekey",
        &place,
        &opens,
        &second,
        "--new-recovery-key",
        "--yes",
    ];
    let held = run(&line).await.unwrap_err();
    assert!(held.to_string().contains("another process"), "{held}");

    let (dir, _keep) = fixture.close();
    let none = ["strongroom", "store", "rekey", &place, &opens];
    assert!(Arguments::try_parse_from(none).is_err(), "nothing would open it");
    let before = std::fs::read(dir.join("store.redb")).unwrap();
    let asked = run(&["store", "rekey", &place, &opens, &second])
        .await
        .unwrap_err();
    assert!(
        matches!(&asked, CommandError::SlotsDropped(slots) if slots.contains("(test)")),
        "{asked}"
    );
    assert!(std::fs::read(dir.join("store.redb")).unwrap() == before);

    let public = ["audit", "public-key", &opens];
    let data = dir.parent().unwrap();
    let former = strongroom(data, &public).await.unwrap();
    let said = run(&line).await.unwrap();
    assert!(
        said.contains("dropped: key-file slot") && said.contains(former.trim()),
        "{said}"
    );
    let shown = said
        .lines()
        .find_map(|line| line.strip_prefix("recovery key: "))
        .unwrap();
    let recovery = SlotSecret::Recovery(RecoveryKey::parse(shown).unwrap());
    let seal = SealFile::load(&dir).unwrap();
    assert!(seal.unlock(&recovery).is_ok() && seal.unlock(&key()).is_err());
    assert!(strongroom(data, &public).await.is_err());
    let now = format!("--seal-key-file={}", keys.path("second"));
    let checked = run(&["store", "check", &place, &now]).await.unwrap();
    assert!(
        checked.ends_with("sound\n") && checked.contains("secrets: 1\n"),
        "{checked}"
    );

    // As an init container that runs once more.
    let again = ["store", "rekey", &place, &opens, &second, "--yes"];
    assert!(matches!(run(&again).await, Err(CommandError::Seal(_))));
    let skipped = run(&[&again[..], &["--skip-if-done"]].concat()).await.unwrap();
    assert!(skipped.contains("already"), "{skipped}");

    // A slot whose key is named again is kept, with its label.
    let keep = format!("--slot-key-file={}", keys.path("second"));
    let path = keys.path("recovery");
    std::fs::write(&path, shown).unwrap();
    let kept = format!("--slot-recovery-key-file={path}");
    let said = run(&["store", "rekey", &place, &now, &keep, &kept])
        .await
        .unwrap();
    assert!(!said.contains("dropped"), "{said}");
    let listed = strongroom(data, &["seal", "slots"]).await.unwrap();
    assert!(
        listed.contains("recovery key") && !listed.contains("test"),
        "{listed}"
    );
}
