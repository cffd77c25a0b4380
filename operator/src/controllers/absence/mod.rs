//! Deletions: which secrets have lost their object, and what follows. What counts as a deletion is decided in `strongroom_rules::absence`.
//!
//! It runs when the watches say that something may be gone, and then only as often as something waits. An absence in our cache is never acted
//! on by itself: a complete list, read after the disappearance, has to show it too.

mod apply;
mod confirmation;
mod kind;
mod observe;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use strongroom_rules::absence::{self, COLLECT, Plan};
use tokio::sync::Notify;

use self::confirmation::Confirmation;
pub(crate) use self::kind::Kind;
use crate::controllers::Ctx;
use crate::controllers::managed_secret::Failure;
use crate::controllers::store::SecretStore;

/// How often to look without cause.
const IDLE: Duration = Duration::from_secs(3600);
/// How often to look whether a person confirmed.
const CONFIRM_POLL: Duration = Duration::from_secs(5);
/// How long to wait for more of the same before a look: it goes through the whole store.
const GATHER: Duration = Duration::from_secs(1);
/// How long to wait after a failed look.
const RETRY: Duration = Duration::from_secs(10);

/// What the watches tell the search for absences.
#[derive(Debug, Default)]
pub(crate) struct Absences {
    wake: Notify,
    /// UIDs of objects seen since the CRD, as it is now, was made.
    seen: Mutex<HashSet<Box<str>>>,
}

impl Absences {
    /// Something may be gone.
    pub(crate) fn suspect(&self) {
        self.wake.notify_one();
    }

    /// An object with this UID exists.
    pub(crate) fn saw(&self, uid: &str) {
        self.seen().insert(uid.into());
    }

    fn has_seen(&self, uid: &str) -> bool {
        self.seen().contains(uid)
    }

    fn forget(&self) {
        self.seen().clear();
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashSet<Box<str>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is remembered from one look to the next. Losing it means only to wait longer, or to ask a person once more.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// What it is about.
    kind: Kind,
    /// When each secret or key, by id, was first seen without its object.
    since: HashMap<String, Timestamp>,
    /// UID of the CRD at the last look.
    crd: Option<String>,
    /// The batch that waits, as it was last published.
    asked: Option<absence::Batch>,
}

impl Memory {
    /// The memory of a kind, empty.
    pub(crate) fn of(kind: Kind) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }
}

/// Looks for absences until it is dropped.
pub(crate) async fn run<S: SecretStore>(ctx: Arc<Ctx<S>>, kind: Kind) {
    let mut memory = Memory::of(kind);
    loop {
        let pause = match pass(&ctx, &mut memory, Timestamp::now()).await {
            Ok(wake) => wake.map_or(IDLE, |at| until(at, Timestamp::now())),
            Err(failure) => {
                tracing::warn!(error = %failure, "failed to look for deleted objects; trying again");
                RETRY
            }
        };
        if memory.asked.is_some() {
            wait_for_confirmation(&ctx, &memory, pause).await;
        } else {
            // A timeout is as good a reason to look as any.
            let _ = tokio::time::timeout(pause, kind.absences(&ctx).wake.notified()).await;
        }
        tokio::time::sleep(GATHER).await;
    }
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    at.duration_since(now)
        .max(jiff::SignedDuration::ZERO)
        .unsigned_abs()
}

/// Waits until a person confirmed what waits, something else may be gone, or `pause` is over.
async fn wait_for_confirmation<S: SecretStore>(ctx: &Ctx<S>, memory: &Memory, pause: Duration) {
    let confirmed = async {
        loop {
            tokio::time::sleep(CONFIRM_POLL).await;
            let found = Confirmation::read(ctx, memory.kind).await.ok().flatten();
            if found.is_some() && found == memory.asked.as_ref().map(|batch| batch.id.clone()) {
                return;
            }
        }
    };
    tokio::select! {
        () = confirmed => {}
        () = memory.kind.absences(ctx).wake.notified() => {}
        () = tokio::time::sleep(pause) => {}
    }
}

/// One look. Answers when to look again although nothing happens.
pub(crate) async fn pass<S: SecretStore>(
    ctx: &Ctx<S>,
    memory: &mut Memory,
    now: Timestamp,
) -> Result<Option<Timestamp>, Failure> {
    let suspects = observe::suspects(ctx, memory.kind).await?;
    let ids: BTreeSet<String> = suspects.owned.iter().map(|owned| owned.id.clone()).collect();
    memory.since.retain(|id, _| ids.contains(id));
    for id in ids {
        memory.since.entry(id).or_insert(now);
    }
    let Some(first) = memory.since.values().min() else {
        Confirmation::clear(ctx, memory).await?;
        return Ok(None);
    };
    let judged = first.checked_add(COLLECT).unwrap_or(Timestamp::MAX);
    if now < judged {
        return Ok(Some(judged));
    }
    let facts = observe::facts(ctx, memory, &suspects).await?;
    let Plan { delete, ask, wake } = absence::plan(&facts, now);
    let mut again = wake;
    match ask {
        Some(batch) => Confirmation::ask(ctx, memory, &facts, batch).await?,
        None => Confirmation::clear(ctx, memory).await?,
    }
    for id in &delete {
        let Some(owned) = suspects.owned.iter().find(|owned| owned.id == *id) else {
            continue;
        };
        match apply::delete(ctx, owned).await {
            Ok(()) => {
                memory.since.remove(id);
            }
            Err(failure) => {
                ctx.metrics.reconciled("Absence", Some(failure.class()));
                let (namespace, secret) = (&owned.namespace, id);
                tracing::warn!(namespace, secret, error = %failure, "failed to delete; trying again");
                again = now.checked_add(jiff::SignedDuration::from_secs(10)).ok();
            }
        }
    }
    // What is not judged yet, such as the secrets of a terminating namespace, is looked at again.
    if again.is_none() && !memory.since.is_empty() {
        again = now.checked_add(jiff::SignedDuration::from_secs(60)).ok();
    }
    Ok(again)
}
