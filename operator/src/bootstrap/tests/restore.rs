//! A backup into a cluster: its objects in memory, its volume a temporary directory.

use std::path::{Path, PathBuf};

use strongroom_model::id::{SecretId, StoreId};
use strongroom_store::audit::RetentionLimits;
use strongroom_store::seal::{RecoveryKey, SealFile, SlotKind};
use strongroom_store::vault::{Anchor, AnchorRule, OpenStoreOptions, Store};
use strongroom_testing::api_server::ApiServer;
use strongroom_testing::store::{Fixture, NOW};

use super::NAMESPACE;
use crate::anchor::AnchorConfigMap;
use crate::bootstrap::restore_decision::RestoreRefusal;
use crate::bootstrap::{ClusterRestore, RestoreError, RestoreOutcome};
use crate::seal::{SealSource, kubernetes};

/// A backup of a store with the secret `db`, its key, and a cluster with an empty volume.
struct Scene {
    keep: tempfile::TempDir,
    api: ApiServer,
    store: StoreId,
    secret: SecretId,
}

impl Scene {
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let fixture = Fixture::new();
        let secret = fixture.secret("db");
        let mut backup = Vec::new();
        fixture.store.backup(&mut backup).unwrap();
        let store = fixture.store.id();
        std::fs::write(keep.path().join("backup"), backup).unwrap();
        std::fs::write(keep.path().join("key"), [7; 32]).unwrap();
        Self {
            keep,
            api: ApiServer::default(),
            store,
            secret,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.keep.path().join(name)
    }

    /// The volume's store, which no process has open.
    fn with_store(self, fill: impl FnOnce(&Fixture)) -> Self {
        let fixture = Fixture::new();
        fill(&fixture);
        let (dir, _keep) = fixture.close();
        std::fs::rename(dir, self.path("store")).unwrap();
        self
    }

    async fn restore_with(
        &self,
        source: SealSource,
        request: &str,
        replace: bool,
        root_key_secret: Option<&str>,
    ) -> Result<RestoreOutcome, RestoreError> {
        let (dir, from) = (self.path("store"), self.path("backup"));
        let restore = ClusterRestore {
            client: self.api.client(),
            namespace: NAMESPACE,
            dir: &dir,
            from: &from,
            source: &source,
            request,
            root_key_secret,
            accept_namespaces: true,
            replace,
            now: NOW,
        };
        restore.run().await
    }

    async fn restore(&self, request: &str, replace: bool) -> Result<RestoreOutcome, RestoreError> {
        let source = SealSource::KeyFile(self.path("key"));
        self.restore_with(source, request, replace, None).await
    }

    /// Whether the process's namespace has this, as in `secrets/root`.
    fn has(&self, path: &str) -> bool {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/{path}");
        self.api.get(&path).is_some()
    }

    async fn anchor(&self) -> Option<Anchor> {
        let anchors = AnchorConfigMap::new(self.api.client(), NAMESPACE);
        anchors.read().await.unwrap()
    }

    /// Whether the volume's store is that of the backup, and opens with the anchor of the cluster.
    async fn is_restored(&self, key: &SealSource) -> bool {
        let dir = self.path("store");
        let key = match key {
            SealSource::KubernetesSecret(name) => kubernetes::read(&self.api.client(), NAMESPACE, name)
                .await
                .unwrap()
                .unwrap(),
            other => other.read().await.unwrap(),
        };
        let root = SealFile::load(&dir).unwrap().unlock(&key).unwrap();
        let store = Store::open(OpenStoreOptions {
            dir: &dir,
            root: &root,
            epoch: 0,
            anchor: AnchorRule::Expect(self.anchor().await.unwrap()),
            cache_bytes: 4 << 20,
            strict_anchor: None,
            audit: RetentionLimits::default(),
            quota: None,
            now: NOW,
        })
        .unwrap();
        store.id() == self.store && store.describe(self.secret).is_ok()
    }

    /// What lies in the volume beside keys and backups.
    fn left(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.keep.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("store"))
            .collect();
        names.sort();
        names
    }
}

fn bytes(dir: &Path) -> Vec<u8> {
    std::fs::read(dir.join("store.redb")).unwrap()
}

#[tokio::test]
async fn a_backup_becomes_the_store_of_a_new_cluster_once() {
    let scene = Scene::new();
    let key = SealSource::KeyFile(scene.path("key"));
    let root = SealSource::KubernetesSecret("root".to_owned());
    let restored = scene.restore_with(key, "one", false, Some("root")).await.unwrap();
    assert!(
        matches!(&restored, RestoreOutcome::Restored { records, set_aside: None } if *records > 5),
        "{restored:?}"
    );
    assert!(scene.has("secrets/root") && scene.is_restored(&root).await);
    assert_eq!(scene.left(), ["store"]);

    // A second time nothing is read, and nothing is done: also where the volume was lost since.
    for file in ["backup", "key"] {
        std::fs::rename(scene.path(file), scene.path(&format!("{file}-away"))).unwrap();
    }
    assert_eq!(
        scene.restore("one", false).await.unwrap(),
        RestoreOutcome::DoneBefore
    );
    std::fs::remove_dir_all(scene.path("store")).unwrap();
    assert_eq!(
        scene.restore("one", true).await.unwrap(),
        RestoreOutcome::DoneBefore
    );
    assert!(scene.left().is_empty());

    // Another id is another restore. Its root key is the one that is there.
    for file in ["backup", "key"] {
        std::fs::rename(scene.path(&format!("{file}-away")), scene.path(file)).unwrap();
    }
    let key = SealSource::KeyFile(scene.path("key"));
    scene.restore_with(key, "two", false, Some("root")).await.unwrap();
    assert!(scene.is_restored(&root).await);
    // None of those before is carried out again, also where one of them left something.
    std::fs::create_dir(scene.path("store.restoring-one")).unwrap();
    std::fs::copy(
        scene.path("store/store.seal"),
        scene.path("store.restoring-one/store.seal"),
    )
    .unwrap();
    assert_eq!(
        scene.restore("one", true).await.unwrap(),
        RestoreOutcome::DoneBefore
    );
}

#[tokio::test]
async fn the_anchor_keeps_the_request_when_it_moves_on() {
    let scene = Scene::new();
    scene.restore("one", false).await.unwrap();
    let anchors = AnchorConfigMap::new(scene.api.client(), NAMESPACE);
    let anchor = anchors.read().await.unwrap().unwrap();
    let next = Anchor {
        counter: anchor.counter + 1,
        ..anchor
    };
    anchors.write(&next).await.unwrap();
    assert_eq!(scene.anchor().await, Some(next));
    assert_eq!(
        scene.restore("one", false).await.unwrap(),
        RestoreOutcome::DoneBefore
    );
}

#[tokio::test]
async fn a_store_with_secrets_gives_way_only_to_a_word_of_its_own_and_is_kept() {
    let scene = Scene::new().with_store(|fixture| {
        fixture.secret("mine");
    });
    let before = bytes(&scene.path("store"));
    let refused = scene.restore("one", false).await.unwrap_err();
    assert!(
        matches!(refused, RestoreError::Refused(RestoreRefusal::InUse(1))),
        "{refused}"
    );
    assert!(bytes(&scene.path("store")) == before && scene.left() == ["store"]);
    assert!(!scene.has("configmaps/strongroom-anchor"));
    let aside = scene.path("store.before-one");
    let replaced = scene.restore("one", true).await.unwrap();
    assert!(
        matches!(&replaced, RestoreOutcome::Restored { set_aside: Some(path), .. } if *path == aside),
        "{replaced:?}"
    );
    assert!(bytes(&aside) == before);
    assert!(scene.is_restored(&SealSource::KeyFile(scene.path("key"))).await);
}

#[tokio::test]
async fn a_store_that_does_not_open_gives_way_only_to_a_word_of_its_own() {
    let scene = Scene::new().with_store(|_| ());
    std::fs::remove_file(scene.path("store/store.seal")).unwrap();
    let refused = scene.restore("one", false).await.unwrap_err();
    assert!(
        matches!(refused, RestoreError::Refused(RestoreRefusal::Unknown)),
        "{refused}"
    );
    scene.restore("one", true).await.unwrap();
}

#[tokio::test]
async fn a_store_that_a_first_start_left_gives_way_with_its_anchor() {
    let scene = Scene::new().with_store(|_| ());
    let anchors = AnchorConfigMap::new(scene.api.client(), NAMESPACE);
    let anchor = Anchor {
        store: SealFile::load(&scene.path("store")).unwrap().store(),
        counter: 1,
        mac: [0; 32],
    };
    anchors.write(&anchor).await.unwrap();
    scene.restore("one", false).await.unwrap();
    assert!(scene.is_restored(&SealSource::KeyFile(scene.path("key"))).await);
    assert_eq!(scene.left(), ["store", "store.before-one"]);
}

#[tokio::test]
async fn the_anchor_of_a_store_whose_volume_is_missing_stays() {
    let scene = Scene::new();
    let anchors = AnchorConfigMap::new(scene.api.client(), NAMESPACE);
    let anchor = Anchor {
        store: StoreId::from_bytes([9; 16]),
        counter: 7,
        mac: [0; 32],
    };
    anchors.write(&anchor).await.unwrap();
    let refused = scene.restore("one", false).await.unwrap_err();
    assert!(
        matches!(refused, RestoreError::Refused(RestoreRefusal::OtherAnchor)),
        "{refused}"
    );
    assert!(scene.left().is_empty());
    assert_eq!(scene.anchor().await, Some(anchor));
    scene.restore("one", true).await.unwrap();
    assert!(scene.is_restored(&SealSource::KeyFile(scene.path("key"))).await);
}

#[tokio::test]
async fn what_was_cut_off_behind_the_anchor_is_finished() {
    let scene = Scene::new().with_store(|_| ());
    // The volume refuses the last step.
    std::fs::create_dir(scene.path("store.before-one")).unwrap();
    let cut = scene.restore("one", false).await.unwrap_err();
    assert!(matches!(cut, RestoreError::Exists(_)), "{cut}");
    assert_eq!(scene.left(), ["store", "store.before-one", "store.restoring-one"]);
    std::fs::remove_dir(scene.path("store.before-one")).unwrap();
    assert_eq!(
        scene.restore("one", false).await.unwrap(),
        RestoreOutcome::Finished
    );
    assert!(scene.is_restored(&SealSource::KeyFile(scene.path("key"))).await);
    assert_eq!(scene.left(), ["store", "store.before-one"]);
}

#[tokio::test]
async fn each_wrong_backup_or_key_has_a_sentence_of_its_own_and_changes_nothing() {
    let scene = Scene::new();
    let whole = std::fs::read(scene.path("backup")).unwrap();
    let changed = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let newer = [&b"SRBACK\0\x02"[..], &whole[8..]].concat();
    let last = whole.len() - 1;
    for (bytes, said) in [
        (whole[..last].to_vec(), "not whole"),
        (whole[..5].to_vec(), "not whole"),
        (Vec::new(), "not whole"),
        (changed(last), "not whole"),
        (changed(60), "not whole"),
        (newer, "has format 2"),
        (b"apiVersion: v1\nkind: Secret\n".to_vec(), "no backup"),
    ] {
        std::fs::write(scene.path("backup"), bytes).unwrap();
        let refused = scene.restore("one", true).await.unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
    std::fs::write(scene.path("backup"), &whole).unwrap();
    std::fs::write(scene.path("other"), [8; 32]).unwrap();
    let recovery = RecoveryKey::generate().unwrap().reveal();
    std::fs::write(scene.path("recovery"), recovery.as_bytes()).unwrap();
    let other = SealSource::KeyFile(scene.path("other"));
    let refused = scene.restore_with(other, "one", true, Some("root")).await;
    assert!(matches!(refused, Err(RestoreError::WrongKey(SlotKind::KeyFile))));
    let later = SealSource::RecoveryKeyFile(scene.path("recovery"));
    let refused = scene.restore_with(later, "one", true, Some("root")).await;
    assert!(matches!(refused, Err(RestoreError::NoSlot(SlotKind::Recovery))));
    std::fs::remove_file(scene.path("backup")).unwrap();
    let refused = scene.restore("one", true).await;
    assert!(matches!(refused, Err(RestoreError::Read { .. })));
    assert!(scene.left().is_empty() && scene.api.below("").is_empty());
}
