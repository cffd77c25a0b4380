//! The socket that kubelet calls.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;

/// Longest path of a Unix socket, in bytes (`man 7 unix`), without the NUL.
const PATH_BYTES: usize = 107;

/// kubelet cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The path is too long for the kernel.
    #[error("the socket path {} is longer than {PATH_BYTES} bytes: choose a shorter directory for kubelet", .0.display())]
    Long(PathBuf),
    /// The socket cannot be made.
    #[error("cannot listen on {}: {source}", path.display())]
    Bind {
        /// Where kubelet looks for it.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It broke.
    #[error("the socket broke: {0}")]
    Serve(String),
}

/// Listens. A socket that a dead process left is replaced in one step, so that kubelet never sees it missing
/// and forgets the driver; for the same reason nobody removes it at the end.
///
/// # Errors
/// [`SocketError`].
pub fn bind(path: &Path) -> Result<UnixListenerStream, SocketError> {
    let refused = |source| SocketError::Bind {
        path: path.to_owned(),
        source,
    };
    // kubelet ignores names that begin with a dot.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let made = path.with_file_name(format!(".{name}"));
    if made.as_os_str().len() > PATH_BYTES {
        return Err(SocketError::Long(path.to_owned()));
    }
    let listen = || {
        match fs::remove_file(&made) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&made)?;
        fs::set_permissions(&made, fs::Permissions::from_mode(0o600))?;
        fs::rename(&made, path)?;
        Ok(listener)
    };
    listen().map(UnixListenerStream::new).map_err(refused)
}

/// Whether a process listens there.
pub async fn is_served(path: &Path) -> bool {
    UnixStream::connect(path).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_takes_the_place_of_a_dead_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a@b.sock");
        assert!(!is_served(&path).await);
        drop(bind(&path).unwrap());
        assert!(path.exists() && !is_served(&path).await);
        let _second = bind(&path).unwrap();
        assert!(is_served(&path).await);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let long = dir.path().join("x".repeat(100));
        assert!(matches!(bind(&long), Err(SocketError::Long(_))));
        assert!(matches!(
            bind(&dir.path().join("no/where")),
            Err(SocketError::Bind { .. })
        ));
    }
}
