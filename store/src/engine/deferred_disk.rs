//! A disk that holds its writes back until it is released: opening a store repairs and marks its file, and
//! none of that may reach the file before the store is known to be the right one. What was held is then done
//! in its order, syncs among it, so that a cut in the midst leaves what a cut while opening would have left.
//! Must not reorder, merge or drop anything.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::disk::Disk;
use super::overlay_disk::OverlayDisk;

enum DeferredWrite {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

enum State {
    /// What is read, and what is still to be done below.
    Holding(OverlayDisk, VecDeque<DeferredWrite>),
    Released,
}

/// Writes nothing to the disk below until it is released.
pub(super) struct DeferredDisk {
    below: Arc<dyn Disk>,
    state: RwLock<State>,
}

impl DeferredDisk {
    /// # Errors
    /// Where the length of `below` cannot be read.
    pub(super) fn new(below: Arc<dyn Disk>) -> io::Result<Self> {
        let view = OverlayDisk::new(Arc::clone(&below))?;
        Ok(Self {
            below,
            state: RwLock::new(State::Holding(view, VecDeque::new())),
        })
    }

    fn reading(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    fn writing(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write()
    }

    /// A released disk never holds again, so that this needs no lock for writing.
    fn holds(&self) -> bool {
        matches!(*self.reading(), State::Holding(..))
    }

    /// Does what was held, and holds nothing from now on. Again after it is released: nothing.
    ///
    /// # Errors
    /// What the disk below says. What was not done is still held; after a full disk it may be tried again.
    pub(super) fn release(&self) -> io::Result<()> {
        if !self.holds() {
            return Ok(());
        }
        let mut state = self.writing();
        if let State::Holding(_, held) = &mut *state {
            while let Some(next) = held.front() {
                match next {
                    DeferredWrite::Write(offset, bytes) => self.below.write(*offset, bytes)?,
                    DeferredWrite::SetLen(len) => self.below.set_len(*len)?,
                    DeferredWrite::Sync => self.below.sync()?,
                }
                held.pop_front();
            }
        }
        *state = State::Released;
        Ok(())
    }
}

impl Disk for DeferredDisk {
    fn len(&self) -> io::Result<u64> {
        match &*self.reading() {
            State::Holding(view, _) => view.len(),
            State::Released => self.below.len(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match &*self.reading() {
            State::Holding(view, _) => view.read(offset, out),
            State::Released => self.below.read(offset, out),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.holds()
            && let State::Holding(view, held) = &mut *self.writing()
        {
            held.push_back(DeferredWrite::SetLen(len));
            return view.set_len(len);
        }
        self.below.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        if self.holds()
            && let State::Holding(_, held) = &mut *self.writing()
        {
            held.push_back(DeferredWrite::Sync);
            return Ok(());
        }
        self.below.sync()
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.holds()
            && let State::Holding(view, held) = &mut *self.writing()
        {
            held.push_back(DeferredWrite::Write(offset, bytes.to_vec()));
            return view.write(offset, bytes);
        }
        self.below.write(offset, bytes)
    }

    fn free(&self) -> Option<u64> {
        self.below.free()
    }
}

impl fmt::Debug for DeferredDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeferredDisk")
            .field("below", &self.below)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
