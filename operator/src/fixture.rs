//! A store in a directory of its own, for tests of what works on one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use strongroom_model::SecretBytes;
use strongroom_model::id::{NamespaceId, RequestId, SecretId, StoreId};
use strongroom_model::name::VersionId;
use strongroom_model::time::Timestamp;
use strongroom_store::audit::{Actor, RetentionLimits};
use strongroom_store::crypto::RootKey;
use strongroom_store::seal::{SealFile, SlotSecret};
use strongroom_store::value::Value;
use strongroom_store::vault::{
    AnchorRule, BindNamespace, CreateSecret, CreateStoreOptions, KeyRef, Meta, ObjectRef, OpenStoreOptions,
    Store,
};

/// 2026-11-23T20:22:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_465_320_000);

/// A store, and the directory that goes with it.
pub(crate) struct Fixture {
    pub(crate) dir: PathBuf,
    pub(crate) store: Store,
    keep: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with_audit_limits(RetentionLimits::default())
    }

    /// One that keeps so much of its audit.
    pub(crate) fn with_audit_limits(audit: RetentionLimits) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path().join("store");
        let root = RootKey::generate().unwrap();
        let seal = SealFile::new(StoreId::generate().unwrap(), &root, &key(), "test").unwrap();
        let create = CreateStoreOptions {
            dir: &dir,
            seal: &seal,
            root: &root,
            now: NOW,
            actor: Actor::System,
        };
        Store::prepare(&create).unwrap();
        Store::publish(&dir).unwrap();
        Self {
            store: open_keeping(&dir, audit),
            dir,
            keep,
        }
    }

    /// Closes the store; its directory stays until the second is dropped.
    pub(crate) fn close(self) -> (PathBuf, tempfile::TempDir) {
        self.store.close();
        (self.dir, self.keep)
    }

    /// The namespace `shop`.
    pub(crate) fn namespace(&self) -> NamespaceId {
        let bind = BindNamespace {
            name: "shop".parse().unwrap(),
            uid: "uid-shop".parse().unwrap(),
        };
        self.store.run(bind, meta()).unwrap()
    }

    /// A secret of that name in `shop`, declared by an object of the same name.
    pub(crate) fn secret(&self, name: &str) -> SecretId {
        let create = CreateSecret {
            id: SecretId::generate().unwrap(),
            namespace: self.namespace(),
            name: name.parse().unwrap(),
            description: String::new(),
            labels: BTreeMap::new(),
            key: KeyRef::Default,
            version: version("v1"),
            value: value("first"),
            object: Some(ObjectRef {
                uid: format!("uid-{name}").parse().unwrap(),
                name: name.to_owned(),
            }),
            recovery: strongroom_store::vault::Recovery::Window,
        };
        self.store.run(create, meta()).unwrap().secret.id
    }
}

/// Opens the store with its key.
pub(crate) fn open(dir: &Path) -> Store {
    open_keeping(dir, RetentionLimits::default())
}

fn open_keeping(dir: &Path, audit: RetentionLimits) -> Store {
    let root = SealFile::load(dir).unwrap().unlock(&key()).unwrap();
    Store::open(OpenStoreOptions {
        dir,
        root: &root,
        epoch: 0,
        anchor: AnchorRule::Absent,
        cache_bytes: 4 << 20,
        strict_anchor: None,
        audit,
        quota: None,
        now: NOW,
    })
    .unwrap()
}

/// What opens the seal.
pub(crate) fn key() -> SlotSecret {
    SlotSecret::KeyFile(SecretBytes::new(vec![7; 32]))
}

pub(crate) fn meta() -> Meta {
    Meta {
        actor: Actor::Controller("test".into()),
        request: RequestId::generate().unwrap(),
        now: NOW,
        asked: None,
    }
}

pub(crate) fn version(id: &str) -> VersionId {
    id.parse().unwrap()
}

pub(crate) fn value(text: &str) -> Value {
    let bytes = SecretBytes::new(text.as_bytes().to_vec());
    Value::from_keys(BTreeMap::from([("value".parse().unwrap(), bytes)])).unwrap()
}

/// Holds a file of the repository to what the code says. `UPDATE_GENERATED=1` writes it.
pub(crate) fn assert_generated(path: &str, text: &str) {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == text,
        "{path} is old: UPDATE_GENERATED=1 cargo test -p strongroom writes it"
    );
}
