//! A publish: fetch, plan, record, build, attach.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use strongroom_api::stream::proto::Refusal;
use strongroom_api::stream::proto::applied_secret::Outcome;
use strongroom_render::plan::{Plan, PlanError, PlanTarget, SecretInput, check_store_count, plan, wiped};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

use super::held_plan::HeldPlan;
use super::{Plugin, PluginError, PublishRequest, first_versions, secret_outcomes, subscription_spec};
use crate::agent::BoundSocket;
use crate::atomic_write;
use crate::fault;
use crate::mount::{self, DetachedTmpfs, MountState};
use crate::offline::TokenClaims;
use crate::stream::{GrantedSecret, SubscriptionDenial, SubscriptionSnapshot};
use crate::volumes::{Claim, Volume, VolumeState};

impl Plugin {
    /// Makes a volume appear, or mends one that has. Whoever asked may hang up: it is finished all the same.
    ///
    /// # Errors
    /// [`PluginError`]. Nothing that was made for the call is left then.
    pub async fn publish(&self, request: PublishRequest) -> Result<(), PluginError> {
        let begun = Instant::now();
        let plugin = self.clone();
        let work = tokio::spawn(async move { plugin.publish_claimed(request).await });
        // The task neither panics nor is it cancelled, but for the end of the process.
        let result = work
            .await
            .unwrap_or(Err(PluginError::Stopping(crate::stream::StreamClosed)));
        let outcome = result
            .as_ref()
            .map_or_else(PluginError::outcome, |outcome| *outcome);
        self.parts
            .metrics
            .published(outcome, begun.elapsed().as_secs_f64());
        result.map(drop)
    }

    /// Returns the outcome, for the metric.
    async fn publish_claimed(&self, request: PublishRequest) -> Result<&'static str, PluginError> {
        let claim = self.volumes.claim(&request.volume_id)?;
        if self.mend_published(&claim, &request).await? {
            return Ok("mended");
        }
        let result = self.publish_anew(&claim, &request).await;
        if result.is_err() {
            self.parts.subscriptions.unsubscribe(&request.volume_id).await?;
        }
        result.map(|()| "published")
    }

    /// A repeated publish: the volume is there, so it is mended and never refused. Answers whether it is
    /// there.
    async fn mend_published(&self, claim: &Claim, request: &PublishRequest) -> Result<bool, PluginError> {
        let subscriptions = &self.parts.subscriptions;
        if let Some(volume) = claim.volume() {
            if volume.target != request.target {
                return Err(PluginError::Elsewhere);
            }
            let shows = volume.writing.lock().await;
            if let Some(root) = mount::open_mounted(&volume.target, shows.device) {
                let whole = atomic_write::mend(root.as_fd()).unwrap_or_else(|error| {
                    tracing::warn!(%error, volume = volume.id, "volume repair failed, writing it again");
                    false
                });
                let again = shows.behind || !whole;
                drop(shows);
                self.mend_socket(&volume, root.as_fd()).await;
                drop(root);
                if let Some(token) = request.token.clone() {
                    let account = TokenClaims::from_token(&token);
                    *volume.account.lock() = account;
                    subscriptions.renew(&volume.id, token).await?;
                }
                if again {
                    subscriptions.notify_change(&volume.id).await?;
                }
                return Ok(true);
            }
            // Somebody else unmounted it: it is made anew.
            drop(shows);
            self.parts.metrics.lost();
            claim.take();
            self.parts.memory_quota.release(&request.volume_id);
            volume.close_socket().await;
            subscriptions.unsubscribe(&request.volume_id).await?;
        }
        match mount::inspect(&request.target)? {
            MountState::Absent | MountState::Folder => Ok(false),
            // It was attached whole, by a process that died before it could say so. It is taken over as it
            // is.
            MountState::Volume(root) => {
                let volume = self.volume(request);
                let device = mount::device_of(root.as_fd())?;
                self.reserve_existing(&volume, root.as_fd())?;
                self.mend_socket(&volume, root.as_fd()).await;
                drop(root);
                *volume.writing.lock().await = VolumeState {
                    device,
                    ..VolumeState::default()
                };
                self.parts.records.keep(&self.volume_record(
                    &volume,
                    &request.text,
                    Vec::new(),
                    Vec::new(),
                ))?;
                let wants = subscription_spec(&volume, &[], &[]);
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

    async fn publish_anew(&self, claim: &Claim, request: &PublishRequest) -> Result<(), PluginError> {
        let parts = &self.parts;
        let Some(token) = request.token.clone() else {
            return Err(PluginError::NoToken(parts.parser.audience.clone()));
        };
        check_store_count(&request.attributes)?;
        // Fetch.
        let volume = Arc::new(self.volume(request));
        let asked = subscription_spec(&volume, &[], &[]);
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
            snapshot = self.read_offline(&volume, request) => snapshot,
        };
        fault::point("publish.fetched");
        // Allowed, and not any more: a running volume keeps its files, and a new one gets none.
        if snapshot.wipe || snapshot.secrets.iter().any(|secret| secret.ended) {
            return Err(PluginError::Refused(SubscriptionDenial {
                code: Refusal::Policy,
                message: "access to a secret of the volume has ended".to_owned(),
                wipe: false,
            }));
        }
        // Plan.
        let planned = self.make_plan(&volume, &snapshot).await?;
        let namespace = &volume.pod.namespace;
        let before = parts
            .memory_quota
            .reserve(&volume.id, namespace, planned.plan.bytes())?;
        let published = self
            .publish_planned(claim, request, &volume, (snapshot, planned), changes)
            .await;
        if published.is_err() {
            parts.memory_quota.set(&volume.id, namespace, before);
        }
        published
    }

    /// What follows once it is known what the volume is to show.
    async fn publish_planned(
        &self,
        claim: &Claim,
        request: &PublishRequest,
        volume: &Arc<Volume>,
        (snapshot, planned): (SubscriptionSnapshot, HeldPlan),
        changes: watch::Receiver<u64>,
    ) -> Result<(), PluginError> {
        let parts = &self.parts;
        let versions = versions(&snapshot);
        let first = first_versions(&volume.attributes, &versions);
        // Nothing is served offline that is not going to be audited.
        if snapshot.offline {
            self.journal(volume, &snapshot).await?;
            parts.metrics.served_offline();
        }
        // Record: before the mount, so that a mounted volume always has a record.
        parts
            .records
            .keep(&self.volume_record(volume, &request.text, versions.clone(), first.clone()))?;
        fault::point("publish.recorded");
        // Build and attach.
        let built = {
            let volume = Arc::clone(volume);
            let metrics = parts.metrics.clone();
            let work = tokio::task::spawn_blocking(move || {
                let (device, swappable, bound) = build(&volume, &planned.plan)?;
                if swappable {
                    metrics.swappable();
                }
                Ok::<_, PluginError>((device, bound))
            });
            work.await
                .unwrap_or(Err(PluginError::Stopping(crate::stream::StreamClosed)))
        };
        let (device, bound) = match built {
            Ok(built) => built,
            Err(error) => {
                parts.records.forget(&volume.id)?;
                return Err(error);
            }
        };
        fault::point("publish.attached");
        *volume.writing.lock().await = VolumeState {
            versions: versions.clone(),
            first,
            device,
            behind: false,
        };
        volume.show_on_socket(&snapshot);
        self.open(volume, Ok(bound)).await;
        claim.put(Arc::clone(volume));
        if !snapshot.offline {
            self.cache_secrets(volume, &snapshot.secrets).await;
        }
        self.follow(Arc::clone(volume), request.text.clone(), changes, snapshot.change);
        let shown = secret_outcomes(versions.len(), |index| {
            Outcome::VersionId(versions.get(index).cloned().unwrap_or_default())
        });
        parts.subscriptions.applied(&volume.id, shown).await?;
        Ok(())
    }
}

/// Builds a volume and attaches it. Answers the number of its file system, whether it may reach a swap
/// device, and its socket.
fn build(volume: &Volume, planned: &Plan) -> Result<(u64, bool, Option<BoundSocket>), PluginError> {
    let detached = DetachedTmpfs::new(volume.limits)?;
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
pub(super) fn versions(snapshot: &SubscriptionSnapshot) -> Vec<String> {
    let version = |secret: &GrantedSecret| secret.delivered.version_id.clone();
    snapshot.secrets.iter().map(version).collect()
}

impl Plugin {
    /// The plan for a snapshot, made on a thread for such work in the turn of the pod's namespace: templates
    /// and key stores take their time.
    pub(super) async fn make_plan(
        &self,
        volume: &Arc<Volume>,
        snapshot: &SubscriptionSnapshot,
    ) -> Result<HeldPlan, PluginError> {
        if snapshot.wipe {
            return Ok(wiped(&volume.attributes).into());
        }
        let planning = Arc::clone(volume);
        let (secrets, offline) = (snapshot.secrets.clone(), snapshot.offline);
        let (plans, runtime) = (self.plans.clone(), Handle::current());
        let work = move || plans.hold(&runtime, || make_plan(&planning, &secrets, offline));
        Ok(self.parts.work.run(&volume.pod.namespace, work).await??)
    }
}

fn make_plan(volume: &Volume, secrets: &[GrantedSecret], offline: bool) -> Result<Plan, PlanError> {
    let facts: Vec<SecretInput<'_>> = secrets
        .iter()
        .map(|secret| SecretInput {
            version_id: &secret.delivered.version_id,
            value: &secret.delivered.value,
            ended: secret.ended,
            offline,
        })
        .collect();
    let place = PlanTarget {
        pod: &volume.pod.name,
        group: volume.group.is_some(),
        size: volume.limits.bytes,
    };
    plan(&volume.attributes, &facts, place)
}
