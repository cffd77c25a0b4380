//! Which processors a process may use, and who comes first there. Threads that a pinned thread starts inherit
//! where it may run.

use std::process::Command;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Outcome;

/// Lets a thread, or this one, run on one processor alone.
pub(crate) fn pin(thread: Option<Pid>, processor: usize) -> Outcome<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    Ok(sched_setaffinity(thread, &set)?)
}

/// What is done with this thread, and with all that it starts, on one processor alone; afterwards the thread
/// may run where it did before.
pub(crate) fn pinned<T>(processor: usize, run: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let anywhere = sched_getaffinity(None)?;
    pin(None, processor)?;
    let done = run();
    sched_setaffinity(None, &anywhere)?;
    done
}

/// Lets all threads of a process run on one processor alone.
pub(crate) fn pin_process(pid: u32, processor: usize) -> Outcome<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    allow(pid, &set)
}

/// Has this thread run before all others of its processor whenever it has something to do (`SCHED_FIFO`,
/// which needs root): what it measures is how long it was left waiting, and not when it was its turn.
pub(crate) fn run_first() -> Outcome<()> {
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let set = Command::new("chrt")
        .args(["--fifo", "--pid", "1", &thread])
        .status()?;
    if set.success() {
        return Ok(());
    }
    Err("`chrt --fifo` was refused: run the bench as root".into())
}

/// Lets all threads of a process run on these processors.
pub(crate) fn allow(pid: u32, processors: &CpuSet) -> Outcome<()> {
    for thread in threads(pid)? {
        sched_setaffinity(thread, processors)?;
    }
    Ok(())
}

fn threads(pid: u32) -> Outcome<Vec<Option<Pid>>> {
    std::fs::read_dir(format!("/proc/{pid}/task"))?
        .map(|thread| Ok(Pid::from_raw(thread?.file_name().to_string_lossy().parse()?)))
        .collect()
}
