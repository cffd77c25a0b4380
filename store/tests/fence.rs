//! Writers and what their engine answers: of two that hold the same epoch one goes on, a former one commits
//! nothing, and what the engine cannot hold is refused alone.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use strongroom_model::id::SecretId;
use strongroom_store::engine::{
    DEFAULT_CACHE_BYTES, Engine, EngineError, RecordLimits, STORE_FILE, open_file,
};
use strongroom_store::vault::*;

use support::faulty::{Fault, Faults, FaultyEngine};
use support::*;

/// An engine with a store on it, and ways to open that store again and again.
struct Shared {
    dir: PathBuf,
    engine: Arc<dyn Engine>,
    faults: Faults,
    _keep: tempfile::TempDir,
}

impl Shared {
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path().join("store");
        prepare(&dir);
        let engine = open_file(&dir.join(STORE_FILE), DEFAULT_CACHE_BYTES).unwrap();
        Self {
            dir,
            engine: Arc::from(engine),
            faults: Faults::default(),
            _keep: keep,
        }
    }

    fn writer(&self) -> Store {
        self.writer_on(|_| {})
    }

    fn writer_on(&self, change: impl FnOnce(&mut FaultyEngine)) -> Store {
        let mut engine = FaultyEngine::new(Arc::clone(&self.engine), self.faults.clone());
        change(&mut engine);
        store_on(Box::new(engine), keyring(&self.dir), None).unwrap()
    }
}

/// The answer to an attempt to make a secret.
fn attempt(
    store: &Store,
    namespace: strongroom_model::id::NamespaceId,
    name: &str,
) -> Result<SecretId, &'static str> {
    store
        .run(new_secret(namespace, name, "x"), meta())
        .map(|written| written.secret.id)
        .map_err(|error| error.code())
}

#[test]
fn a_former_writer_commits_nothing() {
    let shared = Shared::new();
    let former = shared.writer();
    let namespace = bind(&former, "shop", "uid-1");
    attempt(&former, namespace, "before").unwrap();
    let next = shared.writer();
    attempt(&next, namespace, "next").unwrap();
    let revision = shared.engine.snapshot().unwrap().revision();
    assert_eq!(attempt(&former, namespace, "late"), Err("Fenced"));
    assert_eq!(attempt(&former, namespace, "later"), Err("Fenced"));
    assert_eq!(shared.engine.snapshot().unwrap().revision(), revision);
    attempt(&next, namespace, "on").unwrap();
    // What is there is sound, to the last record.
    let after = shared.writer();
    assert_eq!(attempt(&after, namespace, "before"), Err("SecretExists"));
    assert_eq!(attempt(&after, namespace, "on"), Err("SecretExists"));
    attempt(&after, namespace, "late").unwrap();
}

#[test]
fn of_two_writers_with_the_same_epoch_one_goes_on() {
    let shared = Shared::new();
    let first = shared.writer();
    let namespace = bind(&first, "shop", "uid-1");
    // Both were opened before either wrote, so both hold the same epoch.
    let (one, other) = (shared.writer(), shared.writer());
    attempt(&one, namespace, "one").unwrap();
    assert_eq!(attempt(&other, namespace, "other"), Err("Fenced"));
    attempt(&one, namespace, "more").unwrap();
    assert_eq!(attempt(&other, namespace, "other"), Err("Fenced"));
    attempt(&shared.writer(), namespace, "after").unwrap();
}

#[test]
fn a_writer_whose_first_commit_was_lost_or_unheard_goes_on() {
    for fault in [
        Fault::UnknownButCommitted,
        Fault::UnknownAndLost,
        Fault::OutOfSpace,
    ] {
        for deaf in [0, 1, 2] {
            let shared = Shared::new();
            let namespace = bind(&shared.writer(), "shop", "uid-1");
            let writer = shared.writer();
            shared.faults.order(fault, deaf);
            let again = meta();
            let create = || writer.run(new_secret(namespace, "db", "x"), again.clone());
            let first = create();
            shared.faults.clear();
            if first.is_err() {
                // Another id was drawn: the request is what says that it is the same.
                let outcome = create().map(drop).map_err(|error| error.code());
                let found = writer.list(None, None, 10).unwrap().len();
                assert_eq!(found, 1, "{fault:?} {deaf} {outcome:?}");
            }
            attempt(&writer, namespace, "next").unwrap();
            assert_eq!(shared.faults.hits(), 1);
        }
    }
}

#[test]
fn what_the_engine_cannot_hold_is_refused_before_it_is_committed() {
    let shared = Shared::new();
    let store = shared.writer_on(|engine| {
        engine.limits = RecordLimits {
            key_bytes: 32,
            value_bytes: 2_048,
        };
    });
    let namespace = bind(&store, "shop", "uid-1");
    let secret = create(&store, namespace, "small", "x");
    let revision = shared.engine.snapshot().unwrap().revision();
    let refused = put(&store, secret, "v2", &"x".repeat(2_048), &[]).unwrap_err();
    assert!(
        matches!(refused, StoreError::Engine(EngineError::RecordTooLarge(bytes)) if bytes > 2_048),
        "{refused}"
    );
    assert_eq!(refused.retry(), Retry::Never);
    assert_eq!(shared.engine.snapshot().unwrap().revision(), revision);
    put(&store, secret, "v2", "fits", &[]).unwrap();
    assert_eq!(get(&store, secret, None, None).unwrap(), "fits");
}
