//! Copies of the read chain, as they lie beside backups.

use super::super::super::{ChainEnds, RekeyRecord, SeenReads, SegmentPlace, reseal_reads};
use super::*;

/// A copy at its destination.
#[derive(Clone)]
struct StoredCopy {
    name: String,
    place: SegmentPlace,
    bytes: Vec<u8>,
}

/// What is copied of a log, the open segment included.
fn copies(log: &ReadLog) -> Vec<StoredCopy> {
    let source = log.segments().unwrap();
    let spans = source.closed_spans().unwrap();
    let closed = spans
        .iter()
        .map(|span| source.copy_closed(span).unwrap().unwrap());
    let all = closed.chain(source.copy_active().unwrap());
    all.map(|copy| StoredCopy {
        name: format!("{:06}-{:06}", copy.span.place().first, copy.span.place().last),
        place: copy.span.place(),
        bytes: copy.bytes,
    })
    .collect()
}

fn report(copies: &[StoredCopy], rekeys: &[RekeyRecord], key: &Keyring) -> CopiesReport {
    let mut sorted: Vec<&StoredCopy> = copies.iter().collect();
    sorted.sort_by_key(|copy| copy.place);
    let mut verifier = CopiesVerifier::new(STORE, key.public_key());
    for (number, rekey) in rekeys.iter().enumerate() {
        verifier.rekey(&format!("{number}.rekey"), &rekey.encode());
    }
    for copy in sorted {
        verifier.segment(&copy.name, Some(copy.place), &copy.bytes);
    }
    verifier.finish()
}

/// What is bad of these, by name.
fn bad(copies: &[StoredCopy]) -> Vec<(String, CopyFault)> {
    let found = report(copies, &[], &keyring(5)).bad.into_iter();
    found.map(|bad| (bad.name, bad.fault)).collect()
}

/// A log over several segments, which ended cleanly.
fn ended() -> (Arc<SimulatedStorage>, ReadLog) {
    let storage = Arc::new(SimulatedStorage::default());
    let log = open_reads(&storage, 1, ReadHead::default(), false);
    for number in 0..100 {
        log.append(&entry(number), Durability::Durable).unwrap();
    }
    log.close();
    (storage, log)
}

fn open_with(storage: &Arc<SimulatedStorage>, seed: u8, epoch: u32, seen: ReadHead, lost: bool) -> ReadLog {
    let options = ReadLogOptions {
        segment_bytes: 4_096,
        reserve_segments: 2,
        checkpoint_each: std::time::Duration::from_secs(3_600),
        accept_loss: lost,
        ..ReadLogOptions::new(epoch, Timestamp::from_millis(5_000), seen)
    };
    let storage: Arc<dyn SegmentStorage> = Arc::clone(storage) as Arc<dyn SegmentStorage>;
    ReadLog::open_on(storage, keyring(seed), options).unwrap()
}

#[test]
fn copies_of_a_whole_chain_are_sound_and_hold_every_record() {
    let (_, log) = ended();
    let all = copies(&log);
    assert!(all.len() > 3, "{}", all.len());
    let found = report(&all, &[], &keyring(5));
    assert!(found.is_sound(), "{found}");
    assert_eq!((found.first, found.records), (1, found.last));
    assert_eq!(found.segments, all.len() as u64);
    assert!(found.to_string().ends_with("\nsound"), "{found}");
    // Of the open segment there is what is signed, and no zeros.
    let last = all.last().unwrap();
    assert!(last.bytes.len() < 4_096);
    // The oldest may be gone, and that is said.
    let found = report(&all[1..], &[], &keyring(5));
    assert!(
        found.is_sound() && found.to_string().contains("begins with record"),
        "{found}"
    );
}

#[test]
fn what_is_not_signed_yet_is_not_copied() {
    let storage = Arc::new(SimulatedStorage::default());
    let log = open_reads(&storage, 1, ReadHead::default(), false);
    let opened = copies(&log);
    assert_eq!(
        (opened.len(), opened[0].place.last),
        (1, 1),
        "the mark of opening"
    );
    log.append(&entry(1), Durability::Durable).unwrap();
    assert_eq!(copies(&log)[0].place, opened[0].place);
    log.close();
    let closed = copies(&log);
    assert_eq!(closed[0].place.last, 3);
    let source = log.segments().unwrap();
    let copy = source.copy_active().unwrap().unwrap();
    assert!(copy.replaces(&opened[0].place));
    let mut other = opened[0].place;
    other.hash[0] ^= 1;
    assert!(!copy.replaces(&other));
}

#[test]
fn a_missing_cut_changed_renamed_or_foreign_copy_is_named() {
    let (_, log) = ended();
    let all = copies(&log);
    let edited = |change: &dyn Fn(&mut StoredCopy)| {
        let mut copies = all.clone();
        change(&mut copies[1]);
        bad(&copies)
    };
    let name = &all[1].name;
    let names = |found: &[(String, CopyFault)]| found.iter().any(|(bad, _)| bad == name);

    let mut without = all.clone();
    let removed = without.remove(1);
    let missing = CopyFault::Missing {
        from: removed.place.first,
        to: removed.place.last,
    };
    assert_eq!(bad(&without), [(all[2].name.clone(), missing)]);

    let found = edited(&|copy| copy.bytes.truncate(copy.bytes.len() - 1));
    assert!(names(&found), "{found:?}");
    for byte in (0..all[1].bytes.len()).step_by(13) {
        let found = edited(&|copy| copy.bytes[byte] ^= 1);
        assert!(names(&found), "byte {byte}: {found:?}");
    }
    let found = edited(&|copy| copy.bytes.clone_from(&all[2].bytes));
    assert!(found.contains(&(name.clone(), CopyFault::Misnamed)), "{found:?}");
    let found = edited(&|copy| copy.bytes.clear());
    assert!(found.contains(&(name.clone(), CopyFault::NoSegment)), "{found:?}");

    let header = SegmentHeader {
        store: StoreId::from_bytes([2; 16]),
        number: 2,
        before: ReadHead::default(),
    };
    let found = edited(&|copy| copy.bytes = header.encode());
    assert!(
        found.contains(&(name.clone(), CopyFault::OtherStore(header.store))),
        "{found:?}"
    );
    let found = report(&all, &[], &keyring(6));
    assert_eq!(found.bad.len(), all.len(), "{found}");
}

#[test]
fn an_earlier_copy_of_a_segment_counts_only_until_a_later_one_has_it() {
    let storage = Arc::new(SimulatedStorage::default());
    let log = open_reads(&storage, 1, ReadHead::default(), false);
    let mut all = copies(&log);
    for number in 0..20 {
        log.append(&entry(number), Durability::Durable).unwrap();
    }
    log.close();
    all.extend(copies(&log));
    let found = report(&all, &[], &keyring(5));
    assert!(found.is_sound() && found.forks.is_empty(), "{found}");
    assert_eq!(found.segments, all.len() as u64 - 1);
}

#[test]
fn the_reads_of_a_lost_cluster_and_those_since_stand_side_by_side() {
    let (_, log) = ended();
    let mut all = copies(&log);
    // The backup that was restored knew of half of them.
    let middle = log.segments().unwrap().closed_spans().unwrap()[1].end;
    let restored = open_with(&Arc::new(SimulatedStorage::default()), 5, 2, middle, true);
    restored.append(&entry(1), Durability::Durable).unwrap();
    restored.close();
    let since = copies(&restored);
    assert!(
        since
            .iter()
            .all(|copy| all.iter().all(|old| old.place != copy.place))
    );
    all.extend(since);
    let found = report(&all, &[], &keyring(5));
    assert!(found.is_sound(), "{found}");
    assert_eq!(found.gaps.len(), 1);
    assert_eq!(
        (found.gaps[0].missing_from, found.gaps[0].sequence),
        (1, middle.sequence + 1)
    );
}

#[test]
fn copies_from_before_and_after_a_new_root_key_verify_with_either_key() {
    let (from, log) = ended();
    let old = copies(&log);
    let to = Arc::new(SimulatedStorage::default());
    let (former, next) = (keyring(5), keyring(6));
    let (before, after) = reseal_reads(
        (&*from, &*to),
        (&former, &next),
        ReadHead::default(),
        &mut SeenReads::default(),
        &mut |_| {},
    )
    .unwrap();
    let ends = |keyring: &Keyring, reads| ChainEnds {
        key: keyring.public_key(),
        changes: ChainHead::default(),
        reads,
    };
    let rekey = RekeyRecord::sign(
        (former.signer(), next.signer()),
        &STORE,
        ends(&former, before),
        ends(&next, after),
        Timestamp::from_millis(2_000),
    );
    let later = open_with(&to, 6, 2, after, false);
    for number in 0..20 {
        later.append(&entry(number), Durability::Durable).unwrap();
    }
    later.close();
    let new = copies(&later);
    let all = [old.clone(), new.clone()].concat();
    for key in [keyring(5), keyring(6)] {
        let found = report(&all, &[rekey], &key);
        assert!(found.is_sound(), "{found}");
        assert_eq!((found.under_replaced_key, found.rekeys.len()), (0, 1));
        assert!(found.to_string().contains("new root key"), "{found}");
    }
    // What the new key speaks for is told apart: the end under the former key is not there.
    let found = report(&[&old[..old.len() - 1], &new[..]].concat(), &[rekey], &keyring(6));
    assert_eq!(found.under_replaced_key, old.len() as u64 - 1, "{found}");
    assert!(found.is_sound(), "{found}");

    // Without the record nothing leads from one key to the other, and a changed one is named.
    let found = report(&all, &[], &keyring(6));
    assert_eq!(found.bad.len(), old.len(), "{found}");
    let mut verifier = CopiesVerifier::new(STORE, keyring(6).public_key());
    let mut forged = rekey.encode();
    *forged.last_mut().unwrap() ^= 1;
    verifier.rekey("forged", &forged);
    let found = verifier.finish();
    assert_eq!(
        found.bad,
        [BadCopy {
            name: "forged".to_owned(),
            fault: CopyFault::Rekey
        }]
    );

    // Whoever has the former root key goes on with the former chain.
    let forger = open_with(&from, 5, 2, before, false);
    forger.append(&entry(99), Durability::Durable).unwrap();
    forger.close();
    let forged = copies(&forger).pop().unwrap();
    let found = report(&[all, vec![forged.clone()]].concat(), &[rekey], &keyring(6));
    let last = before.sequence;
    assert_eq!(
        found.bad,
        [BadCopy {
            name: forged.name,
            fault: CopyFault::ReplacedKey { last }
        }],
        "{found}"
    );
}

#[test]
fn a_replaced_root_key_leads_to_no_key_but_the_one_that_followed_it() {
    let (_, log) = ended();
    let old = copies(&log);
    let (former, next, forger) = (keyring(5), keyring(6), keyring(7));
    let end = log.segments().unwrap().copy_active().unwrap().unwrap().span.end;
    let signed = |to: &Keyring| {
        let ends = |keyring: &Keyring| ChainEnds {
            key: keyring.public_key(),
            changes: ChainHead::default(),
            reads: end,
        };
        let time = Timestamp::from_millis(2_000);
        let signers = (former.signer(), to.signer());
        RekeyRecord::sign(signers, &STORE, ends(&former), ends(to), time)
    };
    let rekeys = [signed(&forger), signed(&next)];
    let storage = Arc::new(SimulatedStorage::default());
    let forged = open_with(&storage, 7, 1, ReadHead::default(), false);
    forged.append(&entry(1), Durability::Durable).unwrap();
    forged.close();
    let forged = copies(&forged);
    assert!(report(&old, &rekeys, &next).is_sound());
    let found = report(&[old, forged].concat(), &rekeys, &next);
    assert_eq!((found.bad.len(), found.rekeys.len()), (1, 1), "{found}");
    assert!(matches!(
        found.bad[0].fault,
        CopyFault::Record {
            fault: Fault::Signature,
            ..
        }
    ));
}
