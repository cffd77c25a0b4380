//! Default secrets on a disk whose power goes and an engine that answers "unknown": what is counted is what
//! lies in the file, no product makes more than it may have, and wherever a move to a customer's key is cut,
//! the secret counts on just one hosting, is read as before, and the move goes on.
//!
//! `STRONGROOM_MODEL_STEPS` sets the number of steps, 600 if unset; `STRONGROOM_SEED` repeats a run;
//! `STRONGROOM_KILLS` sets the number of kills, 8 if unset.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop, and helpers of tests fail as tests do"
)]

mod support;

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Write};
use std::path::Path;

use strongroom_model::id::{KeyId, NamespaceId, RequestId, SecretId};
use strongroom_model::{DefaultSecretName, Hosting};
use strongroom_store::vault::*;

use support::simulated_disk::{Random, seed};
use support::simulated_store::{SimulatedStore, resend};
use support::worker::{Worker, rounds};
use support::*;

const DIR: &str = "STRONGROOM_PRODUCT_KILL_DIR";
const CODES: [&str; 2] = ["aigw", "pg"];
/// Default secrets that a product of the test can have in a namespace at a time.
const SLOTS: usize = 5;

/// What each product has, by hosting and namespace.
type Counts = BTreeMap<(String, Hosting, NamespaceId), u64>;

/// What is done to a default secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Create(Hosting),
    Move(Hosting),
    Delete,
    Restore,
    Purge,
}

fn any(random: &mut Random) -> Op {
    let hosting = Hosting::ALL[random.below(2) as usize];
    match random.below(10) {
        0..=4 => Op::Create(hosting),
        5 | 6 => Op::Move(hosting),
        7 => Op::Delete,
        8 => Op::Restore,
        _ => Op::Purge,
    }
}

struct Home {
    id: NamespaceId,
    name: &'static str,
    key: KeyId,
}

impl Home {
    fn key(&self, hosting: Hosting) -> KeyRef {
        match hosting {
            Hosting::Free => KeyRef::Default,
            Hosting::Paid => KeyRef::Customer(self.key),
        }
    }
}

fn new_home(store: &Store, name: &'static str) -> Home {
    let id = bind(store, name, &format!("uid-{name}"));
    Home {
        id,
        name,
        key: customer_key(store, id, "payments"),
    }
}

/// Every default secret there is, counted by its head.
fn recount(store: &Store) -> Counts {
    let mut counts = Counts::new();
    for secret in store.list(None, None, usize::MAX).unwrap() {
        let name = DefaultSecretName::split(&secret.name).unwrap().unwrap();
        let hosting = Hosting::under(secret.key.customer().as_ref());
        let place = (name.code().to_owned(), hosting, secret.namespace);
        *counts.entry(place).or_default() += 1;
    }
    counts
}

/// What the store says that each product has.
fn said(store: &Store, homes: &[Home]) -> Counts {
    let mut counts = Counts::new();
    for code in CODES {
        let usage = store.product_usage(&code.parse().unwrap()).unwrap();
        for (hosting, of) in usage.hosting {
            assert_eq!(of.secrets, of.namespaces.values().sum::<u64>());
            for (namespace, secrets) in of.namespaces {
                let home = homes.iter().find(|home| home.name == namespace.as_str()).unwrap();
                counts.insert((code.to_owned(), hosting, home.id), secrets);
            }
        }
    }
    counts
}

fn run(
    store: &Store,
    op: Op,
    home: &Home,
    name: &str,
    secret: SecretId,
    meta: Meta,
) -> Result<(), StoreError> {
    match op {
        Op::Create(hosting) => {
            let new = CreateSecret {
                id: secret,
                key: home.key(hosting),
                ..new_secret(home.id, name, "first")
            };
            store.run(new, meta).map(drop)
        }
        Op::Move(hosting) => {
            let update = UpdateSecret {
                secret,
                description: None,
                labels: None,
                key: Some(home.key(hosting)),
            };
            store.run(update, meta).map(drop)
        }
        Op::Delete => store.run(deletion_of(secret), meta).map(drop),
        Op::Restore => store.run(RestoreSecret { secret }, meta).map(drop),
        Op::Purge => store.run(PurgeSecret { secret }, meta),
    }
}

#[test]
fn no_product_makes_more_than_it_may_have_whatever_is_lost_on_the_way() {
    let steps: u64 = rounds("STRONGROOM_MODEL_STEPS", 600);
    let seed = seed();
    let mut random = Random::new(seed);
    let mut simulated = SimulatedStore::new(seed);
    let homes = ["shop", "pay"].map(|name| new_home(&simulated.store, name));
    let (per_namespace, total) = (3, 5);
    for code in CODES {
        let put = PutProduct(product(code, per_namespace, total));
        simulated.store.run(put, meta()).unwrap();
    }
    let (mut made, mut moved, mut full) = (0, 0, 0);
    for step in 0..steps {
        let op = any(&mut random);
        let code = CODES[random.below(2) as usize];
        let home = &homes[random.below(2) as usize];
        let name = format!("{code}!{}", random.below(SLOTS as u64));
        let context = format!(
            "STRONGROOM_SEED={seed} step {step} {op:?} {name} in {}",
            home.name
        );
        let there = simulated.store.find(home.id, &name.parse().unwrap()).unwrap();
        if matches!(op, Op::Create(_)) == there.is_some() {
            continue;
        }
        let from = there
            .as_ref()
            .map(|secret| Hosting::under(secret.key.customer().as_ref()));
        let secret = there.map_or_else(|| SecretId::generate().unwrap(), |secret| secret.id);
        let before = recount(&simulated.store);
        let meta = Meta {
            request: RequestId::generate().unwrap(),
            ..meta()
        };
        let cut = simulated.endanger(&mut random);
        let mut answer = run(&simulated.store, op, home, &name, secret, meta.clone());
        if cut {
            simulated.restart();
        }
        resend(&mut answer, || {
            run(&simulated.store, op, home, &name, secret, meta.clone())
        });
        simulated.faults.clear();

        let after = recount(&simulated.store);
        assert_eq!(said(&simulated.store, &homes), after, "{context}");
        let of = |counts: &Counts, hosting: Hosting, namespace: Option<NamespaceId>| -> u64 {
            let all = counts.iter().filter(|((of, under, there), _)| {
                of == code && *under == hosting && namespace.is_none_or(|one| one == *there)
            });
            all.map(|(_, secrets)| secrets).sum()
        };
        for hosting in Hosting::ALL {
            assert!(of(&after, hosting, None) <= total, "{context}: {after:?}");
            assert!(
                of(&after, hosting, Some(home.id)) <= per_namespace,
                "{context}: {after:?}"
            );
        }
        let is_full = matches!(
            &answer,
            Err(StoreError::Refused(Refusal::ProductQuotaExceeded { .. }))
        );
        match op {
            Op::Create(to) | Op::Move(to) if is_full => {
                // Only what does not fit is refused.
                assert_ne!(from, Some(to), "{context}");
                assert!(
                    of(&before, to, None) == total || of(&before, to, Some(home.id)) == per_namespace,
                    "{context}: {before:?}"
                );
                assert_eq!(before, after, "{context}");
                full += 1;
            }
            Op::Create(_) => {
                assert!(answer.is_ok(), "{context}: {answer:?}");
                made += 1;
            }
            Op::Move(to) => moved += u64::from(answer.is_ok() && from != Some(to)),
            Op::Delete | Op::Restore | Op::Purge => assert!(!is_full, "{context}"),
        }
    }
    assert!(
        made > steps / 30 && moved > 0 && full > steps / 60,
        "STRONGROOM_SEED={seed}: {made} {moved} {full}"
    );
}

/// Moves a secret of three versions under a customer's key, and its data keys after it.
fn to_paid(store: &Store, home: &Home, secret: SecretId) -> Result<(), StoreError> {
    let update = UpdateSecret {
        secret,
        description: None,
        labels: None,
        key: Some(KeyRef::Customer(home.key)),
    };
    store.run(update, meta())?;
    let mut after = None;
    loop {
        let batch = Rewrap {
            key: Some(home.key),
            after,
            limit: 1,
        };
        after = store.run(batch, meta())?.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

#[test]
fn a_move_to_a_customers_key_that_is_cut_anywhere_is_done_or_not_and_goes_on() {
    let seed = seed();
    let texts = ["first", "second", "third"];
    let (mut free, mut paid) = (0, 0);
    for calls in 0.. {
        let context = format!("STRONGROOM_SEED={seed} {calls} calls");
        let mut simulated = SimulatedStore::new(seed);
        let home = new_home(&simulated.store, "shop");
        let put_product = PutProduct(product("aigw", 1, 1));
        simulated.store.run(put_product, meta()).unwrap();
        let secret = create(&simulated.store, home.id, "aigw!payments", "first");
        for (number, text) in texts.iter().enumerate().skip(1) {
            put(&simulated.store, secret, &format!("v{}", number + 1), text, &[]).unwrap();
        }
        let holds = |store: &Store, hosting: Hosting| {
            let one = BTreeMap::from([(("aigw".to_owned(), hosting, home.id), 1)]);
            assert_eq!(recount(store), one, "{context}");
            assert_eq!(said(store, std::slice::from_ref(&home)), one, "{context}");
            for (number, text) in texts.iter().enumerate() {
                let id = format!("v{}", number + 1);
                assert_eq!(
                    get(store, secret, Some(id.as_str()), None).unwrap(),
                    *text,
                    "{context}"
                );
            }
        };
        holds(&simulated.store, Hosting::Free);
        simulated.disk.cut_after(calls, false);
        let moved = to_paid(&simulated.store, &home, secret);
        simulated.restart();
        let hosting = Hosting::under(simulated.store.describe(secret).unwrap().key.customer().as_ref());
        match hosting {
            Hosting::Free => free += 1,
            Hosting::Paid => paid += 1,
        }
        holds(&simulated.store, hosting);
        to_paid(&simulated.store, &home, secret).unwrap();
        holds(&simulated.store, Hosting::Paid);
        let usage = simulated.store.key_usage(home.id).unwrap();
        assert_eq!(
            (usage[&home.key].versions, usage[&home.key].waiting),
            (3, 0),
            "{context}"
        );
        if moved.is_ok() {
            break;
        }
    }
    assert!(free > 0 && paid > 2, "STRONGROOM_SEED={seed}: {free} {paid}");
}

fn destroy(store: &Store, secret: SecretId) {
    store.run(deletion_of(secret), meta()).unwrap();
    store.run(PurgeSecret { secret }, meta()).unwrap();
}

/// Makes default secrets, and destroys one of its own wherever the product has as many as it may have.
fn churn(store: &Store, shop: NamespaceId, thread: usize) {
    let mut made = Vec::new();
    for number in 0_u64.. {
        let name = format!("pg!{}-{thread}-{number}", store.epoch());
        match store.run(new_secret(shop, &name, "first"), meta()) {
            Ok(outcome) => {
                made.push(outcome.secret.id);
                let line = format!("made {number}\n");
                io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
            Err(error) => {
                assert_eq!(error.code(), "ProductQuotaExceeded");
                if let Some(secret) = made.pop() {
                    destroy(store, secret);
                }
            }
        }
    }
}

/// Not a test of its own: the process that is killed. Without its variable it does nothing.
#[test]
fn child() {
    let Ok(dir) = env::var(DIR) else { return };
    let store = open(Path::new(&dir));
    let shop = store
        .namespace_named(&"shop".parse().unwrap())
        .unwrap()
        .unwrap()
        .id;
    for secret in store.list(Some(shop), None, usize::MAX).unwrap() {
        if !secret.is_live() {
            let secret = secret.id;
            store.run(RestoreSecret { secret }, meta()).unwrap();
        }
        destroy(&store, secret.id);
    }
    std::thread::scope(|threads| {
        for thread in 0..8 {
            let store = &store;
            threads.spawn(move || churn(store, shop, thread));
        }
    });
}

#[test]
fn after_a_kill_just_as_many_can_be_made_as_there_are_places() {
    let kills: u64 = rounds("STRONGROOM_KILLS", 8);
    let f = Fixture::new();
    f.store.run(PutProduct(product("pg", 10, 10)), meta()).unwrap();
    let shop = f.namespace;
    let (_keep, dir) = f.close();
    for round in 0..kills {
        let mut writer = Worker::start(&[(DIR, dir.as_os_str())]);
        for _ in 0..=round * 31 % 67 {
            writer.next::<u64>("made ");
        }
        writer.kill::<u64>("made ");
        let store = open(&dir);
        let used = || store.product_usage(&"pg".parse().unwrap()).unwrap().hosting[&Hosting::Free].secrets;
        let found = used();
        assert_eq!(found, recount(&store).values().sum::<u64>(), "round {round}");
        assert!(found <= 10, "round {round}: {found}");
        let made = (0..20).filter(|number| {
            let name = format!("pg!after-{round}-{number}");
            store.run(new_secret(shop, &name, "first"), meta()).is_ok()
        });
        assert_eq!(made.count() as u64, 10 - found, "round {round}");
        assert_eq!(used(), 10, "round {round}");
        store.close();
    }
}
