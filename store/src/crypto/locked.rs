//! Memory for keys that live as long as the store is open: pages that are not swapped out, where the system
//! allows it.
//!
//! Must not fail a start: where no page can be locked, keys stand in ordinary memory and
//! [`LockedBytes::is_locked`] says so, for the caller to warn. `memfd_secret(2)` and `madvise(2)` would also
//! hide the pages from the kernel's dumps; no maintained crate gives either through safe calls, and this
//! workspace forbids unsafe code. [`super::forbid_core_dumps`] stands in.

use std::fmt;

use parking_lot::Mutex;
use zeroize::Zeroize;

/// Bytes of the longest key.
const SLOT: usize = 64;
const SLOTS: usize = 64;

/// INVARIANT: pages are neither given back nor unlocked. `mlock` does not count: unlocking what one key
/// stands on would unlock its neighbour on the same page.
#[repr(align(4096))]
struct Page([[u8; SLOT]; SLOTS]);

struct Slot {
    bytes: &'static mut [u8; SLOT],
    locked: bool,
}

/// Slots that hold no key. They are all zeros.
static FREE: Mutex<Vec<Slot>> = Mutex::new(Vec::new());

/// So many bytes of key; wiped when dropped.
pub(super) struct LockedBytes<const N: usize>(Option<Slot>);

impl<const N: usize> LockedBytes<N> {
    pub(super) fn new(key: &[u8; N]) -> Self {
        const { assert!(N <= SLOT, "no key is longer than a slot") };
        let slot = free_slot();
        for (to, from) in slot.bytes.iter_mut().zip(key) {
            *to = *from;
        }
        Self(Some(slot))
    }

    pub(super) fn is_locked(&self) -> bool {
        self.0.as_ref().is_some_and(|slot| slot.locked)
    }

    pub(super) fn expose(&self) -> &[u8; N] {
        let key = self.0.as_ref().and_then(|slot| slot.bytes.first_chunk::<N>());
        // INVARIANT: only `drop` takes the slot, and a slot is never shorter than N.
        let Some(key) = key else {
            unreachable!("a key without its memory")
        };
        key
    }
}

/// A free slot, of a new page where there is none.
fn free_slot() -> Slot {
    let mut free = FREE.lock();
    if let Some(slot) = free.pop() {
        return slot;
    }
    let page: &'static mut Page = Box::leak(Box::new(Page([[0; SLOT]; SLOTS])));
    let locked = match region::lock(std::ptr::from_ref(page), size_of::<Page>()) {
        Ok(guard) => {
            std::mem::forget(guard);
            true
        }
        Err(_) => false,
    };
    let mut slots = page.0.iter_mut().map(|bytes| Slot { bytes, locked });
    let first = slots.next();
    free.extend(slots);
    // INVARIANT: a page has 64 slots.
    let Some(first) = first else {
        unreachable!("a page without slots")
    };
    first
}

impl<const N: usize> Drop for LockedBytes<N> {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.bytes.zeroize();
            FREE.lock().push(slot);
        }
    }
}

impl<const N: usize> fmt::Debug for LockedBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockedBytes").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::scan;

    fn random() -> [u8; 64] {
        let mut key = [0; 64];
        getrandom::fill(&mut key).unwrap();
        key
    }

    #[test]
    fn keys_are_wiped_when_dropped_and_neighbours_stay() {
        let (first, second) = (random(), random());
        let kept = LockedBytes::new(&second);
        let key = LockedBytes::new(&first);
        let at = scan::address_of(key.expose());
        assert_eq!(scan::read(at, 64), first);
        drop(key);
        // Another test may be given the slot at once; it has another key.
        assert_ne!(scan::read(at, 64), first);
        assert_eq!(*kept.expose(), second);
    }

    #[test]
    fn more_keys_than_a_page_holds_stand_apart() {
        let keys: Vec<[u8; 64]> = (0..SLOTS * 2 + 1).map(|_| random()).collect();
        let locked: Vec<LockedBytes<64>> = keys.iter().map(LockedBytes::new).collect();
        for (key, locked) in keys.iter().zip(&locked) {
            assert_eq!(key, locked.expose());
        }
    }

    #[test]
    fn the_kernel_counts_the_page_as_locked() {
        let key = LockedBytes::new(&random());
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let locked_kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmLck:"))
            .and_then(|rest| rest.split_whitespace().next())
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(key.is_locked(), locked_kib >= 4, "{locked_kib} KiB are locked");
    }
}
