//! Which processors a process may use. Threads that a pinned thread starts inherit where it may run.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Outcome;

/// Lets a thread, or this one, run on one processor alone.
pub(crate) fn pin(thread: Option<Pid>, processor: usize) -> Outcome<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    Ok(sched_setaffinity(thread, &set)?)
}

/// Lets all threads of a process run on one processor alone.
pub(crate) fn pin_process(pid: u32, processor: usize) -> Outcome<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    allow(pid, &set)
}

/// Lets all threads of a process run on these processors.
pub(crate) fn allow(pid: u32, processors: &CpuSet) -> Outcome<()> {
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let id: i32 = thread?.file_name().to_string_lossy().parse()?;
        sched_setaffinity(Pid::from_raw(id), processors)?;
    }
    Ok(())
}
