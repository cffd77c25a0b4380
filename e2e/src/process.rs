//! A process of the cluster: known by its pid and the time it started, so that after a crash of the starter exactly ours are
//! ended and never one that got the same pid later.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::error::{ClusterError, trying};

/// How long a process may take to end when asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts `command` in a process group of its own, with its output in a log, and writes its pid file.
pub(crate) fn start(mut command: Command, name: &str, state: &Path) -> Result<(), ClusterError> {
    let log = File::create(log_of(name, state)).map_err(trying(format!("opening the log of {name}")))?;
    let err = log
        .try_clone()
        .map_err(trying(format!("opening the log of {name}")))?;
    command
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(err)
        .process_group(0);
    let mut child = command.spawn().map_err(trying(format!("starting {name}")))?;
    let pid = i32::try_from(child.id()).unwrap_or(0);
    let line = format!("{pid} {}\n", started(pid).unwrap_or_default());
    fs::write(pid_file(name, state), line).map_err(|error| {
        // Without its pid file nobody would ever end it.
        let _ = child.kill();
        trying(format!("writing the pid of {name}"))(error)
    })
}

/// Where the output of a process goes.
pub(crate) fn log_of(name: &str, state: &Path) -> PathBuf {
    state.join("log").join(format!("{name}.log"))
}

fn pid_file(name: &str, state: &Path) -> PathBuf {
    state.join("pid").join(name)
}

/// The time a process started, in clock ticks since boot: field 22 of its stat (proc(5)).
fn started(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold blanks and parentheses; fields are counted from behind the last one.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    // A zombie has ended; somebody only has to read its status.
    (state != "Z").then(|| fields.nth(18).map(str::to_owned))?
}

/// The process of a pid file, if it still is the one that was started.
fn running(name: &str, state: &Path) -> Option<Pid> {
    let line = fs::read_to_string(pid_file(name, state)).ok()?;
    let (pid, since) = line.trim().split_once(' ')?;
    let pid = pid.parse().ok()?;
    (started(pid)? == since).then(|| Pid::from_raw(pid))?
}

/// Whether a process runs.
pub(crate) fn is_running(name: &str, state: &Path) -> bool {
    running(name, state).is_some_and(|pid| test_kill_process(pid).is_ok())
}

/// Ends a process: asks, and after a while kills. One that runs no more is no error.
pub(crate) fn stop(name: &str, state: &Path) -> Result<(), ClusterError> {
    for signal in [Signal::TERM, Signal::KILL] {
        let Some(pid) = running(name, state) else { break };
        // It may end between the look and the signal.
        let _ = kill_process(pid, signal);
        let deadline = Instant::now() + PATIENCE;
        while running(name, state).is_some() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    match running(name, state) {
        Some(pid) => Err(ClusterError::Stuck(pid.as_raw_nonzero().get())),
        None => {
            let _ = fs::remove_file(pid_file(name, state));
            Ok(())
        }
    }
}
