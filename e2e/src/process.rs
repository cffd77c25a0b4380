//! A process of the cluster: known by a mark in its environment, which it has from the instant at which it
//! runs, so that after a crash of the starter exactly ours are ended, and never one that got the same pid
//! later.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::{ClusterError, trying};

/// How long a process may take to end when asked.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The cluster's folder, in the environment of each of its processes.
const STATE: &str = "STRONGROOM_CLUSTER_STATE";

/// What the process is, in its environment.
const NAME: &str = "STRONGROOM_CLUSTER_PROCESS";

/// Starts `command` in a process group of its own, with its output in a log.
pub(crate) fn start(mut command: Command, name: &str, state: &Path) -> Result<(), ClusterError> {
    let log = File::create(log_of(name, state)).map_err(trying(format!("opening the log of {name}")))?;
    let err = log
        .try_clone()
        .map_err(trying(format!("opening the log of {name}")))?;
    let mut child = command
        .env(STATE, state)
        .env(NAME, name)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(err)
        .process_group(0)
        .spawn()
        .map_err(trying(format!("starting {name}")))?;
    // The new program runs a moment before its environment can be read. From here on, one without the mark
    // has ended.
    let pid = i32::try_from(child.id()).unwrap_or(0);
    while !has_mark(pid, ProcessFilter::Named(name), state) {
        let ended = child
            .try_wait()
            .map_err(trying(format!("looking after {name}")))?;
        if ended.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Marks a command that its caller waits for, so that it too is ended with the cluster where the caller was
/// killed meanwhile.
pub(crate) fn mark(command: &mut Command, state: &Path) {
    command.env(STATE, state);
}

/// Where the output of a process goes.
pub(crate) fn log_of(name: &str, state: &Path) -> PathBuf {
    state.join("log").join(format!("{name}.log"))
}

/// Which processes are meant.
#[derive(Clone, Copy)]
enum ProcessFilter<'a> {
    /// Every one of the cluster.
    Any,
    /// Those of this name.
    Named(&'a str),
}

/// Whether a process bears the mark. One that has ended, or that we may not look at, does not.
fn has_mark(pid: i32, filter: ProcessFilter<'_>, state: &Path) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    let has = |name: &str, value: &[u8]| {
        environment
            .split(|byte| *byte == 0)
            .filter_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
            .any(|found| found == value)
    };
    has(STATE, state.as_os_str().as_encoded_bytes())
        && match filter {
            ProcessFilter::Any => true,
            ProcessFilter::Named(name) => has(NAME, name.as_bytes()),
        }
}

/// The processes that bear the mark now. A zombie has no environment any more, and is none.
fn marked(filter: ProcessFilter<'_>, state: &Path) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| has_mark(*pid, filter, state))
        .collect()
}

/// Whether a process runs.
pub(crate) fn is_running(name: &str, state: &Path) -> bool {
    !marked(ProcessFilter::Named(name), state).is_empty()
}

/// The processes of a name: in a sandbox also those that it started.
pub(crate) fn all(name: &str, state: &Path) -> Vec<i32> {
    marked(ProcessFilter::Named(name), state)
}

/// Ends the processes of a name: asks, and after a while kills. None that runs is no error.
pub(crate) fn stop(name: &str, state: &Path) -> Result<(), ClusterError> {
    end(ProcessFilter::Named(name), &[Signal::TERM, Signal::KILL], state)
}

/// Kills the processes of a name.
pub(crate) fn kill(name: &str, state: &Path) -> Result<(), ClusterError> {
    end(ProcessFilter::Named(name), &[Signal::KILL], state)
}

/// Ends every process of the cluster, whatever started it.
pub(crate) fn stop_all(state: &Path) -> Result<(), ClusterError> {
    end(ProcessFilter::Any, &[Signal::TERM, Signal::KILL], state)
}

fn end(filter: ProcessFilter<'_>, signals: &[Signal], state: &Path) -> Result<(), ClusterError> {
    for signal in signals {
        let deadline = Instant::now() + TIMEOUT;
        let mut told = Vec::new();
        loop {
            let left = marked(filter, state);
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                break;
            }
            // Also those that one of them started meanwhile.
            for pid in left {
                if !told.contains(&pid) {
                    told.push(pid);
                    send(pid, *signal, filter, state);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    match marked(filter, state).first() {
        Some(pid) => Err(ClusterError::Stuck(*pid)),
        None => Ok(()),
    }
}

/// Signals a process by a handle of it, which is looked at once more: the pid may have become another's.
fn send(pid: i32, signal: Signal, filter: ProcessFilter<'_>, state: &Path) {
    let Some(handle) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return;
    };
    if has_mark(pid, filter, state) {
        // It may end between the look and the signal.
        let _ = pidfd_send_signal(&handle, signal);
    }
}
