//! A store under a new root key: it holds what it held, what opened it before opens nothing of it, both audit
//! chains go on, and whenever the process is killed there is exactly one root key that opens.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot set up must stop, and helpers of tests fail as tests do"
)]

mod chains;
mod cuts;
mod scene;
#[path = "../support/mod.rs"]
mod support;

use std::fs;

use strongroom_model::id::KeyId;
use strongroom_store::audit::{
    Action, Actor, MutationRecord, READS_DIRECTORY, SegmentDirectory, reads_after,
};
use strongroom_store::crypto::{
    DataKey, DataKeyContext, MaterialContext, RootKey, SealedValue, ValueContext,
};
use strongroom_store::engine::{STORE_FILE, Table};
use strongroom_store::seal::{SealError, SealFile, SlotSecret};
use strongroom_store::vault::*;

use scene::*;
use support::files::{copy, files, records};
use support::*;

#[test]
fn a_store_holds_what_it_held() {
    let (_keep, dir) = used();
    let old = keyring_by(&dir, &slot());
    let read_before = reads(&dir, &old);
    let store = open(&dir);
    let changes = usize::try_from(store.mutation_head()).unwrap();
    let before = observe(&store, changes);
    let anchor = store.anchor();
    store.close();
    drop(store);
    assert!(before.values.len() > 6 && before.cursor.is_some() && before.requester.is_some());
    assert!(before.values.values().any(|value| *value == Err("KeyDestroyed")));

    let report = rekey_once(&dir);
    assert!(report.values >= 6 && report.lost_values == 1, "{report}");
    let new = keyring_by(&dir, &new_slot(1));
    assert_eq!(report.record.after.key, new.public_key());
    assert_eq!(report.record.before.key, old.public_key());
    let read_after = reads(&dir, &new);
    assert_eq!(read_after[..read_before.len()], read_before[..]);
    let found = check(
        &dir,
        Some(&SealFile::load(&dir).unwrap().unlock(&new_slot(1)).unwrap()),
    );
    assert!(found.as_ref().unwrap().is_sound(), "{found:?}");

    // The anchor of before fits: the store went on from there.
    let root = SealFile::load(&dir).unwrap().unlock(&new_slot(1)).unwrap();
    let setup = Setup {
        anchor: AnchorRule::Expect(anchor),
        ..Setup::default()
    };
    let store = setup.open_with(&dir, &root).unwrap();
    assert_eq!(store.rekeyed(), Some(at(1_000)));
    assert!(store.anchor().counter > anchor.counter);
    assert!(store.pending_attestations().unwrap().is_empty());
    assert_eq!(observe(&store, changes), before);
    let told: Vec<String> = store
        .mutations_after(changes as u64, 3)
        .unwrap()
        .into_iter()
        .inspect(|(_, entry)| assert_eq!(entry.action, Action::ChangeSeal))
        .map(|(_, entry)| entry.detail)
        .collect();
    let keys = [old.public_key().to_string(), new.public_key().to_string()];
    assert!(keys.iter().all(|key| told[0].contains(key)), "{told:?}");
    assert!(
        told[1].contains("add key-file slot") && told[1].contains("remove key-file slot"),
        "{told:?}"
    );

    // It goes on: what is declared is known, keys work, values are written.
    let again = declare(&store);
    assert!(!again.changed, "{again:?}");
    let secret = before
        .secrets
        .iter()
        .find(|secret| secret.name.as_str() == "db" && secret.namespace == before.keys[0].namespace);
    put(&store, secret.unwrap().id, "v9", "goes on", &[]).unwrap();
    assert_eq!(get(&store, secret.unwrap().id, None, None).unwrap(), "goes on");
    for key in store.list_keys(secret.unwrap().namespace).unwrap() {
        let expected = if key.state == KeyState::Destroyed { 0 } else { 1 };
        assert_eq!(key.versions.len(), expected, "{key:?}");
    }
    let disabled = before
        .keys
        .iter()
        .find(|key| key.state == KeyState::Disabled)
        .unwrap();
    let (namespace, key) = (disabled.namespace, disabled.id);
    store.run(EnableKey { namespace, key }, meta()).unwrap();
    let under = before
        .secrets
        .iter()
        .find(|secret| secret.key == KeyRef::Customer(key));
    assert_eq!(get(&store, under.unwrap().id, None, None).unwrap(), "under a key");
    store.close();
}

#[test]
fn nothing_opens_by_what_opened_the_store_before() {
    let (keep, dir) = used();
    let past = keep.path().join("past");
    copy(&dir, &past);
    let views = {
        let store = open(&past);
        let views = store.list(None, None, usize::MAX).unwrap();
        store.close();
        views
    };
    let old_root = root(&past);
    let old = keyring_by(&past, &slot());
    rekey_once(&dir);

    let opened = SealFile::load(&dir).unwrap().unlock(&slot());
    assert!(matches!(opened, Err(SealError::WrongKey(_))), "{opened:?}");
    assert!(matches!(open_by(&dir, &slot()), Err(OpenError::Seal(_))));
    let opened = Setup::default().open_with(&dir, &old_root);
    assert!(matches!(opened, Err(OpenError::Seal(_))), "{opened:?}");
    let found = check(&dir, Some(&old_root)).unwrap();
    let opened = (found.secrets, found.values, found.policies);
    assert!(!found.is_sound() && opened == (0, 0, 0), "{found}");

    // No sealed record is what it was, and no name is found where it was.
    for table in Table::ALL {
        let (before, after) = (records(&past, table), records(&dir, table));
        let in_clear = |key: &[u8]| [b"identity".as_slice(), b"attested-since"].contains(&key);
        match table {
            Table::Due => assert_eq!(before, after),
            Table::Name => assert!(before.keys().all(|key| !after.contains_key(key))),
            Table::Attestation => assert!(!before.is_empty() && after.is_empty()),
            _ => {
                assert!(
                    !before.is_empty() && after.len() >= before.len().min(3),
                    "{table:?}"
                );
                for (key, value) in &after {
                    let same = before.values().any(|former| former == value);
                    assert!(!same || in_clear(key), "{table:?}");
                }
            }
        }
    }
    for (key, value) in records(&dir, Table::Audit) {
        let record = MutationRecord::decode(&key, &value).unwrap();
        assert!(record.open(&old).is_err(), "change {}", record.sequence);
    }
    let segments = SegmentDirectory::read_only(&dir.join(READS_DIRECTORY));
    assert!(reads_after(&segments, &old, 0, usize::MAX).is_err());

    // Whoever has the old root key and an old file has old materials and data keys. They are of no use.
    let store = old.store();
    let (mut tried, new_keys, new_values) = (0, records(&dir, Table::DataKey), records(&dir, Table::Version));
    let (old_keys, old_values) = (records(&past, Table::DataKey), records(&past, Table::Version));
    let materials = records(&past, Table::KeyVersion);
    for (secret, version) in views
        .iter()
        .flat_map(|secret| secret.versions.iter().map(move |version| (secret, version)))
    {
        let mut place = secret.id.as_bytes().to_vec();
        place.extend_from_slice(&version.sequence.to_be_bytes());
        let (key, key_version, wrapped) = data_key(&old_keys[&place]);
        let mut row = key.as_bytes().to_vec();
        row.extend_from_slice(&key_version.to_be_bytes());
        let Some(material) = materials.get(&row) else {
            continue;
        };
        let of_material = MaterialContext {
            namespace: secret.namespace,
            key,
            version: key_version,
        };
        let material = old.unwrap(&of_material, material).unwrap();
        let context = |key_version| DataKeyContext {
            store,
            namespace: secret.namespace,
            secret: secret.id,
            sequence: version.sequence,
            key,
            key_version,
        };
        let of_value = ValueContext {
            store,
            namespace: secret.namespace,
            secret: secret.id,
            sequence: version.sequence,
            version: &version.id,
            data_type: version.data_type,
        };
        let former = DataKey::unwrap(wrapped, &material, &context(key_version)).unwrap();
        assert!(
            former
                .open_value(&of_value, &value_row(&old_values[&place]))
                .is_ok()
        );
        assert!(
            former
                .open_value(&of_value, &value_row(&new_values[&place]))
                .is_err()
        );
        let (same, next, wrapped) = data_key(&new_keys[&place]);
        assert!(same == key && next > key_version);
        for version in [key_version, next] {
            assert!(DataKey::unwrap(wrapped, &material, &context(version)).is_err());
        }
        tried += 1;
    }
    assert!(tried > 5, "{tried}");
}

/// Encryption key, its version, and the wrapped key in a row of data keys.
fn data_key(row: &[u8]) -> (KeyId, u32, &[u8]) {
    let key = KeyId::from_bytes(row[1..17].try_into().unwrap());
    let version = u32::from_be_bytes(row[17..21].try_into().unwrap());
    (key, version, &row[25..])
}

fn value_row(row: &[u8]) -> SealedValue {
    SealedValue {
        commitment: row[1..33].try_into().unwrap(),
        sealed: row[33..].to_vec(),
    }
}

#[test]
fn an_old_backup_is_refused_with_a_sentence() {
    let f = Fixture::new();
    let secret = f.create("db", "first");
    let mut backup = Vec::new();
    f.store.backup(&mut backup).unwrap();
    let (keep, dir) = f.close();
    rekey_once(&dir);
    let store = open_by(&dir, &new_slot(1)).unwrap();
    for (id, text) in [("v2", "second"), ("v3", "third")] {
        put(&store, secret, id, text, &[]).unwrap();
    }
    let anchor = store.anchor();
    let mut fresh = Vec::new();
    store.backup(&mut fresh).unwrap();
    store.close();
    drop(store);
    let restored = |name: &str, secret: &SlotSecret, stream: &[u8]| {
        let place = keep.path().join(name);
        let options = RestoreOptions {
            dir: &place,
            secret,
            accept_namespaces: false,
            meta: meta(),
        };
        restore(&options, &mut &*stream).map(|_| place.clone())
    };
    let said = restored("a", &new_slot(1), &backup).unwrap_err().to_string();
    assert!(said.contains("no key-file slot"), "{said}");
    let said = restored("b", &slot(), &fresh).unwrap_err().to_string();
    assert!(said.contains("no key-file slot"), "{said}");
    let past = restored("c", &slot(), &backup).unwrap();
    let said = try_open(&past, AnchorRule::Expect(anchor))
        .unwrap_err()
        .to_string();
    assert!(said.contains("older copy"), "{said}");
    // A backup of now is one.
    let now = restored("d", &new_slot(1), &fresh).unwrap();
    let store = open_by(&now, &new_slot(1)).unwrap();
    assert_eq!(get(&store, secret, None, None).unwrap(), "third");
    store.close();
    // The old store file in the place of the new one.
    fs::copy(past.join(STORE_FILE), dir.join(STORE_FILE)).unwrap();
    let bytes = files(&dir);
    assert!(open_by(&dir, &new_slot(1)).is_err());
    assert!(files(&dir) == bytes, "a refusal changed a file");
}

#[test]
fn an_open_store_no_slot_and_a_wrong_key_change_nothing() {
    let f = Fixture::new();
    f.create("db", "first");
    // A backup, or the stream to a node, runs in the process that has the store open.
    let held = rekey_with(&f.dir, &slot(), new_slot(1), &mut |_| {}).unwrap_err();
    assert!(held.to_string().contains("another process"), "{held}");
    let (_keep, dir) = f.close();
    let before = files(&dir);
    let (root, other) = (root(&dir), RootKey::generate().unwrap());
    let slots = [(new_slot(1), String::new())];
    let options = |root, slots| RekeyOptions {
        dir: &dir,
        root,
        slots,
        cursors: &[],
        now: at(0),
        actor: Actor::System,
    };
    let refused = rekey(&options(&other, &slots), &mut |_| {});
    assert!(matches!(refused, Err(OpenError::Seal(SealError::WrongKey(_)))));
    let refused = rekey(&options(&root, &[]), &mut |_| {});
    assert!(matches!(refused, Err(OpenError::Seal(SealError::LastSlot))));
    assert!(files(&dir) == before);
}
