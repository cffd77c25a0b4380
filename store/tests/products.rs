//! Products: what is known of them is kept, and how many default secrets each may have holds to the last one,
//! apart from what namespaces may have.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop, and helpers of tests fail as tests do"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Barrier;

use strongroom_model::Hosting;
use strongroom_model::id::{KeyId, NamespaceId, SecretId};
use strongroom_store::audit::Action;
use strongroom_store::vault::*;
use support::*;

fn keep(store: &Store, product: ProductRecord) {
    store.run(PutProduct(product), meta()).unwrap();
}

fn kept(store: &Store) -> Vec<ProductRecord> {
    let mut found = store.products().unwrap();
    assert_eq!(found.unreadable, 0);
    found.products.sort_by(|one, other| one.code.cmp(&other.code));
    for product in &found.products {
        assert_eq!(store.product(&product.code).unwrap().as_ref(), Some(product));
    }
    found.products
}

fn used(store: &Store, code: &str, hosting: Hosting) -> HostingUsage {
    let usage = store.product_usage(&code.parse().unwrap()).unwrap();
    assert_eq!(usage.hosting.len(), 2);
    usage.hosting[&hosting].clone()
}

fn secrets(store: &Store, code: &str) -> (u64, u64) {
    let of = |hosting| used(store, code, hosting).secrets;
    (of(Hosting::Free), of(Hosting::Paid))
}

fn new(store: &Store, namespace: NamespaceId, name: &str) -> Result<SecretId, StoreError> {
    Ok(store.run(new_secret(namespace, name, "first"), meta())?.secret.id)
}

fn new_paid(store: &Store, namespace: NamespaceId, key: KeyId, name: &str) -> Result<SecretId, StoreError> {
    let new = CreateSecret {
        key: KeyRef::Customer(key),
        ..new_secret(namespace, name, "first")
    };
    Ok(store.run(new, meta())?.secret.id)
}

fn move_to(store: &Store, secret: SecretId, key: KeyRef) -> Result<SecretView, StoreError> {
    let update = UpdateSecret {
        secret,
        description: None,
        labels: None,
        key: Some(key),
    };
    store.run(update, meta())
}

/// What a refusal for want of a product's quota says: in which namespace, how many, of how many.
fn exceeded<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> (Option<String>, u64, u64) {
    let error = answer.unwrap_err();
    let StoreError::Refused(Refusal::ProductQuotaExceeded {
        namespace,
        used,
        limit,
        ..
    }) = &error
    else {
        unreachable!("{error}")
    };
    let said = error.to_string();
    assert!(said.contains(&format!("{used} of {limit}")), "{said}");
    assert_eq!(said.contains("in namespace"), namespace.is_some(), "{said}");
    (namespace.as_ref().map(ToString::to_string), *used, *limit)
}

#[test]
fn what_is_known_outlives_the_process_and_comes_out_of_a_backup() {
    let f = Fixture::new();
    let again = ProductRecord {
        incarnation: "uid-of-another".parse().unwrap(),
        ..product("pg", 3, 9)
    };
    for product in [product("pg", 20, 500), product("aigw", 1, 2), again.clone()] {
        keep(&f.store, product);
    }
    new(&f.store, f.namespace, "pg!orders-admin").unwrap();
    let stream = backup_of(&f.store);
    let f = f.reopen();
    assert_eq!(kept(&f.store), [product("aigw", 1, 2), again]);
    assert_eq!(secrets(&f.store, "pg"), (1, 0));

    let (dir, key) = (f.keep.path().join("drill"), slot());
    let options = DrillOptions {
        dir: &dir,
        key: BackupKey::Slot(&key),
        now: at(0),
    };
    let held = drill(options, &mut &*stream).unwrap();
    assert!(held.check.is_sound(), "{}", held.check);
    let place = f.keep.path().join("restored");
    restore_into(&place, &stream, false).unwrap();
    let restored = try_open(&place, AnchorRule::Accept).unwrap();
    assert_eq!(kept(&restored), kept(&f.store));
    assert_eq!(secrets(&restored, "pg"), (1, 0));
    restored.close();

    // Another cluster has other namespaces: who manages is known by name, and the next to look learns the
    // rest.
    let place = f.keep.path().join("elsewhere");
    restore_into(&place, &stream, true).unwrap();
    let elsewhere = try_open(&place, AnchorRule::Accept).unwrap();
    for (product, before) in kept(&elsewhere).iter().zip(kept(&f.store)) {
        let expected = before.managers.into_iter().map(|manager| ProductManager {
            namespace_uid: None,
            ..manager
        });
        let expected = ProductRecord {
            managers: expected.collect(),
            ..before
        };
        assert_eq!(*product, expected);
    }
    assert_eq!(
        actions(&elsewhere)
            .iter()
            .filter(|action| **action == Action::AdoptProduct)
            .count(),
        2
    );
    elsewhere.close();
    let (_keep, dir) = f.close();
    let report = check(&dir, Some(&root(&dir))).unwrap();
    assert!(report.is_sound(), "{report}");
}

#[test]
fn the_same_again_writes_nothing_and_other_managers_are_on_record_as_adopted() {
    let f = Fixture::new();
    let first = product("pg", 20, 500);
    keep(&f.store, first.clone());
    let before = f.store.anchor().counter;
    keep(&f.store, first.clone());
    assert_eq!(f.store.anchor().counter, before);
    let again = ProductRecord {
        incarnation: "uid-of-another".parse().unwrap(),
        adopted: true,
        ..first.clone()
    };
    keep(&f.store, again.clone());
    let recreated = ProductManager {
        namespace_uid: Some("uid-of-a-new-namespace".parse().unwrap()),
        ..first.managers.first().unwrap().clone()
    };
    let of_recreated = ProductRecord {
        managers: [recreated].into(),
        ..again.clone()
    };
    keep(&f.store, of_recreated.clone());
    let of_others = ProductRecord {
        managers: product("aigw", 1, 1).managers,
        ..again
    };
    keep(&f.store, of_others.clone());
    assert_eq!(kept(&f.store), std::slice::from_ref(&of_others));
    let told: Vec<Action> = actions(&f.store)
        .into_iter()
        .filter(|action| matches!(action, Action::PutProduct | Action::AdoptProduct))
        .collect();
    assert_eq!(
        told,
        [
            Action::PutProduct,
            Action::PutProduct,
            Action::AdoptProduct,
            Action::AdoptProduct
        ]
    );

    // A request that comes again late brings nothing back.
    let late = meta();
    let with_one = product("pg", 1, 1);
    f.store.run(PutProduct(with_one.clone()), late.clone()).unwrap();
    keep(&f.store, of_others.clone());
    f.store.run(PutProduct(with_one), late).unwrap();
    assert_eq!(kept(&f.store), [of_others]);
}

#[test]
fn a_product_without_managers_with_too_many_or_with_a_name_that_is_too_long_is_refused() {
    let f = Fixture::new();
    let manager = |name: String| ProductManager {
        name,
        ..product("pg", 1, 1).managers.first().unwrap().clone()
    };
    let managers: Vec<ProductManager> = (0..=ProductRecord::MAX_MANAGERS)
        .map(|number| manager(format!("controller-{number}")))
        .collect();
    for managers in [Vec::new(), managers.clone(), vec![manager("x".repeat(254))]] {
        let refused = ProductRecord {
            managers: managers.into_iter().collect(),
            ..product("pg", 1, 1)
        };
        assert_eq!(f.refused(PutProduct(refused)), "MetadataTooLarge");
    }
    let most = ProductRecord {
        managers: managers.into_iter().skip(1).collect(),
        ..product("pg", 1, 1)
    };
    keep(&f.store, most.clone());
    assert_eq!(kept(&f.reopen().store), [most]);
}

#[test]
fn a_default_secret_has_a_product_or_is_not_made() {
    let f = Fixture::new();
    for name in ["pg!orders-admin", "PG!orders-admin", "-!x"] {
        let refused = new(&f.store, f.namespace, name).unwrap_err();
        assert_eq!(refused.code(), "ProductUnknown", "{name}");
        let code = name.split('!').next().unwrap();
        assert!(refused.to_string().contains(&format!("`{code}`")), "{refused}");
        let refused = f
            .store
            .check_product_quota(f.namespace, &name.parse().unwrap(), KeyRef::Default, None);
        assert_eq!(refused.unwrap_err().code(), "ProductUnknown", "{name}");
    }
    assert_eq!(
        f.store
            .product_quota(&"pg".parse().unwrap(), Hosting::Free, f.namespace)
            .unwrap(),
        DefaultSecretQuota::default()
    );
    new(&f.store, f.namespace, "strongroom!sealing").unwrap();
    // Of a hosting that it does not offer it may have none.
    let mut paid_alone = product("pg", 1, 1);
    paid_alone.hosting.remove(&Hosting::Free);
    keep(&f.store, paid_alone);
    assert_eq!(
        exceeded(new(&f.store, f.namespace, "pg!orders-admin")),
        (None, 0, 0)
    );
    let key = customer_key(&f.store, f.namespace, "payments");
    new_paid(&f.store, f.namespace, key, "pg!orders-admin").unwrap();
    assert_eq!(secrets(&f.store, "pg"), (0, 1));
}

#[test]
fn quotas_are_of_one_product_and_hosting_in_a_namespace_and_in_all_and_windows_count() {
    let f = Fixture::new();
    let (store, shop) = (&f.store, f.namespace);
    let pay = bind(store, "pay", "uid-2");
    keep(store, product("pg", 2, 3));
    keep(store, product("pga", 1, 1));
    let key = customer_key(store, shop, "payments");
    let first = new(store, shop, "pg!a").unwrap();
    new(store, shop, "pg!b").unwrap();
    assert_eq!(
        exceeded(new(store, shop, "pg!c")),
        (Some("shop".to_owned()), 2, 2)
    );
    let c = "pg!c".parse().unwrap();
    exceeded(store.check_product_quota(shop, &c, KeyRef::Default, Some(&value("x"))));
    store.check_product_quota(pay, &c, KeyRef::Default, None).unwrap();
    store
        .check_product_quota(shop, &c, KeyRef::Customer(key), None)
        .unwrap();
    let quota = store
        .product_quota(&"pg".parse().unwrap(), Hosting::Free, shop)
        .unwrap();
    assert_eq!(quota.in_namespace, QuotaUsage { used: 2, limit: 2 });
    assert_eq!(quota.total, QuotaUsage { used: 2, limit: 3 });
    new(store, pay, "pg!c").unwrap();
    assert_eq!(exceeded(new(store, pay, "pg!d")), (None, 3, 3));
    // Another product, and the other hosting, have quotas of their own.
    new(store, shop, "pga!a").unwrap();
    new_paid(store, shop, key, "pg!paid").unwrap();
    let free = used(store, "pg", Hosting::Free);
    let in_each = BTreeMap::from([("shop".parse().unwrap(), 2), ("pay".parse().unwrap(), 1)]);
    assert_eq!((free.secrets, free.namespaces), (3, in_each));
    assert_eq!((secrets(store, "pg"), secrets(store, "pga")), ((3, 1), (1, 0)));

    // A secret in its window counts; it can be restored; its destruction makes room.
    store.run(deletion_of(first), meta()).unwrap();
    assert_eq!(exceeded(new(store, shop, "pg!c")), (None, 3, 3));
    store.run(RestoreSecret { secret: first }, meta()).unwrap();
    store.run(deletion_of(first), meta()).unwrap();
    store.run(PurgeSecret { secret: first }, meta()).unwrap();
    new(store, shop, "pg!c").unwrap();
    assert_eq!(secrets(store, "pg"), (3, 1));

    // What is there above a smaller quota stays and is written.
    keep(store, product("pg", 1, 1));
    let id = store.find(shop, &c).unwrap().unwrap().id;
    put(store, id, "v2", "second, and longer than the first", &[]).unwrap();
    assert_eq!(exceeded(new(store, shop, "pg!d")), (None, 3, 1));
    keep(store, product("pg", 3, 4));
    new(store, shop, "pg!d").unwrap();
    let f = f.reopen();
    assert_eq!(secrets(&f.store, "pg"), (4, 1));
}

#[test]
fn of_64_at_once_just_one_gets_the_last_place() {
    for (per_namespace, total) in [(10, 100), (100, 10)] {
        let f = Fixture::new();
        let other = bind(&f.store, "pay", "uid-2");
        keep(&f.store, product("pg", per_namespace, total));
        for number in 0..9 {
            new(&f.store, f.namespace, &format!("pg!before-{number}")).unwrap();
        }
        // In any namespace, where the quota of all of them is what ends.
        let home = |number: usize| {
            if total == 10 && number.is_multiple_of(2) {
                other
            } else {
                f.namespace
            }
        };
        let start = Barrier::new(64);
        let made: usize = std::thread::scope(|threads| {
            let all: Vec<_> = (0..64)
                .map(|number| {
                    let (store, start, home) = (&f.store, &start, home(number));
                    threads.spawn(move || {
                        start.wait();
                        match new(store, home, &format!("pg!db-{number}")) {
                            Ok(_) => 1,
                            error => {
                                let (_, used, limit) = exceeded(error);
                                assert_eq!((used, limit), (10, 10));
                                0
                            }
                        }
                    })
                })
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!((made, secrets(&f.store, "pg")), (1, (10, 0)));
        assert_eq!(secrets(&f.reopen().store, "pg"), (10, 0));
    }
}

#[test]
fn the_key_and_both_quotas_move_in_one_commit_and_data_keys_after_it() {
    let f = Fixture::new();
    let (store, shop) = (&f.store, f.namespace);
    let mut one_paid = product("pg", 2, 2);
    let one = ProductQuota {
        per_namespace: 1,
        total: 1,
    };
    one_paid.hosting.insert(Hosting::Paid, one);
    keep(store, one_paid);
    let (one, other) = (
        customer_key(store, shop, "one"),
        customer_key(store, shop, "other"),
    );
    let a = new(store, shop, "pg!a").unwrap();
    put(store, a, "v2", "second", &[]).unwrap();
    let b = new(store, shop, "pg!b").unwrap();
    let before = store.anchor().counter;
    let moved = move_to(store, a, KeyRef::Customer(one)).unwrap();
    assert_eq!(moved.key, KeyRef::Customer(one));
    assert_eq!(store.anchor().counter, before + 1, "one commit");
    assert_eq!(secrets(store, "pg"), (1, 1));
    // Where the paid quota ends, all stays as it is.
    assert_eq!(exceeded(move_to(store, b, KeyRef::Customer(one))), (None, 1, 1));
    assert_eq!(store.describe(b).unwrap().key, KeyRef::Default);
    // From one key to another is no other hosting.
    move_to(store, a, KeyRef::Customer(other)).unwrap();
    assert_eq!(secrets(store, "pg"), (1, 1));
    let all = Rewrap {
        key: Some(other),
        after: None,
        limit: 100,
    };
    assert_eq!(store.run(all, meta()).unwrap().moved, 2);
    for (id, text) in [("v1", "first"), ("v2", "second")] {
        assert_eq!(get(store, a, Some(id), None).unwrap(), text);
    }
    // The place that it left is free; it does not come back to one that is taken.
    new(store, shop, "pg!c").unwrap();
    assert_eq!(exceeded(move_to(store, a, KeyRef::Default)), (None, 2, 2));
    store.run(deletion_of(b), meta()).unwrap();
    store.run(PurgeSecret { secret: b }, meta()).unwrap();
    move_to(store, a, KeyRef::Default).unwrap();
    assert_eq!(secrets(store, "pg"), (2, 0));
    assert_eq!(secrets(&f.reopen().store, "pg"), (2, 0));
}

#[test]
fn what_commands_of_one_commit_free_and_take_counts_at_once() {
    let f = Fixture::new();
    let (store, shop) = (&f.store, f.namespace);
    keep(store, product("pg", 1, 1));
    let key = customer_key(store, shop, "payments");
    let a = new(store, shop, "pg!a").unwrap();
    // However they are grouped: each counts on what those before it did, and on nothing else.
    let (sender, receiver) = std::sync::mpsc::channel();
    let told = |sender: &std::sync::mpsc::Sender<Result<(), &'static str>>| {
        let sender = sender.clone();
        move |answer: Result<(), &'static str>| sender.send(answer).unwrap()
    };
    let update = UpdateSecret {
        secret: a,
        description: None,
        labels: None,
        key: Some(KeyRef::Customer(key)),
    };
    let answer = told(&sender);
    store.submit(update, meta(), move |reply| {
        answer(reply.map(drop).map_err(|error| error.code()));
    });
    for name in ["pg!b", "pg!c"] {
        let answer = told(&sender);
        store.submit(new_secret(shop, name, "first"), meta(), move |reply| {
            answer(reply.map(drop).map_err(|error| error.code()));
        });
    }
    let answers: Vec<_> = receiver.iter().take(3).collect();
    assert_eq!(answers, [Ok(()), Ok(()), Err("ProductQuotaExceeded")]);
    assert_eq!(secrets(store, "pg"), (1, 1));
}

#[test]
fn a_default_secret_counts_on_no_namespace_and_no_namespace_hinders_it() {
    let f = Fixture::with(Setup {
        quota: Some(Quota {
            secrets: 2,
            bytes: 1 << 20,
        }),
        ..Setup::default()
    });
    let (store, shop) = (&f.store, f.namespace);
    keep(store, product("pg", 100, 100));
    let namespace_used = || store.namespace_usage(shop).unwrap().used;
    for name in ["pg!a", "pg!b", "pg!c"] {
        new(store, shop, name).unwrap();
    }
    assert_eq!(namespace_used(), Usage::default());
    let mut ordinary = Usage::default();
    for name in ["a", "b"] {
        new(store, shop, name).unwrap();
        let used = namespace_used();
        assert_eq!(used.secrets, ordinary.secrets + 1);
        ordinary = used;
    }
    assert_eq!(new(store, shop, "c").unwrap_err().code(), "NamespaceFull");
    let d = new(store, shop, "pg!d").unwrap();
    put(store, d, "v2", &"x".repeat(10_000), &[]).unwrap();
    assert_eq!(namespace_used(), ordinary);
    let share = store.products_share();
    assert_eq!((share.used.secrets, share.limit.unwrap().secrets), (4, 20));
    assert!(share.used.bytes > 10_000);
    let quota = Some(Quota {
        secrets: 2,
        bytes: 1 << 20,
    });
    let f = f.reopen_with(Setup {
        quota,
        ..Setup::default()
    });
    assert_eq!(f.store.products_share(), share);
    assert_eq!(f.store.namespace_usage(f.namespace).unwrap().used, ordinary);
}

#[test]
fn products_together_end_at_their_share_and_hinder_no_namespace() {
    const BYTES: u64 = 200 * 1_024;
    let f = Fixture::with(Setup {
        quota: Some(Quota {
            secrets: 1,
            bytes: BYTES,
        }),
        ..Setup::default()
    });
    let (store, shop) = (&f.store, f.namespace);
    for code in ["pg", "aigw"] {
        keep(store, product(code, 1_000, 1_000));
    }
    // By number: ten times what a namespace may have.
    let mut made = Vec::new();
    for number in 0_usize..10 {
        let code = if number.is_multiple_of(2) { "pg" } else { "aigw" };
        made.push(new(store, shop, &format!("{code}!{number}")).unwrap());
    }
    let refused = new(store, shop, "pg!more").unwrap_err();
    assert_eq!((refused.code(), refused.retry()), ("ProductsFull", Retry::Never));
    assert!(
        refused.to_string().contains("10 of 10 default secrets"),
        "{refused}"
    );
    let more = "pg!more".parse().unwrap();
    let refused = store.check_product_quota(shop, &more, KeyRef::Default, None);
    assert_eq!(refused.unwrap_err().code(), "ProductsFull");

    // By size: a larger value is refused, a rotation passes and makes its room.
    let mut versions = 1;
    let refused = loop {
        let number = versions % made.len();
        match put(
            store,
            made[number],
            &format!("v{versions}-large"),
            &"x".repeat(9_000 + versions),
            &[],
        ) {
            Ok(_) => versions += 1,
            Err(error) => break error,
        }
        assert!(versions < 100, "nothing ends it");
    };
    assert_eq!(refused.code(), "ProductsFull");
    assert!(store.products_share().used.bytes <= BYTES);
    let rotation = EnsureVersion {
        secret: made[1],
        version: version("rotated"),
        value: value(&"z".repeat(10_000)),
        base: None,
        rotation: None,
        may_grow: true,
        labels: None,
    };
    store.run(rotation, meta()).unwrap();

    // The namespace has all of its own.
    let own = new(store, shop, "own").unwrap();
    put(store, own, "v2", &"x".repeat(60_000), &[]).unwrap();
}

#[test]
fn what_is_on_record_names_the_product_and_its_object() {
    let f = Fixture::new();
    keep(&f.store, product("pg", 1, 1));
    keep(&f.store, product("aigw", 1, 1));
    assert_eq!(kept(&f.store).len(), 2);
    let told = f.store.mutations_after(0, 100).unwrap();
    let details: Vec<&str> = told
        .iter()
        .filter(|(_, entry)| entry.action == Action::PutProduct)
        .map(|(_, entry)| entry.detail.as_str())
        .collect();
    assert_eq!(
        details,
        [
            "product pg, 1 managers, object uid-pg",
            "product aigw, 1 managers, object uid-aigw"
        ]
    );
}
