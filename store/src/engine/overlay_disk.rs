//! A disk that keeps its writes in memory and never touches the one below: for looking at a store file that
//! must not change, even one that needs repair. Must not be used where a write has to last.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::disk::Disk;

const BLOCK_BYTES: u64 = 4_096;

#[derive(Default)]
struct OverlayState {
    len: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

/// Copy-on-write over another disk.
pub struct OverlayDisk {
    below: Arc<dyn Disk>,
    below_len: u64,
    written: Mutex<OverlayState>,
}

impl OverlayDisk {
    /// Shows `below` as it is now.
    ///
    /// # Errors
    /// Where its length cannot be read.
    pub fn new(below: Arc<dyn Disk>) -> io::Result<Self> {
        let below_len = below.len()?;
        Ok(Self {
            below,
            below_len,
            written: Mutex::new(OverlayState {
                len: below_len,
                ..OverlayState::default()
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, OverlayState> {
        self.written.lock()
    }

    /// One block as it stands: written here, or from below, or zeros past its end.
    fn block(&self, written: &OverlayState, index: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = written.blocks.get(&index) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK_BYTES as usize];
        let start = index * BLOCK_BYTES;
        let there = usize::try_from(self.below_len.saturating_sub(start).min(BLOCK_BYTES)).unwrap_or(0);
        if let Some(part) = block.get_mut(..there)
            && !part.is_empty()
        {
            self.below.read(start, part)?;
        }
        Ok(block)
    }
}

/// The blocks that `len` bytes from `offset` touch: index, offset in the block, offset in the bytes, count.
fn spans(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0_usize;
    std::iter::from_fn(move || {
        let left = len.checked_sub(done).filter(|left| *left > 0)?;
        let at = offset + done as u64;
        let inside = usize::try_from(at % BLOCK_BYTES).ok()?;
        let count = left.min(BLOCK_BYTES as usize - inside);
        let span = (at / BLOCK_BYTES, inside, done, count);
        done += count;
        Some(span)
    })
}

impl Disk for OverlayDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.lock();
        if offset.saturating_add(out.len() as u64) > written.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (index, inside, done, count) in spans(offset, out.len()) {
            let block = self.block(&written, index)?;
            if let (Some(to), Some(from)) =
                (out.get_mut(done..done + count), block.get(inside..inside + count))
            {
                to.copy_from_slice(from);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.lock();
        if len < written.len {
            // What is cut off must read as zeros if the disk grows again.
            let boundary = len.div_ceil(BLOCK_BYTES);
            let last = written.len.div_ceil(BLOCK_BYTES);
            for index in boundary..last {
                written.blocks.insert(index, vec![0; BLOCK_BYTES as usize]);
            }
            if !len.is_multiple_of(BLOCK_BYTES) {
                let mut block = self.block(&written, len / BLOCK_BYTES)?;
                if let Some(tail) = block.get_mut(usize::try_from(len % BLOCK_BYTES).unwrap_or(0)..) {
                    tail.fill(0);
                }
                written.blocks.insert(len / BLOCK_BYTES, block);
            }
        }
        written.len = len;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut written = self.lock();
        for (index, inside, done, count) in spans(offset, bytes.len()) {
            let mut block = self.block(&written, index)?;
            if let (Some(to), Some(from)) = (
                block.get_mut(inside..inside + count),
                bytes.get(done..done + count),
            ) {
                to.copy_from_slice(from);
            }
            written.blocks.insert(index, block);
        }
        written.len = written.len.max(offset + bytes.len() as u64);
        Ok(())
    }

    fn free(&self) -> Option<u64> {
        None
    }
}

impl fmt::Debug for OverlayDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverlayDisk")
            .field("below", &self.below)
            .finish_non_exhaustive()
    }
}
