//! The socket file in a volume, and the task that answers requests on it.
//!
//! INVARIANT: an open socket keeps its volume from being unmounted, and so does each connection; once closed,
//! neither does.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Gid, Mode};
use rustix::io::Errno;
use strongroom_render::path::FileMode;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::serve::serve;
use super::volume_snapshot::VolumeSnapshot;
use crate::metrics::Metrics;

/// The socket's name in a volume's top folder. It begins as the volume's own files do, so that no file of a
/// pod's can be there.
pub const SOCKET: &str = "..strongroom.sock";
/// What it is called until everybody may connect who may.
const SOCKET_NEW: &str = "..strongroom.sock_tmp";

/// The socket could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the volume's socket: {step}: {source}")]
pub struct VolumeSocketError {
    step: &'static str,
    source: io::Error,
}

fn trying<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> VolumeSocketError {
    move |source| VolumeSocketError {
        step,
        source: source.into(),
    }
}

/// A socket with its place in a volume, behind which nobody answers yet: whoever connects waits.
#[derive(Debug)]
pub struct BoundSocket(UnixListener);

/// Makes the socket in a volume's top folder, in the place of one that an earlier process left. Who may read
/// files of this mode may connect.
///
/// # Errors
/// [`VolumeSocketError`].
pub fn bind(
    root: BorrowedFd<'_>,
    mode: FileMode,
    group: Option<u32>,
) -> Result<BoundSocket, VolumeSocketError> {
    remove(root, SOCKET_NEW)?;
    // A socket's address has 107 bytes, fewer than the path of most volumes; and the volume may have no path
    // yet.
    let path = format!("/proc/self/fd/{}/{SOCKET_NEW}", root.as_raw_fd());
    let listener = UnixListener::bind(path).map_err(trying("making it"))?;
    listener.set_nonblocking(true).map_err(trying("making it"))?;
    if let Some(group) = group {
        let group = Some(Gid::from_raw(group));
        rustix::fs::chownat(root, SOCKET_NEW, None, group, AtFlags::SYMLINK_NOFOLLOW).map_err(trying::<
            Errno,
        >(
            "giving it to its group",
        ))?;
    }
    let mode = Mode::from_raw_mode(connecting(mode));
    rustix::fs::chmodat(root, SOCKET_NEW, mode, AtFlags::empty())
        .map_err(trying::<Errno>("opening it to its readers"))?;
    rustix::fs::renameat(root, SOCKET_NEW, root, SOCKET)
        .map_err(trying::<Errno>("putting it in its place"))?;
    Ok(BoundSocket(listener))
}

/// Whether there is a socket at its place.
#[must_use]
pub fn is_there(root: BorrowedFd<'_>) -> bool {
    let there = rustix::fs::statat(root, SOCKET, AtFlags::SYMLINK_NOFOLLOW);
    there.is_ok_and(|there| FileType::from_raw_mode(there.st_mode) == FileType::Socket)
}

fn remove(root: BorrowedFd<'_>, name: &str) -> Result<(), VolumeSocketError> {
    match rustix::fs::unlinkat(root, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(trying("removing an old one")(error)),
    }
}

/// Whoever reads may connect, for which the kernel asks for the right to write (`man 7 unix`).
const fn connecting(mode: FileMode) -> u32 {
    let reads = mode.bits() & 0o444;
    reads | reads >> 1
}

/// A socket that is answered, until this is closed or dropped.
#[derive(Debug)]
pub struct VolumeSocket {
    /// Its end is the sign to stop.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl VolumeSocket {
    /// Answers at a socket.
    ///
    /// # Errors
    /// [`VolumeSocketError`].
    pub fn open(
        bound: BoundSocket,
        snapshot: Arc<VolumeSnapshot>,
        metrics: Metrics,
    ) -> Result<Self, VolumeSocketError> {
        let listener = tokio::net::UnixListener::from_std(bound.0).map_err(trying("listening"))?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, snapshot, metrics, stopped));
        Ok(Self { stop, task })
    }

    /// Returns once neither the socket nor a connection is left.
    pub async fn close(self) {
        drop(self.stop);
        // It neither panics nor is it cancelled, but for the end of the process.
        let _ = self.task.await;
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};

    use super::*;

    #[test]
    fn whoever_reads_may_connect_and_a_stale_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::File::open(dir.path()).unwrap();
        assert!(!is_there(root.as_fd()));
        for (mode, expected) in [("0444", 0o666), ("0440", 0o660), ("0400", 0o600), ("0755", 0o666)] {
            // What is there of an earlier process is nobody's.
            std::fs::write(dir.path().join(SOCKET_NEW), "").unwrap();
            drop(bind(root.as_fd(), mode.parse().unwrap(), None).unwrap());
            let there = std::fs::symlink_metadata(dir.path().join(SOCKET)).unwrap();
            assert!(there.file_type().is_socket() && is_there(root.as_fd()));
            assert_eq!(there.permissions().mode() & 0o7777, expected, "{mode}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
