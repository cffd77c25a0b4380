//! A secret's life from its creation to its purge, over restarts.

mod support;

use std::collections::BTreeMap;

use strongroom_model::SecretBytes;
use strongroom_model::name::DataKeyName;
use strongroom_store::audit::Action;
use strongroom_store::value::{VALUE_BYTES, Value};
use strongroom_store::vault::*;
use support::*;

#[test]
fn a_secret_lives_through_restarts_and_comes_back() {
    let mut f = Fixture::new();
    let secret = f.create("checkout-db", "first");
    f.put(secret, "v2", "second", &[]).unwrap();
    f = f.reopen();
    assert_eq!(f.current(secret).unwrap(), "second");
    assert_eq!(get(&f.store, secret, Some("v1"), None).unwrap(), "first");
    let until = f.store.run(deletion_of(secret), meta()).unwrap().unwrap();
    assert_eq!(until, at(30 * DAY));
    assert_eq!(f.current(secret).unwrap_err().code(), "InRecoveryWindow");
    f = f.reopen();
    f.store.run(RestoreSecret { secret }, meta()).unwrap();
    assert_eq!(f.current(secret).unwrap(), "second");
    f.store
        .run(
            DeleteSecret {
                secret,
                deletion: Deletion {
                    window_days: Some(7),
                    force: false,
                },
            },
            meta(),
        )
        .unwrap();
    let due = |now, steady| f.store.run(PurgeDue { steady_for: steady }, meta_at(now));
    assert_eq!(
        due(at(6 * DAY), CLOCK_TRUST_DELAY).unwrap(),
        PurgeOutcome::default()
    );
    assert_eq!(
        due(at(8 * DAY), CLOCK_TRUST_DELAY / 2).unwrap_err().code(),
        "ClockUnsteady"
    );
    assert_eq!(due(at(8 * DAY), CLOCK_TRUST_DELAY).unwrap().secrets, vec![secret]);
    assert_eq!(f.current(secret).unwrap_err().code(), "SecretNotFound");
    let again = f.create("checkout-db", "anew");
    assert_ne!(again, secret);
    f = f.reopen();
    assert_eq!(f.current(again).unwrap(), "anew");
}

#[test]
fn the_chain_tells_the_story_in_order() {
    let mut f = Fixture::new();
    let secret = f.create("checkout-db", "first");
    f.put(secret, "v2", "second", &[]).unwrap();
    f = f.reopen();
    f.put(secret, "v3", "third", &[]).unwrap();
    assert_eq!(
        actions(&f.store),
        [
            Action::CreateStore,
            Action::OpenStore,
            Action::BindNamespace,
            Action::CreateSecret,
            Action::PutSecretValue,
            Action::OpenStore,
            Action::PutSecretValue
        ]
    );
    let tail = f.store.mutations_after(5, 100).unwrap();
    assert_eq!(
        tail.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(),
        [6, 7]
    );
}

#[test]
fn a_backup_restores_into_an_empty_place_only() {
    let f = Fixture::new();
    let secret = f.create("checkout-db", "first");
    let stream = backup_of(&f.store);
    f.put(secret, "v2", "after the backup", &[]).unwrap();
    let place = f.keep.path().join("restored");
    restore_into(&place, &stream, true).unwrap();
    for _ in 0..8 {
        f.put(secret, "v3", "more commits than the restore makes", &[])
            .unwrap();
        f.put(
            secret,
            &format!("v{}", f.store.describe(secret).unwrap().revision + 3),
            "x",
            &[],
        )
        .unwrap();
    }
    let anchor = f.store.anchor();
    assert!(matches!(
        try_open(&place, AnchorRule::Expect(anchor)),
        Err(OpenError::RolledBack { .. } | OpenError::Diverged(_))
    ));
    let restored = try_open(&place, AnchorRule::Accept).unwrap();
    assert_eq!(get(&restored, secret, None, None).unwrap(), "first");
    assert_eq!(bind(&restored, "shop", "uid-of-another-cluster"), f.namespace);
    assert!(matches!(
        restore_into(&place, &stream, true),
        Err(OpenError::Exists(_))
    ));
    let longer = [&stream[..], b"x"].concat();
    for length in [longer.len(), stream.len() - 1, stream.len() / 2, 200] {
        let place = f.keep.path().join(format!("length-{length}"));
        assert!(restore_into(&place, &longer[..length], true).is_err());
        assert!(!strongroom_store::vault::exists(&place));
    }
}

#[test]
fn bytes_are_exact_over_a_restart_a_backup_and_a_restore() {
    let odd: [&[u8]; 8] = [
        b"",
        b"a\0b\0",
        b"\xef\xbb\xbfx\n",
        b"a\r\nb\r\n",
        b"a\nb",
        b"\n",
        b"\xff\xfe\x80",
        b"0\x82\xff\x0a",
    ];
    // 150 keys, and as large as a value may be: the last one has what is left.
    let keys = || {
        let mut keys: BTreeMap<DataKeyName, SecretBytes> = (0..149)
            .map(|number| {
                let bytes = odd[number % odd.len()].to_vec();
                (format!("key-{number}").parse().unwrap(), SecretBytes::new(bytes))
            })
            .collect();
        let size: usize = keys
            .iter()
            .map(|(key, bytes)| key.as_str().len() + bytes.len())
            .sum();
        let rest = (0..=u8::MAX).cycle().take(VALUE_BYTES - size - "rest".len());
        keys.insert("rest".parse().unwrap(), SecretBytes::new(rest.collect()));
        keys
    };
    let read = |store: &Store, secret| {
        let get = GetValue::current(secret);
        store.value(&get, &meta()).unwrap().value
    };
    let mut f = Fixture::new();
    let new = CreateSecret {
        value: Value::from_keys(keys()).unwrap(),
        ..new_secret(f.namespace, "odd", "")
    };
    let secret = f.store.run(new, meta()).unwrap().secret.id;
    f = f.reopen();
    assert!(*read(&f.store, secret).keys() == keys());
    let stream = backup_of(&f.store);
    let place = f.keep.path().join("restored");
    restore_into(&place, &stream, false).unwrap();
    let restored = try_open(&place, AnchorRule::Accept).unwrap();
    assert!(*read(&restored, secret).keys() == keys());
}

#[test]
fn sixty_four_writers_share_commits() {
    let f = Fixture::new();
    let secret = f.create("checkout-db", "first");
    std::thread::scope(|scope| {
        for writer in 0..64 {
            let store = f.store.clone();
            scope.spawn(move || {
                for round in 0..4 {
                    put(&store, secret, &format!("w{writer}-{round}"), "x", &[]).unwrap();
                }
            });
        }
    });
    let stats = f.store.stats();
    assert!(stats.commits < stats.commands / 2, "{stats:?}");
    assert_eq!(f.store.describe(secret).unwrap().versions.len(), 10);
}
