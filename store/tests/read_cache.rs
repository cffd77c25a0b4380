//! Reads that need no look at the engine see every change as soon as it is acknowledged, and none that was
//! not.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use strongroom_model::id::SecretId;
use strongroom_store::audit::Circumstances;
use strongroom_store::vault::*;
use support::*;

/// As somebody outside asks.
fn from_outside() -> Meta {
    Meta {
        asked: Some(Box::new(ExternalRequest {
            arrived: Instant::now(),
            circumstances: Circumstances::default(),
        })),
        ..meta()
    }
}

/// The way of a request: the secret by its name, then the version that is Current there.
fn read(f: &Fixture, name: &str) -> Result<String, StoreError> {
    let secret = f.store.find_cached(f.namespace, &name.parse().unwrap())?.unwrap();
    read_version(f, secret.id, secret.current().unwrap().id.as_str())
}

fn read_version(f: &Fixture, secret: SecretId, id: &str) -> Result<String, StoreError> {
    let get = GetValue {
        version: Some(version(id)),
        ..GetValue::current(secret)
    };
    f.store.value(&get, &from_outside()).map(|read| text(&read))
}

/// What is read where it was opened, first from the engine and then from the cache.
#[test]
fn what_is_read_in_place_is_what_is_read_as_a_copy() {
    let f = Fixture::new();
    let secret = f.create("db", "one");
    let get = GetValue {
        version: Some(version("v1")),
        ..GetValue::current(secret)
    };
    let name = "db".parse().unwrap();
    f.store.find_cached(f.namespace, &name).unwrap();
    for cached in [false, true] {
        assert_eq!(f.store.has_cached_value(f.namespace, &name), cached);
        let opened = f.store.with_value(&get, from_outside(), |opened| {
            let keys = opened.value.keys().iter();
            let keys: Vec<_> = keys
                .map(|(key, bytes)| ((*key).to_owned(), bytes.to_vec()))
                .collect();
            (keys, opened.version.clone(), opened.value.to_value().unwrap())
        });
        let (keys, view, value) = opened.unwrap();
        assert_eq!(keys, [("value".to_owned(), b"one".to_vec())]);
        assert_eq!(
            ValueRead { value, version: view },
            f.store.value(&get, &from_outside()).unwrap()
        );
    }
    let refused = f.store.with_value(
        &GetValue {
            version: Some(version("v9")),
            ..get
        },
        from_outside(),
        |opened| opened.version.id.to_string(),
    );
    assert_eq!(code(refused), "VersionNotFound");
}

fn code(read: Result<String, StoreError>) -> &'static str {
    read.unwrap_err().code()
}

#[test]
fn each_change_counts_for_what_was_read_before() {
    let f = Fixture::new();
    let secret = f.create("db", "one");
    let name = "db".parse().unwrap();
    assert!(!f.store.has_cached_value(f.namespace, &name));
    for _ in 0..2 {
        assert_eq!(read(&f, "db").unwrap(), "one");
        assert!(f.store.has_cached_value(f.namespace, &name));
    }
    f.put(secret, "v2", "two", &[]).unwrap();
    assert_eq!(read(&f, "db").unwrap(), "two");
    assert_eq!(read_version(&f, secret, "v1").unwrap(), "one");
    assert_eq!(read(&f, "db").unwrap(), "two");
    let delete = deletion_of(secret);
    f.store.run(delete, meta()).unwrap();
    assert_eq!(code(read(&f, "db")), "InRecoveryWindow");
    f.store.run(RestoreSecret { secret }, meta()).unwrap();
    assert_eq!(read(&f, "db").unwrap(), "two");
    let force = DeleteSecret {
        secret,
        deletion: Deletion {
            window_days: None,
            force: true,
        },
    };
    f.store.run(force, meta()).unwrap();
    assert!(f.store.find_cached(f.namespace, &name).unwrap().is_none());
    assert_eq!(code(read_version(&f, secret, "v2")), "SecretNotFound");
    // The same name again is another secret.
    f.create("db", "new");
    assert_eq!(read(&f, "db").unwrap(), "new");
}

#[test]
fn a_key_that_is_disabled_stops_what_was_read_before() {
    let f = Fixture::new();
    let (namespace, key) = (f.namespace, f.customer_key("payments"));
    f.create_under(key, "card", "one");
    for _ in 0..2 {
        assert_eq!(read(&f, "card").unwrap(), "one");
        assert_eq!(
            f.store.describe_key(namespace, key).unwrap().state,
            KeyState::Enabled
        );
    }
    f.store.run(DisableKey { namespace, key }, meta()).unwrap();
    assert_eq!(code(read(&f, "card")), "KeyDisabled");
    assert_eq!(
        f.store.describe_key(namespace, key).unwrap().state,
        KeyState::Disabled
    );
    f.store.run(EnableKey { namespace, key }, meta()).unwrap();
    assert_eq!(read(&f, "card").unwrap(), "one");
    f.store.run(NewKeyVersion { namespace, key }, meta()).unwrap();
    let all = Rewrap {
        key: None,
        after: None,
        limit: 100,
    };
    assert_eq!(f.store.run(all, meta()).unwrap().moved, 1);
    assert_eq!(read(&f, "card").unwrap(), "one");
    let old = DestroyKeyVersion {
        namespace,
        key,
        version: 1,
    };
    f.store.run(old, meta()).unwrap();
    assert_eq!(read(&f, "card").unwrap(), "one");
}

/// Values are numbers that only grow: a read that begins after a put was answered sees that one or a later
/// one.
#[test]
fn no_read_sees_what_was_before_an_answered_put() {
    const PUTS: u32 = 300;
    /// Answered puts after which a version may be gone: a secret keeps ten, and the one that takes the room
    /// may not be answered yet.
    const OVERTAKEN: u32 = 9;
    let f = Fixture::new();
    let secret = f.create("db", "0");
    let (answered, done) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut reads = 0_u32;
                    while !done.load(Ordering::SeqCst) {
                        let before = answered.load(Ordering::SeqCst);
                        let seen: u32 = match read(&f, "db") {
                            // So many puts came between its two steps that the version which it found is
                            // gone.
                            Err(StoreError::Refused(Refusal::VersionNotFound))
                                if answered.load(Ordering::SeqCst) >= before + OVERTAKEN =>
                            {
                                continue;
                            }
                            read => read.unwrap().parse().unwrap(),
                        };
                        assert!(
                            seen >= before,
                            "{before} was answered, and {seen} was read after it"
                        );
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        for number in 1..=PUTS {
            f.put(secret, &format!("v-{number}"), &number.to_string(), &[])
                .unwrap();
            answered.store(number, Ordering::SeqCst);
        }
        done.store(true, Ordering::SeqCst);
        let reads: u32 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert!(reads > 0);
    });
}
