//! What a person at the running process can ask of it, through the socket `admin.sock` beside the store.
//!
//! | module | idea |
//! |---|---|
//! | [`frame`] | requests and answers, as [`strongroom_store::admin`] writes them, one after the other |
//! | [`server`] | listens, and answers |
//! | [`client`] | asks |
//! | [`backup`] | one snapshot as a stream of frames |
//! | [`slots`] | seal slots of an open store: also for a stopped one, which a command opens itself |
//!
//! Who may open the socket is the file system's business (mode 0600 in a directory of mode 0700): the same
//! user as the process, or root, who could read its memory anyway. Every request that changes something or
//! takes a backup is audited with the caller's user and process id. Must not be reachable through a network,
//! and must not give a value away.
//!
//! Frames are written by hand, and are no HTTP: a request carries the key of a new slot, which opens the
//! whole store, and here it is in one buffer that is wiped. In those of an HTTP server nobody could wipe it.

mod backup;
mod client;
mod frame;
mod server;
mod slots;
#[cfg(test)]
mod tests;

pub(crate) use client::Client;
pub(crate) use server::{Admin, Listener};
pub(crate) use slots::{SlotError, add_slot, new_recovery_key, remove_slot};
pub(crate) use strongroom_store::admin::SlotLine;

use std::path::{Path, PathBuf};

use strongroom_store::codec::DecodeError;

/// The socket's name in the store's directory.
const SOCKET: &str = "admin.sock";

fn socket(dir: &Path) -> PathBuf {
    dir.join(SOCKET)
}

/// The running process was not asked, or said no.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    /// The socket cannot be made.
    #[error("the admin socket `{path}` cannot be created: {source}")]
    Listen {
        /// The socket in the store's folder, lossily if it is not UTF-8.
        path: String,
        source: std::io::Error,
    },
    /// The socket cannot be opened.
    #[error(
        "the admin socket `{path}` cannot be opened: {source}; run this command as the user of the process"
    )]
    Connect {
        /// The socket in the store's folder, lossily if it is not UTF-8.
        path: String,
        source: std::io::Error,
    },
    /// The connection broke off.
    #[error("the process closed the connection in the middle of its answer: {0}")]
    Broken(#[from] std::io::Error),
    /// The bytes are of another version, or no message.
    #[error("the process uses another version of this protocol ({0}); use the same binary as the process")]
    Message(#[from] DecodeError),
    /// The process refused or failed.
    #[error("{0}")]
    Refused(String),
    /// A frame that is out of place.
    #[error("the process sent an unexpected kind of answer; use the same binary as the process")]
    Unexpected,
}
