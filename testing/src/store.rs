//! A store in a directory of its own, for tests of what works on one.

use std::path::{Path, PathBuf};

use strongroom_model::SecretBytes;
use strongroom_model::id::{NamespaceId, RequestId, SecretId, StoreId};
use strongroom_model::name::VersionId;
use strongroom_model::time::Timestamp;
use strongroom_store::audit::{
    Actor, Entry, READS_DIRECTORY, ReadChainRecord, RetentionLimits, SegmentDirectory,
};
use strongroom_store::crypto::RootKey;
use strongroom_store::seal::{SealFile, SlotSecret};
use strongroom_store::value::Value;
use strongroom_store::vault::{
    AnchorRule, BindNamespace, CreateSecret, CreateStoreOptions, Meta, ObjectRef, OpenStoreOptions, PutValue,
    Quota, Store,
};

use crate::clock;

/// 2026-11-23T20:22:00Z, as the store has it.
pub const NOW: Timestamp = Timestamp::from_millis(clock::SECONDS * 1_000);

/// A store, and the directory that goes with it.
#[derive(Debug)]
pub struct Fixture {
    /// Where it lies.
    pub dir: PathBuf,
    /// Open, with nothing in it.
    pub store: Store,
    keep: tempfile::TempDir,
}

impl Default for Fixture {
    fn default() -> Self {
        Self::new()
    }
}

impl Fixture {
    /// One that keeps all of its audit, and in which a namespace may have anything.
    pub fn new() -> Self {
        Self::with_audit_limits(RetentionLimits::default())
    }

    /// One with this id and this root key.
    pub fn with_root(id: StoreId, root: &RootKey) -> Self {
        Self::build((id, root), RetentionLimits::default(), None)
    }

    /// One that keeps so much of its audit.
    pub fn with_audit_limits(audit: RetentionLimits) -> Self {
        let root = RootKey::generate().unwrap();
        Self::build((StoreId::generate().unwrap(), &root), audit, None)
    }

    fn build((id, root): (StoreId, &RootKey), audit: RetentionLimits, quota: Option<Quota>) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path().join("store");
        let seal = SealFile::new(id, root, &key(), "test").unwrap();
        let create = CreateStoreOptions {
            dir: &dir,
            seal: &seal,
            root,
            now: NOW,
            actor: Actor::System,
        };
        Store::prepare(&create).unwrap();
        Store::publish(&dir).unwrap();
        Self {
            store: open_with(&dir, audit, quota),
            dir,
            keep,
        }
    }

    /// Closes the store; its directory stays until the second is dropped.
    pub fn close(self) -> (PathBuf, tempfile::TempDir) {
        self.store.close();
        (self.dir, self.keep)
    }

    /// The namespace `shop`.
    pub fn namespace(&self) -> NamespaceId {
        let bind = BindNamespace {
            name: "shop".parse().unwrap(),
            uid: "uid-shop".parse().unwrap(),
        };
        self.store.run(bind, meta()).unwrap()
    }

    /// A secret of that name in `shop`, declared by an object of the same name.
    pub fn secret(&self, name: &str) -> SecretId {
        self.secret_with(name, "v1")
    }

    /// The same with a first version of this name.
    pub fn secret_with(&self, name: &str, first: &str) -> SecretId {
        let create = CreateSecret {
            version: version(first),
            object: Some(ObjectRef {
                uid: format!("uid-{name}").parse().unwrap(),
                name: name.to_owned(),
            }),
            ..new_secret(self.namespace(), name, value("first"))
        };
        self.store.run(create, meta()).unwrap().secret.id
    }
}

/// A store in which a namespace may have anything; its directory is `store` in the second.
pub fn store() -> (Store, tempfile::TempDir) {
    store_within(None)
}

/// A store in which a namespace may have so much; its directory is `store` in the second.
pub fn store_within(quota: Option<Quota>) -> (Store, tempfile::TempDir) {
    let root = RootKey::generate().unwrap();
    let keys = (StoreId::generate().unwrap(), &root);
    let Fixture { store, keep, .. } = Fixture::build(keys, RetentionLimits::default(), quota);
    (store, keep)
}

/// Opens the store with its key.
pub fn open(dir: &Path) -> Store {
    open_with(dir, RetentionLimits::default(), None)
}

fn open_with(dir: &Path, audit: RetentionLimits, quota: Option<Quota>) -> Store {
    let root = SealFile::load(dir).unwrap().unlock(&key()).unwrap();
    Store::open(OpenStoreOptions {
        dir,
        root: &root,
        epoch: 0,
        anchor: AnchorRule::Absent,
        cache_bytes: 4 << 20,
        strict_anchor: None,
        audit,
        quota,
        now: NOW,
    })
    .unwrap()
}

/// What opens the seal.
pub fn key() -> SlotSecret {
    SlotSecret::KeyFile(SecretBytes::new(vec![7; 32]))
}

/// A command of a controller, at [`NOW`].
pub fn meta() -> Meta {
    meta_by(Actor::Controller("test".into()), NOW)
}

/// A command of somebody.
pub fn meta_by(actor: Actor, now: Timestamp) -> Meta {
    Meta {
        actor,
        request: RequestId::generate().unwrap(),
        now,
        asked: None,
    }
}

/// The entries of the read chain of a store in this directory, marks left out.
pub fn reads(store: &Store, dir: &Path) -> Vec<Entry> {
    let storage = SegmentDirectory::read_only(&dir.join(READS_DIRECTORY));
    let records = store.reads_after(&storage, 0, usize::MAX).unwrap().into_iter();
    records
        .filter_map(|(_, record)| match record {
            ReadChainRecord::Entry(entry) => Some(*entry),
            _ => None,
        })
        .collect()
}

/// The command that makes a secret which nobody declares, with the version `v-1`.
pub fn new_secret(namespace: NamespaceId, name: &str, value: Value) -> CreateSecret {
    let id = SecretId::generate().unwrap();
    CreateSecret::new(id, namespace, name.parse().unwrap(), version("v-1"), value)
}

/// The command that puts a version and makes it Current.
pub fn new_version(secret: SecretId, id: &str, value: Value) -> PutValue {
    PutValue {
        secret,
        version: version(id),
        value,
        stages: Vec::new(),
    }
}

/// The name of a version.
pub fn version(id: &str) -> VersionId {
    id.parse().unwrap()
}

/// A text under the key `value`.
pub fn value(text: &str) -> Value {
    value_under("value", text.as_bytes())
}

/// Bytes under this key alone.
pub fn value_under(key: &str, bytes: &[u8]) -> Value {
    let bytes = SecretBytes::new(bytes.to_vec());
    Value::from_keys([(key.parse().unwrap(), bytes)].into()).unwrap()
}
