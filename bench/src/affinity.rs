//! Which processors a process may use, and who comes first there. Threads that a pinned thread starts inherit
//! where it may run.

use rustix::process::{Pid, setpriority_process};
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
    for thread in threads(pid)? {
        sched_setaffinity(thread, processors)?;
    }
    Ok(())
}

/// Sets how far all threads of a process give way to others, from 0 (as others) to 19.
pub(crate) fn nice(pid: u32, nice: i32) -> Outcome<()> {
    for thread in threads(pid)? {
        setpriority_process(thread, nice)?;
    }
    Ok(())
}

fn threads(pid: u32) -> Outcome<Vec<Option<Pid>>> {
    std::fs::read_dir(format!("/proc/{pid}/task"))?
        .map(|thread| Ok(Pid::from_raw(thread?.file_name().to_string_lossy().parse()?)))
        .collect()
}
