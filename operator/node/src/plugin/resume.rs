//! What a start finds, and what a look around finds later: volumes to follow on, and records of volumes that are gone.

use std::os::fd::AsFd;
use std::sync::Arc;

use strongroom_render::attributes::Attributes;

use super::{Plugin, PluginError, Request, wants};
use crate::mount::{self, There};
use crate::state::{self, Kept};
use crate::volumes::Shows;

impl Plugin {
    /// Follows on the volumes of an earlier process. They have no token until kubelet publishes them again, which it does within one and a
    /// half minutes; then they are subscribed to.
    ///
    /// # Errors
    /// Where records or the mount table cannot be read.
    pub async fn resume(&self) -> Result<(), PluginError> {
        let found = state::resume(self.parts.states.all()?, &mount::ours()?, &self.parts.boot_id);
        let (volumes, orphans) = (found.volumes.len(), found.orphans.len());
        for orphan in found.orphans {
            self.parts.states.forget(&orphan)?;
        }
        for kept in found.volumes {
            let id = kept.volume_id.clone();
            if let Err(error) = self.follow_on(kept).await {
                // kubelet publishes it again, and then it is taken over as it is.
                tracing::warn!(%error, volume = id, "the record of a volume means nothing any more");
                self.parts.states.forget(&id)?;
            }
        }
        tracing::info!(volumes, orphans, "looked for volumes of an earlier process");
        Ok(())
    }

    async fn follow_on(&self, kept: Kept) -> Result<(), PluginError> {
        let claim = self.volumes.claim(&kept.volume_id)?;
        let request = Request {
            attributes: Attributes::parse(&kept.attributes)?,
            volume_id: kept.volume_id,
            target: kept.target,
            group: kept.group,
            text: kept.attributes,
            pod: kept.pod.into(),
            token: None,
        };
        let volume = self.volume(&request);
        let There::Volume(root) = mount::look(&volume.target)? else {
            return Err(PluginError::NoVolume);
        };
        let asked = wants(&volume, &kept.versions, &kept.first);
        *volume.writing.lock().await = Shows {
            device: mount::device_of(root.as_fd())?,
            versions: kept.versions,
            first: kept.first,
            behind: false,
        };
        self.found(&volume, root.as_fd())?;
        self.mend_socket(&volume, root.as_fd()).await;
        drop(root);
        let changes = self
            .parts
            .subscriptions
            .subscribe(&volume.id, None, asked)
            .await?;
        let volume = Arc::new(volume);
        claim.put(Arc::clone(&volume));
        self.follow(volume, request.text, changes, 0);
        Ok(())
    }

    /// Forgets volumes that are mounted no more: their pod went while nobody unpublished them.
    ///
    /// # Errors
    /// Where a record cannot be removed.
    pub async fn look_around(&self) -> Result<(), PluginError> {
        self.refresh().await;
        for id in self.volumes.ids() {
            // Whoever works on it knows better.
            let Ok(claim) = self.volumes.claim(&id) else {
                continue;
            };
            let Some(volume) = claim.volume() else { continue };
            let device = volume.writing.lock().await.device;
            if mount::known(&volume.target, device).is_none() {
                self.parts.metrics.lost();
                claim.take();
                self.parts.room.leave(&id);
                volume.shut().await;
                self.parts.subscriptions.unsubscribe(&id).await?;
                self.parts.states.forget(&id)?;
            }
        }
        Ok(())
    }
}
