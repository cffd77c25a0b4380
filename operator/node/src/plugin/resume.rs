//! What the plugin finds at its start, and in periodic checks later: volumes to resume, and records of
//! volumes that are gone.

use std::os::fd::AsFd;
use std::sync::Arc;

use strongroom_render::attributes::Attributes;

use super::{Plugin, PluginError, PublishRequest, subscription_spec};
use crate::mount::{self, MountState};
use crate::state::{self, VolumeRecord};
use crate::volumes::VolumeState;

impl Plugin {
    /// Follows on the volumes of an earlier process. They have no token until kubelet publishes them again,
    /// which it does within one and a half minutes; then they are subscribed to.
    ///
    /// # Errors
    /// Where records or the mount table cannot be read.
    pub async fn resume(&self) -> Result<(), PluginError> {
        let found = state::resume(
            self.parts.records.all()?,
            &mount::mounted_volumes()?,
            &self.parts.boot_id,
        );
        let (volumes, orphans) = (found.volumes.len(), found.orphans.len());
        for orphan in found.orphans {
            self.parts.records.forget(&orphan)?;
        }
        for record in found.volumes {
            let id = record.volume_id.clone();
            if let Err(error) = self.resume_volume(record).await {
                // kubelet publishes it again, and then it is taken over as it is.
                tracing::warn!(%error, volume = id, "volume resume failed, record dropped");
                self.parts.records.forget(&id)?;
            }
        }
        tracing::info!(volumes, orphans, "volumes resumed");
        Ok(())
    }

    async fn resume_volume(&self, record: VolumeRecord) -> Result<(), PluginError> {
        let claim = self.volumes.claim(&record.volume_id)?;
        let request = PublishRequest {
            attributes: Attributes::parse(&record.attributes)?,
            volume_id: record.volume_id,
            target: record.target,
            group: record.group,
            text: record.attributes,
            pod: record.pod.into(),
            token: None,
        };
        let volume = self.volume(&request);
        let MountState::Volume(root) = mount::inspect(&volume.target)? else {
            return Err(PluginError::NoVolume);
        };
        let asked = subscription_spec(&volume, &record.versions, &record.first);
        *volume.writing.lock().await = VolumeState {
            device: mount::device_of(root.as_fd())?,
            versions: record.versions,
            first: record.first,
            behind: false,
        };
        self.reserve_existing(&volume, root.as_fd())?;
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
    pub async fn sweep_volumes(&self) -> Result<(), PluginError> {
        self.refresh().await;
        for id in self.volumes.ids() {
            // Whoever works on it knows better.
            let Ok(claim) = self.volumes.claim(&id) else {
                continue;
            };
            let Some(volume) = claim.volume() else { continue };
            let device = volume.writing.lock().await.device;
            if mount::open_mounted(&volume.target, device).is_none() {
                self.parts.metrics.lost();
                claim.take();
                self.parts.memory_quota.release(&id);
                volume.close_socket().await;
                self.parts.subscriptions.unsubscribe(&id).await?;
                self.parts.records.forget(&id)?;
            }
        }
        Ok(())
    }
}
