//! A store with something of every kind, what can be seen of it, and how it gets a new root key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use strongroom_model::SecretBytes;
use strongroom_model::id::SecretId;
use strongroom_model::name::CursorName;
use strongroom_store::audit::{
    self, Actor, Author, Entry, READS_DIRECTORY, ReadChainRecord, Requester, SegmentDirectory, VerifyReport,
    reads_after,
};
use strongroom_store::crypto::{Keyring, PublicKey};
use strongroom_store::seal::{SealFile, SlotSecret};
use strongroom_store::vault::*;

use crate::support::*;

/// What opens a store after its root key was replaced so often.
pub(super) fn new_slot(generation: u8) -> SlotSecret {
    SlotSecret::KeyFile(SecretBytes::new(vec![100 + generation; 32]))
}

pub(super) fn cursor() -> CursorName {
    "sink".parse().unwrap()
}

pub(super) fn rekey_with(
    dir: &Path,
    opens: &SlotSecret,
    next: SlotSecret,
    told: &mut dyn FnMut(RekeyStep),
) -> Result<RekeyReport, OpenError> {
    let root = SealFile::load(dir)?.unlock(opens)?;
    let options = RekeyOptions {
        dir,
        root: &root,
        slots: &[(next, "next".to_owned())],
        cursors: &[cursor()],
        now: at(1_000),
        actor: Actor::Admin("test".to_owned()),
    };
    rekey(&options, told)
}

pub(super) fn rekey_once(dir: &Path) -> RekeyReport {
    rekey_with(dir, &slot(), new_slot(1), &mut |_| {}).unwrap()
}

pub(super) fn open_by(dir: &Path, secret: &SlotSecret) -> Result<Store, OpenError> {
    let root = SealFile::load(dir)?.unlock(secret)?;
    Setup::default().open_with(dir, &root)
}

pub(super) fn keyring_by(dir: &Path, secret: &SlotSecret) -> Keyring {
    let seal = SealFile::load(dir).unwrap();
    Keyring::derive(&seal.unlock(secret).unwrap(), seal.store())
}

pub(super) fn verified(dir: &Path, key: &PublicKey) -> VerifyReport {
    audit::verify(dir, key).unwrap()
}

fn object() -> DeclaredObject {
    DeclaredObject {
        kind: "ManagedSecret".to_owned(),
        namespace: "shop".parse().unwrap(),
        name: "db".to_owned(),
        uid: "uid-db".parse().unwrap(),
    }
}

pub(super) fn declare(store: &Store) -> DeclarationOutcome {
    let accept = AcceptDeclaration {
        object: object(),
        created: at(i64::from(u32::MAX)),
        digest: ObjectDigest([5; 32]),
    };
    store.run(accept, meta()).unwrap()
}

fn attest(store: &Store, digest: u8) {
    let author = Author {
        user: "jane".to_owned(),
        groups: Vec::new(),
        uid: String::new(),
    };
    let attest = Attest {
        uid: object().uid,
        namespace: object().namespace,
        change: ObjectChange::Written,
        digest: ObjectDigest([digest; 32]),
        author,
        forget: Vec::new(),
    };
    store.run(attest, meta()).unwrap();
}

/// A closed store with something of every kind, over two runs of its process.
pub(super) fn used() -> (tempfile::TempDir, PathBuf) {
    let f = Fixture::new();
    let secret = f.create("db", "first");
    f.put(secret, "v2", "second", &[]).unwrap();
    f.put(secret, "v3", "third", &["blue"]).unwrap();
    let elsewhere = bind(&f.store, "team-b", "uid-2");
    create(&f.store, elsewhere, "db", "of another namespace");
    let (enabled, disabled, destroyed) = (
        f.customer_key("enabled"),
        f.customer_key("disabled"),
        f.customer_key("again"),
    );
    let namespace = f.namespace;
    for key in [enabled, disabled, destroyed] {
        f.create_under(key, &format!("under-{key}"), "under a key");
        f.store.run(NewKeyVersion { namespace, key }, meta()).unwrap();
    }
    let key = disabled;
    f.store.run(DisableKey { namespace, key }, meta()).unwrap();
    let schedule = ScheduleKeyDeletion {
        namespace,
        key: destroyed,
        window_days: 7,
        lose_dependents: true,
    };
    f.store.run(schedule, meta()).unwrap();
    let purge = PurgeDue {
        steady_for: CLOCK_TRUST_DELAY,
    };
    f.store.run(purge, meta_at(at(8 * DAY))).unwrap();
    // The name of a destroyed key is free.
    f.customer_key("again");
    let deletion = Deletion {
        window_days: Some(7),
        force: false,
    };
    let secret = f.create("deleted", "waits");
    f.store.run(DeleteSecret { secret, deletion }, meta()).unwrap();
    let policy = EnforcedPolicy {
        uid: "uid-of-policy".parse().unwrap(),
        namespace: "shop".parse().unwrap(),
        name: "readers".to_owned(),
        generation: 3,
        statements: b"statements".to_vec(),
    };
    f.store.run(EnforcePolicy(policy), meta()).unwrap();
    f.store.run(PutProduct(product("pg", 2, 3)), meta()).unwrap();
    f.create("pg!orders-admin", "of a product");
    f.store.run(BeginAttestations, meta()).unwrap();
    attest(&f.store, 5);
    declare(&f.store);
    attest(&f.store, 6);
    let place = SetCursor {
        name: cursor(),
        place: vec![7; 16],
    };
    f.store.run(place, meta()).unwrap();
    let f = f.reopen_with(Setup {
        quota: Some(Quota {
            secrets: 1,
            bytes: 1 << 20,
        }),
        ..Setup::default()
    });
    let known = f
        .store
        .find(f.namespace, &"db".parse().unwrap())
        .unwrap()
        .unwrap();
    for _ in 0..3 {
        f.current(known.id).unwrap();
    }
    f.current(SecretId::generate().unwrap()).unwrap_err();
    f.store.run(RecordCheckpoint, meta()).unwrap();
    f.close()
}

/// All that can be seen of a store, but what a new root key changes: versions of encryption keys.
#[derive(PartialEq, Debug)]
pub(super) struct StoreObservation {
    pub(super) namespaces: Vec<String>,
    pub(super) secrets: Vec<SecretView>,
    /// By secret and version: the value, or why there is none.
    pub(super) values: BTreeMap<(SecretId, String), Result<String, &'static str>>,
    pub(super) keys: Vec<KeyView>,
    pub(super) policies: Vec<EnforcedPolicy>,
    pub(super) products: Vec<ProductRecord>,
    pub(super) requester: Option<Requester>,
    pub(super) cursor: Option<Vec<u8>>,
    pub(super) usage: String,
    pub(super) changes: Vec<Entry>,
}

/// A closed store with something of every kind, what can be seen of it, and the number of its changes.
pub(super) fn used_and_observed() -> (tempfile::TempDir, PathBuf, StoreObservation, usize) {
    let (keep, dir) = used();
    let store = open(&dir);
    let changes = usize::try_from(store.mutation_head()).unwrap();
    let observation = observe(&store, changes);
    store.close();
    (keep, dir, observation, changes)
}

pub(super) fn observe(store: &Store, changes: usize) -> StoreObservation {
    let secrets = store.list(None, None, usize::MAX).unwrap();
    let mut values = BTreeMap::new();
    for secret in &secrets {
        for version in &secret.versions {
            let id = version.id.to_string();
            let value = get(store, secret.id, Some(&id), None).map_err(|error| error.code());
            values.insert((secret.id, id), value);
        }
    }
    let namespaces = store.namespaces().unwrap();
    let keys = namespaces
        .iter()
        .flat_map(|namespace| store.list_keys(namespace.id).unwrap())
        .map(|key| KeyView {
            primary: 0,
            primary_created: at(0),
            versions: Vec::new(),
            ..key
        })
        .collect();
    let usage = namespaces
        .iter()
        .map(|namespace| format!("{:?}", store.namespace_usage(namespace.id).unwrap()))
        .chain([format!(
            "{:?}",
            store.product_usage(&"pg".parse().unwrap()).unwrap()
        )])
        .collect();
    let told = store.mutations_after(0, changes).unwrap();
    StoreObservation {
        namespaces: namespaces
            .iter()
            .map(|namespace| format!("{namespace:?}"))
            .collect(),
        secrets,
        values,
        keys,
        policies: store.policies().unwrap().policies,
        products: store.products().unwrap().products,
        requester: store.requester_of(&object().uid).unwrap(),
        cursor: store.cursor(&cursor()).unwrap(),
        usage,
        changes: told.into_iter().map(|(_, entry)| entry).collect(),
    }
}

/// Entries of the read chain, as those who hold the key read them.
pub(super) fn reads(dir: &Path, keyring: &Keyring) -> Vec<(u64, ReadChainRecord)> {
    let segments = SegmentDirectory::read_only(&dir.join(READS_DIRECTORY));
    reads_after(&segments, keyring, 0, usize::MAX).unwrap()
}
