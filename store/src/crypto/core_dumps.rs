//! Disables core dumps, so that the memory of the process is never written to a disk.

use std::io;

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
