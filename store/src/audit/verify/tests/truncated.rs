//! Chains that were cut at their old end.

use super::super::super::{Cut, Truncation};
use super::*;

/// A cut: changes up to this number, and so many segments.
type Place = (u64, u64);

impl Chains {
    fn change(&self, number: u64) -> MutationRecord {
        let (key, value) = &self.mutations[usize::try_from(number).unwrap() - 1];
        MutationRecord::decode(key, value).unwrap()
    }

    /// The end of the read chain before a segment.
    fn before(&self, segment: u64) -> ReadHead {
        match SegmentStart::classify(&self.segments.bytes(segment)) {
            SegmentStart::Used(header) => header.before,
            other => panic!("segment {segment}: {other:?}"),
        }
    }

    fn cut(&self, (changes, segments): Place) -> Cut {
        let changes = match changes {
            0 => ChainHead::default(),
            number => ChainHead {
                sequence: number,
                hash: self.change(number).hash(&STORE),
            },
        };
        Cut {
            changes,
            reads: self.before(segments + 1),
        }
    }

    /// A copy with that cut signed, from which so many changes and segments are gone.
    fn truncated(&self, place: Place, gone: Place) -> Self {
        let mut copy = self.copy();
        let time = Timestamp::from_millis(2_000);
        let signed = Truncation::sign(keyring(5).signer(), &STORE, self.cut(place), time);
        copy.truncation = Some(signed.encode());
        copy.mutations.drain(..usize::try_from(gone.0).unwrap());
        for segment in 1..=gone.1 {
            copy.segments.remove(segment);
        }
        copy
    }

    /// The first cut that takes so many segments.
    fn place(&self, segments: u64) -> Place {
        self.places()
            .into_iter()
            .find(|place| place.1 == segments)
            .unwrap()
    }

    /// Every cut that is one: the first change that stays saw all of the reads that go.
    fn places(&self) -> Vec<Place> {
        let used = self.reads().last().unwrap().0;
        let mut places = Vec::new();
        for changes in 0..MUTATIONS {
            for segments in 0..used {
                let seen = self.change(changes + 1).reads.sequence;
                if (changes, segments) != (0, 0) && seen >= self.before(segments + 1).sequence {
                    places.push((changes, segments));
                }
            }
        }
        places
    }
}

#[test]
fn a_log_that_is_cut_at_any_instant_verifies_and_says_where_it_begins() {
    let chains = Chains::new();
    let places = chains.places();
    assert!(places.len() > 12, "{places:?}");
    let whole = chains.report();
    for place in places {
        for changes in 0..=place.0 {
            for segments in 0..=place.1 {
                let report = chains.truncated(place, (changes, segments)).report();
                assert_eq!(report.bad, None, "{place:?}: {changes} and {segments} gone");
                assert_eq!(
                    report.truncation.map(|signed| signed.cut),
                    Some(chains.cut(place))
                );
                assert_eq!(
                    (report.mutations.last, report.reads.last),
                    (whole.mutations.last, whole.reads.last)
                );
                assert_eq!(report.mutations.records, MUTATIONS - changes);
                assert!(report.clean_end);
            }
        }
    }
    let place = chains.place(1);
    let said = chains.truncated(place, place).report().to_string();
    let reads = chains.before(2).sequence;
    let expected = format!("changes up to {} and reads up to {reads} were cut", place.0);
    assert!(said.contains(&expected) && said.ends_with("sound"), "{said}");
}

#[test]
fn one_record_more_than_was_signed_away_is_missed() {
    let chains = Chains::new();
    for place in chains.places() {
        let cut = chains.cut(place);
        let report = chains.truncated(place, (place.0 + 1, place.1)).report();
        let bad = report.bad.unwrap();
        let expected = if place.0 + 1 == MUTATIONS {
            Fault::Truncated { known: MUTATIONS }
        } else {
            Fault::Beginning { first: place.0 + 2 }
        };
        assert_eq!(
            (bad.chain, bad.sequence, bad.fault),
            (Chain::Mutations, place.0 + 1, expected)
        );
        let used = chains.reads().last().unwrap().0;
        if place.1 + 1 < used {
            let bad = chains
                .truncated(place, (place.0, place.1 + 1))
                .report()
                .bad
                .unwrap();
            let first = chains.before(place.1 + 2).next();
            assert_eq!(
                (bad.chain, bad.sequence, bad.fault),
                (Chain::Reads, cut.reads.next(), Fault::Beginning { first })
            );
        }
    }
}

#[test]
fn a_beginning_that_nobody_signed_is_found() {
    let chains = Chains::new();
    let bad = |change: &dyn Fn(&mut Chains)| {
        let mut copy = chains.truncated((4, 1), (4, 1));
        change(&mut copy);
        copy.report().bad.map(|bad| (bad.chain, bad.sequence, bad.fault))
    };
    let first = |first| Fault::Beginning { first };
    assert_eq!(
        bad(&|copy| copy.truncation = None),
        Some((Chain::Mutations, 1, first(5)))
    );
    let (other, time) = (keyring(6), Timestamp::from_millis(2_000));
    let forged = Truncation::sign(other.signer(), &STORE, chains.cut((4, 1)), time).encode();
    let expected = Some((Chain::Mutations, 1, Fault::Truncation));
    assert_eq!(bad(&|copy| copy.truncation = Some(forged.clone())), expected);
    // One of another place, though signed, is of no use.
    let earlier = chains.truncated((3, 1), (0, 0)).truncation;
    assert_eq!(
        bad(&|copy| copy.truncation.clone_from(&earlier)),
        Some((Chain::Mutations, 4, first(5)))
    );
    let signed = chains.truncated((4, 1), (0, 0)).truncation.unwrap();
    for byte in 0..signed.len() {
        let mut changed = signed.clone();
        changed[byte] ^= 1;
        assert_eq!(
            bad(&|copy| copy.truncation = Some(changed.clone())),
            expected,
            "byte {byte}"
        );
    }
    // With everything else gone, what was signed away still tells that there was more.
    let nothing = bad(&|copy| {
        copy.mutations.clear();
        copy.checkpoint = None;
    });
    assert_eq!(nothing, Some((Chain::Mutations, 5, Fault::Unsigned)));
    let no_reads = bad(&|copy| copy.segments = Arc::new(SimulatedStorage::default()));
    let next = chains.before(2).next();
    assert!(
        matches!(no_reads, Some((Chain::Reads, sequence, Fault::Truncated { .. })) if sequence == next),
        "{no_reads:?}"
    );
}

#[test]
fn what_is_changed_is_named_also_where_it_only_waits_for_its_removal() {
    let chains = Chains::new();
    let place = chains.place(2);
    for gone in [(0, 0), (2, 1), place] {
        let copy = chains.truncated(place, gone);
        for at in 0..copy.mutations.len() {
            let number = gone.0 + at as u64 + 1;
            for byte in 0..copy.mutations[at].1.len() {
                // Nothing holds the hash before the first one that is there, unless it is the signed one.
                if at == 0 && (2..=place.0).contains(&number) && (1..33).contains(&byte) {
                    continue;
                }
                let mut changed = copy.copy();
                changed.mutations[at].1[byte] ^= 0x10;
                let named = changed.bad();
                assert_eq!(
                    named,
                    Some((Chain::Mutations, number)),
                    "byte {byte} of {number}, {gone:?} gone"
                );
            }
        }
        let reads = copy.reads();
        for (segment, sequence, from, to) in &reads[..reads.len() - 1] {
            for at in (*from..*to).step_by(7) {
                let changed = copy.edit(*segment, |bytes| bytes[at] ^= 0x10);
                assert_eq!(changed.bad(), Some((Chain::Reads, *sequence)), "{gone:?} gone");
            }
        }
    }
}

#[test]
fn a_chain_made_anew_after_a_loss_verifies_under_a_cut_of_the_lost_one() {
    let mut chains = Chains::new();
    let last = chains.change(MUTATIONS);
    let place = chains.place(2);
    chains = chains.truncated(place, place);
    chains.segments = Arc::new(SimulatedStorage::default());
    let log = open_reads(&chains.segments, 4, last.reads, true);
    log.append(&entry(1), Durability::Durable).unwrap();
    let head = ChainHead {
        sequence: MUTATIONS,
        hash: last.hash(&STORE),
    };
    chains.mutate(4, head, log.fsynced(), 1);
    log.close();
    let report = chains.report();
    assert_eq!(report.bad, None);
    assert_eq!(report.gaps.len(), 1);
}
