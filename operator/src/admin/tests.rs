//! The socket between a server and a client, on a real store.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use strongroom_model::SecretBytes;
use strongroom_store::admin::{AdminResponse, MAX_FRAME_BYTES};
use strongroom_store::audit::{Action, Actor};
use strongroom_store::seal::{RecoveryKey, SealFile, SlotKind, SlotSecret};
use strongroom_store::vault::{RestoreOptions, restore};
use strongroom_testing::store::{Fixture, NOW, key, meta, open};
use strongroom_testing::wait::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::{Admin, AdminError, Client, Listener};

struct Running {
    fixture: Fixture,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start() -> Self {
        let fixture = Fixture::new();
        let root = SealFile::load(&fixture.dir).unwrap().unlock(&key()).unwrap();
        let (stop, stopped) = watch::channel(false);
        let admin = Admin {
            store: fixture.store.clone(),
            root: Arc::new(root),
            opened_by: SlotKind::KeyFile,
            now: || NOW,
        };
        let listener = Listener::bind(&fixture.dir).unwrap();
        Self {
            fixture,
            stop,
            task: tokio::spawn(admin.serve(listener, stopped)),
        }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.fixture.dir).await.unwrap().unwrap()
    }

    fn unlock(&self, secret: &SlotSecret) -> bool {
        SealFile::load(&self.fixture.dir).unwrap().unlock(secret).is_ok()
    }

    async fn stop(self) -> Fixture {
        self.stop.send_replace(true);
        within(self.task).await.unwrap();
        self.fixture
    }
}

fn other_key() -> SlotSecret {
    SlotSecret::KeyFile(SecretBytes::new(vec![8; 32]))
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_come_and_go_and_the_caller_is_on_record() {
    let running = Running::start();
    assert!(!running.unlock(&other_key()));
    let id = running
        .client()
        .await
        .add_slot(other_key(), "second".into())
        .await
        .unwrap();
    assert!(running.unlock(&other_key()));
    let listed = running.client().await.slots().await.unwrap();
    let shown: Vec<_> = listed
        .iter()
        .map(|slot| (slot.kind.as_str(), slot.label.as_str()))
        .collect();
    assert_eq!(shown, [("key-file", "test"), ("key-file", "second")]);
    assert_eq!(listed[1].id, id);

    let first = listed[0].id.parse().unwrap();
    running.client().await.remove_slot(first, false).await.unwrap();
    assert!(!running.unlock(&key()));

    // The process starts with a key file, and this is the last one.
    let second = id.parse().unwrap();
    let text = running
        .client()
        .await
        .new_recovery_key("paper".into())
        .await
        .unwrap();
    assert!(running.unlock(&SlotSecret::Recovery(RecoveryKey::parse(&text).unwrap())));
    let refused = running
        .client()
        .await
        .remove_slot(second, false)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("--force"), "{refused}");
    assert!(running.unlock(&other_key()));
    running.client().await.remove_slot(second, true).await.unwrap();
    assert!(!running.unlock(&other_key()));

    let recorded = running.fixture.store.mutations_after(0, 100).unwrap();
    let changes: Vec<_> = recorded
        .iter()
        .filter(|(_, entry)| entry.action == Action::ChangeSeal)
        .collect();
    assert!(changes.len() >= 4, "{changes:?}");
    for (_, entry) in changes {
        let Actor::Admin(who) = &entry.actor else {
            panic!("{entry:?}");
        };
        assert!(who.starts_with("user ") && who.contains("process"), "{who}");
    }
    let details: Vec<&str> = recorded.iter().map(|(_, entry)| entry.detail.as_str()).collect();
    for told in [
        format!("did add key-file slot {second}"),
        format!("did remove key-file slot {first}"),
        "did add recovery slot".to_owned(),
        format!("is about to remove key-file slot {second}"),
    ] {
        assert!(
            details.iter().any(|detail| detail.starts_with(&told)),
            "{told}: {details:?}"
        );
    }
    assert!(
        !details.iter().any(|detail| detail.contains(&*text)),
        "a key is in no record"
    );
    let fixture = running.stop().await;
    assert!(Client::connect(&fixture.dir).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_slot_of_all_stays_whatever_is_said() {
    let running = Running::start();
    let only = running.client().await.slots().await.unwrap().remove(0);
    for force in [false, true] {
        let id = only.id.parse().unwrap();
        let refused = running.client().await.remove_slot(id, force).await;
        assert!(matches!(refused, Err(AdminError::Refused(_))), "{refused:?}");
    }
    assert!(running.unlock(&key()));
    let short = SlotSecret::KeyFile(SecretBytes::new(vec![8; 31]));
    let refused = running
        .client()
        .await
        .add_slot(short, "short".into())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("32 bytes"), "{refused}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_at_once_lose_none() {
    let running = Running::start();
    let mut adding = tokio::task::JoinSet::new();
    for number in 10..18_u8 {
        let client = running.client().await;
        let secret = SlotSecret::KeyFile(SecretBytes::new(vec![number; 32]));
        adding.spawn(client.add_slot(secret, number.to_string()));
    }
    while let Some(added) = adding.join_next().await {
        added.unwrap().unwrap();
    }
    for number in 10..18_u8 {
        assert!(
            running.unlock(&SlotSecret::KeyFile(SecretBytes::new(vec![number; 32]))),
            "{number}"
        );
    }
    let fixture = running.stop().await;
    // The store agrees with the file that it has now.
    let (dir, _keep) = fixture.close();
    open(&dir).close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_from_the_running_process_restores() {
    let running = Running::start();
    let secret = running.fixture.secret("db");
    let mut bytes = Vec::new();
    let records = running.client().await.backup(&mut bytes).await.unwrap();
    assert!(records > 5, "{records}");
    let store = &running.fixture.store;
    let recorded = store.mutations_after(0, 100).unwrap();
    let (_, last) = recorded.last().unwrap();
    assert_eq!(
        last.action,
        Action::Backup,
        "on record, before its first byte left"
    );
    assert!(
        last.detail.contains("it opens with: key-file "),
        "{}",
        last.detail
    );

    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("restored");
    let options = RestoreOptions {
        dir: &dir,
        secret: &key(),
        accept_namespaces: true,
        meta: meta(),
    };
    restore(&options, &mut bytes.as_slice()).unwrap();
    let root = SealFile::load(&dir).unwrap().unlock(&key()).unwrap();
    let restored = strongroom_store::vault::Store::open(strongroom_store::vault::OpenStoreOptions {
        dir: &dir,
        root: &root,
        epoch: 0,
        anchor: strongroom_store::vault::AnchorRule::Accept,
        cache_bytes: 4 << 20,
        strict_anchor: None,
        audit: strongroom_store::audit::RetentionLimits::default(),
        quota: None,
        now: NOW,
    })
    .unwrap();
    assert_eq!(
        restored.describe(secret).unwrap(),
        store.describe(secret).unwrap()
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_cut_is_an_error() {
    let fixture = Fixture::new();
    let listener = tokio::net::UnixListener::bind(fixture.dir.join("admin.sock")).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        super::frame::receive(&mut stream).await.unwrap();
        let piece = AdminResponse::Data(vec![1; 100]).encode();
        super::frame::send(&mut stream, &piece).await.unwrap();
    });
    let client = Client::connect(&fixture.dir).await.unwrap().unwrap();
    let cut = client.backup(&mut Vec::new()).await;
    assert!(matches!(cut, Err(AdminError::Broken(_))), "{cut:?}");
    server.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_may_connect_and_what_a_killed_process_left_is_replaced() {
    let fixture = Fixture::new();
    let path = fixture.dir.join("admin.sock");
    drop(tokio::net::UnixListener::bind(&path).unwrap());
    std::fs::create_dir(fixture.dir.join(".admin")).unwrap();
    assert!(Client::connect(&fixture.dir).await.unwrap().is_none());
    let listener = Listener::bind(&fixture.dir).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(Client::connect(&fixture.dir).await.unwrap().is_some());
    assert!(!fixture.dir.join(".admin").exists());
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_answered_or_dropped_and_the_next_caller_served() {
    let running = Running::start();
    let path = running.fixture.dir.join("admin.sock");
    let mut odd = UnixStream::connect(&path).await.unwrap();
    odd.write_all(&[0, 0, 0, 2, 99, 99]).await.unwrap();
    let answer = super::frame::receive(&mut odd).await.unwrap();
    assert!(matches!(
        AdminResponse::decode(&answer),
        Ok(AdminResponse::Refused(_))
    ));
    let mut huge = UnixStream::connect(&path).await.unwrap();
    huge.write_all(&u32::try_from(MAX_FRAME_BYTES + 1).unwrap().to_be_bytes())
        .await
        .unwrap();
    assert_eq!(huge.read(&mut [0; 1]).await.unwrap(), 0, "dropped");
    assert_eq!(running.client().await.slots().await.unwrap().len(), 1);
    running.stop().await;
}
