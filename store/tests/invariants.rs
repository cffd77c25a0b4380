//! The store's rules, one test each, numbered as the list that the store is built to. Those about damage,
//! backup, audit and crashes have files of their own.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use std::collections::BTreeSet;

use strongroom_model::id::{KeyId, SecretId};
use strongroom_model::name::Stage;
use strongroom_store::engine::{DEFAULT_CACHE_BYTES, STORE_FILE, Table, open_file, view_file};
use strongroom_store::vault::*;
use support::*;

fn stage(
    f: &Fixture,
    secret: SecretId,
    stage: &str,
    to: Option<&str>,
    from: Option<&str>,
) -> Result<SecretView, StoreError> {
    let update = UpdateStage {
        secret,
        stage: stage.parse().unwrap(),
        move_to: to.map(version),
        remove_from: from.map(version),
    };
    f.store.run(update, meta())
}

fn code<T: std::fmt::Debug>(result: Result<T, StoreError>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn invariants_01_to_04_and_09_labels_move_as_they_should() {
    let f = Fixture::new();
    let secret = f.create("db", "one");
    assert_eq!(f.stages(secret), [("Current".into(), "v1".into())].into());
    f.put(secret, "v2", "two", &[]).unwrap();
    f.put(secret, "v3", "three", &[]).unwrap();
    let stages = f.stages(secret);
    assert_eq!(
        (stages["Current"].as_str(), stages["Previous"].as_str()),
        ("v3", "v2")
    );
    assert_eq!(
        f.store.describe(secret).unwrap().versions[0].stages,
        [],
        "the older one carries no label"
    );
    f.put(secret, "v4", "four", &["blue"]).unwrap();
    assert_eq!(f.stages(secret)["Current"], "v3", "only the labels given move");
    assert_eq!(f.stages(secret)["Previous"], "v2");
    stage(&f, secret, "Current", Some("v2"), None).unwrap();
    let stages = f.stages(secret);
    assert_eq!(
        (stages["Current"].as_str(), stages["Previous"].as_str()),
        ("v2", "v3"),
        "a rollback swaps the two"
    );
    assert_eq!(f.current(secret).unwrap(), "two");
}

#[test]
fn invariants_05_to_08_a_label_is_moved_compared_and_kept() {
    let f = Fixture::new();
    let secret = f.create("db", "one");
    f.put(secret, "v2", "two", &["blue"]).unwrap();
    stage(&f, secret, "Current", Some("v2"), Some("v1")).unwrap();
    let before = f.store.describe(secret).unwrap();
    assert_eq!(f.stages(secret)["Previous"], "v1");
    assert_eq!(
        stage(&f, secret, "Current", Some("v2"), None).unwrap(),
        before,
        "already there: no change at all"
    );
    for reserved in ["Current", "Previous"] {
        let holder = f.stages(secret)[reserved].clone();
        assert_eq!(
            code(stage(&f, secret, reserved, None, Some(&holder))),
            "StageReserved"
        );
    }
    assert_eq!(
        code(stage(&f, secret, "blue", Some("v1"), Some("v1"))),
        "StageNotFound"
    );
    assert_eq!(
        code(stage(&f, secret, "blue", Some("v9"), None)),
        "VersionNotFound"
    );
    assert_eq!(code(stage(&f, secret, "blue", None, None)), "StageUnchanged");
    assert_eq!(f.store.describe(secret).unwrap(), before);
    stage(&f, secret, "blue", None, Some("v2")).unwrap();
    assert!(!f.stages(secret).contains_key("blue"));
}

#[test]
fn invariants_10_and_11_the_oldest_without_a_label_makes_room() {
    let f = Fixture::new();
    let secret = f.create("db", "one");
    stage(&f, secret, "keep", Some("v1"), None).unwrap();
    for number in 2..=14 {
        f.put(secret, &format!("v{number}"), "x", &[]).unwrap();
    }
    let ids: BTreeSet<String> = f
        .store
        .describe(secret)
        .unwrap()
        .versions
        .iter()
        .map(|version| version.id.to_string())
        .collect();
    assert_eq!(ids.len(), MAX_VERSIONS);
    assert!(
        ids.contains("v1") && !ids.contains("v5") && ids.contains("v6"),
        "{ids:?}"
    );
    assert_eq!(get(&f.store, secret, Some("v1"), None).unwrap(), "one");
    assert_eq!(code(get(&f.store, secret, Some("v2"), None)), "VersionNotFound");
    for label in 0..5 {
        stage(&f, secret, &format!("label-{label}"), Some("v14"), None).unwrap();
    }
    assert_eq!(
        code(stage(&f, secret, "one-more", Some("v14"), None)),
        "TooManyStages"
    );
}

#[test]
fn invariants_12_to_14_and_16_a_version_id_is_written_once() {
    let f = Fixture::new();
    let secret = f.create("db", "one");
    assert!(f.put(secret, "v2", "two", &[]).unwrap().created);
    f.put(secret, "v3", "three", &[]).unwrap();
    let (before, head) = (f.store.describe(secret).unwrap(), f.store.mutation_head());
    assert!(
        !f.put(secret, "v2", "two", &[]).unwrap().created,
        "the same again is a success"
    );
    assert_eq!(code(f.put(secret, "v2", "other", &[])), "VersionConflict");
    assert_eq!(
        f.store.describe(secret).unwrap(),
        before,
        "labels that moved on do not move back"
    );
    assert_eq!(
        f.store.mutation_head(),
        head,
        "and nothing is on record as a change"
    );
    assert_eq!(get(&f.store, secret, Some("v2"), None).unwrap(), "two");
    // A create whose answer got lost is told from one that asks for something else.
    let again = |text: &str| CreateSecret {
        id: secret,
        ..new_secret(f.namespace, "db", text)
    };
    assert!(!f.store.run(again("one"), meta()).unwrap().created);
    assert_eq!(f.refused(again("other")), "VersionConflict");
    assert_eq!(f.refused(new_secret(f.namespace, "db", "one")), "SecretExists");
}

#[test]
fn invariant_15_a_version_is_ensured_once_whatever_the_value() {
    let f = Fixture::new();
    let secret = f.create("db", "one");
    let ensure = |id: &str, text: &str, base: &str| EnsureVersion {
        secret,
        version: version(id),
        value: value(text),
        base: Some(version(base)),
        rotation: Some(RotationMark {
            at: at(5),
            trigger: Some("now".to_owned()),
        }),
        may_grow: true,
        labels: Some([("asked".to_owned(), id.to_owned())].into()),
    };
    assert!(f.store.run(ensure("r1", "two", "v1"), meta()).unwrap().created);
    assert!(
        !f.store
            .run(ensure("r1", "another", "v1"), meta())
            .unwrap()
            .created
    );
    assert_eq!(f.current(secret).unwrap(), "two");
    assert_eq!(f.refused(ensure("r2", "three", "v1")), "BaseMoved");
    let shown = f.store.describe(secret).unwrap();
    assert_eq!(
        shown.labels,
        [("asked".to_owned(), "r1".to_owned())].into(),
        "the labels change with the version, and only with it"
    );
    let rotation = shown.rotation;
    assert_eq!(
        (rotation.last, rotation.last_trigger.as_deref()),
        (Some(at(5)), Some("now"))
    );
}

#[test]
fn invariant_17_id_and_label_must_agree() {
    let f = Fixture::new();
    let secret = f.create("db", "one");
    f.put(secret, "v2", "two", &[]).unwrap();
    assert_eq!(
        get(&f.store, secret, Some("v2"), Some(Stage::Current)).unwrap(),
        "two"
    );
    assert_eq!(
        code(get(&f.store, secret, Some("v1"), Some(Stage::Current))),
        "StageMismatch"
    );
    assert_eq!(
        code(get(&f.store, secret, None, Some(Stage::Pending))),
        "StageNotFound"
    );
}

#[test]
fn invariants_18_to_22_a_window_keeps_what_was_and_ends() {
    let f = Fixture::new();
    let secret = f.create("db", "one");
    f.put(secret, "v2", "two", &["blue"]).unwrap();
    let delete = |window_days, force| DeleteSecret {
        secret,
        deletion: Deletion { window_days, force },
    };
    assert_eq!(f.refused(delete(Some(7), true)), "WindowAndForce");
    for days in [0, 6, 31] {
        assert_eq!(f.refused(delete(Some(days), false)), "WindowOutOfBounds");
    }
    let before = f.store.describe(secret).unwrap();
    f.store.run(delete(Some(7), false), meta()).unwrap();
    assert_eq!(code(f.current(secret)), "InRecoveryWindow");
    assert_eq!(code(f.put(secret, "v3", "x", &[])), "InRecoveryWindow");
    assert_eq!(
        code(stage(&f, secret, "Current", Some("v2"), None)),
        "InRecoveryWindow"
    );
    assert_eq!(f.refused(delete(None, false)), "InRecoveryWindow");
    assert_eq!(f.refused(new_secret(f.namespace, "db", "x")), "InRecoveryWindow");
    assert_eq!(
        f.refused(CreateSecret {
            id: secret,
            ..new_secret(f.namespace, "db", "one")
        }),
        "InRecoveryWindow"
    );
    assert!(f.store.describe(secret).is_ok());
    let restored = f.store.run(RestoreSecret { secret }, meta()).unwrap();
    assert_eq!(
        (restored.versions, restored.stages),
        (before.versions, before.stages)
    );
    assert_eq!(f.refused(PurgeSecret { secret }), "NotInRecoveryWindow");
    f.store.run(delete(Some(7), false), meta()).unwrap();
    let late = f.store.run(RestoreSecret { secret }, meta_at(at(8 * DAY)));
    assert_eq!(
        code(late),
        "SecretNotFound",
        "after the window it is gone, purge or not"
    );
    f.store.run(delete(None, true), meta()).unwrap();
    assert_eq!(
        f.refused(RestoreSecret { secret }),
        "SecretNotFound",
        "force is for good"
    );
    let anew = f.create("db", "anew");
    assert_ne!(anew, secret);
}

/// A customer's key, and a secret under it.
fn under_key(f: &Fixture) -> (KeyId, SecretId) {
    let key = f.customer_key("pay");
    (key, f.create_under(key, "card", "one"))
}

#[test]
fn invariants_24_and_25_a_key_that_refuses_refuses_everything_and_comes_back() {
    let f = Fixture::new();
    let (key, secret) = under_key(&f);
    let other = f.create("other", "untouched");
    let namespace = f.namespace;
    let refuses = |why: &str| {
        assert_eq!(code(f.current(secret)), why);
        assert_eq!(code(f.put(secret, "v2", "two", &[])), why);
        assert!(f.store.describe(secret).is_ok());
        assert_eq!(f.current(other).unwrap(), "untouched");
    };
    f.store.run(DisableKey { namespace, key }, meta()).unwrap();
    refuses("KeyDisabled");
    f.store.run(EnableKey { namespace, key }, meta()).unwrap();
    assert_eq!(f.current(secret).unwrap(), "one");
    let schedule = |window_days| ScheduleKeyDeletion {
        namespace,
        key,
        window_days,
        lose_dependents: true,
    };
    for days in [6, 31] {
        assert_eq!(f.refused(schedule(days)), "WindowOutOfBounds");
    }
    f.store.run(schedule(7), meta()).unwrap();
    refuses("KeyPendingDeletion");
    assert_eq!(f.refused(EnableKey { namespace, key }), "KeyPendingDeletion");
    f.store.run(CancelKeyDeletion { namespace, key }, meta()).unwrap();
    assert_eq!(f.current(secret).unwrap(), "one");
    f.store.run(schedule(7), meta()).unwrap();
    let late = f
        .store
        .run(CancelKeyDeletion { namespace, key }, meta_at(at(8 * DAY)));
    assert_eq!(code(late), "KeyDestroyed");
    let purged = f
        .store
        .run(
            PurgeDue {
                steady_for: CLOCK_TRUST_DELAY,
            },
            meta_at(at(8 * DAY)),
        )
        .unwrap();
    assert_eq!(purged.keys, [key]);
    refuses("KeyDestroyed");
}

#[test]
fn invariants_26_to_28_a_rewrap_moves_data_keys_and_nothing_else() {
    let mut f = Fixture::new();
    let (key, secret) = under_key(&f);
    let namespace = f.namespace;
    for number in 2..=5 {
        f.put(secret, &format!("v{number}"), &format!("text {number}"), &[])
            .unwrap();
    }
    let view = f.store.describe(secret).unwrap();
    let rotated = f.store.run(NewKeyVersion { namespace, key }, meta()).unwrap();
    assert_eq!(rotated.primary, 2);
    f.put(secret, "v6", "new", &["blue"]).unwrap();
    assert_eq!(
        f.refused(DestroyKeyVersion {
            namespace,
            key,
            version: 1
        }),
        "KeyVersionInUse"
    );
    // One at a time, with a restart in the middle: what is done is passed over.
    let step = |f: &Fixture, after| {
        f.store
            .run(
                Rewrap {
                    key: Some(key),
                    after,
                    limit: 1,
                },
                meta(),
            )
            .unwrap()
    };
    let first = step(&f, None);
    assert_eq!(first.moved, 1);
    f = f.reopen();
    let (mut after, mut moved) = (None, first.moved);
    loop {
        let progress = step(&f, after);
        moved += progress.moved;
        match progress.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(
        moved, 5,
        "the version that came under the new one did not need to move"
    );
    f.store
        .run(
            DestroyKeyVersion {
                namespace,
                key,
                version: 1,
            },
            meta(),
        )
        .unwrap();
    for number in 2..=5 {
        assert_eq!(
            get(&f.store, secret, Some(&format!("v{number}")), None).unwrap(),
            format!("text {number}")
        );
    }
    let after = f.store.describe(secret).unwrap();
    assert_eq!(
        (after.revision, &after.versions[..5]),
        (view.revision + 1, &view.versions[..]),
        "only the put shows"
    );
}

#[test]
fn a_default_key_is_nobodys_to_name() {
    let f = Fixture::new();
    f.create("db", "one");
    assert_eq!(
        f.store.list_keys(f.namespace).unwrap(),
        [],
        "it is shown to nobody"
    );
    // Its id stands in clear before each data key that it wraps: after the format byte.
    let engine = view_file(&f.dir.join(STORE_FILE)).unwrap();
    let records = engine
        .snapshot()
        .unwrap()
        .scan(Table::DataKey, &[], None, 1)
        .unwrap();
    let default = KeyId::from_bytes(records[0].1[1..17].try_into().unwrap());
    for key in [default, KeyId::generate().unwrap()] {
        let foreign = CreateSecret {
            key: KeyRef::Customer(key),
            ..new_secret(f.namespace, "x", "x")
        };
        assert_eq!(f.refused(foreign), "KeyNotFound");
        assert_eq!(
            f.refused(DisableKey {
                namespace: f.namespace,
                key
            }),
            "KeyNotFound"
        );
    }
}

#[test]
fn invariant_36_a_writer_below_the_fence_commits_nothing() {
    let f = Fixture::new();
    f.create("db", "one");
    let (_keep, dir) = f.close();
    let engine = open_file(&dir.join(STORE_FILE), DEFAULT_CACHE_BYTES).unwrap();
    let fence = engine.fence().unwrap();
    assert!(fence >= 1);
    let stale = strongroom_store::engine::Batch {
        changes: vec![strongroom_store::engine::Change::Delete {
            table: Table::Head,
            key: vec![0; 16],
        }],
        raise_fence: Some(fence - 1),
        ..Default::default()
    };
    let refused = engine.commit(&stale).unwrap();
    assert_eq!(refused, strongroom_store::engine::CommitOutcome::Conflict(0));
}

#[test]
fn a_cursor_that_is_too_long_is_refused_and_never_cut() {
    let f = Fixture::new();
    let name: strongroom_model::name::CursorName = "sink".parse().unwrap();
    let set = |place: Vec<u8>| SetCursor {
        name: name.clone(),
        place,
    };
    f.store.run(set(vec![7; 256]), meta()).unwrap();
    assert_eq!(f.refused(set(vec![8; 257])), "MetadataTooLarge");
    assert_eq!(f.store.cursor(&name).unwrap(), Some(vec![7; 256]));
}

#[test]
fn what_a_reader_lacks_is_on_record_with_its_place_or_neither_is() {
    let f = Fixture::new();
    let name: strongroom_model::name::CursorName = "sink".parse().unwrap();
    let gap = |place: Vec<u8>| RecordExportGap {
        name: name.clone(),
        place,
        detail: "it lacks 3 records".to_owned(),
    };
    let said = || {
        let records = f.store.mutations_after(0, usize::MAX).unwrap().into_iter();
        records
            .filter(|(_, entry)| entry.detail == "it lacks 3 records")
            .map(|(_, entry)| entry.action)
            .collect::<Vec<_>>()
    };
    assert_eq!(f.refused(gap(vec![8; 257])), "MetadataTooLarge");
    assert_eq!((f.store.cursor(&name).unwrap(), said()), (None, Vec::new()));
    f.store.run(gap(vec![7; 16]), meta()).unwrap();
    assert_eq!(f.store.cursor(&name).unwrap(), Some(vec![7; 16]));
    assert_eq!(said(), [strongroom_store::audit::Action::TruncateAudit]);
}

#[test]
fn a_restore_wants_an_empty_place_and_makes_it_private() {
    use std::os::unix::fs::PermissionsExt;
    let f = Fixture::new();
    f.create("db", "one");
    let stream = backup_of(&f.store);
    let place = f.keep.path().join("place");
    std::fs::create_dir_all(place.join("reads")).unwrap();
    let restores = || restore_into(&place, &stream, false);
    assert!(matches!(restores(), Err(OpenError::Exists(_))));
    std::fs::remove_dir_all(&place).unwrap();
    restores().unwrap();
    assert_eq!(
        std::fs::metadata(&place).unwrap().permissions().mode() & 0o777,
        0o700
    );
}
