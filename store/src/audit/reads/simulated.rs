//! A storage of segments for tests: it knows what is durable, can lose the rest byte by byte, fill up, fail,
//! and hold its syncs back.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::SegmentStorage;

#[derive(Clone, Default, Debug)]
struct Segment {
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

impl Segment {
    fn current(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for (offset, written) in &self.pending {
            bytes[*offset..*offset + written.len()].copy_from_slice(written);
        }
        bytes
    }
}

#[derive(Default, Debug)]
struct StorageState {
    segments: BTreeMap<u64, Segment>,
    /// Most segments there can be.
    room: Option<usize>,
    fail_sync: bool,
    fail_remove: bool,
    fail_write: Option<io::ErrorKind>,
    hold_syncs: bool,
    writes: usize,
    syncs: usize,
}

/// Segments in memory, and the faults that a test set.
#[derive(Default, Debug)]
pub(in crate::audit) struct SimulatedStorage {
    facts: Mutex<StorageState>,
    released: Condvar,
}

impl SimulatedStorage {
    pub(in crate::audit) fn limit_segments(&self, segments: Option<usize>) {
        self.facts.lock().room = segments;
    }

    pub(in crate::audit) fn fail_sync(&self, fail: bool) {
        self.facts.lock().fail_sync = fail;
    }

    pub(in crate::audit) fn fail_remove(&self, fail: bool) {
        self.facts.lock().fail_remove = fail;
    }

    pub(in crate::audit) fn fail_write(&self, kind: Option<io::ErrorKind>) {
        self.facts.lock().fail_write = kind;
    }

    /// Syncs do not return until they are no longer held.
    pub(in crate::audit) fn hold_syncs(&self, hold: bool) {
        self.facts.lock().hold_syncs = hold;
        self.released.notify_all();
    }

    pub(in crate::audit) fn writes(&self) -> usize {
        self.facts.lock().writes
    }

    pub(in crate::audit) fn syncs(&self) -> usize {
        self.facts.lock().syncs
    }

    /// Bytes that a power cut may take.
    pub(in crate::audit) fn pending_bytes(&self) -> usize {
        let numbers: Vec<u64> = self.facts.lock().segments.keys().copied().collect();
        numbers.into_iter().map(|segment| self.pending_in(segment)).sum()
    }

    /// Bytes of one segment that a power cut may take.
    pub(in crate::audit) fn pending_in(&self, segment: u64) -> usize {
        let facts = self.facts.lock();
        let pending = facts.segments[&segment].pending.iter();
        pending.map(|(_, bytes)| bytes.len()).sum()
    }

    /// The highest number of a segment that holds anything.
    pub(in crate::audit) fn segments_written(&self) -> u64 {
        let facts = self.facts.lock();
        let mut written = facts
            .segments
            .iter()
            .filter(|(_, segment)| segment.current().iter().any(|byte| *byte != 0));
        written.next_back().map_or(0, |(number, _)| *number)
    }

    /// The storage after a power cut; of the pending bytes, counted in order of their writing, those stay
    /// that `keep` says.
    pub(in crate::audit) fn after_power_cut(&self, keep: impl Fn(usize) -> bool) -> Arc<Self> {
        let mut count = 0;
        let mut segments = BTreeMap::new();
        for (number, segment) in &self.facts.lock().segments {
            let mut durable = segment.durable.clone();
            for (offset, bytes) in &segment.pending {
                for (at, byte) in bytes.iter().enumerate() {
                    if keep(count) {
                        durable[offset + at] = *byte;
                    }
                    count += 1;
                }
            }
            let pending = Vec::new();
            segments.insert(*number, Segment { durable, pending });
        }
        Self::from_segments(segments)
    }

    /// The storage as the operating system shows it now.
    pub(in crate::audit) fn copy(&self) -> Arc<Self> {
        self.after_power_cut(|_| true)
    }

    fn from_segments(segments: BTreeMap<u64, Segment>) -> Arc<Self> {
        Arc::new(Self {
            facts: Mutex::new(StorageState {
                segments,
                ..StorageState::default()
            }),
            released: Condvar::new(),
        })
    }

    /// All bytes of a segment, for a test that changes them.
    pub(in crate::audit) fn bytes(&self, segment: u64) -> Vec<u8> {
        self.facts.lock().segments[&segment].current()
    }

    pub(in crate::audit) fn replace(&self, segment: u64, bytes: Vec<u8>) {
        let pending = Vec::new();
        let durable = bytes;
        self.facts
            .lock()
            .segments
            .insert(segment, Segment { durable, pending });
    }

    pub(in crate::audit) fn remove(&self, segment: u64) {
        self.facts.lock().segments.remove(&segment);
    }
}

impl SegmentStorage for SimulatedStorage {
    fn segments(&self) -> io::Result<Vec<u64>> {
        Ok(self.facts.lock().segments.keys().copied().collect())
    }

    fn create(&self, segment: u64, bytes: u64) -> io::Result<()> {
        let mut facts = self.facts.lock();
        let full = facts.room.is_some_and(|room| facts.segments.len() >= room);
        let there = facts.segments.contains_key(&segment);
        if full && !there {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let size = usize::try_from(bytes).unwrap();
        let segment = facts.segments.entry(segment).or_default();
        if segment.durable.len() < size {
            segment.durable.resize(size, 0);
        }
        Ok(())
    }

    fn size(&self, segment: u64) -> io::Result<u64> {
        let facts = self.facts.lock();
        let segment = facts.segments.get(&segment).ok_or(io::ErrorKind::NotFound)?;
        Ok(segment.durable.len() as u64)
    }

    fn read(&self, segment: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap();
        let bytes = self.bytes(segment);
        let part = bytes
            .get(from..from + out.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn write(&self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut facts = self.facts.lock();
        let from = usize::try_from(offset).unwrap();
        facts.writes += 1;
        let failure = facts.fail_write;
        let to = facts.segments.get_mut(&segment).ok_or(io::ErrorKind::NotFound)?;
        assert!(from + bytes.len() <= to.durable.len(), "written past the reserve");
        if let Some(kind) = failure {
            // Half of it got there, unless it was to wipe that.
            if bytes.iter().any(|byte| *byte != 0) {
                to.pending.push((from, bytes[..bytes.len() / 2].to_vec()));
                return Err(kind.into());
            }
        }
        to.pending.push((from, bytes.to_vec()));
        Ok(())
    }

    fn sync(&self, segment: u64) -> io::Result<()> {
        let mut facts = self.facts.lock();
        // What is written while the sync runs is not part of it.
        let there = facts
            .segments
            .get(&segment)
            .map_or(0, |found| found.pending.len());
        facts.syncs += 1;
        while facts.hold_syncs {
            self.released.wait(&mut facts);
        }
        if facts.fail_sync {
            return Err(io::Error::other("simulated failure of fsync"));
        }
        let found = facts.segments.get_mut(&segment).ok_or(io::ErrorKind::NotFound)?;
        for (offset, bytes) in found.pending.drain(..there.min(found.pending.len())) {
            found.durable[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn shrink(&self, segment: u64, bytes: u64) -> io::Result<()> {
        let mut facts = self.facts.lock();
        let found = facts.segments.get_mut(&segment).ok_or(io::ErrorKind::NotFound)?;
        assert!(found.pending.is_empty(), "shrunk before it was synced");
        found.durable.truncate(usize::try_from(bytes).unwrap());
        Ok(())
    }

    fn remove(&self, segment: u64) -> io::Result<()> {
        let mut facts = self.facts.lock();
        if facts.fail_remove {
            return Err(io::Error::other("simulated failure of a removal"));
        }
        facts.segments.remove(&segment);
        Ok(())
    }
}
