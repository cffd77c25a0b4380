//! Changes of running volumes: one task a volume, which writes what the subscription has whenever that
//! changes. A change that does not fit leaves the files as they are.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use strongroom_api::stream::proto::applied_secret::Outcome;
use strongroom_api::stream::proto::{ApplyFailure, NotApplied, Wiped};
use strongroom_render::plan::wiped;
use tokio::sync::watch;

use super::held_plan::HeldPlan;
use super::publish::versions;
use super::{Plugin, PluginError, first_versions, secret_outcomes};
use crate::atomic_write::{self, WriteError, WriteOutcome};
use crate::mount;
use crate::stream::SubscriptionSnapshot;
use crate::volumes::Volume;

impl Plugin {
    /// Follows a subscription until it ends. `seen` is the change that the volume shows already.
    pub(super) fn follow(
        &self,
        volume: Arc<Volume>,
        text: BTreeMap<String, String>,
        mut changes: watch::Receiver<u64>,
        mut seen: u64,
    ) {
        let plugin = self.clone();
        tokio::spawn(async move {
            loop {
                let Ok(now) = changes.wait_for(|now| *now != seen).await.map(|now| *now) else {
                    return;
                };
                seen = now;
                let begun = Instant::now();
                // For as long as it takes: with the gateway away, a value that is not here comes when it is
                // back.
                let outcome = match plugin.parts.subscriptions.read(&volume.id).await {
                    Err(_) => return,
                    Ok(Err(refused)) => {
                        plugin.forget(&volume, &refused).await;
                        if refused.wipe {
                            plugin.wipe(&volume, &text).await
                        } else {
                            "refused"
                        }
                    }
                    Ok(Ok(snapshot)) => {
                        seen = snapshot.change;
                        plugin.update(&volume, &text, snapshot).await
                    }
                };
                plugin
                    .parts
                    .metrics
                    .updated(outcome, begun.elapsed().as_secs_f64());
            }
        });
    }

    /// Writes a snapshot, and tells the gateway the result.
    async fn update(
        &self,
        volume: &Arc<Volume>,
        text: &BTreeMap<String, String>,
        snapshot: SubscriptionSnapshot,
    ) -> &'static str {
        let wipe = snapshot.wipe;
        if wipe {
            self.forget_all(volume).await;
        } else {
            self.cache_secrets(volume, &snapshot.secrets).await;
        }
        let versions = versions(&snapshot);
        if wipe {
            volume.revoke_on_socket();
        }
        let result = match self.make_plan(volume, &snapshot).await {
            Ok(planned) => self.write(volume, text, planned, versions.clone()).await,
            Err(error) => Err(error),
        };
        if result.is_ok() && !wipe {
            volume.show_on_socket(&snapshot);
        }
        let swapped = matches!(result, Ok(WriteOutcome::Swapped));
        let (outcome, told) = match result {
            Ok(_) if wipe => (
                "wiped",
                secret_outcomes(volume.attributes.secrets.len(), |_| Outcome::Wiped(Wiped {})),
            ),
            Ok(_) => (
                "updated",
                secret_outcomes(versions.len(), |index| {
                    Outcome::VersionId(versions.get(index).cloned().unwrap_or_default())
                }),
            ),
            Err(error) => {
                tracing::warn!(
                    %error,
                    volume = volume.id,
                    namespace = volume.pod.namespace,
                    pod = volume.pod.name,
                    "volume update failed"
                );
                let failed = |index: usize| {
                    Outcome::NotApplied(NotApplied {
                        version_id: versions.get(index).cloned().unwrap_or_default(),
                        code: failure(&error).into(),
                        message: error.to_string(),
                    })
                };
                (error.outcome(), secret_outcomes(versions.len(), failed))
            }
        };
        // Where it fails the process stops.
        let _ = self.parts.subscriptions.applied(&volume.id, told).await;
        if swapped {
            self.notify_pod(volume);
        }
        outcome
    }

    /// Takes the files away.
    async fn wipe(&self, volume: &Arc<Volume>, text: &BTreeMap<String, String>) -> &'static str {
        volume.revoke_on_socket();
        match self
            .write(volume, text, wiped(&volume.attributes).into(), Vec::new())
            .await
        {
            Ok(written) => {
                if written == WriteOutcome::Swapped {
                    self.notify_pod(volume);
                }
                "wiped"
            }
            Err(error) => {
                tracing::error!(%error, volume = volume.id, "volume wipe failed");
                error.outcome()
            }
        }
    }

    async fn write(
        &self,
        volume: &Arc<Volume>,
        text: &BTreeMap<String, String>,
        planned: HeldPlan,
        versions: Vec<String>,
    ) -> Result<WriteOutcome, PluginError> {
        let (quota, namespace) = (&self.parts.memory_quota, &volume.pod.namespace);
        let before = quota.reserve(&volume.id, namespace, planned.plan.bytes())?;
        let written = self.write_planned(volume, text, planned, versions).await;
        if written.is_err() {
            quota.set(&volume.id, namespace, before);
        }
        written
    }

    async fn write_planned(
        &self,
        volume: &Arc<Volume>,
        text: &BTreeMap<String, String>,
        planned: HeldPlan,
        versions: Vec<String>,
    ) -> Result<WriteOutcome, PluginError> {
        let mut shows = volume.writing.lock().await;
        let device = shows.device;
        // Until it is done: a repeated publish asks for it again.
        shows.behind = true;
        let writing = Arc::clone(volume);
        let HeldPlan { plan, room } = planned;
        let stores = plan.files.values().any(|file| file.password.is_some());
        // The pool must not wait for room that waits for the pool.
        let room = room.filter(|_| !stores);
        let work = move || {
            let _room = room;
            let root = mount::open_mounted(&writing.target, device).ok_or(PluginError::NoVolume)?;
            Ok::<_, PluginError>(atomic_write::write(root.as_fd(), &plan, writing.group)?)
        };
        let written = if stores {
            // They are opened to see whether anything of them changes, and their passwords are stretched for
            // that.
            self.parts.work.run(&volume.pod.namespace, work).await?
        } else {
            tokio::task::spawn_blocking(work)
                .await
                .unwrap_or(Err(PluginError::Stopping(crate::stream::StreamClosed)))
        }?;
        shows.behind = false;
        if shows.versions != versions {
            shows.versions.clone_from(&versions);
            if shows.first.is_empty() {
                shows.first = first_versions(&volume.attributes, &versions);
            }
            let first = shows.first.clone();
            // What a restart would say of the volume is old then, and no more than that.
            if let Err(error) = self
                .parts
                .records
                .keep(&self.volume_record(volume, text, versions, first))
            {
                tracing::warn!(%error, volume = volume.id, "volume record write failed");
            }
        }
        Ok(written)
    }
}

const fn failure(error: &PluginError) -> ApplyFailure {
    match error {
        PluginError::Plan(_) => ApplyFailure::Plan,
        PluginError::Write(WriteError::NoSpace) | PluginError::MemoryQuota(_) => ApplyFailure::NoSpace,
        _ => ApplyFailure::Io,
    }
}
