//! The volumes of this node, and that only one call at a time works on each. Must not touch a mount or a
//! file.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use strongroom_render::attributes::Attributes;

use crate::agent::{VolumeSnapshot, VolumeSocket};
use crate::mount::Limits;
use crate::notice::Notices;
use crate::offline::TokenClaims;
use crate::pod::Pod;

/// A volume that is, or is about to be, mounted.
#[derive(Debug)]
pub struct Volume {
    /// CSI's id of it.
    pub id: String,
    /// Where it is mounted.
    pub target: PathBuf,
    /// What its pod asked for.
    pub attributes: Attributes,
    /// For whom it is, by kubelet.
    pub pod: Pod,
    /// The pod's fsGroup.
    pub group: Option<u32>,
    /// How large it may become.
    pub limits: Limits,
    /// Whose its pod's token is, once there was one.
    pub account: Mutex<Option<TokenClaims>>,
    /// What is answered at its socket, where its pod wants one.
    pub shown: Option<Arc<VolumeSnapshot>>,
    /// Its socket, while it is open.
    pub socket: tokio::sync::Mutex<Option<VolumeSocket>>,
    /// Whether its pod is being told of a change.
    pub notices: Notices,
    /// Held while its files are written. Not held over a wait for anybody else.
    pub writing: tokio::sync::Mutex<VolumeState>,
}

impl Volume {
    /// Closes its socket: nothing of that keeps it from being unmounted then.
    pub async fn close_socket(&self) {
        let socket = self.socket.lock().await.take();
        if let Some(socket) = socket {
            socket.close().await;
        }
    }
}

/// What a volume shows.
#[derive(Debug, Default)]
pub struct VolumeState {
    /// Ids of the versions, in the order of its secrets; empty where it shows nothing.
    pub versions: Vec<String>,
    /// Those that it showed first, where its files are read once; otherwise empty.
    pub first: Vec<String>,
    /// The number of the file system that it was mounted as (`st_dev`); 0 until it is.
    pub device: u64,
    /// Whether it could not be made what the gateway said last.
    pub behind: bool,
}

/// Another call works on the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another call is working on this volume; kubelet tries again")]
pub struct VolumeBusy;

#[derive(Debug, Default)]
struct Slot {
    claimed: bool,
    volume: Option<Arc<Volume>>,
}

/// All volumes, by id; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Volumes(Arc<Mutex<HashMap<String, Slot>>>);

impl Volumes {
    /// Claims a volume for one call.
    ///
    /// # Errors
    /// [`VolumeBusy`].
    pub fn claim(&self, id: &str) -> Result<Claim, VolumeBusy> {
        let mut slots = self.0.lock();
        let slot = slots.entry(id.to_owned()).or_default();
        if slot.claimed {
            return Err(VolumeBusy);
        }
        slot.claimed = true;
        Ok(Claim {
            volumes: self.clone(),
            id: id.to_owned(),
        })
    }

    /// A volume by its id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Arc<Volume>> {
        self.0.lock().get(id)?.volume.clone()
    }

    /// Ids of all volumes.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let slots = self.0.lock();
        let known = slots.iter().filter(|(_, slot)| slot.volume.is_some());
        known.map(|(id, _)| id.clone()).collect()
    }
}

/// The right to work on a volume; given back when dropped.
#[derive(Debug)]
pub struct Claim {
    volumes: Volumes,
    id: String,
}

impl Claim {
    /// The volume, if it is known.
    #[must_use]
    pub fn volume(&self) -> Option<Arc<Volume>> {
        self.volumes.find(&self.id)
    }

    /// Makes it known.
    pub fn put(&self, volume: Arc<Volume>) {
        self.volumes.0.lock().entry(self.id.clone()).or_default().volume = Some(volume);
    }

    /// Forgets it.
    pub fn take(&self) -> Option<Arc<Volume>> {
        self.volumes.0.lock().get_mut(&self.id)?.volume.take()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut slots = self.volumes.0.lock();
        if let Some(slot) = slots.get_mut(&self.id) {
            slot.claimed = false;
            if slot.volume.is_none() {
                slots.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(id: &str) -> Arc<Volume> {
        Arc::new(Volume {
            id: id.into(),
            target: "/t".into(),
            attributes: Attributes {
                secrets: Vec::new(),
                files: Vec::new(),
                mode: None,
                size: None,
                socket: false,
                reads: strongroom_render::attributes::ReadMode::Follows,
                notify: None,
            },
            pod: Pod::default(),
            group: None,
            limits: Limits { bytes: 0, inodes: 0 },
            account: Mutex::default(),
            shown: None,
            socket: tokio::sync::Mutex::default(),
            notices: Notices::default(),
            writing: tokio::sync::Mutex::default(),
        })
    }

    #[test]
    fn one_call_at_a_time_works_on_a_volume() {
        let volumes = Volumes::default();
        let claim = volumes.claim("a").unwrap();
        assert_eq!(volumes.claim("a").unwrap_err(), VolumeBusy);
        assert!(volumes.claim("b").is_ok());
        claim.put(volume("a"));
        drop(claim);
        let claim = volumes.claim("a").unwrap();
        assert_eq!(claim.volume().unwrap().id, "a");
        assert_eq!(volumes.ids(), ["a"]);
        claim.take();
        drop(claim);
        assert!(volumes.find("a").is_none() && volumes.0.lock().is_empty());
    }
}
