//! What the store's tests share: a store in a temporary directory, and short ways to make things in it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "each test binary uses its own part, and a test that cannot set up must stop"
)]

pub mod crash;
pub mod faulty;
pub mod files;
pub mod mount;
pub mod simulated_disk;
pub mod simulated_store;
pub mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_model::id::{KeyId, NamespaceId, RequestId, SecretId, StoreId};
use strongroom_model::name::{Stage, VersionId};
use strongroom_model::time::Timestamp;
use strongroom_model::{Hosting, SecretBytes};
use strongroom_store::audit::{
    Action, Actor, Entry, MemoryReads, READS_DIRECTORY, ReadChainRecord, RetentionLimits, SegmentDirectory,
    reads_after,
};
use strongroom_store::crypto::{Keyring, RootKey};
use strongroom_store::engine::Engine;
use strongroom_store::seal::{SealFile, SlotSecret};
use strongroom_store::value::Value;
use strongroom_store::vault::*;
use tempfile::TempDir;

pub const DAY: i64 = 86_400_000;
/// 2026-11-23T20:22:00Z.
pub const NOW: i64 = 1_795_465_320_000;

pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(NOW + millis)
}

pub fn meta_at(now: Timestamp) -> Meta {
    Meta {
        actor: Actor::Controller("test".into()),
        request: RequestId::generate().unwrap(),
        now,
        asked: None,
    }
}

pub fn meta() -> Meta {
    meta_at(at(0))
}

pub fn value(text: &str) -> Value {
    Value::from_keys(BTreeMap::from([(
        "value".parse().unwrap(),
        SecretBytes::new(text.as_bytes().to_vec()),
    )]))
    .unwrap()
}

pub fn text(read: &ValueRead) -> String {
    String::from_utf8(read.value.keys().values().next().unwrap().expose().to_vec()).unwrap()
}

pub fn version(id: &str) -> VersionId {
    id.parse().unwrap()
}

pub fn slot() -> SlotSecret {
    SlotSecret::KeyFile(SecretBytes::new(vec![7; 32]))
}

/// A store in a directory of its own; the directory goes with it.
pub struct Fixture {
    pub keep: TempDir,
    pub dir: PathBuf,
    pub store: Store,
    pub namespace: NamespaceId,
}

/// Makes a store at `dir`, and puts it in place.
pub fn prepare(dir: &Path) {
    let root = RootKey::generate().unwrap();
    let seal = SealFile::new(StoreId::generate().unwrap(), &root, &slot(), "test").unwrap();
    Store::prepare(&CreateStoreOptions {
        dir,
        seal: &seal,
        root: &root,
        now: at(0),
        actor: Actor::System,
    })
    .unwrap();
    Store::publish(dir).unwrap();
}

pub fn root(dir: &Path) -> RootKey {
    SealFile::load(dir).unwrap().unlock(&slot()).unwrap()
}

pub fn keyring(dir: &Path) -> Keyring {
    Keyring::derive(&root(dir), SealFile::load(dir).unwrap().store())
}

/// The entries of the read chain of a store, as those who hold its key read them.
pub fn read_entries(dir: &Path) -> Vec<Entry> {
    let segments = SegmentDirectory::read_only(&dir.join(READS_DIRECTORY));
    let logged = reads_after(&segments, &keyring(dir), 0, usize::MAX).unwrap();
    let entry = |(_, logged)| match logged {
        ReadChainRecord::Entry(entry) => Some(*entry),
        _ => None,
    };
    logged.into_iter().filter_map(entry).collect()
}

/// A store on an engine of the test's own, with a read chain in memory.
pub fn store_on(engine: Box<dyn Engine>, keyring: Keyring, quota: Option<Quota>) -> Result<Store, OpenError> {
    Store::on_engine(engine, keyring, 0, Arc::new(MemoryReads::default()), quota)
}

/// How a store is opened, where it is not as in most tests.
pub struct Setup {
    pub anchor: AnchorRule,
    pub audit: RetentionLimits,
    pub quota: Option<Quota>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            anchor: AnchorRule::Absent,
            audit: RetentionLimits::default(),
            quota: None,
        }
    }
}

impl Setup {
    pub fn open(self, dir: &Path) -> Store {
        self.open_with(dir, &root(dir)).unwrap()
    }

    pub fn open_with(self, dir: &Path, root: &RootKey) -> Result<Store, OpenError> {
        Store::open(OpenStoreOptions {
            dir,
            root,
            epoch: 0,
            anchor: self.anchor,
            cache_bytes: 4 << 20,
            strict_anchor: None,
            audit: self.audit,
            quota: self.quota,
            now: at(0),
        })
    }
}

pub fn try_open(dir: &Path, anchor: AnchorRule) -> Result<Store, OpenError> {
    let root = SealFile::load(dir)?.unlock(&slot())?;
    let setup = Setup {
        anchor,
        ..Setup::default()
    };
    setup.open_with(dir, &root)
}

pub fn open(dir: &Path) -> Store {
    Setup::default().open(dir)
}

/// With a quota of namespaces.
pub fn open_within(dir: &Path, quota: Option<Quota>) -> Store {
    let setup = Setup {
        quota,
        ..Setup::default()
    };
    setup.open(dir)
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(Setup::default())
    }

    pub fn with(setup: Setup) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path().join("store");
        prepare(&dir);
        let store = setup.open(&dir);
        let namespace = bind(&store, "shop", "uid-1");
        Self {
            keep,
            dir,
            store,
            namespace,
        }
    }

    /// Closes the store and opens it anew.
    pub fn reopen(self) -> Self {
        self.reopen_with(Setup::default())
    }

    pub fn reopen_with(self, setup: Setup) -> Self {
        let namespace = self.namespace;
        let (keep, dir) = self.close();
        let store = setup.open(&dir);
        Self {
            keep,
            dir,
            store,
            namespace,
        }
    }

    /// Closes the store. What holds its directory, and the directory.
    pub fn close(self) -> (TempDir, PathBuf) {
        self.store.close();
        (self.keep, self.dir)
    }

    pub fn create(&self, name: &str, first: &str) -> SecretId {
        create(&self.store, self.namespace, name, first)
    }

    pub fn customer_key(&self, name: &str) -> KeyId {
        customer_key(&self.store, self.namespace, name)
    }

    pub fn create_under(&self, key: KeyId, name: &str, first: &str) -> SecretId {
        let new = CreateSecret {
            key: KeyRef::Customer(key),
            ..new_secret(self.namespace, name, first)
        };
        self.store.run(new, meta()).unwrap().secret.id
    }

    pub fn put(
        &self,
        secret: SecretId,
        id: &str,
        text: &str,
        stages: &[&str],
    ) -> Result<WriteOutcome, StoreError> {
        put(&self.store, secret, id, text, stages)
    }

    pub fn current(&self, secret: SecretId) -> Result<String, StoreError> {
        get(&self.store, secret, None, None)
    }

    /// Stage to version id.
    pub fn stages(&self, secret: SecretId) -> BTreeMap<String, String> {
        let view = self.store.describe(secret).unwrap();
        view.stages
            .iter()
            .map(|(stage, id)| (stage.to_string(), id.to_string()))
            .collect()
    }

    pub fn refused<C: Command>(&self, command: C) -> &'static str
    where
        C::Reply: std::fmt::Debug,
    {
        self.store.run(command, meta()).unwrap_err().code()
    }
}

pub fn bind(store: &Store, name: &str, uid: &str) -> NamespaceId {
    store
        .run(
            BindNamespace {
                name: name.parse().unwrap(),
                uid: uid.parse().unwrap(),
            },
            meta(),
        )
        .unwrap()
}

pub fn new_secret(namespace: NamespaceId, name: &str, first: &str) -> CreateSecret {
    let id = SecretId::generate().unwrap();
    CreateSecret::new(id, namespace, name.parse().unwrap(), version("v1"), value(first))
}

pub fn create(store: &Store, namespace: NamespaceId, name: &str, first: &str) -> SecretId {
    store
        .run(new_secret(namespace, name, first), meta())
        .unwrap()
        .secret
        .id
}

/// A product that may have so many default secrets of each hosting.
pub fn product(code: &str, per_namespace: u64, total: u64) -> ProductRecord {
    let manager = ProductManager {
        namespace: format!("{code}-system").parse().unwrap(),
        name: "controller".to_owned(),
        namespace_uid: Some(format!("uid-{code}-system").parse().unwrap()),
    };
    let quota = ProductQuota { per_namespace, total };
    ProductRecord {
        code: code.parse().unwrap(),
        incarnation: format!("uid-{code}").parse().unwrap(),
        since: at(0),
        managers: BTreeSet::from([manager]),
        hosting: BTreeMap::from(Hosting::ALL.map(|hosting| (hosting, quota))),
        adopted: false,
    }
}

pub fn customer_key(store: &Store, namespace: NamespaceId, name: &str) -> KeyId {
    let id = KeyId::generate().unwrap();
    let create = CreateKey {
        id,
        namespace,
        name: name.parse().unwrap(),
    };
    store.run(create, meta()).unwrap();
    id
}

/// The command that deletes a secret, with a recovery window as long as it is by default.
pub fn deletion_of(secret: SecretId) -> DeleteSecret {
    DeleteSecret {
        secret,
        deletion: Deletion::default(),
    }
}

/// The actions of the first hundred changes.
pub fn actions(store: &Store) -> Vec<Action> {
    let entries = store.mutations_after(0, 100).unwrap().into_iter();
    entries.map(|(_, entry)| entry.action).collect()
}

pub fn backup_of(store: &Store) -> Vec<u8> {
    let mut stream = Vec::new();
    store.backup(&mut stream).unwrap();
    stream
}

pub fn restore_into(dir: &Path, backup: &[u8], accept_namespaces: bool) -> Result<u64, OpenError> {
    let options = RestoreOptions {
        dir,
        secret: &slot(),
        accept_namespaces,
        meta: meta(),
    };
    restore(&options, &mut &*backup)
}

pub fn put(
    store: &Store,
    secret: SecretId,
    id: &str,
    text: &str,
    stages: &[&str],
) -> Result<WriteOutcome, StoreError> {
    let stages = stages.iter().map(|stage| stage.parse().unwrap()).collect();
    store.run(
        PutValue {
            secret,
            version: version(id),
            value: value(text),
            stages,
        },
        meta(),
    )
}

pub fn get(
    store: &Store,
    secret: SecretId,
    version: Option<&str>,
    stage: Option<Stage>,
) -> Result<String, StoreError> {
    let get = GetValue {
        version: version.map(|id| id.parse().unwrap()),
        stage,
        ..GetValue::current(secret)
    };
    store.value(&get, &meta()).map(|read| text(&read))
}
