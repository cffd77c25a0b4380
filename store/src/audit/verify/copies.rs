//! Verifies copies of the read chain's segments with the public key alone: each by itself, and that together
//! they are one chain.
//!
//! Where the root key was replaced, the records of that lead from key to key. Where the store was restored or
//! put back, there is more than one line of segments; each has to be whole. What was removed at the old end
//! or at the young end leaves no trace here: a copy's limits remove the former, and the latter comes last.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_model::id::StoreId;
use strongroom_model::time::Timestamp;

use super::super::reads::record::{ReadRecord, RecordKind};
use super::super::reads::segment::{SegmentHeader, SegmentStart, SegmentStep, SegmentWalk};
use super::super::{Fault, ReadHead, RekeyRecord, SegmentPlace, decode_rekeys, rekeys_hold};
use super::Gap;
use super::copies_report::{BadCopy, CopiesReport, CopyFault};
use crate::crypto::PublicKey;

/// Takes copies one after another; what they prove together comes at the end.
#[derive(Debug)]
pub struct CopiesVerifier {
    store: StoreId,
    /// Keys whose signatures count: first the one that was given, and then those that records lead to.
    keys: Vec<PublicKey>,
    /// The records that lead to them.
    rekeys: Vec<RekeyRecord>,
    /// All records that are there, whoever signed them.
    offered: Vec<RekeyRecord>,
    segments: Vec<SegmentFindings>,
    bad: Vec<BadCopy>,
}

/// A segment whose records are sound.
#[derive(Debug)]
struct SegmentFindings {
    name: String,
    before: ReadHead,
    end: ReadHead,
    /// What its marks are signed with.
    key: PublicKey,
    records: u64,
    checkpoints: u64,
    gaps: Vec<Gap>,
    /// When the last record was signed.
    newest: Timestamp,
    /// A record of a new root key names one of its records as the last under the former key.
    bound: bool,
    /// A longer copy has all of its records.
    replaced: bool,
}

impl CopiesVerifier {
    /// Nothing was looked at yet.
    #[must_use]
    pub fn new(store: StoreId, key: PublicKey) -> Self {
        Self {
            store,
            keys: vec![key],
            rekeys: Vec::new(),
            offered: Vec::new(),
            segments: Vec::new(),
            bad: Vec::new(),
        }
    }

    /// Takes a record of a new root key. All of them come before the first segment.
    pub fn rekey(&mut self, name: &str, bytes: &[u8]) {
        let records = decode_rekeys(bytes).ok();
        match records.filter(|records| rekeys_hold(records, &self.store)) {
            Some(records) => self.offered.extend(records),
            None => self.refuse(name, CopyFault::Rekey),
        }
        // INVARIANT: from the key that was given it goes on to later keys, and back to former ones. What a
        // former key leads on to does not count: who has that key can sign any.
        let Some(given) = self.keys.first().copied() else {
            return;
        };
        let (later, since) = self.follow(given, |rekey| (rekey.before.key, rekey.after.key));
        let (former, before) = self.follow(given, |rekey| (rekey.after.key, rekey.before.key));
        self.keys = [vec![given], later, former].concat();
        self.rekeys = [since, before].concat();
    }

    /// The keys that records lead to in one direction, and these records.
    fn follow(
        &self,
        given: PublicKey,
        direction: impl Fn(&RekeyRecord) -> (PublicKey, PublicKey),
    ) -> (Vec<PublicKey>, Vec<RekeyRecord>) {
        let mut keys: Vec<PublicKey> = Vec::new();
        let mut used = Vec::new();
        while let Some((rekey, key)) = self.offered.iter().find_map(|rekey| {
            let (from, to) = direction(rekey);
            let known = |key: &PublicKey| *key == given || keys.contains(key);
            (known(&from) && !known(&to)).then_some((*rekey, to))
        }) {
            keys.push(key);
            used.push(rekey);
        }
        (keys, used)
    }

    /// Takes a segment, which by its name has this place; none where the name says none. Segments come in the
    /// order of their first and last records.
    pub fn segment(&mut self, name: &str, place: Option<SegmentPlace>, bytes: &[u8]) {
        let examined = self.examine(name, bytes).and_then(|findings| {
            if place == Some(SegmentPlace::between(findings.before, findings.end)) {
                Ok(findings)
            } else {
                Err(CopyFault::Misnamed)
            }
        });
        match examined {
            Ok(findings) => self.segments.push(findings),
            Err(fault) => self.refuse(name, fault),
        }
    }

    fn refuse(&mut self, name: &str, fault: CopyFault) {
        self.bad.push(BadCopy {
            name: name.to_owned(),
            fault,
        });
    }

    fn examine(&mut self, name: &str, bytes: &[u8]) -> Result<SegmentFindings, CopyFault> {
        let header = match SegmentStart::classify(bytes) {
            SegmentStart::Used(header) if header.store == self.store => header,
            SegmentStart::Used(header) => return Err(CopyFault::OtherStore(header.store)),
            SegmentStart::UnknownFormat(format) => return Err(CopyFault::UnknownFormat(format)),
            SegmentStart::Blank | SegmentStart::Broken => return Err(CopyFault::NoSegment),
        };
        let records = records(bytes, &header)?;
        let record_fault = |sequence, fault| CopyFault::Record { sequence, fault };
        let Some(last) = records.last() else {
            return Err(CopyFault::NoSegment);
        };
        let Some(mark) = last.mark() else {
            let signed = records.iter().rev().find(|record| record.kind.is_signed());
            let before = signed.map_or(header.before, ReadRecord::head);
            return Err(record_fault(before.next(), Fault::Unsigned));
        };
        let signed_by = |key: &&PublicKey| last.is_signed_by(key, &self.store);
        let Some(key) = self.keys.iter().find(signed_by).copied() else {
            return Err(record_fault(last.place.sequence, Fault::Signature));
        };
        let mut findings = SegmentFindings {
            name: name.to_owned(),
            before: header.before,
            end: last.head(),
            key,
            records: records.len() as u64,
            checkpoints: 0,
            gaps: Vec::new(),
            newest: mark.time,
            bound: false,
            replaced: false,
        };
        let mut next = header.before.next();
        for record in &records {
            findings.bound |= self
                .rekeys
                .iter()
                .any(|rekey| rekey.before.reads == record.head());
            if let Some(mark) = record.mark() {
                if !record.is_signed_by(&key, &self.store) {
                    return Err(record_fault(record.place.sequence, Fault::Signature));
                }
                findings.checkpoints += 1;
                if record.kind == RecordKind::Gap {
                    findings.gaps.push(Gap {
                        missing_from: next,
                        sequence: record.place.sequence,
                        time: mark.time,
                    });
                }
            }
            next = record.head().next();
        }
        let rekey = self.rekeys.iter().find(|rekey| rekey.before.key == key);
        if let Some(last) = rekey.map(|rekey| rekey.before.reads.sequence)
            && findings.end.sequence > last
        {
            return Err(CopyFault::ReplacedKey { last });
        }
        // What was copied of it while it was open came before it.
        for earlier in &mut self.segments {
            earlier.replaced |= earlier.before == findings.before
                && records.iter().any(|record| record.head() == earlier.end);
        }
        Ok(findings)
    }

    /// What all of them prove together.
    #[must_use]
    pub fn finish(mut self) -> CopiesReport {
        self.segments.retain(|segment| !segment.replaced);
        self.find_missing();
        let under_replaced_key = self.count_under_replaced_key();
        let Self {
            store,
            mut rekeys,
            segments,
            mut bad,
            ..
        } = self;
        rekeys.sort_by_key(|rekey| rekey.time);
        bad.sort_by(|a, b| a.name.cmp(&b.name));
        let gaps = segments.iter().flat_map(|segment| segment.gaps.iter().copied());
        let mut gaps: Vec<Gap> = gaps.collect();
        gaps.sort_by_key(|gap| (gap.sequence, gap.time));
        gaps.dedup();
        CopiesReport {
            store,
            segments: segments.len() as u64,
            records: segments.iter().map(|segment| segment.records).sum(),
            checkpoints: segments.iter().map(|segment| segment.checkpoints).sum(),
            first: segments
                .iter()
                .map(|segment| segment.before.next())
                .min()
                .unwrap_or(0),
            last: segments
                .iter()
                .map(|segment| segment.end.sequence)
                .max()
                .unwrap_or(0),
            newest: segments.iter().map(|segment| segment.newest).max(),
            rekeys,
            gaps,
            forks: forks(&segments),
            under_replaced_key,
            bad,
        }
    }

    /// Finds segments that nothing leads to. The oldest may be one: older ones are removed by the limits of
    /// backups.
    fn find_missing(&mut self) {
        let ends: BTreeSet<(u64, [u8; 32])> = self.segments.iter().map(|one| key_of(one.end)).collect();
        // Many may have one time, where the clock went back.
        let age = |segment: &SegmentFindings| (segment.newest, segment.before.sequence);
        let oldest = self.segments.iter().map(age).min();
        for segment in &self.segments {
            let before = segment.before;
            let begins = before == ReadHead::default() || Some(age(segment)) == oldest;
            if begins || ends.contains(&key_of(before)) {
                continue;
            }
            let reached = ends.range(..=(before.sequence, [u8::MAX; 32])).next_back();
            let reached = reached.map_or(0, |(sequence, _)| *sequence);
            let fault = if reached == before.sequence {
                CopyFault::Displaced
            } else {
                CopyFault::Missing {
                    from: reached.saturating_add(1),
                    to: before.sequence,
                }
            };
            self.bad.push(BadCopy {
                name: segment.name.clone(),
                fault,
            });
        }
    }

    /// Segments under a former key that neither a record of a new root key nor a segment under a later key
    /// leads back to.
    fn count_under_replaced_key(&mut self) -> u64 {
        self.segments
            .sort_by_key(|segment| (segment.end.sequence, segment.before.sequence));
        let mut led_to = BTreeSet::new();
        let mut count = 0;
        for segment in self.segments.iter().rev() {
            let is_replaced = self.rekeys.iter().any(|rekey| rekey.before.key == segment.key);
            if !is_replaced || segment.bound || led_to.contains(&key_of(segment.end)) {
                led_to.insert(key_of(segment.before));
            } else {
                count += 1;
            }
        }
        count
    }
}

/// The records of a segment, of which each follows the one before it.
fn records(bytes: &[u8], header: &SegmentHeader) -> Result<Vec<ReadRecord>, CopyFault> {
    let mut walk = SegmentWalk::new(bytes, header);
    let mut records = Vec::new();
    loop {
        let sequence = walk.head().next();
        let fault = match walk.step() {
            SegmentStep::Record(record) => {
                records.push(record);
                continue;
            }
            SegmentStep::End => return Ok(records),
            SegmentStep::Torn => Fault::Changed,
            SegmentStep::Fault(fault) => fault,
        };
        return Err(CopyFault::Record { sequence, fault });
    }
}

const fn key_of(head: ReadHead) -> (u64, [u8; 32]) {
    (head.sequence, head.hash)
}

/// Records after which more than one segment goes on under the same key. Where nothing is before, a chain was
/// begun anew, which a signed gap tells.
fn forks(segments: &[SegmentFindings]) -> Vec<u64> {
    let mut followers: BTreeMap<(u64, [u8; 32]), Vec<PublicKey>> = BTreeMap::new();
    let mut forks = Vec::new();
    for segment in segments {
        if segment.before == ReadHead::default() {
            continue;
        }
        let keys = followers.entry(key_of(segment.before)).or_default();
        if keys.contains(&segment.key) {
            forks.push(segment.before.sequence);
        }
        keys.push(segment.key);
    }
    forks.sort_unstable();
    forks.dedup();
    forks
}
