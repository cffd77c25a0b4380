//! What every engine owes its callers, asked of each of them: in memory, redb on a file, redb on the
//! simulated disk.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set up must stop, and helpers of tests fail as tests do"
)]

mod support;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use strongroom_model::id::RequestId;
use strongroom_store::engine::*;

use support::simulated_disk::SimulatedDisk;

fn put(table: Table, key: &[u8], value: &[u8]) -> Change {
    Change::Put {
        table,
        key: key.to_vec(),
        value: value.to_vec(),
    }
}

fn delete(table: Table, key: &[u8]) -> Change {
    Change::Delete {
        table,
        key: key.to_vec(),
    }
}

fn changes(changes: Vec<Change>) -> Batch {
    Batch {
        changes,
        ..Batch::default()
    }
}

fn commit(engine: &dyn Engine, batch: &Batch) -> Revision {
    match engine.commit(batch).unwrap() {
        CommitOutcome::Committed(revision) => revision,
        other => panic!("{other:?}"),
    }
}

/// Asks `question` of a new engine of each kind.
fn each(question: fn(&dyn Engine)) {
    question(&MemoryEngine::new());
    let dir = tempfile::tempdir().unwrap();
    question(create_file(&dir.path().join(STORE_FILE)).unwrap().as_ref());
    question(open_disk(Arc::new(SimulatedDisk::new(1)), true).unwrap().as_ref());
}

#[test]
fn revisions_count_commits_and_snapshots_stand_still() {
    each(|engine| {
        assert_eq!(engine.snapshot().unwrap().revision(), Revision(0));
        assert_eq!(
            commit(engine, &changes(vec![put(Table::Head, b"a", b"1")])),
            Revision(1)
        );
        let old = engine.snapshot().unwrap();
        let second = changes(vec![
            put(Table::Head, b"a", b"2"),
            put(Table::Head, b"b", b"3"),
            delete(Table::Head, b"b"),
        ]);
        assert_eq!(commit(engine, &second), Revision(2));
        assert_eq!(old.revision(), Revision(1));
        assert_eq!(old.value(Table::Head, b"a").unwrap().unwrap(), b"1");
        let new = engine.snapshot().unwrap();
        assert_eq!(new.revision(), Revision(2));
        assert_eq!(new.value(Table::Head, b"a").unwrap().unwrap(), b"2");
        assert_eq!(
            new.value(Table::Head, b"b").unwrap(),
            None,
            "changes are in order"
        );
        assert_eq!(
            new.value(Table::Key, b"a").unwrap(),
            None,
            "tables are apart from each other"
        );
        assert_eq!(engine.stats().revision, Revision(2));
    });
}

#[test]
fn scans_are_ordered_and_keep_to_prefix_place_and_limit() {
    each(|engine| {
        let keys: [&[u8]; 6] = [b"a", b"b", b"ba", b"bb", b"b\xff", b"c"];
        commit(
            engine,
            &changes(keys.iter().rev().map(|key| put(Table::Name, key, key)).collect()),
        );
        let snapshot = engine.snapshot().unwrap();
        let scan = |prefix: &[u8], after: Option<&[u8]>, limit| -> Vec<Vec<u8>> {
            let records = snapshot.scan(Table::Name, prefix, after, limit).unwrap();
            records.into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(scan(b"", None, 99), keys);
        assert_eq!(scan(b"b", None, 99), keys[1..5]);
        assert_eq!(scan(b"b", Some(b"ba"), 1), keys[3..4]);
        assert_eq!(scan(b"b", Some(b"a"), 2), keys[1..3], "a place before the prefix");
        assert_eq!(scan(b"b", Some(b"c"), 9), [b""; 0], "a place past the prefix");
        assert_eq!(scan(b"b", None, 0), [b""; 0]);
        let mut seen = Vec::new();
        let mut visitor = |key: &[u8], _: &[u8]| {
            seen.push(key.to_vec());
            match seen.len() {
                3 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        };
        snapshot.visit(Table::Name, &mut visitor).unwrap();
        assert_eq!(seen, keys[..3]);
    });
}

#[test]
fn a_precondition_that_fails_is_named_and_nothing_changes() {
    each(|engine| {
        let first = Batch {
            changes: vec![put(Table::Head, b"a", b"1")],
            raise_fence: Some(5),
            ..Batch::default()
        };
        commit(engine, &first);
        let cases = [
            (Precondition::Revision(Revision(0)), None, 1),
            (Precondition::Epoch(4), None, 1),
            (Precondition::Epoch(5), Some(4), 2),
            (Precondition::Epoch(5), Some(5), 2),
        ];
        for (precondition, raise_fence, at) in cases {
            let request = RequestId::generate().unwrap();
            let batch = Batch {
                requests: vec![request],
                preconditions: vec![Precondition::Revision(Revision(1)), precondition.clone()],
                changes: vec![put(Table::Head, b"a", b"2")],
                raise_fence,
            };
            assert_eq!(
                engine.commit(&batch).unwrap(),
                CommitOutcome::Conflict(at),
                "{precondition:?}"
            );
            assert_eq!(engine.resolve(&[request]).unwrap(), BTreeMap::new());
            let snapshot = engine.snapshot().unwrap();
            assert_eq!(snapshot.revision(), Revision(1));
            assert_eq!(snapshot.value(Table::Head, b"a").unwrap().unwrap(), b"1");
            assert_eq!(engine.fence().unwrap(), 5);
        }
        let all_hold = Batch {
            preconditions: vec![Precondition::Revision(Revision(1)), Precondition::Epoch(5)],
            raise_fence: Some(6),
            ..Batch::default()
        };
        assert_eq!(commit(engine, &all_hold), Revision(2));
        assert_eq!(engine.fence().unwrap(), 6);
    });
}

#[test]
fn the_newest_requests_are_remembered() {
    each(|engine| {
        let requests: Vec<RequestId> = (0..3).map(|_| RequestId::generate().unwrap()).collect();
        for (number, request) in (1_u64..).zip(&requests) {
            let batch = Batch {
                requests: vec![*request],
                changes: vec![put(Table::Due, &number.to_be_bytes(), b"")],
                ..Batch::default()
            };
            commit(engine, &batch);
        }
        let committed: BTreeMap<_, _> = requests.iter().copied().zip((1..).map(Revision)).collect();
        assert_eq!(engine.resolve(&requests).unwrap(), committed);
        // The oldest go once there are too many, and only those.
        let many: Vec<RequestId> = (0..REMEMBERED_REQUESTS - 1)
            .map(|_| RequestId::generate().unwrap())
            .collect();
        let batch = Batch {
            requests: many.clone(),
            ..Batch::default()
        };
        commit(engine, &batch);
        let found = engine.resolve(&[&requests[..], &many[..1]].concat()).unwrap();
        let newest = [(requests[2], Revision(3)), (many[0], Revision(4))];
        assert_eq!(found, BTreeMap::from(newest));
    });
}

#[test]
fn a_file_that_is_no_store_is_damaged_and_said_to_be_a_store_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    std::fs::write(&path, [b'x'; 16_384]).unwrap();
    let error = view_file(&path).map(drop).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, EngineError::Damaged(_)), "{message}");
    assert!(
        message.contains("store file") && message.contains("magic number"),
        "{message}"
    );
    assert!(!message.contains("redb"), "{message}");
}
