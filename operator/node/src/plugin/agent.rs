//! The sockets of volumes: created with the volume, created again by a new process that finds the volume, and
//! repaired as its files are.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::Plugin;
use crate::agent::{self, BoundSocket, VolumeSocket, VolumeSocketError};
use crate::stream::SubscriptionSnapshot;
use crate::volumes::Volume;

impl Volume {
    /// Makes its socket in its top folder, where its pod wants one.
    ///
    /// # Errors
    /// [`VolumeSocketError`].
    pub(super) fn bind(&self, root: BorrowedFd<'_>) -> Result<Option<BoundSocket>, VolumeSocketError> {
        if !self.attributes.socket {
            return Ok(None);
        }
        let mode = self.attributes.default_mode(self.group.is_some());
        agent::bind(root, mode, self.group).map(Some)
    }

    /// The files are made of this now: so is what is answered.
    pub(super) fn show_on_socket(&self, snapshot: &SubscriptionSnapshot) {
        if let Some(shown) = &self.shown {
            shown.show(
                snapshot
                    .secrets
                    .iter()
                    .map(|secret| Arc::clone(&secret.delivered)),
            );
        }
    }

    /// The files go. Said before they do: whoever sees one gone is answered nothing either.
    pub(super) fn revoke_on_socket(&self) {
        if let Some(shown) = &self.shown {
            shown.revoke();
        }
    }
}

impl Plugin {
    /// Answers at a volume's socket. Where that fails kubelet's next publish tries again; the files are
    /// there.
    pub(super) async fn open(&self, volume: &Volume, bound: Result<Option<BoundSocket>, VolumeSocketError>) {
        let open = |(bound, shown)| VolumeSocket::open(bound, shown, self.parts.metrics.clone());
        let opened = bound.and_then(|bound| bound.zip(volume.shown.clone()).map(open).transpose());
        match opened {
            Ok(socket) => {
                let before = std::mem::replace(&mut *volume.socket.lock().await, socket);
                if let Some(before) = before {
                    before.close().await;
                }
            }
            Err(error) => tracing::warn!(%error, volume = volume.id, "volume socket open failed"),
        }
    }

    /// A repeated publish: a socket that went, or that nobody answers at, is made anew.
    pub(super) async fn mend_socket(&self, volume: &Volume, root: BorrowedFd<'_>) {
        let answered = volume.socket.lock().await.is_some() && agent::is_there(root);
        if volume.attributes.socket && !answered {
            self.open(volume, volume.bind(root)).await;
        }
    }
}
