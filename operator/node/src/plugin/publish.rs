//! A publish: fetch, plan, record, build, attach.

use std::os::fd::AsFd;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use strongroom_api::stream::proto::Refusal;
use strongroom_api::stream::proto::shown::Outcome;
use strongroom_render::plan::{Fact, Place, Plan, PlanError, few_stores, plan, wiped};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Plugin, PluginError, Request, first, told, wants};
use crate::agent::Bound;
use crate::atomic_write;
use crate::fault;
use crate::mount::{self, Detached, There};
use crate::offline::Claims;
use crate::stream::{Refused, Secret, Snapshot};
use crate::volumes::{Claim, Shows, Volume};

impl Plugin {
    /// Makes a volume appear, or mends one that has. Whoever asked may hang up: it is finished all the same.
    ///
    /// # Errors
    /// [`PluginError`]. Nothing that was made for the call is left then.
    pub async fn publish(&self, request: Request) -> Result<(), PluginError> {
        let begun = Instant::now();
        let plugin = self.clone();
        let work = tokio::spawn(async move { plugin.publish_claimed(request).await });
        // The task neither panics nor is it cancelled, but for the end of the process.
        let result = work
            .await
            .unwrap_or(Err(PluginError::Stopping(crate::stream::Gone)));
        let outcome = result
            .as_ref()
            .map_or_else(PluginError::outcome, |outcome| *outcome);
        self.parts
            .metrics
            .published(outcome, begun.elapsed().as_secs_f64());
        result.map(drop)
    }

    /// Answers what it came to, for the metric.
    async fn publish_claimed(&self, request: Request) -> Result<&'static str, PluginError> {
        let claim = self.volumes.claim(&request.volume_id)?;
        if self.mended(&claim, &request).await? {
            return Ok("mended");
        }
        let result = self.publish_anew(&claim, &request).await;
        if result.is_err() {
            self.parts.subscriptions.unsubscribe(&request.volume_id).await?;
        }
        result.map(|()| "published")
    }

    /// A repeated publish: the volume is there, so it is mended and never refused. Answers whether it is there.
    async fn mended(&self, claim: &Claim, request: &Request) -> Result<bool, PluginError> {
        let subscriptions = &self.parts.subscriptions;
        if let Some(volume) = claim.volume() {
            if volume.target != request.target {
                return Err(PluginError::Elsewhere);
            }
            let shows = volume.writing.lock().await;
            if let Some(root) = mount::known(&volume.target, shows.device) {
                let whole = atomic_write::mend(root.as_fd()).unwrap_or_else(|error| {
                    tracing::warn!(%error, volume = volume.id, "a volume could not be mended; it is written again");
                    false
                });
                let again = shows.behind || !whole;
                drop(shows);
                self.mend_socket(&volume, root.as_fd()).await;
                drop(root);
                if let Some(token) = request.token.clone() {
                    let account = Claims::of(&token);
                    *volume.account.lock().unwrap_or_else(PoisonError::into_inner) = account;
                    subscriptions.renew(&volume.id, token).await?;
                }
                if again {
                    subscriptions.again(&volume.id).await?;
                }
                return Ok(true);
            }
            // Somebody else unmounted it: it is made anew.
            drop(shows);
            self.parts.metrics.lost();
            claim.take();
            self.parts.room.leave(&request.volume_id);
            volume.shut().await;
            subscriptions.unsubscribe(&request.volume_id).await?;
        }
        match mount::look(&request.target)? {
            There::Absent | There::Folder => Ok(false),
            // It was attached whole, by a process that died before it could say so. It is taken over as it is.
            There::Volume(root) => {
                let volume = self.volume(request);
                let device = mount::device_of(root.as_fd())?;
                self.found(&volume, root.as_fd())?;
                self.mend_socket(&volume, root.as_fd()).await;
                drop(root);
                *volume.writing.lock().await = Shows {
                    device,
                    ..Shows::default()
                };
                self.parts
                    .states
                    .keep(&self.kept(&volume, &request.text, Vec::new(), Vec::new()))?;
                let wants = wants(&volume, &[], &[]);
                let changes = subscriptions
                    .subscribe(&volume.id, request.token.clone(), wants)
                    .await?;
                let volume = Arc::new(volume);
                claim.put(Arc::clone(&volume));
                self.follow(volume, request.text.clone(), changes, 0);
                Ok(true)
            }
        }
    }

    async fn publish_anew(&self, claim: &Claim, request: &Request) -> Result<(), PluginError> {
        let parts = &self.parts;
        let Some(token) = request.token.clone() else {
            return Err(PluginError::NoToken(parts.reading.audience.clone()));
        };
        few_stores(&request.attributes)?;
        // Fetch.
        let volume = Arc::new(self.volume(request));
        let asked = wants(&volume, &[], &[]);
        let changes = parts
            .subscriptions
            .subscribe(&volume.id, Some(token), asked)
            .await?;
        let snapshot = tokio::select! {
            answered = timeout(parts.patience, parts.subscriptions.read(&volume.id)) => {
                let answered = answered.map_err(|_| PluginError::Timeout(parts.patience.as_secs()))??;
                match answered {
                    Ok(snapshot) => snapshot,
                    Err(refused) => {
                        self.forget(&volume, &refused).await;
                        return Err(PluginError::Refused(refused));
                    }
                }
            }
            snapshot = self.alone(&volume, request) => snapshot,
        };
        fault::point("publish.fetched");
        // Allowed, and not any more: a running volume keeps its files, and a new one gets none.
        if snapshot.wipe || snapshot.secrets.iter().any(|secret| secret.ended) {
            return Err(PluginError::Refused(Refused {
                code: Refusal::Policy,
                message: "access to a secret of the volume has ended".to_owned(),
                wipe: false,
            }));
        }
        // Plan.
        let planned = self.planned(&volume, &snapshot).await?;
        let namespace = &volume.pod.namespace;
        let before = parts.room.enter(&volume.id, namespace, planned.bytes())?;
        let published = self
            .publish_planned(claim, request, &volume, (snapshot, planned), changes)
            .await;
        if published.is_err() {
            parts.room.set(&volume.id, namespace, before);
        }
        published
    }

    /// What follows once it is known what the volume is to show.
    async fn publish_planned(
        &self,
        claim: &Claim,
        request: &Request,
        volume: &Arc<Volume>,
        (snapshot, planned): (Snapshot, Plan),
        changes: watch::Receiver<u64>,
    ) -> Result<(), PluginError> {
        let parts = &self.parts;
        let versions = versions(&snapshot);
        let first = first(&volume.attributes, &versions);
        // Nothing is served alone that is not going to be on record.
        if snapshot.alone {
            self.journal(volume, &snapshot).await?;
            parts.metrics.alone();
        }
        // Record: before the mount, so that a mounted volume always has a record.
        parts
            .states
            .keep(&self.kept(volume, &request.text, versions.clone(), first.clone()))?;
        fault::point("publish.recorded");
        // Build and attach.
        let built = {
            let volume = Arc::clone(volume);
            let metrics = parts.metrics.clone();
            let work = tokio::task::spawn_blocking(move || {
                let (device, swappable, bound) = build(&volume, &planned)?;
                if swappable {
                    metrics.swappable();
                }
                Ok::<_, PluginError>((device, bound))
            });
            work.await
                .unwrap_or(Err(PluginError::Stopping(crate::stream::Gone)))
        };
        let (device, bound) = match built {
            Ok(built) => built,
            Err(error) => {
                parts.states.forget(&volume.id)?;
                return Err(error);
            }
        };
        fault::point("publish.attached");
        *volume.writing.lock().await = Shows {
            versions: versions.clone(),
            first,
            device,
            behind: false,
        };
        volume.put_out(&snapshot);
        self.open(volume, Ok(bound)).await;
        claim.put(Arc::clone(volume));
        if !snapshot.alone {
            self.remember(volume, &snapshot.secrets).await;
        }
        self.follow(Arc::clone(volume), request.text.clone(), changes, snapshot.change);
        let shown = told(versions.len(), |index| {
            Outcome::VersionId(versions.get(index).cloned().unwrap_or_default())
        });
        parts.subscriptions.applied(&volume.id, shown).await?;
        Ok(())
    }
}

/// Builds a volume and attaches it. Answers the number of its file system, whether it may reach a swap device, and its socket.
fn build(volume: &Volume, planned: &Plan) -> Result<(u64, bool, Option<Bound>), PluginError> {
    let detached = Detached::new(volume.limits)?;
    fault::point("publish.detached");
    atomic_write::write(detached.root(), planned, volume.group)?;
    let bound = volume.bind(detached.root())?;
    fault::point("publish.filled");
    let (device, swappable) = (mount::device_of(detached.root())?, detached.swappable);
    mount::make_folder(&volume.target)?;
    fault::point("publish.folder");
    if let Err(error) = detached.attach(&volume.target) {
        drop(bound);
        // The folder is of no use to anybody now.
        let _ = mount::remove(&volume.target);
        return Err(error.into());
    }
    Ok((device, swappable, bound))
}

/// The versions in a snapshot.
pub(super) fn versions(snapshot: &Snapshot) -> Vec<String> {
    let version = |secret: &Secret| secret.delivered.version_id.clone();
    snapshot.secrets.iter().map(version).collect()
}

impl Plugin {
    /// The plan for a snapshot, made on a thread for such work in the turn of the pod's namespace: templates and key stores take their time.
    pub(super) async fn planned(
        &self,
        volume: &Arc<Volume>,
        snapshot: &Snapshot,
    ) -> Result<Plan, PluginError> {
        if snapshot.wipe {
            return Ok(wiped(&volume.attributes));
        }
        let planning = Arc::clone(volume);
        let (secrets, alone) = (snapshot.secrets.clone(), snapshot.alone);
        let work = move || planned(&planning, &secrets, alone);
        Ok(self.parts.work.run(&volume.pod.namespace, work).await??)
    }
}

fn planned(volume: &Volume, secrets: &[Secret], alone: bool) -> Result<Plan, PlanError> {
    let facts: Vec<Fact<'_>> = secrets
        .iter()
        .map(|secret| Fact {
            version_id: &secret.delivered.version_id,
            value: &secret.delivered.value,
            ended: secret.ended,
            offline: alone,
        })
        .collect();
    let place = Place {
        pod: &volume.pod.name,
        group: volume.group.is_some(),
        size: volume.limits.bytes,
    };
    plan(&volume.attributes, &facts, place)
}
