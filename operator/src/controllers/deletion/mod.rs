//! Deletions: which secrets have lost their object, and what follows. What counts as a deletion is decided in
//! `strongroom_rules::deletion`.
//!
//! It runs when the watches say that something may be gone, and then only as often as something waits. An
//! absence in our cache is never acted on by itself: a complete list, read after the disappearance, has to
//! show it too.

mod apply;
mod confirmation;
mod kind;
mod observe;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use strongroom_rules::deletion::{self, CrdState, DeletionPlan, GRACE_PERIOD, Losses, NamespaceState};
use tokio::sync::Notify;

use self::confirmation::{Listing, publish, recall};
use self::kind::DeletionCandidates;
pub(crate) use self::kind::OwnerKind;
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;

/// How often to look without cause.
const IDLE_INTERVAL: Duration = Duration::from_secs(3600);
/// How often to look whether a person confirmed.
const CONFIRM_POLL: Duration = Duration::from_secs(5);
/// How long to wait for more of the same before a look: it goes through the whole store.
const GATHER_DELAY: Duration = Duration::from_secs(1);
/// How long to wait after a failed look.
const RETRY_DELAY: Duration = Duration::from_secs(10);

/// How long to wait before a deletion that failed is tried again.
const DELETION_RETRY_DELAY: SignedDuration = SignedDuration::from_secs(10);
/// How often to look at what is not judged yet, such as the secrets of a terminating namespace.
const UNJUDGED_INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// What the watches tell the search for absences.
#[derive(Debug, Default)]
pub(crate) struct DeletionSignals {
    wake: Notify,
    /// UIDs of objects seen since the CRD, as it is now, was made.
    seen: Mutex<HashSet<Box<str>>>,
    /// Namespace and name of the objects that were away at the last look, and whether one was there since.
    away: Mutex<BTreeMap<(String, String), bool>>,
}

impl DeletionSignals {
    /// Something may be gone.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// An object of this name and UID exists.
    pub(crate) fn saw(&self, namespace: &str, name: &str, uid: &str) {
        self.seen.lock().insert(uid.into());
        let mut away = self.away.lock();
        if !away.is_empty()
            && let Some(back) = away.get_mut(&(namespace.to_owned(), name.to_owned()))
        {
            *back = true;
        }
    }

    /// Objects of these UIDs exist.
    fn saw_all(&self, uids: Vec<String>) {
        self.seen.lock().extend(uids.into_iter().map(Into::into));
    }

    fn has_seen(&self, uid: &str) -> bool {
        self.seen.lock().contains(uid)
    }

    fn forget(&self) {
        self.seen.lock().clear();
    }

    /// Takes down what is away now. Answers with what was away at the last look and came back since: the look
    /// itself cannot tell of an object that came and went between two looks.
    fn look_out_for(&self, now: BTreeMap<(String, String), bool>) -> BTreeSet<(String, String)> {
        let before = std::mem::replace(&mut *self.away.lock(), now);
        before
            .into_iter()
            .filter_map(|(place, back)| back.then_some(place))
            .collect()
    }
}

/// What is remembered from one look to the next. What a person waits for stands in the ConfigMap as well;
/// losing the rest means only to wait longer.
#[derive(Debug, Default)]
pub(crate) struct DeletionMemory {
    /// What it is about.
    kind: OwnerKind,
    /// When each secret or key, by id, was first seen without its object.
    since: HashMap<String, Timestamp>,
    /// UID of the CRD at the last look.
    crd: Option<String>,
    /// What each namespace lost.
    losses: Losses,
    /// What stands in the ConfigMap; absent until it was read.
    published: Option<Listing>,
    /// The ConfigMap's name is taken by somebody else, which was told.
    taken: bool,
    /// When each batch was last told, and to whom: to the administrators, or in a namespace.
    told: BTreeMap<(String, Option<String>), Timestamp>,
}

impl DeletionMemory {
    /// The memory of a kind, empty.
    pub(crate) fn new(kind: OwnerKind) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }

    /// Whether a person has to confirm something.
    fn waits(&self) -> bool {
        !self.losses.batches().is_empty()
    }

    /// Takes down what is away in our cache.
    fn look(&mut self, signals: &DeletionSignals, suspects: &DeletionCandidates, now: Timestamp) {
        let place = |owned: &kind::OwnedResource| (owned.namespace.clone(), owned.object.name.clone());
        let away = suspects.owned.iter().map(|owned| (place(owned), false));
        let back = signals.look_out_for(away.collect());
        let ids: BTreeSet<&str> = suspects.owned.iter().map(|owned| owned.id.as_str()).collect();
        self.since.retain(|id, _| ids.contains(id.as_str()));
        for owned in &suspects.owned {
            if back.contains(&place(owned)) {
                self.since.remove(&owned.id);
                self.losses.came_back(&owned.id);
            }
            self.since.entry(owned.id.clone()).or_insert(now);
        }
        let since = &self.since;
        let away = suspects.owned.iter().filter_map(|owned| {
            let since = since.get(&owned.id)?;
            Some((owned.namespace.as_str(), owned.id.as_str(), *since))
        });
        self.losses.observe(away, &suspects.present);
    }
}

/// Looks for absences until it is dropped.
pub(crate) async fn run(ctx: Arc<Ctx>, kind: OwnerKind) {
    let mut memory = DeletionMemory::new(kind);
    loop {
        let pause = match pass(&ctx, &mut memory, Timestamp::now()).await {
            Ok(wake) => wake.map_or(IDLE_INTERVAL, |at| until(at, Timestamp::now())),
            Err(failure) => {
                tracing::warn!(error = %failure, "deletion check failed");
                RETRY_DELAY
            }
        };
        if memory.waits() {
            wait_for_confirmation(&ctx, &memory, pause).await;
        } else {
            // A timeout is as good a reason to look as any.
            let _ = tokio::time::timeout(pause, kind.signals(&ctx).wake.notified()).await;
        }
        tokio::time::sleep(GATHER_DELAY).await;
    }
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    at.duration_since(now).max(SignedDuration::ZERO).unsigned_abs()
}

/// Waits until a person confirmed what waits, something else may be gone, or `pause` is over.
async fn wait_for_confirmation(ctx: &Ctx, memory: &DeletionMemory, pause: Duration) {
    let batches = memory.losses.batches();
    let confirmed = async {
        loop {
            tokio::time::sleep(CONFIRM_POLL).await;
            let found = confirmation::read(ctx, memory.kind).await.unwrap_or_default();
            if batches.iter().any(|batch| found.contains(&batch.id)) {
                return;
            }
        }
    };
    tokio::select! {
        () = confirmed => {}
        () = memory.kind.signals(ctx).wake.notified() => {}
        () = tokio::time::sleep(pause) => {}
    }
}

/// One look. Answers when to look again although nothing happens.
pub(crate) async fn pass(
    ctx: &Ctx,
    memory: &mut DeletionMemory,
    now: Timestamp,
) -> Result<Option<Timestamp>, Failure> {
    recall(ctx, memory).await?;
    let suspects = memory.kind.candidates(ctx).await?;
    memory.look(memory.kind.signals(ctx), &suspects, now);
    for secret in &suspects.keep {
        ctx.store.keep_window(*secret).await?;
    }
    let due = |since: &Timestamp| since.checked_add(GRACE_PERIOD).unwrap_or(Timestamp::MAX);
    if memory.since.values().all(|since| due(since) > now) {
        publish(ctx, memory, &suspects, now).await?;
        return Ok(memory.since.values().map(due).min());
    }
    let facts = observe::facts(ctx, memory, &suspects).await?;
    let DeletionPlan { delete, wake } = deletion::plan(&facts, &mut memory.losses, now);
    publish(ctx, memory, &suspects, now).await?;
    let mut again = wake;
    let mut soon = |after: SignedDuration| {
        let at = now.checked_add(after).unwrap_or(Timestamp::MAX);
        again = Some(again.map_or(at, |again| again.min(at)));
    };
    let goes = |owned: &kind::OwnedResource| delete.contains(&owned.id);
    for missing in facts
        .missing
        .iter()
        .filter(|missing| delete.contains(&missing.secret))
    {
        let Some(owned) = suspects.owned.iter().find(|owned| owned.id == missing.secret) else {
            continue;
        };
        let last = suspects
            .owned
            .iter()
            .all(|other| other.namespace != owned.namespace || goes(other));
        let how = apply::DeletionMode {
            recoverable: missing.recoverable,
            frees_namespace: missing.home == NamespaceState::Gone && last,
        };
        match apply::delete(ctx, owned, how).await {
            Ok(()) => {
                memory.since.remove(&owned.id);
                // What still stands in the ConfigMap is done.
                if memory.waits() {
                    soon(SignedDuration::ZERO);
                }
            }
            Err(failure) => {
                ctx.metrics.reconciled("Absence", Some(failure.class()));
                let (namespace, secret) = (&owned.namespace, &owned.id);
                tracing::warn!(namespace, secret, error = %failure, "deletion failed");
                soon(DELETION_RETRY_DELAY);
            }
        }
    }
    if !memory.since.is_empty() || facts.crd != CrdState::Present {
        soon(UNJUDGED_INTERVAL);
    }
    Ok(again)
}
