//! An unpublish needs no record, no gateway and no value, and succeeds if there is nothing to unpublish.

use std::path::PathBuf;

use super::{Plugin, PluginError};
use crate::{fault, mount};

impl Plugin {
    /// Makes a volume go.
    ///
    /// # Errors
    /// [`PluginError`]; kubelet asks again.
    pub async fn unpublish(&self, volume_id: String, target: PathBuf) -> Result<(), PluginError> {
        let plugin = self.clone();
        let work = tokio::spawn(async move {
            let claim = plugin.volumes.claim(&volume_id)?;
            // Its task ends with the subscription, and must not be writing when the volume is unmounted.
            plugin.parts.subscriptions.unsubscribe(&volume_id).await?;
            let volume = claim.take();
            let writing = match &volume {
                Some(volume) => Some(volume.writing.lock().await),
                None => None,
            };
            if let Some(volume) = &volume {
                volume.close_socket().await;
            }
            fault::point("unpublish.unsubscribed");
            let removed = tokio::task::spawn_blocking(move || mount::remove(&target)).await;
            drop(writing);
            match removed {
                Ok(removed) => removed?,
                Err(_) => return Err(PluginError::Stopping(crate::stream::StreamClosed)),
            }
            plugin.parts.memory_quota.release(&volume_id);
            fault::point("unpublish.unmounted");
            Ok(plugin.parts.records.forget(&volume_id)?)
        });
        work.await
            .unwrap_or(Err(PluginError::Stopping(crate::stream::StreamClosed)))
    }
}
