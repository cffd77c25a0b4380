use super::*;

fn put(table: Table, key: &[u8]) -> Change {
    Change::Put {
        table,
        key: key.to_vec(),
        value: Vec::new(),
    }
}

fn namespace() -> NamespaceId {
    NamespaceId::from_bytes([1; 16])
}

/// Keeps that a key is not shown, of revision 5 and resting on a head; the place that it has.
fn keep(known: &ReadCache) -> (NamespaceId, KeyId) {
    let place = (namespace(), KeyId::from_bytes([2; 16]));
    let dependencies = DependencySnapshot::at(Revision(5)).record(Table::Head, b"db");
    known.keys.insert(place, dependencies, None);
    place
}

#[test]
fn what_rests_on_a_changed_record_counts_no_more() {
    let known = ReadCache::default();
    let place = keep(&known);
    assert_eq!(known.key(&place), Some(None));
    // Another record, another table, and what was there when it was read.
    known.invalidate(
        &[put(Table::Head, b"other"), put(Table::Audit, b"db")],
        Revision(6),
    );
    known.invalidate(&[put(Table::Head, b"db")], Revision(5));
    assert_eq!(known.key(&place), Some(None));
    known.invalidate(&[put(Table::Head, b"db")], Revision(6));
    assert_eq!(known.key(&place), None);
    assert!(!known.keys.contains(&place), "it does not stay either");
}

#[test]
fn what_is_kept_late_of_an_older_snapshot_does_not_count() {
    let known = ReadCache::default();
    known.invalidate(&[put(Table::Head, b"db")], Revision(6));
    let place = keep(&known);
    assert_eq!(known.key(&place), None);
}

#[test]
fn a_commit_that_did_not_happen_leaves_nothing_known() {
    let known = ReadCache::default();
    let place = keep(&known);
    known.clear();
    assert_eq!(known.key(&place), None);
}

#[test]
fn what_was_not_asked_for_lately_makes_room() {
    let known = ReadCache::default();
    let asked = keep(&known);
    let key = |number: u32| {
        let mut bytes = [3; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        (namespace(), KeyId::from_bytes(bytes))
    };
    let total = u32::try_from(4 * SHARDS * MAX_SHARD_ENTRIES).unwrap();
    for number in 0..total {
        known
            .keys
            .insert(key(number), DependencySnapshot::at(Revision(5)), None);
        assert_eq!(known.key(&asked), Some(None), "after {number} others");
    }
    let left = (0..total)
        .filter(|number| known.keys.contains(&key(*number)))
        .count();
    assert!(left <= SHARDS * MAX_SHARD_ENTRIES, "{left} are left");
    assert!(known.keys.contains(&key(total - 1)));
}

#[test]
fn as_many_as_half_stay_however_they_are_asked_for() {
    let known = ReadCache::default();
    let key = |number: u32| {
        let mut bytes = [3; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        (namespace(), KeyId::from_bytes(bytes))
    };
    // Ten thousand of them, by chance more behind one lock than behind another.
    let each = 0..10_000;
    for number in each.clone() {
        known
            .keys
            .insert(key(number), DependencySnapshot::at(Revision(5)), None);
    }
    // The step has no factor in common with their number: each is asked for once, in another order each time.
    for step in [7_919, 3_571, 1] {
        for number in each.clone().map(|number| number * step % 10_000) {
            assert_eq!(known.key(&key(number)), Some(None), "{number}");
        }
    }
}

struct Heavy;

impl Weight for Heavy {
    fn weight(&self) -> usize {
        8_192
    }
}

#[test]
fn what_is_large_is_bounded_by_its_bytes() {
    let cache = ShardedCache::<u32, Heavy>::default();
    for number in 0..100_000 {
        cache.insert(number, DependencySnapshot::at(Revision(5)), Heavy);
    }
    let left = (0..100_000).filter(|number| cache.contains(number)).count();
    assert!(left * 8_192 <= SHARDS * MAX_SHARD_BYTES, "{left} are left");
    assert!(left * 8_192 >= SHARDS * MAX_SHARD_BYTES / 2, "{left} are left");
}

#[test]
fn material_is_in_memory_once_and_goes_with_the_last_that_has_it() {
    let known = ReadCache::default();
    let key = KeyId::from_bytes([2; 16]);
    let new = || Arc::new(KeyMaterial::generate().unwrap());
    let first = known.share_material(key, 1, new());
    assert!(Arc::ptr_eq(&first, &known.share_material(key, 1, new())));
    assert!(!Arc::ptr_eq(&first, &known.share_material(key, 2, new())));
    drop(first);
    let again = new();
    assert!(Arc::ptr_eq(
        &again,
        &known.share_material(key, 1, Arc::clone(&again))
    ));
}
