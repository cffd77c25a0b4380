//! A disk in memory whose power can be cut at any I/O call. What was not synced when that happens is kept or
//! lost sector by sector, at random and in no order, as a real disk may. It can also fail a sync and run
//! full.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use strongroom_store::engine::Disk;

const SECTOR: usize = 512;
type Sector = [u8; SECTOR];

/// Numbers from a seed: xorshift64 (Marsaglia 2003).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// A seed from the environment, or a new one; tests name it in their messages.
pub fn seed() -> u64 {
    std::env::var("STRONGROOM_SEED").map_or_else(
        |_| {
            let mut seed = [0; 8];
            getrandom::fill(&mut seed).unwrap();
            u64::from_be_bytes(seed)
        },
        |seed| seed.parse().unwrap(),
    )
}

/// What the power was cut in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    Read,
    SetLen,
    Sync,
    Write,
}

#[derive(Debug)]
struct State {
    /// What a restart is sure to find.
    durable: Vec<u8>,
    /// What the running system reads.
    shown: Vec<u8>,
    /// Every content that an unsynced sector had since it was synced; each of them, or the durable one, may
    /// be found.
    unsynced: BTreeMap<usize, Vec<Sector>>,
    /// The same for the length.
    lengths: Vec<usize>,
    calls_left: Option<u64>,
    reads_count: bool,
    cut_in: Option<Call>,
    fail_sync_after: Option<u32>,
    capacity: Option<u64>,
    random: Random,
}

/// The disk; clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

fn off() -> io::Error {
    io::Error::other("the power is off")
}

impl State {
    /// Whether the call is done in full; the one that the cut hits is not.
    fn call(&mut self, call: Call) -> Result<bool, io::Error> {
        if self.cut_in.is_some() {
            return Err(off());
        }
        if call == Call::Read && !self.reads_count {
            return Ok(true);
        }
        match &mut self.calls_left {
            Some(0) => {
                self.cut_in = Some(call);
                Ok(false)
            }
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None => Ok(true),
        }
    }

    fn sector(bytes: &[u8], index: usize) -> Sector {
        let mut sector = [0; SECTOR];
        let from = (index * SECTOR).min(bytes.len());
        let to = (from + SECTOR).min(bytes.len());
        sector[..to - from].copy_from_slice(&bytes[from..to]);
        sector
    }

    fn note(&mut self, from: usize, to: usize) {
        for index in from / SECTOR..to.div_ceil(SECTOR) {
            let sector = Self::sector(&self.shown, index);
            self.unsynced.entry(index).or_default().push(sector);
        }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if end > self.shown.len() {
            self.set_len(end);
        }
        self.shown[offset..end].copy_from_slice(bytes);
        self.note(offset, end);
    }

    fn set_len(&mut self, len: usize) {
        let before = self.shown.len();
        self.shown.resize(len, 0);
        self.lengths.push(len);
        self.note(before.min(len), before.max(len));
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.shown);
        self.unsynced.clear();
        self.lengths.clear();
    }

    /// Makes durable what chance keeps of the unsynced.
    fn settle(&mut self) {
        let mut lengths = std::mem::take(&mut self.lengths);
        lengths.push(self.durable.len());
        let len = lengths[self.random.below(lengths.len() as u64) as usize];
        for (index, contents) in std::mem::take(&mut self.unsynced) {
            let chosen = self.random.below(contents.len() as u64 + 1) as usize;
            // The last is what nothing was written to.
            if let Some(sector) = contents.get(chosen) {
                let from = index * SECTOR;
                if self.durable.len() < from + SECTOR {
                    self.durable.resize(from + SECTOR, 0);
                }
                self.durable[from..from + SECTOR].copy_from_slice(sector);
            }
        }
        self.durable.resize(len, 0);
    }
}

impl SimulatedDisk {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            durable: Vec::new(),
            shown: Vec::new(),
            unsynced: BTreeMap::new(),
            lengths: Vec::new(),
            calls_left: None,
            reads_count: true,
            cut_in: None,
            fail_sync_after: None,
            capacity: None,
            random: Random::new(seed),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// The power goes in the call after so many more; reads, which are most calls of a repair, may not count.
    pub fn cut_after(&self, calls: u64, reads_count: bool) {
        let mut state = self.lock();
        state.calls_left = Some(calls);
        state.reads_count = reads_count;
    }

    /// What the power was cut in, if it was.
    pub fn cut_in(&self) -> Option<Call> {
        self.lock().cut_in
    }

    /// One sync fails after so many more.
    pub fn fail_sync_after(&self, syncs: u32) {
        self.lock().fail_sync_after = Some(syncs);
    }

    /// Bytes that the disk holds from now on, if it has an end.
    pub fn limit(&self, capacity: Option<u64>) {
        self.lock().capacity = capacity;
    }

    /// The power goes now, and comes back: a disk that holds what was synced and what chance kept of the
    /// rest.
    pub fn restart(&self) -> Self {
        let mut state = self.lock();
        let state = &mut *state;
        state.settle();
        state.cut_in.get_or_insert(Call::Sync);
        let again = Self::new(state.random.below(u64::MAX));
        again.lock().durable.clone_from(&state.durable);
        again.lock().shown.clone_from(&state.durable);
        again
    }
}

impl Disk for SimulatedDisk {
    fn len(&self) -> io::Result<u64> {
        let state = self.lock();
        match state.cut_in {
            Some(_) => Err(off()),
            None => Ok(state.shown.len() as u64),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.lock();
        if !state.call(Call::Read)? {
            return Err(off());
        }
        let from = usize::try_from(offset).unwrap();
        let found = state
            .shown
            .get(from..from + out.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.lock();
        let whole = state.call(Call::SetLen)?;
        if state.capacity.is_some_and(|capacity| len > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.set_len(usize::try_from(len).unwrap());
        if whole { Ok(()) } else { Err(off()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        if !state.call(Call::Sync)? {
            return Err(off());
        }
        let due = state.fail_sync_after;
        state.fail_sync_after = due.and_then(|left| left.checked_sub(1));
        if due == Some(0) {
            // As Linux does it: the pages count as clean from now on, whatever became of them.
            state.settle();
            return Err(io::Error::other("the sync failed"));
        }
        state.sync();
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let whole = state.call(Call::Write)?;
        if state
            .capacity
            .is_some_and(|capacity| offset + bytes.len() as u64 > capacity)
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.write(usize::try_from(offset).unwrap(), bytes);
        if whole { Ok(()) } else { Err(off()) }
    }

    fn free(&self) -> Option<u64> {
        None
    }
}
