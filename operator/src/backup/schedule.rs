//! The task: looks every few seconds whether a backup or a drill is due, and does one after the other, so
//! that neither overlaps itself or the other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use strongroom_api::backup_status::{BackupFailure, BackupStatus, LastDrill, NewestBackup};
use strongroom_process::Shutdown;
use strongroom_rules::backup::{BackupCause, BackupLimits, Due, backup_due, drill_due, retry_delay};
use strongroom_rules::schedule::{Calendar, ScheduleError};
use strongroom_store::crypto::RootKey;
use strongroom_store::seal::{SealFile, SlotKind};
use strongroom_store::vault::Store;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::catalog::{newest, prune, read_manifest};
use super::destination::BackupDestination;
use super::drill::{DrillJob, DrillKey, DrillOutcome};
use super::error::BackupError;
use super::manifest::BackupManifest;
use super::metrics::BackupMetrics;
use super::name::{BackupName, is_leftover};
use super::place::{BackupPlace, remove_leftovers};
use super::reads::{CopyProgress, ReadCopier};
use super::status::StatusConfigMap;
use super::take::take;

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_secs(2);
/// The folder of a drill, in the one that is named for them.
const DRILL_FOLDER: &str = ".strongroom-drill";

/// What is done about backups; nothing is the default.
#[derive(Clone, Debug, Default)]
pub(crate) struct BackupSettings {
    pub(crate) backups: Option<BackupPlan>,
    /// Native Secrets of the process's own namespace that no ManagedSecret may have: the credentials of the
    /// bucket.
    pub(crate) reserved_secrets: Vec<String>,
}

/// Backups on a schedule.
#[derive(Clone, Debug)]
pub(crate) struct BackupPlan {
    /// As it was written, for people.
    pub(crate) cron: String,
    pub(crate) calendar: Arc<Calendar>,
    pub(crate) destination: BackupDestination,
    pub(crate) limits: BackupLimits,
    /// How often new records of the read chain are copied beside the backups.
    pub(crate) reads_interval: Duration,
    pub(crate) drills: Option<DrillPlan>,
}

/// Drills on a schedule.
#[derive(Clone, Debug)]
pub(crate) struct DrillPlan {
    /// As it was written, for people.
    pub(crate) cron: String,
    pub(crate) calendar: Arc<Calendar>,
    /// The folder in which a place for a drill is made.
    pub(crate) dir: PathBuf,
}

/// What the task works with.
pub(crate) struct BackupTask {
    pub(crate) plan: Option<BackupPlan>,
    pub(crate) store: Store,
    /// What opens the backups in a drill.
    pub(crate) root: Arc<RootKey>,
    pub(crate) metrics: BackupMetrics,
    pub(crate) now: fn() -> Timestamp,
}

impl BackupTask {
    /// Works until the shutdown begins; what is under way then is broken off. How backups stand is written
    /// into the process's own namespace.
    pub(crate) async fn run(self, client: Client, namespace: String, shutdown: Shutdown) {
        let backup_taken = Notify::new();
        let copier = self.plan.clone().map(|plan| self.copier(plan));
        let copies = async {
            if let Some(copier) = copier {
                copier.run(&backup_taken).await;
            }
        };
        let map = StatusConfigMap::new(client, &namespace);
        let both = async { tokio::join!(self.work(map, &backup_taken), copies) };
        tokio::select! {
            ((), ()) = both => {}
            () = shutdown.wait() => {}
        }
    }

    /// What copies the read chain. Neither waits for the other.
    fn copier(&self, plan: BackupPlan) -> ReadCopier {
        ReadCopier {
            store: self.store.clone(),
            destination: plan.destination,
            limits: plan.limits,
            interval: plan.reads_interval,
            metrics: self.metrics.clone(),
            now: self.now,
            progress: CopyProgress::default(),
        }
    }

    async fn work(self, mut map: StatusConfigMap, backup_taken: &Notify) {
        let before = map.read().await.unwrap_or_default();
        let mut round = BackupRound::new(self, before.drill);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let newest = round.status.newest.clone();
            round.run_due().await;
            if round.status.newest != newest {
                backup_taken.notify_one();
            }
            map.write(&round.status).await;
        }
    }
}

/// What is known from one look to the next.
struct BackupRound {
    task: BackupTask,
    status: BackupStatus,
    /// The newest verified backup, once the destination was read.
    newest: Option<Option<(BackupName, BackupManifest)>>,
    retry: Retry,
    drill_retry: Retry,
    /// When a drill last succeeded, or else when the process started: the next one counts from then.
    drilled: Timestamp,
}

/// When something that failed is tried again.
#[derive(Clone, Copy, Debug, Default)]
struct Retry {
    failures: u32,
    not_before: Option<Instant>,
}

impl Retry {
    fn may_try(&self) -> bool {
        self.not_before.is_none_or(|at| Instant::now() >= at)
    }

    fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + retry_delay(self.failures));
    }
}

impl BackupRound {
    fn new(task: BackupTask, drill: Option<LastDrill>) -> Self {
        let plan = task.plan.as_ref();
        let drills = plan.and_then(|plan| plan.drills.as_ref());
        let status = BackupStatus {
            schedule: plan.map(|plan| plan.cron.clone()),
            destination: plan.map(|plan| plan.destination.to_string()),
            drill_schedule: drills.map(|drills| drills.cron.clone()),
            drill,
            ..BackupStatus::default()
        };
        if let Some(plan) = plan {
            task.metrics.scheduled();
            remove_leftovers(&plan.destination, Path::new(""), is_leftover);
        }
        let drilled = match &status.drill {
            Some(LastDrill {
                at, problem: None, ..
            }) => {
                task.metrics.drilled(*at);
                *at
            }
            _ => (task.now)(),
        };
        Self {
            drilled,
            task,
            status,
            newest: None,
            retry: Retry::default(),
            drill_retry: Retry::default(),
        }
    }

    /// Does what is due.
    async fn run_due(&mut self) {
        let slots = recovery_slots(&self.task.store).await;
        self.status.recovery_slots = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        self.task.metrics.recovery_slots(slots.len());
        let Some(plan) = self.task.plan.clone() else {
            return;
        };
        if self.retry.may_try() {
            match self.backup(&plan, &slots).await {
                Ok(()) => {
                    self.retry = Retry::default();
                    self.status.failure = None;
                }
                Err((step, error)) => self.backup_failed(step, &error),
            }
        }
        if let Some(drills) = &plan.drills
            && self.drill_retry.may_try()
        {
            self.drill(&plan, drills).await;
        }
    }

    async fn backup(
        &mut self,
        plan: &BackupPlan,
        slots: &BTreeSet<String>,
    ) -> Result<(), (&'static str, BackupFault)> {
        let now = (self.task.now)();
        if self.newest.is_none() {
            let found = find(&self.task.store, &plan.destination).await;
            let found = found.map_err(|error| ("list", BackupFault::from(error)))?;
            if let Some((name, manifest)) = &found {
                self.know(name, manifest);
            }
            self.newest = Some(found);
        }
        let opened_by: BTreeSet<String>;
        let newest = match self.newest.as_ref().and_then(Option::as_ref) {
            Some((name, manifest)) => {
                opened_by = manifest.recovery_slots().collect();
                Some((name.taken, &opened_by))
            }
            None => None,
        };
        let due = backup_due(&plan.calendar, newest, slots, now)
            .map_err(|error| ("take", BackupFault::from(error)))?;
        let cause = match due {
            Due::At(at) => {
                self.status.next = Some(at);
                self.task.metrics.due(at);
                return Ok(());
            }
            Due::Now(cause) => cause,
        };
        if self.status.failure.is_none() {
            let since = match cause {
                BackupCause::Schedule => self.status.next.unwrap_or(now),
                BackupCause::First | BackupCause::RecoverySlot => now,
            };
            self.status.next = Some(since);
            self.task.metrics.due(since);
        }
        self.take(plan, cause)
            .await
            .map_err(|error| ("take", BackupFault::from(error)))?;
        // Where old ones cannot be deleted, the new one is there all the same.
        if let Err(error) = self.prune(plan).await {
            tracing::warn!(destination = %plan.destination, %error, "old backups not deleted");
            self.task.metrics.failed("retention", (self.task.now)());
        }
        Ok(())
    }

    async fn take(&mut self, plan: &BackupPlan, cause: BackupCause) -> Result<(), BackupError> {
        let place = BackupPlace::open(&plan.destination).await?;
        let (name, manifest) = take(&self.task.store, &place, self.task.now).await?;
        tracing::info!(
            %name,
            bytes = manifest.bytes,
            records = manifest.records,
            cause = cause.as_str(),
            destination = %plan.destination,
            "backup verified"
        );
        self.task.metrics.taken();
        self.know(&name, &manifest);
        self.newest = Some(Some((name, manifest)));
        Ok(())
    }

    async fn prune(&self, plan: &BackupPlan) -> Result<(), BackupError> {
        let place = BackupPlace::open(&plan.destination).await?;
        let deleted = prune(&place, self.task.store.id(), plan.limits, (self.task.now)()).await?;
        if deleted > 0 {
            tracing::info!(deleted, destination = %plan.destination, "old backups deleted");
        }
        Ok(())
    }

    fn know(&mut self, name: &BackupName, manifest: &BackupManifest) {
        self.task.metrics.newest(manifest);
        self.status.newest = Some(NewestBackup {
            name: name.to_string(),
            taken: name.taken,
            bytes: manifest.bytes,
            secrets: manifest.secrets,
        });
    }

    fn backup_failed(&mut self, step: &'static str, error: &BackupFault) {
        let now = (self.task.now)();
        self.task.metrics.failed(step, now);
        self.retry.failed();
        tracing::warn!(step, failures = self.retry.failures, %error, "backup failed");
        let since = self.status.failure.as_ref().map_or(now, |failure| failure.since);
        self.status.failure = Some(BackupFailure {
            since,
            message: error.to_string(),
        });
    }

    async fn drill(&mut self, plan: &BackupPlan, drills: &DrillPlan) {
        let now = (self.task.now)();
        // The calendar was read at the start, so that it has a next time.
        if !matches!(drill_due(&drills.calendar, self.drilled, now), Ok(Due::Now(()))) {
            return;
        }
        let Some(Some((name, manifest))) = self.newest.clone() else {
            return;
        };
        let held = self.hold(plan, drills, &name, manifest).await;
        let at = (self.task.now)();
        let problem = match held {
            Ok(outcome) => {
                self.task.metrics.drill_ended(&outcome);
                Some(outcome.problems.join("; ")).filter(|_| !outcome.sound)
            }
            Err(error) => Some(error.to_string()),
        };
        match &problem {
            None => {
                tracing::info!(%name, "drill succeeded");
                self.task.metrics.drilled(at);
                self.drilled = at;
                self.drill_retry = Retry::default();
            }
            Some(problem) => {
                tracing::error!(%name, error = problem, "drill failed");
                self.task.metrics.failed("drill", at);
                self.task.metrics.drill_failed(at);
                self.drill_retry.failed();
            }
        }
        // One that failed stays due, and is held again after a while.
        self.status.drill = Some(LastDrill {
            at,
            backup: name.to_string(),
            problem,
        });
    }

    async fn hold(
        &self,
        plan: &BackupPlan,
        drills: &DrillPlan,
        name: &BackupName,
        manifest: BackupManifest,
    ) -> Result<DrillOutcome, BackupError> {
        let place = BackupPlace::open(&plan.destination).await?;
        let job = DrillJob {
            place: &place,
            object: name.to_string(),
            manifest: Some(manifest),
            dir: drills.dir.join(DRILL_FOLDER),
            key: DrillKey::Root(Arc::clone(&self.task.root)),
            now: (self.task.now)(),
        };
        job.hold().await
    }
}

/// Why no backup came about.
#[derive(Debug, thiserror::Error)]
enum BackupFault {
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

/// The newest verified backup of the store, and its manifest.
async fn find(
    store: &Store,
    destination: &BackupDestination,
) -> Result<Option<(BackupName, BackupManifest)>, BackupError> {
    let place = BackupPlace::open(destination).await?;
    match newest(&place, Some(store.id())).await? {
        Some(name) => match read_manifest(&place, &name).await {
            Ok(manifest) => Ok(Some((name, manifest))),
            // Then there is none that is known to be whole, and one is taken.
            Err(error @ BackupError::Manifest { .. }) => {
                tracing::warn!(%name, %error, "manifest of the newest backup unreadable");
                Ok(None)
            }
            Err(error) => Err(error),
        },
        None => Ok(None),
    }
}

/// The ids of the recovery slots that the seal has now.
async fn recovery_slots(store: &Store) -> BTreeSet<String> {
    let asked = store.clone();
    let read =
        tokio::task::spawn_blocking(move || asked.directory().and_then(|dir| SealFile::load(dir).ok()));
    let file = read.await.ok().flatten();
    let slots = file.iter().flat_map(SealFile::slots);
    slots
        .filter(|slot| slot.kind == SlotKind::Recovery)
        .map(|slot| slot.id.to_string())
        .collect()
}

#[cfg(test)]
mod tests;
