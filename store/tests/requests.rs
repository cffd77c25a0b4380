//! A request that is sent again because its answer got lost is carried out once.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use strongroom_model::name::Stage;
use strongroom_store::vault::*;
use support::*;

/// Runs a command twice under one request id, as a caller does whose answer got lost.
fn twice<C: Command + Clone>(f: &Fixture, command: C) -> (C::Reply, Result<C::Reply, StoreError>)
where
    C::Reply: std::fmt::Debug,
{
    let meta = meta();
    let first = f.store.run(command.clone(), meta.clone()).unwrap();
    (first, f.store.run(command, meta))
}

#[test]
fn invariant_38_a_request_sent_again_is_carried_out_once() {
    let f = Fixture::new();
    let namespace = f.namespace;
    let key = f.customer_key("customer");
    let (first, again) = twice(&f, NewKeyVersion { namespace, key });
    assert_eq!(again.unwrap(), first, "one new version of the key");

    let secret = f.create("checkout-db", "v1");
    f.put(secret, "v2", "second", &[]).unwrap();
    let counter = |f: &Fixture| f.store.mutation_head();
    let back = UpdateStage {
        secret,
        stage: Stage::Current,
        move_to: Some(version("v1")),
        remove_from: Some(version("v2")),
    };
    let (first, again) = twice(&f, back);
    assert_eq!(
        again.unwrap().stages,
        first.stages,
        "compare-and-swap is done once"
    );
    let (_, again) = twice(&f, deletion_of(secret));
    assert!(again.unwrap().is_some());
    let (_, again) = twice(&f, RestoreSecret { secret });
    assert!(again.is_ok());

    // A version that made room since is not made again, and Current stays where it is.
    let ensure = |id: &str| EnsureVersion {
        secret,
        version: version(id),
        value: value(id),
        base: None,
        rotation: None,
        may_grow: false,
        labels: None,
    };
    let late = meta();
    assert!(f.store.run(ensure("late"), late.clone()).unwrap().created);
    for n in 0..MAX_VERSIONS {
        f.put(secret, &format!("next-{n}"), "x", &[]).unwrap();
    }
    let stages = f.stages(secret);
    let records = counter(&f);
    assert!(!f.store.run(ensure("late"), late).unwrap().created);
    assert_eq!(f.stages(secret), stages);
    assert_eq!(counter(&f), records, "nothing is put on record twice");

    // A refusal is no change: the same request may be tried again, and then counts once.
    let retried = meta();
    let put = || PutValue {
        secret,
        version: version("w"),
        value: value("w"),
        stages: vec![],
    };
    f.store.run(deletion_of(secret), meta()).unwrap();
    assert_eq!(
        f.store.run(put(), retried.clone()).unwrap_err().code(),
        "InRecoveryWindow"
    );
    f.store.run(RestoreSecret { secret }, meta()).unwrap();
    assert!(f.store.run(put(), retried.clone()).unwrap().created);
    // Also by the next process.
    let f = f.reopen();
    assert!(!f.store.run(put(), retried).unwrap().created);
    let (_, again) = twice(
        &f,
        DeleteSecret {
            secret,
            deletion: Deletion {
                window_days: None,
                force: true,
            },
        },
    );
    assert_eq!(again.unwrap(), None);
}
