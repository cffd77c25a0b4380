//! Both chains on a simulated storage, sound and changed in every way there is.

mod copies;
mod truncated;

use std::sync::Arc;

use proptest::prelude::*;
use strongroom_model::SecretBytes;
use strongroom_model::time::Timestamp;

use super::super::reads::ReadLogOptions;
use super::super::reads::segment::{HEADER_BYTES, SegmentHeader, SegmentStart, SegmentStep, SegmentWalk};
use super::super::reads::simulated::SimulatedStorage;
use super::super::{
    Action, Actor, ChainHead, Checkpoint, Durability, Entry, Fault, MutationRecord, ReadChain, ReadHead,
    ReadLog, encode_key, record,
};
use super::*;
use crate::crypto::{Keyring, RootKey};
use crate::engine::{Batch, Change, Engine, KeyValue, MemoryEngine, Table};

const STORE: StoreId = StoreId::from_bytes([1; 16]);
const MUTATIONS: u64 = 9;

fn keyring(seed: u8) -> Arc<Keyring> {
    let root = RootKey::from_secret(&SecretBytes::new(vec![seed; 32])).unwrap();
    Arc::new(Keyring::derive(&root, STORE))
}

/// Both chains, as they lie on a storage.
#[derive(Clone)]
struct Chains {
    mutations: Vec<KeyValue>,
    checkpoint: Option<Vec<u8>>,
    truncation: Option<Vec<u8>>,
    segments: Arc<SimulatedStorage>,
}

fn entry(number: u64) -> Entry {
    let mut entry = Entry::new(
        Timestamp::from_millis(1_000),
        Actor::System,
        Action::PutSecretValue,
    );
    entry.detail = number.to_string();
    entry
}

fn open_reads(storage: &Arc<SimulatedStorage>, epoch: u32, seen: ReadHead, accept_loss: bool) -> ReadLog {
    let options = ReadLogOptions {
        segment_bytes: 4_096,
        reserve_segments: 2,
        checkpoint_each: std::time::Duration::from_secs(3_600),
        accept_loss,
        ..ReadLogOptions::new(epoch, Timestamp::from_millis(1_000), seen)
    };
    let storage: Arc<dyn SegmentStorage> = Arc::clone(storage) as Arc<dyn SegmentStorage>;
    ReadLog::open_on(storage, keyring(5), options).unwrap()
}

impl Chains {
    fn empty() -> Self {
        Self {
            mutations: Vec::new(),
            checkpoint: None,
            truncation: None,
            segments: Arc::new(SimulatedStorage::default()),
        }
    }

    /// Five reads before each mutation, in three runs of the process, the second of which was killed.
    fn new() -> Self {
        let mut chains = Self::empty();
        let (mut head, mut seen) = (ChainHead::default(), ReadHead::default());
        for epoch in 1..=3 {
            let log = open_reads(&chains.segments, epoch, seen, false);
            for number in 0..MUTATIONS / 3 {
                for read in 0..5 {
                    log.append(&entry(read), Durability::Durable).unwrap();
                }
                seen = log.fsynced();
                head = chains.mutate(epoch, head, seen, number);
            }
            if epoch != 2 {
                log.close();
            }
        }
        chains
    }

    fn mutate(&mut self, epoch: u32, head: ChainHead, reads: ReadHead, number: u64) -> ChainHead {
        let keyring = keyring(5);
        let (record, head) = record(&keyring, epoch, head, reads, &entry(number)).unwrap();
        self.mutations
            .push((encode_key(epoch, record.sequence), record.encode()));
        let time = Timestamp::from_millis(1_000);
        let checkpoint = Checkpoint::sign(keyring.signer(), &STORE, head, reads, time);
        self.checkpoint = Some(checkpoint.encode());
        head
    }

    /// A copy whose segments can be changed.
    fn copy(&self) -> Self {
        Self {
            segments: self.segments.copy(),
            ..self.clone()
        }
    }

    fn report_with(&self, key: &PublicKey) -> VerifyReport {
        let engine = MemoryEngine::new();
        let put = |(table, key, value): (Table, Vec<u8>, Vec<u8>)| Change::Put { table, key, value };
        let records = self.mutations.iter().cloned();
        let mut changes: Vec<Change> = records
            .map(|(key, value)| put((Table::Audit, key, value)))
            .collect();
        if let Some(checkpoint) = &self.checkpoint {
            changes.push(put((Table::Meta, b"checkpoint".to_vec(), checkpoint.clone())));
        }
        if let Some(truncation) = &self.truncation {
            changes.push(put((Table::Meta, b"truncation".to_vec(), truncation.clone())));
        }
        engine
            .commit(&Batch {
                changes,
                ..Batch::default()
            })
            .unwrap();
        let snapshot = engine.snapshot().unwrap();
        verify_on(snapshot.as_ref(), self.segments.as_ref(), STORE, key).unwrap()
    }

    fn report(&self) -> VerifyReport {
        self.report_with(&keyring(5).public_key())
    }

    fn bad(&self) -> Option<(Chain, u64)> {
        self.report().bad.map(|bad| (bad.chain, bad.sequence))
    }

    /// Segment, sequence, and place of each record of the read chain.
    fn reads(&self) -> Vec<(u64, u64, usize, usize)> {
        let mut found = Vec::new();
        for number in self.segments.segments().unwrap() {
            let bytes = self.segments.bytes(number);
            let SegmentStart::Used(header) = SegmentStart::classify(&bytes) else {
                continue;
            };
            let mut walk = SegmentWalk::new(&bytes, &header);
            loop {
                let from = walk.offset();
                let SegmentStep::Record(record) = walk.step() else {
                    break;
                };
                found.push((number, record.place.sequence, from, walk.offset()));
            }
        }
        found
    }

    fn edit(&self, segment: u64, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let copy = self.copy();
        let mut bytes = copy.segments.bytes(segment);
        change(&mut bytes);
        copy.segments.replace(segment, bytes);
        copy
    }
}

#[test]
fn untouched_chains_are_sound_and_the_kill_is_reported() {
    let chains = Chains::new();
    let report = chains.report();
    assert_eq!(report.bad, None);
    assert_eq!(report.mutations.records, MUTATIONS);
    assert_eq!(report.mutations.signed, MUTATIONS);
    assert_eq!(report.reads.records, chains.reads().len() as u64);
    assert_eq!(report.reads.signed, report.reads.last);
    assert_eq!(report.gaps.len(), 1);
    assert!(report.clean_end);
    assert!(chains.reads().last().unwrap().0 > 2);
    assert!(report.to_string().ends_with("sound"), "{report}");
    assert_eq!(Chains::empty().report().bad, None);
}

#[test]
fn another_public_key_finds_no_signature_that_holds() {
    let report = Chains::new().report_with(&keyring(6).public_key());
    assert_eq!(report.bad.map(|bad| bad.fault), Some(Fault::Signature));
    assert!(report.to_string().contains("BAD"));
}

#[test]
fn a_removed_mutation_record_is_named() {
    let chains = Chains::new();
    for at in 0..chains.mutations.len() {
        let mut copy = chains.copy();
        copy.mutations.remove(at);
        assert_eq!(copy.bad(), Some((Chain::Mutations, at as u64 + 1)));
    }
    for keep in 0..chains.mutations.len() {
        let mut copy = chains.copy();
        copy.mutations.truncate(keep);
        assert_eq!(copy.bad(), Some((Chain::Mutations, keep as u64 + 1)));
    }
}

#[test]
fn an_edited_mutation_record_is_named() {
    let chains = Chains::new();
    for at in 0..chains.mutations.len() {
        for byte in 0..chains.mutations[at].1.len() {
            let mut copy = chains.copy();
            copy.mutations[at].1[byte] ^= 0x10;
            assert_eq!(
                copy.bad(),
                Some((Chain::Mutations, at as u64 + 1)),
                "byte {byte} of record {}",
                at + 1
            );
        }
        for byte in 0..chains.mutations[at].0.len() {
            let mut copy = chains.copy();
            copy.mutations[at].0[byte] ^= 0x10;
            let bad = copy.bad();
            assert!(
                matches!(bad, Some((Chain::Mutations, _))),
                "byte {byte} of key {at}"
            );
        }
    }
}

#[test]
fn reordered_mutation_records_are_named() {
    let chains = Chains::new();
    for (left, right) in (1..chains.mutations.len())
        .map(|at| (at - 1, at))
        .chain([(0, 7), (2, 5)])
    {
        let mut copy = chains.copy();
        let value = copy.mutations[left].1.clone();
        copy.mutations[left].1 = copy.mutations[right].1.clone();
        copy.mutations[right].1 = value;
        assert_eq!(
            copy.bad(),
            Some((Chain::Mutations, left as u64 + 1)),
            "{left} with {right}"
        );
    }
}

#[test]
fn a_chain_made_anew_without_the_key_is_not_signed() {
    let chains = Chains::new();
    let mut forged = chains.copy();
    // Everything from record 4 on is hashed again, so that only the signature can tell.
    let mut head = ChainHead::default();
    for (at, (key, value)) in forged.mutations.iter_mut().enumerate() {
        let mut record = MutationRecord::decode(key, value).unwrap();
        if at > 3 {
            record.previous = head.hash;
        }
        if at == 3 {
            record.sealed[40] ^= 1;
        }
        *value = record.encode();
        head = ChainHead {
            sequence: record.sequence,
            hash: record.hash(&STORE),
        };
    }
    assert_eq!(forged.bad(), Some((Chain::Mutations, MUTATIONS)));
    let mut longer = chains.copy();
    let signed = longer.checkpoint.clone();
    longer.mutate(3, head, ReadHead::default(), 1);
    longer.checkpoint = signed;
    assert!(longer.bad().is_some());
}

#[test]
fn the_signed_head_is_part_of_the_chain() {
    let chains = Chains::new();
    let mut none = chains.copy();
    none.checkpoint = None;
    assert_eq!(none.bad(), Some((Chain::Mutations, 1)));
    let checkpoint = chains.checkpoint.clone().unwrap();
    for byte in 0..checkpoint.len() {
        let mut copy = chains.copy();
        copy.checkpoint.as_mut().unwrap()[byte] ^= 1;
        assert_eq!(copy.bad(), Some((Chain::Mutations, MUTATIONS)), "byte {byte}");
    }
}

#[test]
fn an_edited_read_record_is_named() {
    let chains = Chains::new();
    let reads = chains.reads();
    // The last one is the clean end; without it the chain has the end of a killed process.
    for (segment, sequence, from, to) in &reads[..reads.len() - 1] {
        for at in (*from..*to).step_by(3) {
            let copy = chains.edit(*segment, |bytes| bytes[at] ^= 0x10);
            assert_eq!(
                copy.bad(),
                Some((Chain::Reads, *sequence)),
                "byte {} of record {sequence}",
                at - from
            );
        }
    }
}

#[test]
fn a_removed_read_record_is_named() {
    let chains = Chains::new();
    let reads = chains.reads();
    for (segment, sequence, from, to) in &reads[..reads.len() - 1] {
        // What comes after it moves up.
        let moved = chains.edit(*segment, |bytes| {
            bytes.drain(*from..*to);
            bytes.resize(4_096, 0);
        });
        assert_eq!(moved.bad(), Some((Chain::Reads, *sequence)), "moved up");
        let wiped = chains.edit(*segment, |bytes| bytes[*from..*to].fill(0));
        assert_eq!(wiped.bad(), Some((Chain::Reads, *sequence)), "wiped");
    }
}

#[test]
fn reordered_read_records_are_named() {
    let chains = Chains::new();
    for pair in chains.reads().windows(2) {
        let ((segment, sequence, from, middle), (other, _, _, to)) = (pair[0], pair[1]);
        if segment != other {
            continue;
        }
        let swapped = chains.edit(segment, |bytes| bytes[from..to].rotate_left(middle - from));
        assert_eq!(swapped.bad(), Some((Chain::Reads, sequence)));
    }
}

#[test]
fn removed_changed_and_swapped_segments_are_found() {
    let chains = Chains::new();
    let reads = chains.reads();
    let used = reads.last().unwrap().0;
    for segment in 1..=used {
        let copy = chains.copy();
        copy.segments.remove(segment);
        let first = reads.iter().find(|read| read.0 == segment).unwrap().1;
        assert_eq!(copy.bad(), Some((Chain::Reads, first)), "segment {segment}");
        for byte in 0..HEADER_BYTES {
            let copy = chains.edit(segment, |bytes| bytes[byte] ^= 1);
            assert_eq!(
                copy.bad(),
                Some((Chain::Reads, first)),
                "byte {byte} of {segment}"
            );
        }
    }
    let copy = chains.copy();
    let (first, second) = (copy.segments.bytes(1), copy.segments.bytes(2));
    copy.segments.replace(1, second);
    copy.segments.replace(2, first);
    assert!(matches!(copy.bad(), Some((Chain::Reads, _))));
}

#[test]
fn a_read_chain_cut_below_what_a_mutation_saw_is_named() {
    let chains = Chains::new();
    let reads = chains.reads();
    for (index, (segment, sequence, from, _)) in reads.iter().enumerate() {
        let cut = chains.edit(*segment, |bytes| bytes[*from..].fill(0));
        for later in segment + 1..=reads.last().unwrap().0 {
            cut.segments.remove(later);
        }
        // The last mutation saw the last entry; only the clean end comes after it.
        let expected = (index + 1 < reads.len()).then_some((Chain::Reads, *sequence));
        assert_eq!(cut.bad(), expected, "cut before record {sequence}");
    }
}

#[test]
fn a_read_chain_made_anew_without_the_key_is_found() {
    let chains = Chains::new();
    let other = Arc::new(SimulatedStorage::default());
    let options = ReadLogOptions::new(1, Timestamp::from_millis(1), ReadHead::default());
    let storage: Arc<dyn SegmentStorage> = Arc::clone(&other) as Arc<dyn SegmentStorage>;
    ReadLog::open_on(storage, keyring(6), options).unwrap().close();
    let forged = Chains {
        segments: other,
        ..chains
    };
    assert_eq!(
        forged.report().bad.map(|bad| (bad.sequence, bad.fault)),
        Some((1, Fault::Signature))
    );
}

#[test]
fn a_mutation_that_saw_another_read_chain_is_found() {
    let mut chains = Chains::empty();
    let log = open_reads(&chains.segments, 1, ReadHead::default(), false);
    log.append(&entry(1), Durability::Durable).unwrap();
    let mut seen = log.fsynced();
    log.close();
    seen.hash[3] ^= 1;
    chains.mutate(1, ChainHead::default(), seen, 1);
    assert_eq!(
        chains
            .report()
            .bad
            .map(|bad| (bad.chain, bad.sequence, bad.fault)),
        Some((Chain::Reads, seen.sequence, Fault::NotAsSeen))
    );
}

#[test]
fn a_mutation_that_saw_less_than_the_one_before_is_found() {
    let mut chains = Chains::new();
    let last = MutationRecord::decode(&chains.mutations[8].0, &chains.mutations[8].1).unwrap();
    let head = ChainHead {
        sequence: 9,
        hash: last.hash(&STORE),
    };
    chains.mutate(3, head, ReadHead::default(), 1);
    assert_eq!(
        chains.report().bad.map(|bad| (bad.sequence, bad.fault)),
        Some((10, Fault::SawLess))
    );
}

#[test]
fn accepted_loss_is_reported_and_sound() {
    let mut chains = Chains::new();
    let last = MutationRecord::decode(&chains.mutations[8].0, &chains.mutations[8].1).unwrap();
    chains.segments = Arc::new(SimulatedStorage::default());
    let log = open_reads(&chains.segments, 4, last.reads, true);
    log.append(&entry(1), Durability::Durable).unwrap();
    let head = ChainHead {
        sequence: 9,
        hash: last.hash(&STORE),
    };
    chains.mutate(4, head, log.fsynced(), 1);
    log.close();
    let report = chains.report();
    assert_eq!(report.bad, None);
    assert_eq!(report.gaps.len(), 1);
    assert_eq!(report.gaps[0].missing_from, 1);
    assert_eq!(report.gaps[0].sequence, last.reads.sequence + 1);
    assert!(report.to_string().contains("are lost"), "{report}");
}

#[test]
fn a_torn_tail_is_no_fault_and_is_reported() {
    let chains = Chains::new();
    let (segment, sequence, from, _) = *chains.reads().last().unwrap();
    let torn = chains.edit(segment, |bytes| bytes[from + 30] ^= 1).report();
    assert_eq!(
        (torn.bad, torn.torn, torn.clean_end),
        (None, Some(sequence), false)
    );
    let next = segment + 1;
    if chains.segments.segments().unwrap().contains(&next) {
        let torn = chains.edit(next, |bytes| bytes[9] = 1).report();
        assert_eq!((torn.bad, torn.torn), (None, Some(sequence + 1)));
    }
}

#[test]
fn a_segment_of_another_number_or_past_is_found() {
    let chains = Chains::new();
    let header = SegmentHeader {
        store: STORE,
        number: 2,
        before: ReadHead {
            sequence: 3,
            hash: [0; 32],
        },
    };
    let copy = chains.edit(2, |bytes| bytes[..HEADER_BYTES].copy_from_slice(&header.encode()));
    assert!(matches!(copy.bad(), Some((Chain::Reads, _))));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_record_of_the_mutation_chain(
        key in proptest::collection::vec(any::<u8>(), 0..16),
        value in proptest::collection::vec(any::<u8>(), 0..200),
        marked: bool,
    ) {
        let mut value = value;
        if marked {
            value.insert(0, 1);
        }
        if let Ok(record) = MutationRecord::decode(&key, &value) {
            prop_assert_eq!(&record.encode(), &value);
            prop_assert!(record.open(&keyring(5)).is_err());
        }
        if let Ok(checkpoint) = Checkpoint::decode(&value) {
            prop_assert!(!checkpoint.verifies(&keyring(5).public_key(), &STORE));
        }
    }
}
