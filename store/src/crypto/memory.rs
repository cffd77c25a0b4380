//! Memory for keys, and no core dumps. Must not fail a start: where the system allows no lock, it goes on without, and says so.
//!
//! `memfd_secret` pages would also hide keys from the kernel's own dumps; mapping one needs unsafe code, which this workspace
//! forbids. Locked pages and a process that cannot be dumped are what safe code can have.

use std::fmt;
use std::io;

use zeroize::Zeroize;

/// So many bytes on pages that are not swapped out, where the system allows it; wiped when dropped.
pub(super) struct Locked<const N: usize> {
    bytes: Box<[u8; N]>,
    lock: Option<region::LockGuard>,
}

impl<const N: usize> Locked<N> {
    pub(super) fn new(bytes: &[u8; N]) -> Self {
        // The page is locked before the key comes to stand on it.
        let mut boxed = Box::new([0; N]);
        let lock = region::lock(boxed.as_ptr(), N).ok();
        boxed.copy_from_slice(bytes);
        Self { bytes: boxed, lock }
    }

    pub(super) const fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    pub(super) fn expose(&self) -> &[u8; N] {
        &self.bytes
    }
}

impl<const N: usize> Drop for Locked<N> {
    fn drop(&mut self) {
        // INVARIANT: fields are dropped after this, so the bytes are wiped while their page is still locked.
        self.bytes.zeroize();
    }
}

impl<const N: usize> fmt::Debug for Locked<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locked").finish_non_exhaustive()
    }
}

/// What [`forbid_core_dumps`] brought about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CoreDumps {
    /// The process cannot be dumped, traced by its own user, or read through `/proc`.
    Forbidden,
}

/// Makes the process undumpable and sets its core size limit to zero. To be called first in `main`.
///
/// # Errors
/// What the operating system says.
pub fn forbid_core_dumps() -> io::Result<CoreDumps> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(CoreDumps::Forbidden)
}
