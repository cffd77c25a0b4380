//! Records that were removed, added, changed, exchanged or put back behind the store's back (invariants 29
//! and 30).
//!
//! Without the root key nothing of it opens. The second half gives the attacker even the digest's key, which
//! in truth comes from the root key: then what each record is bound to must still keep one value from
//! standing in for another.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

use strongroom_model::id::SecretId;
use strongroom_model::name::VersionId;
use strongroom_store::crypto::{Context, Keyring, StateDigest};
use strongroom_store::engine::{Batch, Change, Engine, MemoryEngine, STORE_FILE, Table, view_file};
use strongroom_store::vault::*;
use support::*;

type Place = (Table, Vec<u8>);
type Records = BTreeMap<Place, Vec<u8>>;

const STATE: &[u8] = b"state";

/// Everything in the store file.
fn records(dir: &Path) -> Records {
    let engine = view_file(&dir.join(STORE_FILE)).unwrap();
    let snapshot = engine.snapshot().unwrap();
    let mut records = Records::new();
    for table in Table::ALL {
        snapshot
            .visit(table, &mut |key, value| {
                records.insert((table, key.to_vec()), value.to_vec());
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    records
}

/// A closed store, and what it answered.
struct Victim {
    fixture: Fixture,
    keyring: Keyring,
    /// Of an earlier time.
    before: Records,
    records: Records,
    answers: BTreeMap<(SecretId, VersionId), String>,
}

impl Victim {
    fn new() -> Self {
        let mut f = Fixture::new();
        let bank = bind(&f.store, "bank", "uid-2");
        let secrets = [
            f.create("checkout-db", "one"),
            f.create("checkout-api", "two"),
            create(&f.store, bank, "checkout-db", "three"),
        ];
        f = f.reopen();
        f.store.close();
        let before = records(&f.dir);
        f = f.reopen();
        for (secret, text) in secrets.into_iter().zip(["four", "five", "six"]) {
            f.put(secret, "v2", text, &[]).unwrap();
        }
        for name in ["one-key", "other-key"] {
            f.customer_key(name);
        }
        for name in ["events", "sink"] {
            f.store
                .run(
                    SetCursor {
                        name: name.parse().unwrap(),
                        place: name.into(),
                    },
                    meta(),
                )
                .unwrap();
        }
        for name in ["all", "none"] {
            let policy = EnforcedPolicy {
                uid: format!("uid-{name}").parse().unwrap(),
                namespace: "shop".parse().unwrap(),
                name: name.to_owned(),
                generation: 3,
                statements: name.into(),
            };
            f.store.run(EnforcePolicy(policy), meta()).unwrap();
        }
        for code in ["aigw", "pg"] {
            f.store.run(PutProduct(product(code, 1, 1)), meta()).unwrap();
        }
        let deleted = f.create("gone", "seven");
        f.store.run(deletion_of(deleted), meta()).unwrap();
        f.store.close();
        let answers = secrets
            .into_iter()
            .zip([["one", "four"], ["two", "five"], ["three", "six"]])
            .flat_map(|(secret, texts)| {
                texts
                    .into_iter()
                    .zip(["v1", "v2"])
                    .map(move |(text, id)| ((secret, version(id)), text.to_owned()))
            })
            .collect();
        Self {
            keyring: keyring(&f.dir),
            records: records(&f.dir),
            fixture: f,
            before,
            answers,
        }
    }

    fn open(&self, records: Records) -> Result<Store, OpenError> {
        let engine = MemoryEngine::new();
        let changes = records
            .into_iter()
            .map(|((table, key), value)| Change::Put { table, key, value })
            .collect();
        engine
            .commit(&Batch {
                changes,
                ..Batch::default()
            })
            .unwrap();
        store_on(Box::new(engine), keyring(&self.fixture.dir), None)
    }

    fn refuses(&self, what: &str, records: Records) {
        assert_ne!(records, self.records, "{what}: nothing was done");
        assert!(self.open(records).is_err(), "{what}: opened");
    }

    /// The digest that only the holder of the root key can make.
    fn with_digest(&self, mut records: Records) -> Records {
        let place = (Table::Meta, STATE.to_vec());
        let digest = records
            .iter()
            .filter(|(at, _)| **at != place)
            .fold(StateDigest::default(), |sum, ((table, key), value)| {
                sum.plus(self.keyring.record_term(table.code(), key, value))
            });
        let context = Context::Meta("state");
        let state = self.keyring.open(&context, &records[&place]).unwrap();
        let mut state = state.expose().to_vec();
        // Format and commit counter stand before the digest.
        state[9..41].copy_from_slice(&digest.to_bytes());
        records.insert(place, self.keyring.seal(&context, &state).unwrap());
        records
    }

    /// What opens answers each question rightly or not at all. Returns how many it does not answer; None: it
    /// does not open.
    fn wrong_answers(&self, what: &str, records: Records) -> Option<usize> {
        let store = self.open(self.with_digest(records)).ok()?;
        let mut unanswered = 0;
        for ((secret, version), right) in &self.answers {
            let get = GetValue {
                version: Some(version.clone()),
                ..GetValue::current(*secret)
            };
            match store.value(&get, &meta()) {
                Ok(read) => assert_eq!(text(&read), *right, "{what}: version {version} of {secret}"),
                Err(_) => unanswered += 1,
            }
        }
        store.close();
        Some(unanswered)
    }

    fn keys_of(&self, table: Table) -> Vec<Vec<u8>> {
        self.records
            .keys()
            .filter(|(of, _)| *of == table)
            .map(|(_, key)| key.clone())
            .collect()
    }

    /// Every exchange of two values of one table.
    fn swaps(&self, table: Table) -> Vec<(String, Records)> {
        let keys = self.keys_of(table);
        let mut swaps = Vec::new();
        for (index, one) in keys.iter().enumerate() {
            for other in &keys[index + 1..] {
                let mut records = self.records.clone();
                let (one, other) = ((table, one.clone()), (table, other.clone()));
                let (at_one, at_other) = (records[&one].clone(), records[&other].clone());
                if at_one != at_other {
                    records.insert(one, at_other);
                    records.insert(other, at_one);
                    swaps.push((format!("{table:?}: exchange {}", swaps.len()), records));
                }
            }
        }
        swaps
    }
}

#[test]
fn nothing_opens_after_one_record_was_touched() {
    let victim = Victim::new();
    victim.open(victim.records.clone()).unwrap().close();
    let tables: BTreeSet<Table> = victim.records.keys().map(|(table, _)| *table).collect();
    assert!(tables.len() == 13, "{tables:?}");
    for place in victim.records.keys() {
        let mut removed = victim.records.clone();
        let value = removed.remove(place).unwrap();
        victim.refuses(&format!("{place:?} removed"), removed);
        for at in [0, value.len() / 2, value.len().saturating_sub(1)] {
            let mut changed = victim.records.clone();
            if let Some(byte) = changed.get_mut(place).and_then(|value| value.get_mut(at)) {
                *byte ^= 1;
                victim.refuses(&format!("{place:?} changed at {at}"), changed);
            }
        }
        let mut added = victim.records.clone();
        let mut key = place.1.clone();
        *key.last_mut().unwrap() ^= 0x80;
        added.insert((place.0, key), value);
        victim.refuses(&format!("{place:?} doubled"), added);
    }
}

#[test]
fn nothing_opens_after_two_records_were_exchanged() {
    let victim = Victim::new();
    let mut exchanged = 0;
    for table in Table::ALL {
        for (what, records) in victim.swaps(table) {
            victim.refuses(&what, records);
            exchanged += 1;
        }
    }
    assert!(exchanged > 50, "only {exchanged}");
}

#[test]
fn nothing_opens_after_a_record_was_put_back_in_an_older_state() {
    let victim = Victim::new();
    let mut put_back = 0;
    for (place, old) in &victim.before {
        if victim.records.get(place) != Some(old) {
            let mut records = victim.records.clone();
            records.insert(place.clone(), old.clone());
            victim.refuses(&format!("{place:?} put back"), records);
            put_back += 1;
        }
    }
    assert!(put_back >= 5, "only {put_back}");
    // All of them together are an older store that was whole: only the anchor can tell.
    victim.open(victim.before.clone()).unwrap().close();
}

#[test]
fn exchanged_records_never_answer_for_another_even_with_the_digest_made_anew() {
    let victim = Victim::new();
    assert_eq!(victim.wrong_answers("nothing", victim.records.clone()), Some(0));
    for table in [
        Table::Head,
        Table::Version,
        Table::DataKey,
        Table::Key,
        Table::KeyVersion,
        Table::Namespace,
    ] {
        let swaps = victim.swaps(table);
        assert!(!swaps.is_empty(), "{table:?}");
        let mut noticed = 0;
        for (what, records) in swaps {
            noticed += usize::from(victim.wrong_answers(&what, records) != Some(0));
        }
        assert!(noticed > 0, "{table:?}: no exchange was noticed");
    }
    // A whole version of one secret, data key and all, under another.
    let answered = |key: &[u8]| {
        victim
            .answers
            .keys()
            .any(|(secret, _)| key.starts_with(secret.as_bytes()))
    };
    let mut versions = victim.keys_of(Table::Version);
    versions.retain(|key| answered(key));
    assert_eq!(versions.len(), victim.answers.len());
    for one in &versions {
        for other in versions.iter().filter(|other| *other != one) {
            let mut records = victim.records.clone();
            for table in [Table::Version, Table::DataKey] {
                let value = records[&(table, one.clone())].clone();
                records.insert((table, other.clone()), value);
            }
            let unanswered = victim.wrong_answers("a version and its data key", records);
            assert_ne!(unanswered, Some(0));
        }
    }
}

#[test]
fn an_access_policy_never_stands_in_for_another_even_with_the_digest_made_anew() {
    let victim = Victim::new();
    let kept = |records: Records| {
        let store = victim.open(victim.with_digest(records)).unwrap();
        let kept = store.policies().unwrap();
        store.close();
        (kept.policies.len(), kept.unreadable)
    };
    assert_eq!(kept(victim.records.clone()), (2, 0));
    let swaps = victim.swaps(Table::Policy);
    assert_eq!(swaps.len(), 1);
    for (_, records) in swaps {
        assert_eq!(kept(records), (0, 2));
    }
    // One that cannot be read hides no other, and gives way to what is kept next.
    let mut records = victim.records.clone();
    let place = (Table::Policy, victim.keys_of(Table::Policy)[0].clone());
    records.insert(place, b"short".to_vec());
    let store = victim.open(victim.with_digest(records)).unwrap();
    let found = store.policies().unwrap();
    assert_eq!((found.policies.len(), found.unreadable), (1, 1));
    for name in ["all", "none"] {
        let policy = EnforcedPolicy {
            uid: format!("uid-{name}").parse().unwrap(),
            ..found.policies[0].clone()
        };
        store.run(EnforcePolicy(policy), meta()).unwrap();
    }
    let found = store.policies().unwrap();
    assert_eq!((found.policies.len(), found.unreadable), (2, 0));
    store.close();
}

#[test]
fn a_product_never_has_the_quota_of_another_even_with_the_digest_made_anew() {
    let victim = Victim::new();
    let shop = victim.fixture.namespace;
    let swaps = victim.swaps(Table::Product);
    assert_eq!(swaps.len(), 1);
    for (_, records) in swaps {
        let store = victim.open(victim.with_digest(records)).unwrap();
        let found = store.products().unwrap();
        assert_eq!((found.products.len(), found.unreadable), (0, 2));
        let refused = store.run(new_secret(shop, "pg!orders-admin", "first"), meta());
        assert_eq!(refused.unwrap_err().code(), "Damaged");
        // What cannot be read gives way to what is seen next, and hides no other.
        store.run(PutProduct(product("pg", 1, 1)), meta()).unwrap();
        let found = store.products().unwrap();
        assert_eq!((found.products, found.unreadable), (vec![product("pg", 1, 1)], 1));
        create(&store, shop, "pg!orders-admin", "first");
        store.close();
    }
}
