//! Kills the process between two steps, for tests. A build without the feature `testing` has none of this.

/// Where a test may end this process as a crash or a lack of memory would: `STRONGROOM_FAULT` names the
/// point.
#[cfg(feature = "testing")]
pub fn point(name: &str) {
    if std::env::var_os("STRONGROOM_FAULT").is_some_and(|chosen| chosen == name) {
        let me = rustix::process::getpid();
        // SIGKILL, so that nothing is tidied up.
        let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
    }
}

/// Does nothing without the feature `testing`.
#[cfg(not(feature = "testing"))]
#[inline(always)]
pub(crate) const fn point(_: &str) {}
