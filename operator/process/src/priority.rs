//! The priority of threads within the process.

/// The nice value of threads that nobody waits for.
pub const BACKGROUND_NICE: i32 = 10;

/// Has this thread step back for those of the process that somebody waits for: its nice value becomes
/// [`BACKGROUND_NICE`]. Where the system does not allow it, the thread stays as it is.
pub fn lower_thread_priority() {
    let _ = rustix::process::setpriority_process(None, BACKGROUND_NICE);
}
